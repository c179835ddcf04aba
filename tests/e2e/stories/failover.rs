//! The target is down and nothing changed here: the standby serves, until home is healthy again.

use anyhow::{Result, ensure};
use cluster::eventually;
use homeostat::api::{Journal, Outcome, Phase, Reason};
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use crate::story::app::{STANDBY, WEB};
use crate::story::{SOON, Story, lines};

fn failover() -> Value {
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

async fn await_selector(story: &Story, app: &str) -> Result<()> {
    eventually(&format!("the Service to select {app}"), SOON, async || {
        let service = story.api::<Service>().get(WEB).await?;
        let selector = service.spec.and_then(|spec| spec.selector).unwrap_or_default();
        ensure!(selector.len() == 1 && selector.get("app").map(String::as_str) == Some(app), "{selector:?}");
        Ok(())
    })
    .await
}
