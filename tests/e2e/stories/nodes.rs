//! Nodes die, make pods ill, and come back. They are everybody's, and so is the RecoveryBudget that allows to touch them:
//! each story is told alone, and leaves the nodes as they were.

use anyhow::{Context, Result, bail, ensure};
use cluster::{PLAY, eventually};
use futures::future::try_join_all;
use homeostat::api::recovery::{Remedy, Suspect};
use homeostat::api::{Outcome, Phase, Reason, Recovery, RecoveryBudget, RecoveryPolicy, mark};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Service};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::nodes;
use crate::story::app::{self, WEB};
use crate::story::{SOON, Story, lines};
use crate::{Tale, tales};

/// The node that dies.
const DEAD: &str = "node-2";
const NODES: [&str; 3] = ["node-1", "node-2", "node-3"];
/// A node's saga writes this often until it is verified, records of ours included; a kill comes after each.
const WRITES: usize = 6;

/// All of them.
pub fn all() -> Vec<Tale> {
    let mut all = tales![
        nodes::a_dead_node_is_isolated_and_let_go_when_it_is_back,
        nodes::what_a_person_cordoned_is_theirs,
        nodes::with_all_nodes_gone_nothing_is_written,
        nodes::without_a_budget_no_node_is_touched,
        nodes::two_targets_share_one_cordon,
        nodes::a_deleted_policy_leaves_no_fence,
        nodes::a_fix_while_a_node_is_fenced_wins,
        nodes::killed_at_the_uncordon_it_happens_once,
    ];
    let name = "nodes::killed_after_write_{n}_of_its_saga_the_end_is_the_same";
    all.extend(crate::kills(name, WRITES, killed_after));
    all
}

pub async fn a_dead_node_is_isolated_and_let_go_when_it_is_back(story: &mut Story) -> Result<()> {
    let name = story.namespace.name().to_owned();
    alone(story, 1, async |story| {
        stable(story, json!({})).await?;
        play(story, DEAD, true).await?;
        let recovery = story.closed(Outcome::Recovered).await?;
        let journal = recovery.journal();
        ensure!(journal.suspect == Suspect::Node && journal.decision.reason == Reason::NodeIsolated, "{journal:?}");
        let node = node(story, DEAD).await?;
        ensure!(is_cordoned(&node), "it takes pods");
        let by = node.metadata.annotations.unwrap_or_default().remove(mark::CORDONED_BY);
        let recovery = recovery.metadata.name.context("no name")?;
        ensure!(by == Some(format!("{name}/{recovery}")), "cordoned by {by:?}");
        story.await_serving("v1", 3).await?;
        ensure!(pods_on(story, DEAD).await? == 0, "a pod is on the dead node");
        play(story, DEAD, false).await?;
        await_cordoned(story, DEAD, false).await?;
        once(story).await
    })
    .await
}

/// A cordon, the removal of one pod, and the end of the cordon: each once, and nothing else.
async fn once(story: &Story) -> Result<()> {
    let writes = story.workload_writes().await?;
    let verbs: Vec<String> = writes.iter().map(|write| format!("{} {}", write.verb, write.resource)).collect();
    ensure!(verbs == ["patch nodes", "delete pods", "patch nodes"], "{:?}", lines(&writes));
    let [cordon, _, uncordon] = writes.as_slice() else { bail!("three writes") };
    ensure!(cordon.name == DEAD && uncordon.name == DEAD, "{:?}", lines(&writes));
    ensure!(cordon.body.to_string().contains("\"value\":true"), "{}", cordon.body);
    let incidents = story.recoveries().await?.len();
    ensure!(incidents == 1, "{incidents} incidents");
    Ok(())
}

pub async fn what_a_person_cordoned_is_theirs(story: &mut Story) -> Result<()> {
    alone(story, 1, async |story| {
        stable(story, json!({})).await?;
        patch(story, DEAD, json!({"spec": {"unschedulable": true}})).await?;
        play(story, DEAD, true).await?;
        story.closed(Outcome::Recovered).await?;
        story.await_serving("v1", 3).await?;
        play(story, DEAD, false).await?;
        await_ready(story, DEAD).await?;
        // The soak is over by then as well, after which a node of ours would be let go.
        story.policy("to be Stable again", |status| format!("{:?}", status.state) == "Stable").await?;
        let writes = lines(&story.workload_writes().await?);
        ensure!(writes.iter().all(|write| write.starts_with("delete pods/web-")), "{writes:?}");
        ensure!(is_cordoned(&node(story, DEAD).await?), "the person's cordon is gone");
        Ok(())
    })
    .await
}

pub async fn with_all_nodes_gone_nothing_is_written(story: &mut Story) -> Result<()> {
    alone(story, 3, async |story| {
        stable(story, json!({"detection": {"unavailableFor": "5s"}})).await?;
        try_join_all(NODES.map(|node| play(story, node, true))).await?;
        let held = |journal: &homeostat::api::Journal| journal.phase == Phase::Holding;
        let recovery = story.recovery("to hold", held).await?;
        let journal = recovery.journal();
        ensure!(journal.reason == Reason::MostNodesLost && journal.suspect == Suspect::Observer, "{journal:?}");
        for node in NODES {
            play(story, node, false).await?;
        }
        let healed = story.closed(Outcome::Held).await?;
        ensure!(healed.journal().reason == Reason::HealedItself, "{:?}", healed.journal());
        let writes = lines(&story.workload_writes().await?);
        ensure!(writes.is_empty(), "{writes:?}");
        Ok(())
    })
    .await
}

pub async fn without_a_budget_no_node_is_touched(story: &mut Story) -> Result<()> {
    alone(story, 0, async |story| {
        stable(story, json!({})).await?;
        play(story, DEAD, true).await?;
        let recovery = story.closed(Outcome::Recovered).await?;
        let journal = recovery.journal();
        let mut others = journal.decision.alternatives.iter();
        let refused = others.find(|other| other.remedy == Remedy::IsolateNode).context("it was not considered")?;
        ensure!(refused.reason == Reason::NotAllowed && refused.message.contains("maxCordoned"), "{refused:?}");
        ensure!(journal.suspect == Suspect::Node, "{journal:?}");
        let writes = lines(&story.workload_writes().await?);
        ensure!(writes.iter().all(|write| !write.contains("nodes/")), "{writes:?}");
        Ok(())
    })
    .await
}

pub async fn two_targets_share_one_cordon(story: &mut Story) -> Result<()> {
    alone(story, 1, async |story| {
        stable(story, json!({})).await?;
        story.create::<Deployment>(spread("cart")).await?;
        let mut policy = app::policy(json!({"targetRef": {"name": "cart"}}));
        policy["metadata"]["name"] = json!("cart");
        story.create::<RecoveryPolicy>(policy).await?;
        eventually("cart to be stable", SOON, async || {
            let status = story.api::<RecoveryPolicy>().get("cart").await?.status.unwrap_or_default();
            ensure!(!status.stable_state.is_empty(), "{status:?}");
            Ok(())
        })
        .await?;
        play(story, DEAD, true).await?;
        eventually("both to have recovered", SOON, async || {
            let recoveries = story.recoveries().await?;
            let recovered = |recovery: &Recovery| recovery.journal().outcome == Some(Outcome::Recovered);
            ensure!(recoveries.len() == 2 && recoveries.iter().all(recovered), "{recoveries:?}");
            Ok(())
        })
        .await?;
        ensure!(pods_on(story, DEAD).await? == 0, "a pod is on the dead node");
        let writes = lines(&story.workload_writes().await?);
        let cordons = writes.iter().filter(|write| *write == &format!("patch nodes/{DEAD}")).count();
        ensure!(cordons == 1, "{writes:?}");
        play(story, DEAD, false).await?;
        await_cordoned(story, DEAD, false).await
    })
    .await
}

pub async fn a_deleted_policy_leaves_no_fence(story: &mut Story) -> Result<()> {
    alone(story, 1, async |story| {
        stable(story, json!({})).await?;
        play(story, DEAD, true).await?;
        story.closed(Outcome::Recovered).await?;
        ensure!(is_cordoned(&node(story, DEAD).await?), "it takes pods");
        story.api::<RecoveryPolicy>().delete(WEB, &DeleteParams::default()).await?;
        await_cordoned(story, DEAD, false).await
    })
    .await
}

pub async fn a_fix_while_a_node_is_fenced_wins(story: &mut Story) -> Result<()> {
    alone(story, 1, async |story| {
        stable(story, json!({"verification": {"window": "20s"}})).await?;
        play(story, DEAD, true).await?;
        story.recovery("to verify", |journal| journal.phase == Phase::Verifying).await?;
        ensure!(is_cordoned(&node(story, DEAD).await?), "it takes pods");
        story.change::<Deployment>(WEB, app::new_image("v3-fixed")).await?;
        story.closed(Outcome::Superseded).await?;
        await_cordoned(story, DEAD, false).await?;
        story.await_serving("v3-fixed", 3).await?;
        story.await_stable().await?;
        once(story).await
    })
    .await
}

pub async fn killed_at_the_uncordon_it_happens_once(story: &mut Story) -> Result<()> {
    alone(story, 1, async |story| {
        stable(story, json!({})).await?;
        play(story, DEAD, true).await?;
        story.closed(Outcome::Recovered).await?;
        let hold = story.proxy.hold_after_write_to("/nodes/node-2");
        play(story, DEAD, false).await?;
        hold.reached(SOON).await?;
        story.kill_operator().await?;
        story.start_operator(&[]).await?;
        await_cordoned(story, DEAD, false).await?;
        eventually("the end of the cordon to be on record", SOON, async || {
            let recovery = story.recoveries().await?.pop().context("no Recovery")?;
            let steps = &recovery.journal().steps;
            ensure!(steps.iter().all(|step| step.state != homeostat::api::StepState::Planned), "{steps:?}");
            Ok(())
        })
        .await?;
        once(story).await
    })
    .await
}

/// The write reaches the API server, its answer never reaches the operator, and the operator is killed there.
async fn killed_after(story: &mut Story, n: usize) -> Result<()> {
    alone(story, 1, async move |story| {
        stable(story, json!({})).await?;
        let hold = story.proxy.hold_after_write(n);
        play(story, DEAD, true).await?;
        let held = hold.reached(SOON).await;
        held.with_context(|| format!("a saga that is never killed has fewer than {n} writes"))?;
        story.kill_operator().await?;
        story.start_operator(&[]).await?;
        story.closed(Outcome::Recovered).await?;
        story.await_serving("v1", 3).await?;
        ensure!(is_cordoned(&node(story, DEAD).await?), "it takes pods");
        play(story, DEAD, false).await?;
        await_cordoned(story, DEAD, false).await?;
        once(story).await
    })
    .await
}

// ---- what the stories are made of

/// Tells a story under a budget of so many nodes; whatever comes of it, nodes and budget are as before.
async fn alone(story: &mut Story, cordoned: u32, tell: impl AsyncFnOnce(&mut Story) -> Result<()>) -> Result<()> {
    let budgets: Api<RecoveryBudget> = Api::all(story.client());
    let limits = json!({"maxTargets": 10, "maxPercent": 100});
    let budget = json!({
        "apiVersion": "homeostat.dev/v1alpha1",
        "kind": "RecoveryBudget",
        "metadata": {"name": story.namespace.name()},
        "spec": {"cluster": limits, "namespace": limits, "nodes": {"maxCordoned": cordoned}},
    });
    budgets.create(&PostParams::default(), &serde_json::from_value(budget)?).await?;
    story.allow_nodes().await?;
    let told = tell(story).await;
    let put_back = async {
        budgets.delete(story.namespace.name(), &DeleteParams::default()).await?;
        for name in NODES {
            play(story, name, false).await?;
            patch(story, name, json!({"spec": {"unschedulable": null}})).await?;
            await_ready(story, name).await?;
        }
        anyhow::Ok(())
    };
    let put_back = put_back.await;
    told.and(put_back)
}

/// Three copies, one on each node, in their stable state.
async fn stable(story: &mut Story, policy: Value) -> Result<()> {
    story.start_operator(&[]).await?;
    story.create::<ConfigMap>(app::config_map("5s")).await?;
    story.create::<Service>(app::service()).await?;
    story.create::<Deployment>(spread(WEB)).await?;
    story.create::<RecoveryPolicy>(app::policy(policy)).await?;
    story.await_stable().await?;
    ensure!(pods_on(story, DEAD).await? == 1, "the copies are not spread");
    Ok(())
}

fn spread(name: &str) -> Value {
    let mut deployment = app::deployment(name, "v1", 3);
    deployment["spec"]["template"]["spec"]["topologySpreadConstraints"] = json!([{
        "topologyKey": "kubernetes.io/hostname",
        "maxSkew": 1,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": name}},
    }]);
    deployment
}

fn nodes_of(story: &Story) -> Api<Node> {
    Api::all(story.client())
}

async fn node(story: &Story, name: &str) -> Result<Node> {
    Ok(nodes_of(story).get(name).await?)
}

async fn patch(story: &Story, name: &str, change: Value) -> Result<()> {
    Ok(nodes_of(story).patch(name, &PatchParams::default(), &Patch::Merge(change)).await.map(drop)?)
}

/// Lets a node stop being ready, as a dead kubelet does, or come back.
async fn play(story: &Story, name: &str, dead: bool) -> Result<()> {
    let fault = dead.then_some("not-ready");
    patch(story, name, json!({"metadata": {"labels": {PLAY: fault}}})).await
}

fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}

/// A cordon that is gone has left no mark of ours.
async fn await_cordoned(story: &Story, name: &str, cordoned: bool) -> Result<()> {
    eventually(&format!("{name} to be cordoned: {cordoned}"), SOON, async || {
        let node = node(story, name).await?;
        let marked = node.metadata.annotations.as_ref().is_some_and(|marks| marks.contains_key(mark::CORDONED_BY));
        ensure!(is_cordoned(&node) == cordoned && marked == cordoned, "{:?} {marked}", node.spec);
        Ok(())
    })
    .await
}

/// Ready, and without the taints of one that was not.
async fn await_ready(story: &Story, name: &str) -> Result<()> {
    eventually(&format!("{name} to be ready"), SOON, async || {
        let node = node(story, name).await?;
        let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let ready = conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
        ensure!(ready && taints.iter().all(|taint| taint.key == "node.kubernetes.io/unschedulable"), "{taints:?}");
        Ok(())
    })
    .await
}

async fn pods_on(story: &Story, node: &str) -> Result<usize> {
    let pods = story.pods(WEB).await?.into_iter();
    let there = pods.filter(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(there.filter(|pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(node)).count())
}
