//! Pods that run with configuration as it was are made anew, by their own rollout.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::eventually;
use homeostat::api::recovery::Remedy;
use homeostat::api::{Outcome, Reason, RecoveryPolicy, mark};
use homeostat::clock;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::Tale;
use crate::story::app::{self, SETTINGS, WEB};
use crate::story::{SOON, Story, is_ready, lines};

const LOGIN: &str = "web-login";

fn login(value: &str) -> Value {
    let data = json!({"PASSWORD": ByteString(value.as_bytes().to_vec())});
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": LOGIN}, "data": data})
}

/// The application with a password in its environment, whose owner changes it without us.
async fn stable(story: &mut Story) -> Result<()> {
    story.allow_secrets().await?;
    story.apply(login("old")).await?;
    story.start_operator(&[]).await?;
    let mut deployment = app::deployment(WEB, "v1", 2);
    deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": LOGIN}}]);
    story.create::<ConfigMap>(app::config_map("5s")).await?;
    story.create::<Service>(app::service()).await?;
    story.create::<Deployment>(deployment).await?;
    story.create::<RecoveryPolicy>(app::policy(json!({"closure": {"secrets": "Compare"}}))).await?;
    story.await_stable().await.map(drop)
}

/// The other side takes only the new one from now on.
async fn rotate(story: &Story) -> Result<()> {
    story.change::<Secret>(LOGIN, json!({"data": login("new")["data"]})).await?;
    story.policy("to see the change", |status| status.drift.as_ref().is_some_and(|d| d.distance != "0.00")).await?;
    Ok(())
}

async fn uids(story: &Story) -> Result<BTreeSet<String>> {
    Ok(story.pods(WEB).await?.into_iter().filter_map(|pod| pod.metadata.uid).collect())
}

/// Every pod is another one, ours is the annotation, and nothing else was written.
async fn renewed(story: &Story, before: &BTreeSet<String>) -> Result<()> {
    story.await_serving("v1", 2).await?;
    ensure!(uids(story).await?.is_disjoint(before), "a pod of before is still there");
    let template = story.web().await?.spec.and_then(|spec| spec.template.metadata).context("no template")?;
    let annotations = template.annotations.unwrap_or_default();
    ensure!(annotations.contains_key(mark::RESTARTED_AT), "{annotations:?}");
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes == ["patch deployments/web"], "{writes:?}");
    let data = story.api::<Secret>().get(LOGIN).await?.data.unwrap_or_default();
    ensure!(data.get("PASSWORD").is_some_and(|value| value.0 == b"new"), "the password was changed back");
    Ok(())
}

pub async fn pods_that_hold_a_rotated_password_are_renewed(story: &mut Story) -> Result<()> {
    stable(story).await?;
    let before = uids(story).await?;
    rotate(story).await?;
    story.play(&story.pods(WEB).await?, Some("not-ready")).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    let decision = &recovery.journal().decision;
    ensure!((decision.remedy, decision.reason) == (Remedy::RenewPods, Reason::PodsRenewed), "{decision:?}");
    renewed(story, &before).await
}

/// The pods started with what was bad, and do not end by themselves when it is put back.
pub async fn pods_that_keep_what_was_put_back_are_renewed(story: &mut Story) -> Result<()> {
    // That pods are made anew in between is no outage, however long it takes.
    story.stable(2, json!({"objective": "5s", "detection": {"unavailableFor": "10m"}})).await?;
    story.earn_no_more().await?;
    story.change::<ConfigMap>(SETTINGS, json!({"data": {"TIMEOUT": "never"}})).await?;
    // Only what was seen to change counts; and starts are told by the second: what changed in the same one, a pod may have
    // read before or after.
    story.policy("to see the change", |status| status.drift.as_ref().is_some_and(|d| d.distance != "0.00")).await?;
    let changed = clock::now();
    eventually("another second", SOON, async || {
        ensure!(clock::now() > changed + Duration::from_secs(2), "it is the same");
        anyhow::Ok(())
    })
    .await?;
    for pod in story.pods(WEB).await? {
        story.api::<Pod>().delete(&pod.metadata.name.unwrap_or_default(), &DeleteParams::default()).await?;
    }
    story.await_serving("v1", 2).await?;
    let before = uids(story).await?;
    story.change::<RecoveryPolicy>(WEB, json!({"spec": {"detection": {"unavailableFor": "1s"}}})).await?;
    story.play(&story.pods(WEB).await?, Some("not-ready")).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    ensure!(recovery.journal().decision.remedy == Remedy::RenewPods, "{:?}", recovery.journal().decision);
    eventually("good pods of its own", SOON, async || {
        let pods = story.pods(WEB).await?;
        ensure!(pods.len() == 2 && pods.iter().all(is_ready), "{} pods", pods.len());
        ensure!(uids(story).await?.is_disjoint(&before), "a pod of before is still there");
        Ok(())
    })
    .await?;
    let data = story.api::<ConfigMap>().get(SETTINGS).await?.data.unwrap_or_default();
    ensure!(data.get("TIMEOUT").map(String::as_str) == Some("5s"), "{data:?}");
    let writes = story.workload_writes().await?;
    let restarts = writes.iter().filter(|write| write.touches("/spec/template/metadata/annotations")).count();
    ensure!(restarts == 1, "{:?}", lines(&writes));
    Ok(())
}

/// So many writes are made at least, records of ours included.
const WRITES: usize = 3;

pub fn kills() -> Vec<Tale> {
    crate::kills("renewal::killed_after_write_{n}_of_its_saga_the_end_is_the_same", WRITES, killed_after)
}

async fn killed_after(story: &mut Story, n: usize) -> Result<()> {
    stable(story).await?;
    let before = uids(story).await?;
    rotate(story).await?;
    let hold = story.proxy.hold_after_write_of_incident(n);
    story.play(&story.pods(WEB).await?, Some("not-ready")).await?;
    let held = hold.reached(SOON).await;
    held.with_context(|| format!("a recovery that is never killed has fewer than {n} writes"))?;
    story.kill_operator().await?;
    story.start_operator(&[]).await?;
    story.closed(Outcome::Recovered).await?;
    renewed(story, &before).await
}
