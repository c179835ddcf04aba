//! Members that belong to no namespace: looked at where the chart allows it, and never written.

use anyhow::{Context, Result, ensure};
use cluster::eventually;
use homeostat::api::recovery::Suspect;
use homeostat::api::{Journal, Outcome, Phase, Reason, RecoveryPolicy, StableState};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::story::app::{self, WEB};
use crate::story::{SOON, Story, lines};

const GROUP: &str = "rbac.authorization.k8s.io";

fn reading(resource: &str) -> Value {
    json!([{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}])
}

/// A ClusterRole that a RoleBinding here names, one that a ClusterRoleBinding gives everywhere, and a priority, all by the name
/// of the story's namespace.
async fn surroundings(story: &Story) -> Result<()> {
    let name = story.namespace.name();
    let account = json!([{"kind": "ServiceAccount", "name": "shop", "namespace": name}]);
    let role = |name: &str| json!({"apiGroup": GROUP, "kind": "ClusterRole", "name": name});
    let kind = |kind: &str, name: &str, rest: Value| {
        let mut object = json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": {"name": name}});
        app::merge(&mut object, rest);
        object
    };
    let everywhere = format!("{name}-everywhere");
    story.apply(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "shop"}})).await?;
    story.apply(kind("RoleBinding", "shop", json!({"roleRef": role(name), "subjects": account}))).await?;
    for object in [
        kind("ClusterRole", name, json!({"rules": reading("configmaps")})),
        kind("ClusterRole", &everywhere, json!({"rules": reading("services")})),
        kind("ClusterRoleBinding", name, json!({"roleRef": role(&everywhere), "subjects": account})),
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": 7}),
    ] {
        in_the_cluster(story, &object).await?;
    }
    Ok(())
}

async fn in_the_cluster(story: &Story, object: &Value) -> Result<()> {
    let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    story.cluster.kubectl_with_input(&arguments, &object.to_string()).await.map(drop)
}

pub async fn what_belongs_to_no_namespace_is_compared_and_left_to_an_administrator(story: &mut Story) -> Result<()> {
    surroundings(story).await?;
    story.allow_cluster_members().await?;
    story.start_operator(&[]).await?;
    let name = story.namespace.name().to_owned();
    let mut deployment = app::deployment(WEB, "v1", 2);
    deployment["spec"]["template"]["spec"]["serviceAccountName"] = json!("shop");
    deployment["spec"]["template"]["spec"]["priorityClassName"] = json!(name);
    story.create::<ConfigMap>(app::config_map("5s")).await?;
    story.create::<Service>(app::service()).await?;
    story.create::<Deployment>(deployment).await?;
    story.create::<RecoveryPolicy>(app::policy(json!({}))).await?;
    let state: StableState = story.await_stable().await?;
    story.earn_no_more().await?;
    let members = state.spec.record.members.iter().map(|member| format!("{} {}", member.kind, member.name));
    let outside: Vec<_> = members.filter(|member| member.contains(&name) && !member.starts_with("Namespace")).collect();
    let expected = [
        format!("ClusterRole {name}"),
        format!("ClusterRole {name}-everywhere"),
        format!("ClusterRoleBinding {name}"),
        format!("PriorityClass {name}"),
    ];
    ensure!(outside == expected, "{outside:?}");

    // It is all that differs, and nobody here may put it back.
    let mut role = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "ClusterRole", "metadata": {"name": name}});
    role["rules"] = json!([]);
    in_the_cluster(story, &role).await?;
    let pods = story.pods(WEB).await?;
    story.play(&pods, Some("not-ready")).await?;
    let differs = format!("ClusterRole {name}");
    story
        .policy("to say what differs", |status| {
            let parts = status.drift.iter().flat_map(|drift| &drift.components);
            parts.into_iter().any(|part| part.name == "closure" && part.message.contains(&differs))
        })
        .await?;
    let held = |journal: &Journal| journal.phase == Phase::Holding && journal.reason == Reason::NotAllowed;
    let recovery = story.recovery("to be held for an administrator", held).await?;
    let journal = recovery.journal();
    ensure!(journal.suspect == Suspect::Change, "{:?}", journal.suspect);
    ensure!(journal.message.contains(&format!("for an administrator: {differs}")), "{}", journal.message);
    let writes = story.workload_writes().await?;
    ensure!(writes.is_empty(), "{:?}", lines(&writes));
    story.play(&pods, None).await?;
    story.recovery("to be closed", |journal| journal.phase == Phase::Closed).await?;

    // A bad release is rolled back all the same, and what is left is named.
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    let last = recovery.name_any();
    let recovery = eventually("another Recovery to be closed", SOON, async || {
        let newest = story.recoveries().await?.pop().filter(|newest| newest.name_any() != last);
        newest.filter(|newest| newest.journal().phase == Phase::Closed).context("not yet")
    })
    .await?;
    ensure!(recovery.journal().outcome == Some(Outcome::Recovered), "{:?}", recovery.journal());
    let said = format!("outside of the namespace, for an administrator: {differs}");
    ensure!(recovery.journal().message.contains(&said), "{}", recovery.journal().message);
    ensure!(story.image().await? == app::image("v1"), "not rolled back");
    let writes = story.workload_writes().await?;
    ensure!(writes.iter().all(|write| write.resource == "deployments"), "{:?}", lines(&writes));
    Ok(())
}
