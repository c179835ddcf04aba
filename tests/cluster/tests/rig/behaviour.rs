//! What image tags and labels bring about.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cluster::{Cluster, Namespace, PLAY, eventually};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::create;

const SOON: Duration = Duration::from_secs(20);

pub(crate) async fn image_tags_choose_behaviour(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("tags").await?;
    let tags = ["v1", "v2-never-ready", "slow-2s", "crash", "crash-after-1s", "unpullable"];
    for tag in tags {
        create_deployment(cluster, &namespace, tag, tag, 1).await?;
    }
    let seen = |tag: &'static str, what: &'static str, expected: fn(&Pod, &ContainerStatus) -> bool| {
        let namespace = &namespace;
        async move { await_pod(cluster, namespace, tag, what, expected).await.with_context(|| format!("tag {tag}")) }
    };
    seen("v1", "ready", |pod, container| {
        let status = pod.status.clone().unwrap_or_default();
        is_ready(pod)
            && container.ready
            && container.restart_count == 0
            && container.started == Some(true)
            && container.container_id.as_deref().is_some_and(|id| id.starts_with("containerd://"))
            && container.image_id.contains("/app@sha256:")
            && status.pod_ip.is_some()
            && status.phase.as_deref() == Some("Running")
    })
    .await?;
    seen("v2-never-ready", "running, not ready", |pod, container| {
        !is_ready(pod) && !container.ready && container.state.as_ref().is_some_and(|state| state.running.is_some())
    })
    .await?;
    seen("slow-2s", "not ready at first", |pod, container| !is_ready(pod) && !container.ready).await?;
    seen("crash", "third restart", |pod, container| {
        let exit = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        !is_ready(pod)
            && waiting(container) == "CrashLoopBackOff"
            && container.restart_count == 3
            && exit.is_some_and(|exit| exit.exit_code == 1)
    })
    .await?;
    seen("crash-after-1s", "crash", |pod, container| !is_ready(pod) && waiting(container) == "CrashLoopBackOff")
        .await?;
    seen("unpullable", "back-off", |pod, container| !is_ready(pod) && waiting(container) == "ImagePullBackOff").await?;
    seen("slow-2s", "ready in the end", |pod, container| is_ready(pod) && container.ready).await?;
    seen("v2-never-ready", "still not ready", |pod, _| !is_ready(pod)).await?;
    namespace.delete().await
}

pub(crate) async fn a_label_makes_a_pod_fail_and_heal(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("label").await?;
    create_deployment(cluster, &namespace, "app", "v1", 1).await?;
    let pods: Api<Pod> = Api::namespaced(cluster.client(), namespace.name());
    let pod = await_pod(cluster, &namespace, "app", "ready", |pod, _| is_ready(pod)).await?;
    let name = pod.metadata.name.context("a pod without a name")?;
    let play = async |value: Value| {
        let patch = json!({"metadata": {"labels": {PLAY: value}}});
        pods.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await
    };
    play(json!("not-ready")).await?;
    await_pod(cluster, &namespace, "app", "not ready", |pod, container| {
        !is_ready(pod) && container.restart_count == 0 && container.state.as_ref().is_some_and(|s| s.running.is_some())
    })
    .await?;
    play(Value::Null).await?;
    await_pod(cluster, &namespace, "app", "ready again", |pod, container| is_ready(pod) && container.ready).await?;
    play(json!("crash")).await?;
    await_pod(cluster, &namespace, "app", "crashing", |pod, container| {
        !is_ready(pod) && waiting(container) == "CrashLoopBackOff" && container.restart_count >= 1
    })
    .await?;
    play(Value::Null).await?;
    let healed = await_pod(cluster, &namespace, "app", "healed", |pod, container| {
        is_ready(pod) && container.restart_count >= 1 && container.last_state.is_some()
    })
    .await?;
    ensure!(healed.metadata.name.as_deref() == Some(name.as_str()), "it is another pod");
    let conditions = healed.status.and_then(|status| status.conditions).unwrap_or_default();
    ensure!(
        conditions.iter().all(|condition| condition.status == "True" && condition.reason.is_none()),
        "conditions of a healed pod: {conditions:?}"
    );
    namespace.delete().await
}

pub(crate) async fn a_deleted_pod_is_replaced_at_once(cluster: &Cluster) -> Result<()> {
    let namespace = cluster.namespace("delete").await?;
    create_deployment(cluster, &namespace, "app", "v1", 1).await?;
    let pods: Api<Pod> = Api::namespaced(cluster.client(), namespace.name());
    let first = await_pod(cluster, &namespace, "app", "ready", |pod, _| is_ready(pod)).await?;
    let name = first.metadata.name.context("a pod without a name")?;
    // 30 s of grace, which a fake kubelet does not need.
    pods.delete(&name, &Default::default()).await?;
    eventually("the end of the pod", Duration::from_secs(3), async || match pods.get_opt(&name).await {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    await_pod(cluster, &namespace, "app", "ready replacement", |pod, _| is_ready(pod)).await?;
    namespace.delete().await
}

async fn create_deployment(
    cluster: &Cluster,
    namespace: &Namespace,
    name: &str,
    tag: &str,
    replicas: u32,
) -> Result<()> {
    let labels = json!({"app": name});
    let deployment = json!({
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": format!("registry.example:5000/shop/app:{tag}")}]},
            },
        },
    });
    create::<Deployment>(cluster, namespace, deployment).await
}

async fn await_pod(
    cluster: &Cluster,
    namespace: &Namespace,
    app: &str,
    what: &str,
    expected: fn(&Pod, &ContainerStatus) -> bool,
) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(cluster.client(), namespace.name());
    let selected = ListParams::default().labels(&format!("app={app}"));
    eventually(&format!("a pod of {app}: {what}"), SOON, async || {
        let listed = pods.list(&selected).await?;
        let found = listed.items.iter().find(|pod| {
            let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
            containers.and_then(|statuses| statuses.first()).is_some_and(|container| expected(pod, container))
        });
        match found {
            Some(pod) => Ok(pod.clone()),
            None => bail!("{:?}", listed.items.iter().map(|pod| &pod.status).collect::<Vec<_>>()),
        }
    })
    .await
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn waiting(container: &ContainerStatus) -> &str {
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default()
}
