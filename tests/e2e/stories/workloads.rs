//! StatefulSets and DaemonSets, each as its own controller needs it.

use anyhow::{Context, Result, ensure};
use cluster::eventually;
use homeostat::api::{Journal, Outcome, Phase, Reason, Recovery, RecoveryPolicy, Remediation, mark};
use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use serde_json::{Value, json};

use crate::story::app::{self, SETTINGS, WEB};
use crate::story::{SOON, Story, is_ready, lines};

fn workload(kind: &str, tag: &str) -> Value {
    let mut workload = app::deployment(WEB, tag, 3);
    workload["kind"] = json!(kind);
    match kind {
        "StatefulSet" => workload["spec"]["serviceName"] = json!(WEB),
        _ => drop(workload["spec"].as_object_mut().and_then(|spec| spec.remove("replicas"))),
    }
    workload
}

fn release(tag: &str) -> Value {
    app::new_image(tag)
}

/// The application as a workload of this kind, in its stable state.
async fn stable(story: &mut Story, kind: &str, policy: Value) -> Result<()> {
    story.start_operator(&[]).await?;
    story.create::<ConfigMap>(app::config_map("5s")).await?;
    story.create::<Service>(app::service()).await?;
    match kind {
        "StatefulSet" => drop(story.create::<StatefulSet>(workload(kind, "v1")).await?),
        _ => drop(story.create::<DaemonSet>(workload(kind, "v1")).await?),
    }
    let mut policy = app::policy(policy);
    policy["spec"]["targetRef"]["kind"] = json!(kind);
    story.create::<RecoveryPolicy>(policy).await?;
    story.await_stable().await.map(drop)
}

async fn all_serve(story: &Story, tag: &str) -> Result<()> {
    eventually("every pod to be good again", SOON, async || {
        let pods = story.pods(WEB).await?;
        let good = |pod: &k8s_openapi::api::core::v1::Pod| {
            let image = pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image.clone());
            is_ready(pod) && image == Some(app::image(tag))
        };
        let good = pods.iter().filter(|pod| good(pod)).count();
        ensure!(!pods.is_empty() && good == pods.len(), "{good} of {} pods", pods.len());
        Ok(())
    })
    .await
}

/// Without the eviction its controller would wait for the bad pod for ever.
pub async fn a_stateful_set_is_rolled_back_and_unstuck(story: &mut Story) -> Result<()> {
    stable(story, "StatefulSet", json!({})).await?;
    story.change::<ConfigMap>(SETTINGS, json!({"data": {"TIMEOUT": "never"}})).await?;
    story.change::<StatefulSet>(WEB, release("crash")).await?;
    story.closed(Outcome::Recovered).await?;
    all_serve(story, "v1").await?;
    let writes = lines(&story.workload_writes().await?);
    let position = |line: &str| writes.iter().position(|write| write == line);
    let (map, set, pod) = (
        position("patch configmaps/web-settings"),
        position("patch statefulsets/web"),
        position("create pods/eviction/web-2"),
    );
    ensure!(map.is_some() && map < set && set < pod, "in this order: {writes:?}");
    story.nothing_is_owned_by_us(&["statefulset/web"]).await
}

pub async fn one_bad_pod_of_a_stateful_set_is_evicted(story: &mut Story) -> Result<()> {
    stable(story, "StatefulSet", json!({})).await?;
    let pods = story.pods(WEB).await?;
    let bad = pods.iter().find(|pod| pod.metadata.name.as_deref() == Some("web-1")).context("no web-1")?;
    story.play(std::slice::from_ref(bad), Some("crash")).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    let steps: Vec<_> = recovery.journal().steps.iter().map(|step| step.remediation).collect();
    ensure!(steps == [Remediation::EvictPod], "{steps:?}");
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes == ["create pods/eviction/web-1"], "{writes:?}");
    all_serve(story, "v1").await
}

pub async fn a_daemon_set_is_rolled_back(story: &mut Story) -> Result<()> {
    stable(story, "DaemonSet", json!({})).await?;
    story.change::<DaemonSet>(WEB, release("crash")).await?;
    story.closed(Outcome::Recovered).await?;
    all_serve(story, "v1").await?;
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes.iter().all(|write| write == "patch daemonsets/web"), "{writes:?}");
    Ok(())
}

/// Only containment is allowed; then a person ends it.
async fn frozen_and_aborted(story: &mut Story, kind: &str) -> Result<()> {
    stable(story, kind, json!({"actions": {"isolate": {"freeze": true, "maxPods": 0}}})).await?;
    match kind {
        "StatefulSet" => {
            let staged = json!({"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}});
            story.change::<StatefulSet>(WEB, staged).await?;
            drop(story.change::<StatefulSet>(WEB, release("crash")).await?);
        }
        _ => drop(story.change::<DaemonSet>(WEB, release("crash")).await?),
    }
    let held = |journal: &Journal| journal.phase == Phase::Holding && journal.reason == Reason::RolloutFrozen;
    let recovery = story.recovery("to hold a frozen rollout", held).await?;
    ensure!(update(story, kind).await? != untouched(kind), "nothing is held still");
    let name = recovery.metadata.name.context("a Recovery without a name")?;
    story.change::<Recovery>(&name, json!({"spec": {"abort": true}})).await?;
    story.closed(Outcome::Abandoned).await?;
    let (strategy, marked) = update(story, kind).await?;
    ensure!((strategy, marked) == untouched(kind), "not as it was: {:?}", update(story, kind).await?);
    Ok(())
}

fn untouched(kind: &str) -> (String, bool) {
    (if kind == "StatefulSet" { "0" } else { "RollingUpdate" }.to_owned(), false)
}

/// What a freeze changes, and whether it is marked as ours.
async fn update(story: &Story, kind: &str) -> Result<(String, bool)> {
    let (spec, metadata) = match kind {
        "StatefulSet" => {
            let set = story.api::<StatefulSet>().get(WEB).await?;
            let rolling = set.spec.and_then(|spec| spec.update_strategy?.rolling_update);
            (rolling.and_then(|rolling| rolling.partition).unwrap_or(0).to_string(), set.metadata)
        }
        _ => {
            let set = story.api::<DaemonSet>().get(WEB).await?;
            (set.spec.and_then(|spec| spec.update_strategy?.type_).unwrap_or_default(), set.metadata)
        }
    };
    let ours = [mark::FROZEN_BY, mark::FROZEN_FROM];
    Ok((spec, metadata.annotations.iter().flatten().any(|(key, _)| ours.contains(&key.as_str()))))
}

pub async fn a_frozen_stateful_set_is_let_go_as_it_was(story: &mut Story) -> Result<()> {
    frozen_and_aborted(story, "StatefulSet").await
}

pub async fn a_frozen_daemon_set_is_let_go_as_it_was(story: &mut Story) -> Result<()> {
    frozen_and_aborted(story, "DaemonSet").await
}
