//! The operator itself is killed, cut off, or has a rival.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cluster::Cut;
use homeostat::api::{Journal, Outcome, Phase, Reason};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use crate::Tale;
use crate::story::app::{self, SETTINGS, WEB};
use crate::story::{SOON, Story, lines};

/// A rollback of template and ConfigMap writes this often, records of ours included; a kill comes after each.
const WRITES: usize = 10;

/// One story for each write after which the operator is killed.
pub fn kills() -> Vec<Tale> {
    crate::kills("faults::killed_after_write_{n}_the_end_is_the_same", WRITES, killed_after)
}

/// The write reaches the API server, its answer never reaches the operator, and the operator is killed there.
async fn killed_after(story: &mut Story, n: usize) -> Result<()> {
    story.stable(2, json!({})).await?;
    story.change::<ConfigMap>(SETTINGS, json!({"data": {"TIMEOUT": "never"}})).await?;
    // The status says so before the hold is set: from here on, every write belongs to the incident.
    story.policy("to see the change", |status| status.drift.as_ref().is_some_and(|d| d.distance != "0.00")).await?;
    let hold = story.proxy.hold_after_write(n);
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    let held = hold.reached(SOON).await;
    let held = held.with_context(|| format!("a recovery that is never killed has fewer than {n} writes"))?;
    // One that lost a race (409, 422) stored nothing: the operator dies before it knows, which must do as little harm.
    ensure!(held.status.is_some_and(|status| matches!(status, 200..300 | 409 | 422)), "held: {held:?}");
    story.kill_operator().await?;
    story.start_operator(&[]).await?;
    story.closed(Outcome::Recovered).await?;
    story.await_serving("v1", 2).await?;
    let map = story.api::<ConfigMap>().get(SETTINGS).await?.data.unwrap_or_default();
    ensure!(map.get("TIMEOUT").map(String::as_str) == Some("5s"), "{map:?}");
    once(story).await
}

/// Each effect happened exactly once, and there was one incident.
async fn once(story: &Story) -> Result<()> {
    let writes = story.workload_writes().await?;
    let count =
        |resource: &str, path: &str| writes.iter().filter(|w| w.resource == resource && w.touches(path)).count();
    let all = lines(&writes);
    ensure!(count("deployments", "/spec/template") == 1, "templates: {all:?}");
    ensure!(count("configmaps", "/data") == 1, "ConfigMaps: {all:?}");
    ensure!(count("deployments", "/metadata/managedFields") == 1, "fields handed back: {all:?}");
    ensure!(count("configmaps", "/metadata/managedFields") == 1, "fields handed back: {all:?}");
    ensure!(writes.len() == 4, "more than these: {all:?}");
    let incidents = story.recoveries().await?.len();
    ensure!(incidents == 1, "{incidents} incidents");
    Ok(())
}

/// Nothing is done from what was seen before the outage; afterwards the recovery is completed.
pub async fn the_api_server_is_gone_for_thirty_seconds(story: &mut Story) -> Result<()> {
    story.stable(2, json!({})).await?;
    let hold = story.proxy.hold_before_write(2);
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    // The Recovery is on record; its first effect does not get through.
    hold.reached(SOON).await?;
    story.proxy.cut(Cut::Refuse);
    let seen = story.proxy.requests().len();
    // A condition cannot be awaited here: that nothing happens for thirty seconds is the condition.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let during = story.proxy.requests();
    ensure!(during[seen..].is_empty(), "requests during the outage: {:?}", &during[seen..]);
    let writes = story.workload_writes().await?;
    ensure!(writes.is_empty(), "{:?}", lines(&writes));
    story.check_operator()?;
    story.proxy.restore();
    story.closed(Outcome::Recovered).await?;
    story.await_serving("v1", 2).await?;
    let templates = story.workload_writes().await?.iter().filter(|w| w.touches("/spec/template")).count();
    ensure!(templates == 1, "{templates} templates were written");
    // What was read before the first effect was read after the outage.
    let after = story.proxy.requests().split_off(seen);
    let read = after.iter().position(|request| request.method == http::Method::GET && is_web(&request.path));
    let wrote = after.iter().position(|request| request.method == http::Method::PATCH && is_web(&request.path));
    ensure!(read.is_some() && read < wrote, "the template was written without a fresh look: {read:?}, {wrote:?}");
    Ok(())
}

fn is_web(path: &str) -> bool {
    path.ends_with("/deployments/web")
}

/// What was tried against a trouble is not blamed for it by an operator that was not there.
pub async fn a_restart_in_the_middle_of_trouble_blames_no_change(story: &mut Story) -> Result<()> {
    story.stable(3, json!({})).await?;
    story.play(&story.pods(WEB).await?, Some("crash")).await?;
    story.recovery("to hold", |journal| journal.reason == Reason::NoChangeToRevert).await?;
    story.kill_operator().await?;
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    story.start_operator(&[]).await?;
    let older = |journal: &Journal| journal.reason == Reason::SymptomBeforeChange;
    story.recovery("to say that the trouble is older than the change", older).await?;
    let writes = story.workload_writes().await?;
    ensure!(writes.is_empty(), "{:?}", lines(&writes));
    Ok(())
}

/// Two replicas, one lease: the second does nothing while the first leads, and takes over when it is gone.
pub async fn a_second_replica_stays_passive_and_takes_over(story: &mut Story) -> Result<()> {
    let short = ["--lease-duration", "4s"];
    story.start_replica("homeostat-0", &short).await?;
    cluster::eventually("the first replica to lead", SOON, async || match holder(story).await?.as_deref() {
        Some("homeostat-0") => Ok(()),
        other => bail!("the lease is held by {other:?}"),
    })
    .await?;
    story.start_replica("homeostat-1", &short).await?;
    story.deploy("v1", 2, json!({})).await?;
    story.await_stable().await?;
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    story.closed(Outcome::Recovered).await?;
    let templates = story.workload_writes().await?.iter().filter(|w| w.touches("/spec/template")).count();
    ensure!(templates == 1, "{templates} templates were written");
    ensure!(holder(story).await?.as_deref() == Some("homeostat-0"), "the lease changed hands");
    story.kill_first_replica().await?;
    story.change::<Deployment>(WEB, app::new_image("v4-unpullable")).await?;
    let again = |journal: &Journal| journal.phase == Phase::Closed && journal.symptom.reason.as_str() == "ImagePull";
    story.recovery("by the second replica", again).await?;
    ensure!(holder(story).await?.as_deref() == Some("homeostat-1"), "the second replica does not hold the lease");
    story.await_serving("v1", 2).await
}

async fn holder(story: &Story) -> Result<Option<String>> {
    let lease = story.api::<Lease>().get_opt("homeostat").await?;
    Ok(lease.and_then(|lease| lease.spec?.holder_identity))
}
