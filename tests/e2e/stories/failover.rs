//! The target is down and nothing changed here: the standby serves, until home is healthy again.

use anyhow::{Context, Result, ensure};
use cluster::eventually;
use homeostat::api::{Journal, Outcome, Phase, Reason, Recovery};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::Tale;
use crate::story::app::{self, STANDBY, WEB};
use crate::story::{SOON, Story, lines};

pub(super) fn failover() -> Value {
    json!({"actions": {
        "rollback": {},
        "failover": {
            "standby": {"apiVersion": "apps/v1", "kind": "Deployment", "name": STANDBY},
            "via": {"service": WEB},
        },
    }})
}

pub async fn the_target_is_down_and_the_standby_serves_over_and_back(story: &mut Story) -> Result<()> {
    story.deploy_standby("v1", 2).await?;
    story.stable(2, failover()).await?;
    let pods = story.pods(WEB).await?;
    story.play(&pods, Some("not-ready")).await?;
    await_selector(story, STANDBY).await?;
    let on_standby = |journal: &Journal| journal.phase == Phase::OnStandby;
    let recovery = story.recovery("to be on the standby", on_standby).await?;
    ensure!(recovery.journal().decision.reason == Reason::TrafficMoved, "{:?}", recovery.journal().decision);
    ensure!(recovery.journal().outcome.is_none(), "an outcome while traffic is away");

    story.play(&pods, None).await?;
    await_selector(story, WEB).await?;
    story.closed(Outcome::Recovered).await?;
    let service = story.api::<Service>().get(WEB).await?;
    let marks = service.metadata.annotations.unwrap_or_default();
    ensure!(marks.is_empty(), "marks are left on the Service: {marks:?}");
    let writes = story.workload_writes().await?;
    ensure!(writes.iter().all(|write| write.resource == "services"), "{:?}", lines(&writes));
    let switches = writes.iter().filter(|write| write.touches("/spec/selector")).count();
    ensure!(switches == 2, "over and back are two switches: {:?}", lines(&writes));
    Ok(())
}

/// A person mends what is down while the standby serves: the fix takes effect, and traffic follows.
pub async fn a_fix_at_home_takes_the_traffic_home(story: &mut Story) -> Result<()> {
    story.deploy_standby("v1", 2).await?;
    story.stable(2, failover()).await?;
    story.play(&story.pods(WEB).await?, Some("not-ready")).await?;
    story.recovery("to be on the standby", |journal| journal.phase == Phase::OnStandby).await?;
    story.change::<Deployment>(WEB, app::new_image("v3-fixed")).await?;
    story.await_serving("v3-fixed", 2).await?;
    await_selector(story, WEB).await?;
    let recovery = story.recovery("to end", |journal| journal.phase == Phase::Closed).await?;
    let outcome = recovery.journal().outcome;
    ensure!(outcome == Some(Outcome::PartiallyRecovered), "{outcome:?}: {}", recovery.journal().message);
    let service = story.api::<Service>().get(WEB).await?;
    ensure!(service.metadata.annotations.unwrap_or_default().is_empty(), "marks are left on the Service");
    let writes = story.workload_writes().await?;
    ensure!(writes.iter().all(|write| write.resource == "services"), "{:?}", lines(&writes));
    Ok(())
}

pub async fn a_standby_that_is_not_ready_is_not_used(story: &mut Story) -> Result<()> {
    story.deploy_standby("v1-never-ready", 2).await?;
    story.stable(2, failover()).await?;
    story.play(&story.pods(WEB).await?, Some("not-ready")).await?;
    let held = |journal: &Journal| journal.reason == Reason::StandbyNotReady && journal.phase == Phase::Holding;
    story.recovery("to be held", held).await?;
    let writes = story.workload_writes().await?;
    ensure!(writes.is_empty(), "{:?}", lines(&writes));
    // Unavailability that ends by itself ends the incident, without a claim to have recovered anything.
    story.play(&story.pods(WEB).await?, None).await?;
    let recovery = story.closed(Outcome::Held).await?;
    ensure!(recovery.journal().reason == Reason::HealedItself, "{}", recovery.journal().reason);
    Ok(())
}

pub async fn a_standby_that_is_too_small_is_not_used(story: &mut Story) -> Result<()> {
    story.deploy_standby("v1", 1).await?;
    story.stable(2, failover()).await?;
    story.play(&story.pods(WEB).await?, Some("not-ready")).await?;
    let held = |journal: &Journal| journal.reason == Reason::StandbyTooSmall && journal.phase == Phase::Holding;
    let recovery = story.recovery("to be held", held).await?;
    let message = &recovery.journal().message;
    ensure!(message.contains("1 ready pods") && message.contains("served with 2"), "{message}");
    let writes = story.workload_writes().await?;
    ensure!(writes.is_empty(), "{:?}", lines(&writes));
    Ok(())
}

/// Home fails under the traffic that has just returned: it goes to the standby once more, and is held there.
pub async fn home_that_fails_again_is_left_once_more(story: &mut Story) -> Result<()> {
    story.deploy_standby("v1", 2).await?;
    // Longer than it takes to fail again.
    let window = json!({"verification": {"window": "6s"}});
    let mut policy = failover();
    app::merge(&mut policy, window);
    story.stable(2, policy).await?;
    let pods = story.pods(WEB).await?;
    story.play(&pods, Some("not-ready")).await?;
    await_selector(story, STANDBY).await?;
    story.play(&pods, None).await?;
    await_selector(story, WEB).await?;
    story.play(&pods, Some("not-ready")).await?;
    let again = |journal: &Journal| journal.reason == Reason::HomeBrokeAgain && journal.phase == Phase::OnStandby;
    let recovery = story.recovery("to be on the standby for good", again).await?;
    ensure!(recovery.journal().outcome == Some(Outcome::Escalated), "{:?}", recovery.journal().outcome);
    await_selector(story, STANDBY).await?;
    // A person ends it, with home well.
    story.play(&pods, None).await?;
    story.await_serving("v1", 2).await?;
    story.change::<Recovery>(&recovery.name_any(), json!({"spec": {"abort": true}})).await?;
    story.closed(Outcome::Abandoned).await?;
    await_selector(story, WEB).await
}

/// What over and back write, records of ours included; a kill comes after each.
const WRITES: usize = 8;

/// One story for each write after which the operator is killed.
pub fn kills() -> Vec<Tale> {
    crate::kills("failover::killed_after_write_{n}_of_over_and_back_the_end_is_the_same", WRITES, killed_after)
}

/// Wherever it is killed, traffic goes over once and back once, and home is verified.
async fn killed_after(story: &mut Story, n: usize) -> Result<()> {
    story.deploy_standby("v1", 2).await?;
    story.stable(2, failover()).await?;
    over_and_back_killed(story, n, async |story| await_selector(story, STANDBY).await).await?;
    await_selector(story, WEB).await?;
    let writes = story.workload_writes().await?;
    let switches = writes.iter().filter(|write| write.touches("/spec/selector")).count();
    ensure!(switches == 2, "over and back are two switches: {:?}", lines(&writes));
    ensure!(writes.iter().all(|write| write.resource == "services"), "{:?}", lines(&writes));
    let incidents = story.recoveries().await?.len();
    ensure!(incidents == 1, "{incidents} incidents");
    let service = story.api::<Service>().get(WEB).await?;
    let marks = service.metadata.annotations.unwrap_or_default();
    ensure!(marks.is_empty(), "marks are left on the Service: {marks:?}");
    Ok(())
}

/// All pods of the target go unready, traffic goes over, they come back, and so does traffic; the operator is killed after
/// the write of this number on the way, and a new one ends it. `moved` waits until traffic is away.
pub(super) async fn over_and_back_killed(
    story: &mut Story,
    n: usize,
    moved: impl AsyncFnOnce(&Story) -> Result<()>,
) -> Result<()> {
    let pods = story.pods(WEB).await?;
    let hold = story.proxy.hold_after_write(n);
    story.play(&pods, Some("not-ready")).await?;
    let away = story.recovery("to be on the standby", |journal| journal.phase == Phase::OnStandby);
    let mut held = std::pin::pin!(hold.reached(2 * SOON));
    let over = tokio::select! {
        held = &mut held => held.map(|_| true)?,
        away = away => away.map(|_| false)?,
    };
    if !over {
        story.play(&pods, None).await?;
        held.await.with_context(|| format!("over and back have fewer than {n} writes"))?;
    }
    story.kill_operator().await?;
    story.start_operator(&[]).await?;
    if over {
        moved(story).await?;
        story.play(&pods, None).await?;
    }
    story.closed(Outcome::Recovered).await.map(drop)
}

pub(super) async fn await_selector(story: &Story, app: &str) -> Result<()> {
    eventually(&format!("the Service to select {app}"), SOON, async || {
        let service = story.api::<Service>().get(WEB).await?;
        let selector = service.spec.and_then(|spec| spec.selector).unwrap_or_default();
        ensure!(selector.len() == 1 && selector.get("app").map(String::as_str) == Some(app), "{selector:?}");
        Ok(())
    })
    .await
}
