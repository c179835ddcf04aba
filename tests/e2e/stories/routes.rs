//! Routes of the Gateway API belong to a target like Ingresses, in clusters that know them. There is no Gateway here: what
//! is looked at is what the routes say.

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, eventually};
use homeostat::api::recovery::Remedy;
use homeostat::api::{Journal, Outcome, Phase, Reason, Recovery, StableState};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::closure::outage;
use super::failover::over_and_back_killed;
use crate::Tale;
use crate::story::app::{self, STANDBY, WEB};
use crate::story::{SOON, Story, install_routes, lines};

const HTTP: &str = "httproute/web";
const GRPC: &str = "grpcroute/web";
/// As `kubectl delete` takes them.
const DEFINITIONS: [&str; 2] = ["crd/httproutes.gateway.networking.k8s.io", "crd/grpcroutes.gateway.networking.k8s.io"];

fn route(kind: &str) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": {"name": WEB}, "spec": {
        "parentRefs": [{"name": "edge", "sectionName": "https"}], "hostnames": ["shop.example"],
        "rules": [{"backendRefs": [{"name": WEB, "port": 80}]}]}})
}

async fn stable(story: &mut Story) -> Result<StableState> {
    install_routes(&story.cluster).await?;
    story.allow_gateway_api().await?;
    story.apply(route("HTTPRoute")).await?;
    story.apply(route("GRPCRoute")).await?;
    let state = story.stable(2, json!({})).await?;
    ensure!(routes_of(&state) == ["GRPCRoute", "HTTPRoute"], "the state has {:?}", routes_of(&state));
    Ok(state)
}

fn routes_of(state: &StableState) -> Vec<&str> {
    let kinds = state.spec.record.members.iter().map(|member| member.kind.as_str());
    let mut kinds: Vec<_> = kinds.filter(|kind| kind.ends_with("Route")).collect();
    kinds.sort_unstable();
    kinds
}

async fn kubectl(story: &Story, arguments: &[&str]) -> Result<String> {
    story.cluster.kubectl(&[arguments, &["-n", story.namespace.name()]].concat()).await
}

async fn as_it_was(story: &Story) -> Result<()> {
    for route in [HTTP, GRPC] {
        let path = "jsonpath={.spec.hostnames[0]} {.spec.parentRefs[0].name} {.spec.rules[0].backendRefs[0].name}";
        let said = kubectl(story, &["get", route, "-o", path]).await?;
        ensure!(said == "shop.example edge web", "{route}: {said}");
    }
    Ok(())
}

pub async fn changed_routes_are_put_back(story: &mut Story) -> Result<()> {
    stable(story).await?;
    story.earn_no_more().await?;
    let hosts = r#"{"spec": {"hostnames": ["elsewhere.example"]}}"#;
    kubectl(story, &["patch", HTTP, "--type=merge", "-p", hosts]).await?;
    let parents = r#"{"spec": {"parentRefs": [{"name": "nowhere"}]}}"#;
    kubectl(story, &["patch", GRPC, "--type=merge", "-p", parents]).await?;
    let recovery = outage(story, "the routes to be as they were", async || as_it_was(story).await).await?;
    ensure!(recovery.journal().decision.remedy == Remedy::Rollback, "{:?}", recovery.journal().decision);
    let writes = story.workload_writes().await?;
    let restored: Vec<_> = writes.iter().filter(|write| write.touches("/spec")).cloned().collect();
    ensure!(lines(&restored) == ["patch httproutes/web", "patch grpcroutes/web"], "{:?}", lines(&writes));
    story.nothing_is_owned_by_us(&[HTTP, GRPC]).await
}

pub async fn a_route_that_leads_nowhere_cuts_the_target_off(story: &mut Story) -> Result<()> {
    stable(story).await?;
    let nowhere = r#"{"spec": {"rules": [{"backendRefs": [{"name": "mistyped", "port": 80}]}]}}"#;
    kubectl(story, &["patch", HTTP, "--type=merge", "-p", nowhere]).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    ensure!(recovery.journal().symptom.reason == Reason::CutOff, "{:?}", recovery.journal().symptom);
    as_it_was(story).await
}

pub async fn deleted_routes_are_created_again(story: &mut Story) -> Result<()> {
    stable(story).await?;
    kubectl(story, &["delete", HTTP, GRPC]).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    ensure!(recovery.journal().symptom.reason == Reason::CutOff, "{:?}", recovery.journal().symptom);
    as_it_was(story).await?;
    story.nothing_is_owned_by_us(&[HTTP, GRPC]).await
}

async fn forget_routes(cluster: &Cluster) -> Result<()> {
    let delete = ["delete", "--ignore-not-found", "--timeout=60s", DEFINITIONS[0], DEFINITIONS[1]];
    cluster.kubectl(&delete).await.map(drop)
}

/// Told alone: the whole cluster forgets and learns the kinds.
pub async fn a_cluster_need_not_know_routes_and_may_learn_of_them(story: &mut Story) -> Result<()> {
    forget_routes(&story.cluster).await?;
    story.allow_gateway_api().await?;
    let state = story.stable(2, json!({})).await?;
    ensure!(routes_of(&state).is_empty(), "the state has {:?}", routes_of(&state));

    install_routes(&story.cluster).await?;
    story.apply(route("HTTPRoute")).await?;
    story.apply(route("GRPCRoute")).await?;
    eventually("a state with the routes", SOON, async || {
        let state = story.await_stable().await?;
        ensure!(routes_of(&state).len() == 2, "the state has {:?}", routes_of(&state));
        Ok(())
    })
    .await?;

    // Nobody can tell any more whether they are as they were.
    forget_routes(&story.cluster).await?;
    let blind = |status: &homeostat::api::RecoveryPolicyStatus| {
        let mut conditions = status.conditions.iter();
        // Which of the two is missed first is nobody's choice.
        conditions.any(|c| c.reason == "Blind" && c.message.contains("routes"))
    };
    story.policy("to say that routes are out of sight", blind).await?;
    let told = |words: &str| -> Result<usize> {
        let log = std::fs::read_to_string(story.log(story.started())).context("the operator's log")?;
        Ok(log.lines().filter(|line| line.contains("Route") && line.contains(words)).count())
    };
    eventually("each kind to be missed, twice by now", SOON, async || {
        let missed = told("does not know this kind")?;
        ensure!(missed == 4, "{missed} times");
        Ok(())
    })
    .await?;
    ensure!(story.workload_writes().await?.is_empty(), "{:?}", lines(&story.workload_writes().await?));

    // With the kinds the routes are gone as well, as they were when the first state was earned: this one is stable, too.
    install_routes(&story.cluster).await?;
    let state = story.await_stable().await?;
    ensure!(routes_of(&state).is_empty(), "the state has {:?}", routes_of(&state));
    ensure!(story.workload_writes().await?.is_empty(), "{:?}", lines(&story.workload_writes().await?));
    ensure!(told("does not know this kind")? == 4, "each kind, each time once");
    ensure!(told("WARN")? == 0, "it is no trouble");
    Ok(())
}

// ---- failover by weights

fn failover(kind: &str) -> Value {
    json!({"actions": {
        "rollback": {},
        "failover": {
            "standby": {"apiVersion": "apps/v1", "kind": "Deployment", "name": STANDBY},
            "via": {kind: {"name": WEB, "standbyService": STANDBY}},
        },
    }})
}

/// A route to both Services, beside what is others' in it.
fn shared_route(kind: &str) -> Value {
    let mut route = route(kind);
    route["spec"]["rules"] = json!([
        {"backendRefs": [{"name": "static", "port": 80}]},
        {"backendRefs": [{"name": WEB, "port": 80}, {"name": STANDBY, "port": 80, "weight": 0}]}]);
    route
}

async fn with_standby(story: &mut Story, kind: &str, via: &str, window: &str) -> Result<()> {
    install_routes(&story.cluster).await?;
    story.allow_gateway_api().await?;
    story.create::<Service>(app::service_of(STANDBY)).await?;
    story.create::<Service>(app::service_of("static")).await?;
    story.apply(shared_route(kind)).await?;
    story.deploy_standby("v1", 2).await?;
    let mut policy = failover(via);
    app::merge(&mut policy, json!({"verification": {"window": window}}));
    story.stable(2, policy).await.map(drop)
}

async fn weights(story: &Story, route: &str) -> Result<String> {
    let path = "jsonpath={.spec.rules[0].backendRefs[*].weight}:{.spec.rules[1].backendRefs[*].weight}";
    kubectl(story, &["get", route, "-o", path]).await
}

async fn await_weights(story: &Story, route: &str, expected: &str) -> Result<()> {
    eventually(&format!("{route} to have the weights {expected}"), SOON, async || {
        let found = weights(story, route).await?;
        ensure!(found == expected, "it has {found}");
        Ok(())
    })
    .await
}

/// The marks on a route.
async fn unmarked(story: &Story, route: &str) -> Result<()> {
    let marks = kubectl(story, &["get", route, "-o", "jsonpath={.metadata.annotations}"]).await?;
    ensure!(!marks.contains("homeostat.dev"), "marks are left on {route}: {marks}");
    story.nothing_is_owned_by_us(&[route]).await
}

/// How often weights were written.
async fn moves(story: &Story) -> Result<Vec<Vec<Value>>> {
    let writes = story.workload_writes().await?;
    ensure!(writes.iter().all(|write| write.resource.ends_with("routes")), "{:?}", lines(&writes));
    let weights = |write: &crate::story::Write| {
        let operations = write.body.as_array().into_iter().flatten();
        let places = operations.filter(|o| o["path"].as_str().is_some_and(|path| path.ends_with("/weight")));
        places.map(|o| o["value"].clone()).collect::<Vec<_>>()
    };
    Ok(writes.iter().map(weights).filter(|weights| !weights.is_empty()).collect())
}

async fn over_and_back(story: &mut Story, kind: &str, via: &str, route: &str) -> Result<()> {
    with_standby(story, kind, via, "2s").await?;
    let pods = story.pods(WEB).await?;
    story.play(&pods, Some("not-ready")).await?;
    await_weights(story, route, "1:0 100").await?;
    let recovery = story.recovery("to be on the standby", |journal| journal.phase == Phase::OnStandby).await?;
    ensure!(recovery.journal().decision.reason == Reason::TrafficMoved, "{:?}", recovery.journal().decision);
    story.play(&pods, None).await?;
    story.closed(Outcome::Recovered).await?;
    ensure!(weights(story, route).await? == "1:1 0", "{}", weights(story, route).await?);
    let expected = [[0, 100], [20, 80], [50, 50], [1, 0]].map(|pair| pair.map(Value::from).to_vec());
    ensure!(moves(story).await? == expected, "{:?}", moves(story).await?);
    unmarked(story, route).await
}

pub async fn weights_of_an_http_route_move_over_and_back_in_steps(story: &mut Story) -> Result<()> {
    over_and_back(story, "HTTPRoute", "httpRoute", HTTP).await
}

pub async fn weights_of_a_grpc_route_move_over_and_back_in_steps(story: &mut Story) -> Result<()> {
    over_and_back(story, "GRPCRoute", "grpcRoute", GRPC).await
}

/// Home fails under the first share of the traffic: all of it leaves, and stays until a person ends it.
pub async fn home_that_fails_under_its_share_is_left(story: &mut Story) -> Result<()> {
    with_standby(story, "HTTPRoute", "httpRoute", "5s").await?;
    let pods = story.pods(WEB).await?;
    story.play(&pods, Some("not-ready")).await?;
    await_weights(story, HTTP, "1:0 100").await?;
    story.play(&pods, None).await?;
    await_weights(story, HTTP, "1:20 80").await?;
    story.play(&pods, Some("not-ready")).await?;
    let again = |journal: &Journal| journal.reason == Reason::HomeBrokeAgain && journal.phase == Phase::OnStandby;
    let recovery = story.recovery("to be on the standby for good", again).await?;
    await_weights(story, HTTP, "1:0 100").await?;
    story.play(&pods, None).await?;
    story.await_serving("v1", 2).await?;
    story.change::<Recovery>(&recovery.name_any(), json!({"spec": {"abort": true}})).await?;
    story.closed(Outcome::Abandoned).await?;
    await_weights(story, HTTP, "1:1 0").await
}

/// A person moves the weights while a share is home: they are theirs from then on.
pub async fn weights_that_a_person_moves_are_theirs(story: &mut Story) -> Result<()> {
    with_standby(story, "HTTPRoute", "httpRoute", "5s").await?;
    let pods = story.pods(WEB).await?;
    story.play(&pods, Some("not-ready")).await?;
    await_weights(story, HTTP, "1:0 100").await?;
    story.play(&pods, None).await?;
    await_weights(story, HTTP, "1:20 80").await?;
    let mine = r#"[{"op": "replace", "path": "/spec/rules/1/backendRefs/0/weight", "value": 35}]"#;
    kubectl(story, &["patch", HTTP, "--type=json", "-p", mine]).await?;
    let recovery = story.closed(Outcome::Superseded).await?;
    ensure!(recovery.journal().message.contains("HTTPRoute web"), "{}", recovery.journal().message);
    ensure!(weights(story, HTTP).await? == "1:35 80", "{}", weights(story, HTTP).await?);
    Ok(())
}

/// So much over and back write at least, records of ours included.
const WRITES: usize = 13;

/// One story for each write after which the operator is killed.
pub fn kills() -> Vec<Tale> {
    crate::kills("routes::killed_after_write_{n}_of_over_and_back_in_steps_the_end_is_the_same", WRITES, killed_after)
}

async fn killed_after(story: &mut Story, n: usize) -> Result<()> {
    with_standby(story, "HTTPRoute", "httpRoute", "2s").await?;
    over_and_back_killed(story, n, async |story| await_weights(story, HTTP, "1:0 100").await).await?;
    ensure!(weights(story, HTTP).await? == "1:1 0", "{}", weights(story, HTTP).await?);
    let expected = [[0, 100], [20, 80], [50, 50], [1, 0]].map(|pair| pair.map(Value::from).to_vec());
    ensure!(moves(story).await? == expected, "{:?}", moves(story).await?);
    let incidents = story.recoveries().await?.len();
    ensure!(incidents == 1, "{incidents} incidents");
    unmarked(story, HTTP).await
}
