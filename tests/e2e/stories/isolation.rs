//! One copy is bad, and its siblings are good.

use anyhow::{Context, Result, bail, ensure};
use cluster::eventually;
use homeostat::api::{Outcome, Reason, Recovery, RecoveryPolicyStatus, mark};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

use crate::Tale;
use crate::story::app::WEB;
use crate::story::{SOON, Story, lines};

pub async fn one_bad_pod_of_five_is_taken_out_and_replaced(story: &mut Story) -> Result<()> {
    story.stable(5, json!({"actions": {"isolate": {"maxPods": 1, "inspection": "8s"}, "rollback": {}}})).await?;
    let bad = story.pods(WEB).await?.into_iter().next().context("no pod")?;
    let name = bad.metadata.name.clone().context("no name")?;
    story.play(std::slice::from_ref(&bad), Some("crash")).await?;
    story.recovery("to isolate a pod", |journal| journal.decision.reason == Reason::PodIsolated).await?;

    let quarantined = eventually("the bad pod to be in quarantine", SOON, async || {
        let pod = story.api::<Pod>().get(&name).await?;
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        ensure!(labels.contains_key(mark::QUARANTINED_BY), "labels {labels:?}");
        Ok(pod)
    })
    .await?;
    ensure!(quarantined.metadata.uid == bad.metadata.uid, "it is another pod");
    story.await_serving("v1", 5).await?;
    eventually("the Service to offer the five good pods", SOON, async || {
        let offered = offered(story).await?;
        ensure!(!offered.contains(&name), "the Service still offers the bad pod");
        ensure!(offered.len() == 5, "the Service offers {offered:?}");
        Ok(())
    })
    .await?;

    let recovery = story.closed(Outcome::Recovered).await?;
    ensure!(recovery.journal().timeline.verified.is_some(), "verified without a time");
    eventually("the end of the inspection", SOON, async || match story.api::<Pod>().get_opt(&name).await? {
        Some(_) => bail!("the pod is still there"),
        None => Ok(()),
    })
    .await?;
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes == [format!("patch pods/{name}"), format!("delete pods/{name}")], "{writes:?}");
    Ok(())
}

/// A quarantine with its NetworkPolicy writes at least this often until both are gone, records of ours included; a kill comes
/// after each.
const WRITES: usize = 8;

/// One story for each write after which the operator is killed.
pub fn kills() -> Vec<Tale> {
    crate::kills("isolation::killed_after_write_{n}_of_a_quarantine_the_end_is_the_same", WRITES, killed_after)
}

async fn killed_after(story: &mut Story, n: usize) -> Result<()> {
    let (bad, name) = with_network(story).await?;
    let hold = story.proxy.hold_after_write_of_incident(n);
    story.play(std::slice::from_ref(&bad), Some("crash")).await?;
    hold.reached(SOON).await.with_context(|| format!("a quarantine that is never killed has fewer than {n} writes"))?;
    story.kill_operator().await?;
    story.start_operator(&[]).await?;
    story.closed(Outcome::Recovered).await?;
    eventually("the quarantine to be over", SOON, async || {
        let policies = story.api::<NetworkPolicy>().list(&ListParams::default()).await?.items;
        let pod = story.api::<Pod>().get_opt(&name).await?;
        ensure!(policies.is_empty() && pod.is_none(), "{} policies, {pod:?}", policies.len());
        Ok(())
    })
    .await?;
    story.await_serving("v1", 5).await?;
    let writes = lines(&story.workload_writes().await?);
    let verbs: Vec<&str> = writes.iter().filter_map(|line| line.split('/').next()).collect();
    ensure!(verbs == ["create networkpolicies", "patch pods", "delete pods", "delete networkpolicies"], "{writes:?}");
    Ok(())
}

/// Five good pods, of which the first is named, and leave for NetworkPolicies.
async fn with_network(story: &mut Story) -> Result<(Pod, String)> {
    story.allow_pod_network().await?;
    story.stable(5, json!({"actions": {"isolate": {"maxPods": 1, "inspection": "8s"}, "rollback": {}}})).await?;
    let bad = story.pods(WEB).await?.into_iter().next().context("no pod")?;
    let name = bad.metadata.name.clone().context("no name")?;
    Ok((bad, name))
}

/// One bad pod of them, and the Recovery that took it out.
async fn isolated(story: &mut Story) -> Result<(String, String)> {
    let (bad, name) = with_network(story).await?;
    story.play(std::slice::from_ref(&bad), Some("crash")).await?;
    let recovery = story.recovery("to isolate a pod", |journal| journal.isolation.is_some()).await?;
    Ok((name, recovery.metadata.name.context("no name")?))
}

/// With leave for it a NetworkPolicy comes before the quarantine and goes with its end.
pub async fn a_quarantine_has_its_network_policy_until_the_pod_is_gone(story: &mut Story) -> Result<()> {
    let (name, recovery) = isolated(story).await?;
    let policy = story.api::<NetworkPolicy>().get(&format!("homeostat-{recovery}")).await?;
    let spec = policy.spec.context("no spec")?;
    ensure!(spec.policy_types.as_deref() == Some(&["Ingress".to_owned(), "Egress".to_owned()]), "{spec:?}");
    ensure!(spec.ingress.is_none() && spec.egress.is_none(), "it lets something through: {spec:?}");
    story.closed(Outcome::Recovered).await?;
    eventually("the NetworkPolicy to be gone", SOON, async || {
        let left = story.api::<NetworkPolicy>().list(&ListParams::default()).await?.items;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await?;
    let writes = lines(&story.workload_writes().await?);
    let network = format!("networkpolicies/homeostat-{recovery}");
    let expected = [
        format!("create {network}"),
        format!("patch pods/{name}"),
        format!("delete pods/{name}"),
        format!("delete {network}"),
    ];
    ensure!(writes == expected, "{writes:?}");
    Ok(())
}

/// Somebody deletes the Recovery that a quarantine belongs to: what it leaves is named until it is gone, and left alone.
pub async fn a_quarantine_that_nobody_remembers_is_named(story: &mut Story) -> Result<()> {
    let (name, recovery) = isolated(story).await?;
    story.kill_operator().await?;
    story.api::<Recovery>().delete(&recovery, &DeleteParams::default()).await?;
    story.start_operator(&[]).await?;
    let policy = format!("homeostat-{recovery}");
    let left = |status: &RecoveryPolicyStatus| status.conditions.iter().find(|c| c.type_ == "LeftBehind").cloned();
    let named = |status: &RecoveryPolicyStatus| {
        left(status).is_some_and(|found| found.message.contains(&name) && found.message.contains(&policy))
    };
    story.policy("to name what is left", named).await?;
    story.api::<Pod>().delete(&name, &DeleteParams::default()).await?;
    story.api::<NetworkPolicy>().delete(&policy, &DeleteParams::default()).await?;
    story.policy("to name nothing any more", |status| left(status).is_none()).await.map(drop)
}

/// The pods that the Service offers as ready.
async fn offered(story: &Story) -> Result<Vec<String>> {
    let slices = story.api::<EndpointSlice>().list(&ListParams::default()).await?;
    let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default());
    let ready = endpoints.filter(|endpoint| endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(false));
    Ok(ready.filter_map(|endpoint| endpoint.target_ref?.name).collect())
}
