//! The fake nodes and the stages that play the part of their kubelets.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::control_plane::watch_over;
use crate::process::Processes;

/// The label that makes a pod or a node fail: `crash` or `not-ready` on a pod, `not-ready` on a node.
pub const PLAY: &str = "fault.test/play";

/// The address that the node's stage reports.
const ADDRESS: &str = "fault.test/address";
const WORKING: Duration = Duration::from_secs(60);
const PROBE: &str = "cluster-probe";

const STAGES: [&str; 9] = [
    include_str!("../stages/node-ready.yaml"),
    include_str!("../stages/node-not-ready.yaml"),
    include_str!("../stages/node-heartbeat.yaml"),
    include_str!("../stages/pod-ready.yaml"),
    include_str!("../stages/pod-not-ready.yaml"),
    include_str!("../stages/pod-crash.yaml"),
    include_str!("../stages/pod-image-pull.yaml"),
    include_str!("../stages/pod-complete.yaml"),
    include_str!("../stages/pod-delete.yaml"),
];

/// All of the parallelism has to be given as soon as there is such a document: its defaults are zero then.
const SETTINGS: &str = "apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokConfiguration
options:
  podPlayStageParallelism: 32
  nodePlayStageParallelism: 4
  nodeLeaseParallelism: 4
  podsOnNodeSyncParallelism: 4
  enablePodsOnNodeSyncListPager: true
";

/// kwok's configuration: all stages in one file.
pub(crate) fn stages() -> String {
    let mut all = SETTINGS.to_owned();
    for stage in STAGES {
        all.push_str("---\n");
        all.push_str(stage);
    }
    all
}

/// Creates the nodes `node-1` …, each in a zone of its own.
pub(crate) async fn create(client: &Client, count: usize) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    for number in 1..=count {
        let name = format!("node-{number}");
        let node = object(json!({
            "metadata": {
                "name": name,
                "annotations": {ADDRESS: format!("10.127.{}.{}", number / 250, number % 250 + 1)},
                "labels": {
                    "kubernetes.io/hostname": name,
                    "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64",
                    "topology.kubernetes.io/region": "region-1",
                    "topology.kubernetes.io/zone": format!("zone-{number}"),
                },
            },
        }))?;
        nodes.create(&PostParams::default(), &node).await.with_context(|| format!("create node {name}"))?;
    }
    Ok(())
}

/// Waits until the nodes are ready and a pod runs: that takes all processes there are.
pub(crate) async fn await_working(client: &Client, count: usize, processes: &mut Processes) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    watch_over(processes, WORKING, "ready nodes", &["kwok", "kube-controller-manager"], async || {
        let ready = nodes.list(&ListParams::default()).await?.items.iter().filter(|node| is_ready(node)).count();
        if ready < count { bail!("{ready} of {count} nodes are ready and without taint") } else { Ok(()) }
    })
    .await?;
    if count == 0 {
        return Ok(());
    }

    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let pod: Pod = object(json!({
        "metadata": {"name": PROBE},
        "spec": {"containers": [{"name": PROBE, "image": "probe:1"}]},
    }))?;
    watch_over(processes, WORKING, "the default ServiceAccount", &["kube-controller-manager"], async || {
        pods.create(&PostParams::default(), &pod).await.map_err(anyhow::Error::from)
    })
    .await?;
    watch_over(processes, WORKING, "a ready pod", &["kube-scheduler", "kwok"], async || {
        let status = pods.get_status(PROBE).await?.status.unwrap_or_default();
        match status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready") {
            Some(condition) if condition.status == "True" => Ok(()),
            _ => bail!("conditions {:?}", status.conditions),
        }
    })
    .await?;
    pods.delete(PROBE, &DeleteParams::default()).await.context("delete the probe pod")?;
    watch_over(processes, WORKING, "the end of a deleted pod", &["kwok"], async || match pods.get_opt(PROBE).await? {
        Some(pod) => bail!("it is still there: {:?}", pod.metadata.deletion_timestamp),
        None => Ok(()),
    })
    .await
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let tainted = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).is_some_and(|taints| !taints.is_empty());
    !tainted && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn object<K: Resource + DeserializeOwned>(value: serde_json::Value) -> Result<K> {
    serde_json::from_value(value).context("an object of the rig does not fit its type")
}
