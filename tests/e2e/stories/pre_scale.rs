//! A standby that is too small, and whose replicas an autoscaler owns: the real controller brings more pods, and then traffic moves.

use anyhow::{Result, ensure};
use cluster::eventually;
use homeostat::api::{Outcome, Phase, Remediation};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use serde_json::json;

use super::failover::{await_selector, failover, over_and_back_killed};
use crate::Tale;
use crate::story::app::{STANDBY, WEB};
use crate::story::{SOON, Story, lines};

/// One pod of the standby, of the two that are needed, and an autoscaler that may have three.
async fn small(story: &mut Story) -> Result<()> {
    let scaled = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": STANDBY});
    story
        .apply(json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": STANDBY},
            "spec": {"scaleTargetRef": scaled, "minReplicas": 1, "maxReplicas": 3,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 80}}}]}}))
        .await?;
    story.deploy_standby("v1", 1).await?;
    story.stable(2, failover()).await.map(drop)
}

/// Its `minReplicas`, and what is written on it.
async fn autoscaler(story: &Story) -> Result<(Option<i32>, usize)> {
    let found = story.api::<HorizontalPodAutoscaler>().get(STANDBY).await?;
    let least = found.spec.min_replicas;
    Ok((least, found.metadata.annotations.map_or(0, |annotations| annotations.len())))
}

/// The autoscaler was raised once and put back once, in that order with the traffic, and nothing else was written.
async fn raised_and_put_back_once(story: &Story) -> Result<()> {
    let found = autoscaler(story).await?;
    ensure!(found == (Some(1), 0), "{found:?}");
    let mut writes = story.workload_writes().await?;
    writes.retain(|write| write.touches("/spec"));
    let (autoscaler, service) = (format!("patch horizontalpodautoscalers/{STANDBY}"), format!("patch services/{WEB}"));
    let expected = [&autoscaler, &service, &service, &autoscaler].map(String::clone);
    ensure!(lines(&writes) == expected, "{:?}", lines(&writes));
    story.nothing_is_owned_by_us(&["hpa/web-standby"]).await
}

pub async fn a_standby_that_is_too_small_grows_before_it_serves(story: &mut Story) -> Result<()> {
    small(story).await?;
    let pods = story.pods(WEB).await?;
    story.play(&pods, Some("not-ready")).await?;
    await_selector(story, STANDBY).await?;
    let standby = story.pods(STANDBY).await?.len();
    ensure!(standby == 2, "{standby} pods of the standby");
    let recovery = story.recovery("to be on the standby", |journal| journal.phase == Phase::OnStandby).await?;
    let steps: Vec<_> = recovery.journal().steps.iter().map(|step| step.remediation).collect();
    ensure!(steps == [Remediation::PreScaleStandby, Remediation::SwitchService], "{steps:?}");
    story.play(&pods, None).await?;
    await_selector(story, WEB).await?;
    story.closed(Outcome::Recovered).await?;
    raised_and_put_back_once(story).await
}

pub async fn what_a_person_sets_meanwhile_stays(story: &mut Story) -> Result<()> {
    small(story).await?;
    let pods = story.pods(WEB).await?;
    story.play(&pods, Some("not-ready")).await?;
    await_selector(story, STANDBY).await?;
    story.change::<HorizontalPodAutoscaler>(STANDBY, json!({"spec": {"minReplicas": 3}})).await?;
    story.play(&pods, None).await?;
    story.closed(Outcome::Recovered).await?;
    let found = autoscaler(story).await?;
    ensure!(found == (Some(3), 0), "{found:?}");
    Ok(())
}

/// What there and back write with a standby that grows, records of ours included; a kill comes after each.
const WRITES: usize = 14;

/// One story for each write after which the operator is killed.
pub fn kills() -> Vec<Tale> {
    let title = "pre_scale::killed_after_write_{n}_of_over_and_back_the_end_is_the_same";
    crate::kills(title, WRITES, killed_after)
}

async fn killed_after(story: &mut Story, n: usize) -> Result<()> {
    small(story).await?;
    over_and_back_killed(story, n, async |story| await_selector(story, STANDBY).await).await?;
    await_selector(story, WEB).await?;
    eventually("the autoscaler to be put back", SOON, async || {
        let found = autoscaler(story).await?;
        ensure!(found == (Some(1), 0), "{found:?}");
        Ok(())
    })
    .await?;
    raised_and_put_back_once(story).await
}
