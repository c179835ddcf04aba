//! The cause lies in a dependency: it goes back under its own policy, and its client is left alone.

use anyhow::{Context, Result, bail, ensure};
use cluster::eventually;
use homeostat::api::recovery::Suspect;
use homeostat::api::{Outcome, Phase, Reason, Recovery, RecoveryPolicy};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use crate::Tale;
use crate::story::app::{self, WEB};
use crate::story::{SOON, Story, lines};

const CLIENT: &str = "client";
/// From the moment the client fails at least so many writes follow, records of ours included; a kill comes after each.
const WRITES: usize = 8;

pub async fn a_dependency_is_rolled_back_for_its_client(story: &mut Story) -> Result<()> {
    tiers(story, json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB}])).await?;
    story.earn_no_more().await?;
    break_client(story).await?;
    ends(story).await?;
    let client = of(story, CLIENT).await?.pop().context("no Recovery of the client")?;
    ensure!(client.journal().steps.is_empty(), "steps for the client: {:?}", client.journal());
    Ok(())
}

/// The same without a declaration: nothing is tied, and nothing written.
pub async fn an_undeclared_dependency_is_not_touched(story: &mut Story) -> Result<()> {
    tiers(story, json!([])).await?;
    break_client(story).await?;
    eventually("the client to be held", SOON, async || {
        let recoveries = of(story, CLIENT).await?;
        let journal = recoveries.last().context("no Recovery of the client")?.journal();
        ensure!(journal.reason == Reason::NoChangeToRevert && journal.suspect == Suspect::Unknown, "{journal:?}");
        Ok(())
    })
    .await?;
    // With the change and a failing client side by side the dependency earns its new state: it was not told.
    eventually("the dependency to be stable again", SOON, async || match of(story, WEB).await?.is_empty() {
        true => settled(story).await,
        false => bail!("a Recovery of the dependency"),
    })
    .await?;
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes.is_empty(), "{writes:?}");
    Ok(())
}

/// One story for each write after which the operator is killed.
pub fn kills() -> Vec<Tale> {
    crate::kills("dependencies::killed_after_write_{n}_the_end_is_the_same", WRITES, killed_after)
}

async fn killed_after(story: &mut Story, n: usize) -> Result<()> {
    tiers(story, json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB}])).await?;
    story.earn_no_more().await?;
    change(story).await?;
    let hold = story.proxy.hold_after_write(n);
    story.play(&story.pods(CLIENT).await?, Some("crash")).await?;
    hold.reached(SOON).await.with_context(|| format!("a recovery that is never killed has fewer than {n} writes"))?;
    story.kill_operator().await?;
    story.start_operator(&[]).await?;
    ends(story).await
}

/// `web` as usual, and a client that declares what it depends on.
async fn tiers(story: &mut Story, depends_on: Value) -> Result<()> {
    let mut client = app::policy(json!({
        "targetRef": {"name": CLIENT},
        "dependsOn": depends_on,
    }));
    client["metadata"]["name"] = json!(CLIENT);
    story.create::<Deployment>(app::deployment(CLIENT, "v1", 2)).await?;
    story.create::<RecoveryPolicy>(client).await?;
    story.stable(2, json!({})).await?;
    eventually("the client to be stable", SOON, async || {
        let status = story.api::<RecoveryPolicy>().get(CLIENT).await?.status.unwrap_or_default();
        ensure!(!status.stable_state.is_empty(), "{status:?}");
        Ok(())
    })
    .await
}

/// It goes on well itself.
async fn change(story: &Story) -> Result<()> {
    story.change::<Deployment>(WEB, app::new_image("v2")).await?;
    story.policy("to see the change", |status| status.drift.as_ref().is_some_and(|d| d.distance != "0.00")).await?;
    Ok(())
}

async fn break_client(story: &Story) -> Result<()> {
    change(story).await?;
    story.play(&story.pods(CLIENT).await?, Some("crash")).await
}

/// The dependency is back, its client is healed by that, and nothing else was written.
async fn ends(story: &Story) -> Result<()> {
    eventually("the dependency to be put back", SOON, async || {
        let image = story.image().await?;
        ensure!(image == app::image("v1"), "{image}");
        let recoveries = of(story, CLIENT).await?;
        let journal = recoveries.last().context("no Recovery of the client")?.journal();
        ensure!(journal.reason == Reason::DependencyChanged, "{journal:?}");
        ensure!(journal.message.contains("RecoveryPolicy web"), "{}", journal.message);
        Ok(())
    })
    .await?;
    story.play(&story.pods(CLIENT).await?, None).await?;
    eventually("both incidents to be over", SOON, async || {
        let web = of(story, WEB).await?;
        let journal = web.last().context("no Recovery of the dependency")?.journal();
        ensure!(journal.phase == Phase::Closed && journal.outcome == Some(Outcome::Recovered), "{journal:?}");
        ensure!(journal.symptom.reason == Reason::DependentsFailing, "{journal:?}");
        let client = of(story, CLIENT).await?;
        let journal = client.last().context("no Recovery of the client")?.journal();
        ensure!(journal.phase == Phase::Closed && journal.reason == Reason::HealedItself, "{journal:?}");
        ensure!((web.len(), client.len()) == (1, 1), "{} and {} incidents", web.len(), client.len());
        Ok(())
    })
    .await?;
    let writes = story.workload_writes().await?;
    let all = lines(&writes);
    ensure!(writes.iter().filter(|write| write.touches("/spec/template")).count() == 1, "templates: {all:?}");
    ensure!(all.iter().all(|line| line == "patch deployments/web"), "{all:?}");
    Ok(())
}

async fn settled(story: &Story) -> Result<()> {
    let status = story.api::<RecoveryPolicy>().get(WEB).await?.status.unwrap_or_default();
    let there = status.drift.as_ref().is_some_and(|drift| drift.distance == "0.00");
    let image = story.image().await?;
    ensure!(there && image == app::image("v2"), "{image} {status:?}");
    Ok(())
}

async fn of(story: &Story, policy: &str) -> Result<Vec<Recovery>> {
    let mut recoveries = story.recoveries().await?;
    recoveries.retain(|recovery| recovery.journal().policy == policy);
    Ok(recoveries)
}
