//! The fake nodes and the stages that play the part of their kubelets; and the proof, for every kind of node, that pods
//! run.

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

/// A pod that must run before the cluster counts as working.
#[derive(Clone)]
pub(crate) struct Probe {
    image: &'static str,
    node: Option<String>,
}

impl Probe {
    /// A pod for any of the fake nodes.
    pub(crate) fn fake() -> Self {
        Self { image: "probe:1", node: None }
    }

    /// A pod for this very node, with an image that it has.
    pub(crate) fn real(image: &'static str, node: String) -> Self {
        Self { image, node: Some(node) }
    }

    fn pod(&self) -> Result<(String, Pod)> {
        let name = self.node.as_ref().map_or(PROBE.to_owned(), |node| format!("{PROBE}-{node}"));
        let selector = self.node.as_ref().map(|node| json!({"kubernetes.io/hostname": node}));
        let pod = object(json!({
            "metadata": {"name": name},
            "spec": {
                "nodeSelector": selector,
                "automountServiceAccountToken": false,
                "containers": [{"name": PROBE, "image": self.image}],
            },
        }))?;
        Ok((name, pod))
    }
}

/// Waits until this many nodes are ready and pods run: that takes all processes there are. `agents` are the ones that
/// play the part of kubelets.
pub(crate) async fn await_working(
    client: &Client,
    count: usize,
    probes: &[Probe],
    agents: &[&str],
    processes: &mut Processes,
) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let concerned = [agents, &["kube-controller-manager"]].concat();
    watch_over(processes, WORKING, "ready nodes", &concerned, async || {
        let ready = nodes.list(&ListParams::default()).await?.items.iter().filter(|node| is_ready(node)).count();
        if ready < count { bail!("{ready} of {count} nodes are ready and without taint") } else { Ok(()) }
    })
    .await?;
    if count == 0 {
        return Ok(());
    }

    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let probes: Vec<(String, Pod)> = probes.iter().map(Probe::pod).collect::<Result<_>>()?;
    for (name, pod) in &probes {
        watch_over(processes, WORKING, "the default ServiceAccount", &["kube-controller-manager"], async || {
            pods.create(&PostParams::default(), pod).await.with_context(|| format!("create {name}"))
        })
        .await?;
    }
    let concerned = [agents, &["kube-scheduler"]].concat();
    for (name, _) in &probes {
        watch_over(processes, WORKING, "a ready pod", &concerned, async || {
            let status = pods.get_status(name).await?.status.unwrap_or_default();
            match status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready") {
                Some(condition) if condition.status == "True" => Ok(()),
                _ => bail!("{name}: {:?} {:?}", status.conditions, status.container_statuses),
            }
        })
        .await?;
    }
    for (name, _) in &probes {
        pods.delete(name, &DeleteParams::default()).await.context("delete the probe pod")?;
    }
    for (name, _) in &probes {
        watch_over(processes, WORKING, "the end of a deleted pod", agents, async || match pods.get_opt(name).await? {
            Some(pod) => bail!("it is still there: {:?}", pod.metadata.deletion_timestamp),
            None => Ok(()),
        })
        .await?;
    }
    Ok(())
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let tainted = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).is_some_and(|taints| !taints.is_empty());
    !tainted && conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn object<K: Resource + DeserializeOwned>(value: serde_json::Value) -> Result<K> {
    serde_json::from_value(value).context("an object of the rig does not fit its type")
}
