//! People and pipelines come first: we release what we hold, and write nothing more.

use anyhow::{Context, Result, bail, ensure};
use cluster::eventually;
use homeostat::api::{Journal, Outcome, Phase, Reason, Recovery, RecoveryPolicy, mark};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PropagationPolicy};
use serde_json::{Value, json};

use super::cuts;
use crate::story::app::{self, WEB};
use crate::story::{SOON, Story, Write, lines};

/// Only containment is allowed, so that a freeze stands until somebody ends it.
fn freeze_only() -> Value {
    json!({"actions": {"isolate": {"freeze": true, "maxPods": 0}}})
}

/// A bad release that we froze and may not roll back.
async fn frozen(story: &mut Story) -> Result<()> {
    story.stable(3, freeze_only()).await?;
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    let held = |journal: &Journal| journal.phase == Phase::Holding && journal.reason == Reason::RolloutFrozen;
    story.recovery("to hold a frozen rollout", held).await?;
    let web = story.web().await?;
    ensure!(web.spec.and_then(|spec| spec.paused) == Some(true), "the Deployment is not paused");
    Ok(())
}

/// The Deployment carries neither our pause nor our mark.
async fn await_released(story: &Story) -> Result<()> {
    eventually("our freeze to be released", SOON, async || {
        let web = story.web().await?;
        let paused = web.spec.as_ref().and_then(|spec| spec.paused).unwrap_or(false);
        let marked = web.metadata.annotations.iter().flatten().any(|(key, _)| key == mark::FROZEN_BY);
        ensure!(!paused && !marked, "paused: {paused}, marked: {marked}");
        Ok(())
    })
    .await
}

fn freeze_and_release(writes: &[Write]) -> Result<()> {
    ensure!(lines(writes) == ["patch deployments/web", "patch deployments/web"], "{:?}", lines(writes));
    ensure!(writes.iter().all(|write| write.touches("/spec/paused")), "{writes:?}");
    ensure!(!writes.iter().any(|write| write.touches("/spec/template")), "we wrote a template: {writes:?}");
    Ok(())
}

pub async fn a_fix_meanwhile_wins_over_our_freeze(story: &mut Story) -> Result<()> {
    frozen(story).await?;
    story.change::<Deployment>(WEB, app::new_image("v3-fixed")).await?;
    story.closed(Outcome::Superseded).await?;
    story.await_serving("v3-fixed", 3).await?;
    // The fix earns its own state: had we anything left to write to the workload, it would have happened by then.
    story.await_stable().await?;
    freeze_and_release(&story.workload_writes().await?)
}

pub async fn a_fix_while_we_verify_wins(story: &mut Story) -> Result<()> {
    story.stable(2, json!({"verification": {"window": "20s"}})).await?;
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    story.recovery("to verify", |journal| journal.phase == Phase::Verifying).await?;
    let before = story.workload_writes().await?.len();
    story.change::<Deployment>(WEB, app::new_image("v3-fixed")).await?;
    story.closed(Outcome::Superseded).await?;
    story.await_serving("v3-fixed", 2).await?;
    story.await_stable().await?;
    let writes = story.workload_writes().await?;
    ensure!(writes.len() == before, "we wrote after the fix: {:?}", lines(&writes[before..]));
    Ok(())
}

pub async fn a_fix_while_a_pod_is_in_quarantine_wins(story: &mut Story) -> Result<()> {
    let actions = json!({"isolate": {"maxPods": 1, "inspection": "10m"}, "rollback": {}});
    story.stable(5, json!({"actions": actions, "verification": {"window": "20s"}})).await?;
    let bad = story.pods(WEB).await?.into_iter().next().context("no pod")?;
    let name = bad.metadata.name.clone().context("no name")?;
    story.play(std::slice::from_ref(&bad), Some("crash")).await?;
    let proven =
        |journal: &Journal| journal.isolation.as_ref().is_some_and(|found| found.reason == Reason::IsolationProven);
    let recovery = story.recovery("to have proven the isolation", proven).await?;
    let said = recovery.status.map(|status| status.conditions).unwrap_or_default();
    ensure!(said.iter().any(|c| c.type_ == "Isolated" && c.status == "True"), "{said:?}");
    story.change::<Deployment>(WEB, app::new_image("v3-fixed")).await?;
    let closed = story.closed(Outcome::Superseded).await?;
    let released = closed.journal().isolation.as_ref().map(|found| found.reason);
    ensure!(released == Some(Reason::Released), "{released:?}");
    eventually("the pod in quarantine to be gone", SOON, async || match story.api::<Pod>().get_opt(&name).await? {
        Some(_) => bail!("the pod is still there"),
        None => Ok(()),
    })
    .await?;
    story.await_serving("v3-fixed", 5).await?;
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes == [format!("patch pods/{name}"), format!("delete pods/{name}")], "{writes:?}");
    Ok(())
}

pub async fn a_fix_while_a_dependency_is_cut_off_wins(story: &mut Story) -> Result<()> {
    cuts::begin(story, json!({"verification": {"window": "20s"}})).await?;
    cuts::fail(story).await?;
    let policy = cuts::cut(story).await?.metadata.name.context("no name")?;
    story.change::<Deployment>(WEB, app::new_image("v3-fixed")).await?;
    cuts::await_uncut(story).await?;
    eventually("the incident to be superseded", SOON, async || {
        let recoveries = story.recoveries().await?;
        let mut journals = recoveries.iter().map(Recovery::journal).filter(|journal| journal.policy == WEB);
        let found = journals.find(|journal| journal.phase == Phase::Closed).context("no closed Recovery")?;
        ensure!(found.outcome == Some(Outcome::Superseded), "{found:?}");
        Ok(())
    })
    .await?;
    story.await_serving("v3-fixed", 2).await?;
    story.await_stable().await?;
    let writes = lines(&story.workload_writes().await?);
    let expected = [format!("create networkpolicies/{policy}"), format!("delete networkpolicies/{policy}")];
    ensure!(writes == expected, "{writes:?}");
    Ok(())
}

pub async fn a_policy_deleted_in_the_middle_releases_what_we_hold(story: &mut Story) -> Result<()> {
    frozen(story).await?;
    story.api::<RecoveryPolicy>().delete(WEB, &DeleteParams::default()).await?;
    let recovery = story.closed(Outcome::Abandoned).await?;
    ensure!(recovery.journal().reason == Reason::PolicyDeleted, "{}", recovery.journal().reason);
    await_released(story).await?;
    freeze_and_release(&story.workload_writes().await?)
}

pub async fn a_workload_that_was_made_anew_is_not_touched(story: &mut Story) -> Result<()> {
    frozen(story).await?;
    let old = story.web().await?.metadata.uid.context("no uid")?;
    let gone = DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
    story.api::<Deployment>().delete(WEB, &gone).await?;
    let made = story.create::<Deployment>(app::deployment(WEB, "v1", 3)).await?;
    let new = made.metadata.uid.context("no uid")?;
    ensure!(old != new, "it is the same workload");
    let recovery = eventually("the incident of the old workload to end", SOON, async || {
        let all = story.recoveries().await?;
        let first = all.into_iter().find(|recovery| recovery.journal().target.uid == old).context("none")?;
        ensure!(first.journal().phase == Phase::Closed, "{:?}", first.journal().phase);
        Ok(first)
    })
    .await?;
    let journal = recovery.journal();
    ensure!(journal.outcome == Some(Outcome::Abandoned), "{:?}", journal.outcome);
    ensure!(journal.reason == Reason::TargetGone, "{}", journal.reason);
    story.await_serving("v1", 3).await?;
    let writes = story.workload_writes().await?;
    // The freeze of the old one, and nothing else: no write names the new uid.
    ensure!(lines(&writes) == ["patch deployments/web"], "{:?}", lines(&writes));
    ensure!(!writes.iter().any(|write| write.body.to_string().contains(&new)), "{writes:?}");
    Ok(())
}

/// A person writes to the Recovery between our read and our write: ours is refused, and made again from a fresh look.
pub async fn a_word_in_the_middle_of_our_write_is_heard(story: &mut Story) -> Result<()> {
    story.stable(2, json!({})).await?;
    let hold = story.proxy.hold_before_write_to("-1/status");
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    let held = hold.reached(SOON).await?;
    ensure!(held.path.contains("/recoveries/"), "held another write: {}", held.path);
    let name = story.recoveries().await?.pop().and_then(|recovery| recovery.metadata.name).context("none")?;
    story.change::<Recovery>(&name, json!({"metadata": {"annotations": {"seen-by": "the night shift"}}})).await?;
    story.proxy.release();
    story.closed(Outcome::Recovered).await?;
    story.await_serving("v1", 2).await?;
    let templates = story.workload_writes().await?.iter().filter(|w| w.touches("/spec/template")).count();
    ensure!(templates == 1, "{templates} templates were written");
    Ok(())
}

pub async fn abort_releases_what_we_hold(story: &mut Story) -> Result<()> {
    frozen(story).await?;
    let name = story.recoveries().await?.pop().and_then(|recovery| recovery.metadata.name).context("none")?;
    story.change::<Recovery>(&name, json!({"spec": {"abort": true}})).await?;
    // The symptom is still there, so the newest Recovery may be another one soon.
    let recovery = eventually("the Recovery to be closed", SOON, async || {
        let recovery = story.api::<Recovery>().get(&name).await?;
        ensure!(recovery.journal().phase == Phase::Closed, "{:?}", recovery.journal().phase);
        Ok(recovery)
    })
    .await?;
    let journal = recovery.journal();
    let ended = (journal.outcome, journal.reason);
    ensure!(ended == (Some(Outcome::Abandoned), Reason::AbortedByUser), "{ended:?}");
    let writes = story.workload_writes().await?;
    freeze_and_release(writes.get(..2).context("fewer than two writes")?)
}
