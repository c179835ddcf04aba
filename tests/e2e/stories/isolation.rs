//! One copy is bad, and its siblings are good.

use anyhow::{Context, Result, bail, ensure};
use cluster::eventually;
use homeostat::api::{Outcome, Reason, mark};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use serde_json::json;

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

/// The pods that the Service offers as ready.
async fn offered(story: &Story) -> Result<Vec<String>> {
    let slices = story.api::<EndpointSlice>().list(&ListParams::default()).await?;
    let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default());
    let ready = endpoints.filter(|endpoint| endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(false));
    Ok(ready.filter_map(|endpoint| endpoint.target_ref?.name).collect())
}
