//! Everything breaks at once. It needs a RecoveryBudget, which the whole cluster shares, so it is told alone.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use cluster::eventually;
use futures::future::try_join_all;
use homeostat::api::{Journal, Outcome, Phase, Recovery, RecoveryBudget, RecoveryPolicy, StableState};
use homeostat::plan::fleet::under_action;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::json;

use crate::story::{SOON, Story, Write, app, lines};

const TARGETS: usize = 20;
const BUDGET: usize = 4;

fn budget() -> serde_json::Value {
    json!({
        "apiVersion": "homeostat.dev/v1alpha1",
        "kind": "RecoveryBudget",
        "metadata": {"name": "storm"},
        "spec": {
            "cluster": {"maxTargets": BUDGET, "maxPercent": 100},
            "namespace": {"maxTargets": 100, "maxPercent": 100},
            "brake": {"minTargets": 5, "minPercent": 50, "window": "10s",
                      "release": {"belowPercent": 20, "after": "5s"}},
        },
    })
}

/// The budget holds in every state of the audit log, across the death of the operator as well; the brake goes on once
/// and off once; and in the end everything has recovered.
pub async fn twenty_break_at_once(story: &mut Story) -> Result<()> {
    let budgets: Api<RecoveryBudget> = Api::all(story.client());
    budgets.create(&PostParams::default(), &serde_json::from_value(budget())?).await?;
    let told = within(story, &budgets).await;
    // Also when it went wrong: the budget would bind every story after this one.
    let put_back = budgets.delete("storm", &DeleteParams::default()).await;
    told.and(put_back.map(drop).map_err(Into::into))
}

async fn within(story: &mut Story, budgets: &Api<RecoveryBudget>) -> Result<()> {
    story.start_operator_everywhere().await?;
    let names: Vec<String> = (0..TARGETS).map(|n| format!("web-{n:02}")).collect();
    try_join_all(names.iter().map(|name| deploy(story, name))).await?;
    eventually("every target to be stable", SOON, async || {
        let states = story.api::<StableState>().list(&ListParams::default()).await?.items.len();
        ensure!(states == TARGETS, "{states} states");
        let armed = status(budgets).await?.armed as usize;
        ensure!(armed == TARGETS, "{armed} armed");
        Ok(())
    })
    .await?;

    let broken = names.iter().map(|name| story.change::<Deployment>(name, app::new_image("v2-unpullable")));
    try_join_all(broken).await?;
    let brake = async |on: bool| {
        eventually(&format!("the brake to be on: {on}"), SOON, async || {
            let status = status(budgets).await?;
            ensure!(status.brake.on == on && status.brake.since.is_some() == on, "{}", serde_json::to_string(&status)?);
            Ok(())
        })
        .await
    };
    brake(true).await?;
    ensure!(story.metrics().await?.contains("homeostat_brake_on 1"), "no metric tells of the brake");
    let table = story.cluster.kubectl(&["get", "rb"]).await?;
    ensure!(table.contains("true"), "kubectl get rb:\n{table}");
    // What is under way when the operator dies counts for its successor.
    story.kill_operator().await?;
    story.start_operator_everywhere().await?;
    brake(false).await?;
    let acted = templates(&story.workload_writes().await?).len();
    ensure!(acted <= 2 * BUDGET, "{acted} were restored before and just after the brake");
    eventually("some more to be under action", SOON, async || {
        let status = status(budgets).await?;
        ensure!(status.under_action > 0 && status.waiting > 0, "{}", serde_json::to_string(&status)?);
        Ok(())
    })
    .await?;
    story.kill_operator().await?;
    story.start_operator_everywhere().await?;
    recovered(story).await?;

    let writes = story.writes().await?;
    let most = most_under_action(&writes)?;
    ensure!(most <= BUDGET, "{most} targets were under action at once, {BUDGET} may be");
    ensure!(brake_edges(&writes) == [true, false], "the brake: {:?}", brake_edges(&writes));
    let (restored, left_open) = (templates(&writes), story.writes_left_open().await?);
    ensure!(restored.values().all(|times| *times == 1), "{restored:?}");
    let maybe = templates(&left_open);
    let never = names.iter().find(|name| !restored.contains_key(name.as_str()) && !maybe.contains_key(name.as_str()));
    ensure!(never.is_none(), "{never:?} recovered by itself: {restored:?}, left open: {maybe:?}");
    Ok(())
}

async fn deploy(story: &Story, name: &str) -> Result<()> {
    story.create::<Deployment>(app::deployment(name, "v1", 1)).await?;
    let mut policy = app::policy(json!({"targetRef": {"name": name}}));
    policy["metadata"]["name"] = json!(name);
    story.create::<RecoveryPolicy>(policy).await.map(drop)
}

async fn status(budgets: &Api<RecoveryBudget>) -> Result<homeostat::api::RecoveryBudgetStatus> {
    budgets.get("storm").await?.status.context("no status yet")
}

async fn recovered(story: &Story) -> Result<()> {
    let one_round = |closed: usize| format!("more than {closed} of {TARGETS} to have recovered");
    let mut closed = 0;
    while closed < TARGETS {
        closed = eventually(&one_round(closed), SOON, async || {
            let recoveries = story.recoveries().await?;
            let ended = recoveries.iter().filter(|recovery| recovery.journal().phase == Phase::Closed);
            let bad = ended.clone().find(|recovery| recovery.journal().outcome != Some(Outcome::Recovered));
            let count = ended.count();
            ensure!(bad.is_none(), "{}", serde_json::to_string(&bad.map(Recovery::journal))?);
            ensure!(count > closed, "{count}");
            Ok(count)
        })
        .await?;
    }
    Ok(())
}

/// How often the template of each Deployment was written.
fn templates(writes: &[Write]) -> BTreeMap<&str, usize> {
    let mut found = BTreeMap::new();
    for write in writes.iter().filter(|write| write.resource == "deployments" && write.touches("/spec/template")) {
        *found.entry(write.name.as_str()).or_default() += 1;
    }
    found
}

/// The most Recoveries that were under action after any write.
fn most_under_action(writes: &[Write]) -> Result<usize> {
    let (mut busy, mut most) = (BTreeSet::new(), 0);
    for write in writes.iter().filter(|write| write.resource.starts_with("recoveries")) {
        let journal = match write.verb.as_str() {
            "create" => write.body.pointer("/spec/opening"),
            "patch" => {
                write.body.as_array().into_iter().flatten().find_map(|operation| operation.pointer("/value/journal"))
            }
            _ => None,
        };
        let Some(journal) = journal else { continue };
        match under_action(&serde_json::from_value::<Journal>(journal.clone())?) {
            true => busy.insert(write.name.clone()),
            false => busy.remove(&write.name),
        };
        most = most.max(busy.len());
    }
    ensure!(most > 0, "nothing was ever under action: {:?}", lines(writes));
    Ok(most)
}

/// What was written of the brake, each change once, from when it first went on.
fn brake_edges(writes: &[Write]) -> Vec<bool> {
    let patches = writes.iter().filter(|write| write.resource == "recoverybudgets/status");
    let operations = patches.flat_map(|write| write.body.as_array().into_iter().flatten());
    let mut edges: Vec<bool> =
        operations.filter_map(|operation| operation.pointer("/value/brake/on")?.as_bool()).collect();
    edges.dedup();
    edges.into_iter().skip_while(|on| !on).collect()
}
