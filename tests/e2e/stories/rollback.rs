//! A change is what broke it: back to the stable state.

use anyhow::{Context, Result, ensure};
use homeostat::api::{Journal, Outcome, Reason, RecoveryPolicy, StableState, mark};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use serde_json::json;

use crate::story::app::{self, SETTINGS, WEB};
use crate::story::{Story, lines};

pub async fn a_bad_image_is_rolled_back(story: &mut Story) -> Result<()> {
    let stable = story.stable(3, json!({})).await?;
    story.change::<Deployment>(WEB, app::new_image("v2-never-ready")).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    let journal = recovery.journal();
    ensure!(journal.symptom.reason == Reason::RolloutStuck, "symptom {}", journal.symptom.reason);
    ensure!(journal.decision.reason == Reason::ChangeReverted, "decision {}", journal.decision.reason);
    ensure!(Some(&journal.stable_state) == stable.metadata.name.as_ref(), "restored {}", journal.stable_state);
    ensure!(!journal.decision.alternatives.is_empty(), "no rejected alternative is on record");
    ordered(journal)?;
    story.await_serving("v1", 3).await?;

    let writes = story.workload_writes().await?;
    ensure!(lines(&writes) == ["patch deployments/web", "patch deployments/web"], "{:?}", lines(&writes));
    ensure!(writes[0].touches("/spec/template") && writes[1].touches("/metadata/managedFields"), "{writes:?}");
    // At most eight writes for a template-only recovery, from the create of the Recovery on. Of the policy's status three
    // are among them, and one for each further second in which pods come and go. The Deployment's controller may write its
    // status in between: what loses that race is on record too before it is done again.
    let all = story.writes().await?;
    let from = all.iter().position(|write| write.resource == "recoveries").context("no Recovery was created")?;
    let (told, done): (Vec<_>, Vec<_>) =
        all[from..].iter().partition(|write| write.resource.starts_with("recoverypolicies"));
    let seconds = (&journal.timeline.closed, &journal.timeline.acted);
    let (Some(closed), Some(acted)) = seconds else { anyhow::bail!("a time is missing") };
    let seconds = usize::try_from(closed.0.duration_since(acted.0).as_secs())?;
    let lost = story.writes_lost().await?.iter().filter(|write| write.resource == "deployments").count();
    ensure!(done.len() <= 5 + lost && told.len() <= 3 + seconds.saturating_sub(3), "{:?}", lines(&all[from..]));
    let policy = story.policy("to be Stable again", |status| format!("{:?}", status.state) == "Stable").await?;
    let drift = policy.status.and_then(|status| status.drift).context("no drift")?;
    ensure!(drift.distance == "0.00", "drift {}", drift.distance);
    ensure!(story.metrics().await?.contains("homeostat_recoveries_total"), "no metric counts the recovery");
    let events = story.cluster.kubectl(&["get", "events", "-n", story.namespace.name()]).await?;
    ensure!(events.contains("ChangeReverted") && events.contains("Verified"), "events:\n{events}");
    let table = story.cluster.kubectl(&["get", "rp,rec", "-n", story.namespace.name()]).await?;
    ensure!(table.contains("Recovered") && table.contains("Stable"), "kubectl get rp,rec:\n{table}");
    Ok(())
}

/// Every phase has its time, and they are in order.
fn ordered(journal: &Journal) -> Result<()> {
    let t = &journal.timeline;
    let times = [&t.detected, &t.decided, &t.contained, &t.acted, &t.converged, &t.verified, &t.closed];
    let times: Option<Vec<_>> = times.into_iter().map(|at| at.as_ref().map(|at| at.0)).collect();
    let times = times.with_context(|| format!("a time is missing: {t:?}"))?;
    ensure!(times.is_sorted(), "out of order: {t:?}");
    Ok(())
}

pub async fn a_crash_after_ready_is_rolled_back(story: &mut Story) -> Result<()> {
    story.stable(2, json!({"detection": {"unavailableFor": "10s"}})).await?;
    story.earn_no_more().await?;
    story.change::<Deployment>(WEB, app::new_image("crash-after-2s")).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    ensure!(recovery.journal().symptom.reason == Reason::CrashLoop, "{:?}", recovery.journal().symptom);
    story.await_serving("v1", 2).await
}

pub async fn an_image_that_cannot_be_pulled_is_rolled_back(story: &mut Story) -> Result<()> {
    story.stable(2, json!({})).await?;
    story.change::<Deployment>(WEB, app::new_image("v2-unpullable")).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    ensure!(recovery.journal().symptom.reason == Reason::ImagePull, "{:?}", recovery.journal().symptom);
    story.await_serving("v1", 2).await
}

/// The fake kubelet cannot see a ConfigMap: the story marks the pods as its consumers would fail, and heals them once
/// the content is back.
pub async fn a_bad_config_map_alone_is_put_back(story: &mut Story) -> Result<()> {
    story.stable(2, json!({})).await?;
    let bad = json!({"data": {"TIMEOUT": "never", "ADDED": "by the bad release"}});
    story.change::<ConfigMap>(SETTINGS, bad).await?;
    story.play(&story.pods(WEB).await?, Some("crash")).await?;
    await_settings(story, "5s").await?;
    story.play(&story.pods(WEB).await?, None).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    ensure!(recovery.journal().decision.reason == Reason::ChangeReverted, "{:?}", recovery.journal().decision);
    let map = story.api::<ConfigMap>().get(SETTINGS).await?.data.unwrap_or_default();
    ensure!(!map.contains_key("ADDED"), "what the bad release added is still there: {map:?}");
    let writes = story.workload_writes().await?;
    ensure!(writes.iter().all(|write| write.resource == "configmaps"), "{:?}", lines(&writes));
    Ok(())
}

pub async fn image_and_config_map_are_put_back_in_order(story: &mut Story) -> Result<()> {
    story.stable(2, json!({})).await?;
    story.change::<ConfigMap>(SETTINGS, json!({"data": {"TIMEOUT": "never"}})).await?;
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    story.closed(Outcome::Recovered).await?;
    await_settings(story, "5s").await?;
    story.await_serving("v1", 2).await?;
    let writes = lines(&story.workload_writes().await?);
    let position = |line: &str| writes.iter().position(|write| write == line);
    let (map, template) = (position("patch configmaps/web-settings"), position("patch deployments/web"));
    ensure!(map.is_some() && map < template, "configuration comes first: {writes:?}");
    Ok(())
}

async fn await_settings(story: &Story, timeout: &str) -> Result<()> {
    cluster::eventually("the ConfigMap to be put back", crate::story::SOON, async || {
        let data = story.api::<ConfigMap>().get(SETTINGS).await?.data.unwrap_or_default();
        ensure!(data.get("TIMEOUT").map(String::as_str) == Some(timeout), "{data:?}");
        Ok(())
    })
    .await
}

/// `kubectl rollout undo` would go to the first of the two.
pub async fn two_bad_releases_are_rolled_back_past_both(story: &mut Story) -> Result<()> {
    story.stable(2, json!({})).await?;
    story.change::<Deployment>(WEB, app::new_image("v2-never-ready")).await?;
    cluster::eventually("the first bad release to be under way", crate::story::SOON, async || {
        let pods = story.pods(WEB).await?;
        ensure!(pods.len() > 2, "{} pods", pods.len());
        Ok(())
    })
    .await?;
    story.change::<Deployment>(WEB, app::new_image("v3-never-ready")).await?;
    story.closed(Outcome::Recovered).await?;
    story.await_serving("v1", 2).await?;
    let writes = story.workload_writes().await?;
    let templates = writes.iter().filter(|write| write.touches("/spec/template")).count();
    ensure!(templates == 1, "{templates} templates were written: {:?}", lines(&writes));
    Ok(())
}

pub async fn a_workload_that_was_never_stable_is_held(story: &mut Story) -> Result<()> {
    story.start_operator(&[]).await?;
    story.deploy("crash", 2, json!({})).await?;
    let held = |journal: &Journal| journal.outcome == Some(Outcome::Held) && journal.reason == Reason::NoStableState;
    story.recovery("to be held for want of a stable state", held).await?;
    let writes = story.workload_writes().await?;
    ensure!(writes.is_empty(), "{:?}", lines(&writes));
    Ok(())
}

/// Three times `unavailableFor` is a long time, and no symptom.
pub async fn a_slow_healthy_release_is_left_alone(story: &mut Story) -> Result<()> {
    let first = story.stable(2, json!({"detection": {"unavailableFor": "2s"}})).await?;
    story.change::<Deployment>(WEB, app::new_image("v2-slow-6s")).await?;
    story.await_serving("v2-slow-6s", 2).await?;
    let second = story.await_stable().await;
    let earned = cluster::eventually("the new release to earn its own state", crate::story::SOON, async || {
        let policy = story.api::<RecoveryPolicy>().get(WEB).await?;
        let status = policy.status.unwrap_or_default();
        ensure!(Some(&status.stable_state) != first.metadata.name.as_ref(), "{}", serde_json::to_string(&status)?);
        ensure!(format!("{:?}", status.state) == "Stable", "{:?}", status.state);
        Ok(())
    });
    earned.await?;
    second?;
    let writes = story.workload_writes().await?;
    ensure!(writes.is_empty(), "{:?}", lines(&writes));
    ensure!(story.recoveries().await?.is_empty(), "an incident was opened for a healthy release");
    Ok(())
}

/// Of three releases that were stable, only the last state is kept, and only its copy of the ConfigMap.
pub async fn only_as_many_states_are_kept_as_the_policy_says(story: &mut Story) -> Result<()> {
    let mut names = vec![story.stable(1, json!({"history": {"stableStates": 1}})).await?.metadata.name];
    for (tag, timeout) in [("v2", "6s"), ("v3", "7s")] {
        story.change::<ConfigMap>(SETTINGS, json!({"data": {"TIMEOUT": timeout}})).await?;
        story.change::<Deployment>(WEB, app::new_image(tag)).await?;
        story.await_serving(tag, 1).await?;
        cluster::eventually("a new stable state", crate::story::SOON, async || {
            let state = story.await_stable().await?;
            ensure!(!names.contains(&state.metadata.name), "{names:?}");
            names.push(state.metadata.name);
            anyhow::Ok(())
        })
        .await?;
    }
    cluster::eventually("the old states and copies to be gone", crate::story::SOON, async || {
        let states = story.api::<StableState>().list(&ListParams::default()).await?.items;
        ensure!(states.len() == 1, "{} states", states.len());
        let copies = story.api::<ConfigMap>().list(&ListParams::default().labels(mark::COPY_OF)).await?.items;
        ensure!(copies.len() == 1, "{} copies", copies.len());
        let kept = states.first().and_then(|state| state.spec.record.members.first()).map(|member| &member.copy);
        ensure!(kept == copies.first().and_then(|copy| copy.metadata.name.as_ref()), "the wrong copy was kept");
        Ok(())
    })
    .await
}

/// A chart of the user's, installed and upgraded with Helm; after a recovery the next upgrades go through and win.
async fn helm_goes_on(story: &mut Story, apply: &str) -> Result<()> {
    let chart = story.cluster.run_directory().join(format!("{}-chart", story.namespace.name()));
    write_chart(&chart)?;
    let chart = chart.to_str().context("the run directory is not UTF-8")?.to_owned();
    let namespace = story.namespace.name().to_owned();
    let cluster = std::sync::Arc::clone(&story.cluster);
    let helm = async |verb: &str, tag: &str, timeout: &str| {
        let values = format!("tag={tag},timeout={timeout}");
        cluster.helm(&[verb, "shop", &chart, "--namespace", &namespace, apply, "--set", &values]).await
    };
    story.start_operator(&[]).await?;
    helm("install", "v1", "5s").await?;
    story.create::<RecoveryPolicy>(app::policy(json!({}))).await?;
    story.await_stable().await?;
    helm("upgrade", "crash", "never").await?;
    story.closed(Outcome::Recovered).await?;
    story.await_serving("v1", 2).await?;
    story.nothing_is_owned_by_us(&["deployment/web", "configmap/web-settings"]).await?;
    helm("upgrade", "v3", "7s").await?;
    await_settings(story, "7s").await?;
    story.await_serving("v3", 2).await?;
    helm("upgrade", "v4", "8s").await?;
    await_settings(story, "8s").await?;
    story.await_serving("v4", 2).await
}

/// Helm 4 applies on the server.
pub async fn the_next_helm_upgrades_meet_no_conflict(story: &mut Story) -> Result<()> {
    helm_goes_on(story, "--server-side=true").await
}

/// Helm 3 merged three ways on the client; so does Helm 4 if asked.
pub async fn the_next_three_way_helm_upgrades_win(story: &mut Story) -> Result<()> {
    helm_goes_on(story, "--server-side=false").await
}

fn write_chart(folder: &std::path::Path) -> Result<()> {
    let templates = folder.join("templates");
    std::fs::create_dir_all(&templates)?;
    std::fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: shop\nversion: 1.0.0\n")?;
    let mut deployment = app::deployment(WEB, "TAG", 2);
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!(app::image("{{ .Values.tag }}"));
    let mut map = app::config_map("TIMEOUT");
    map["data"]["TIMEOUT"] = json!("{{ .Values.timeout }}");
    for (name, object) in [("deployment", deployment), ("map", map), ("service", app::service())] {
        std::fs::write(templates.join(format!("{name}.yaml")), serde_json::to_string_pretty(&object)?)?;
    }
    Ok(())
}
