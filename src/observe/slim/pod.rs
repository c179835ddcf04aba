//! Pods: who controls them, how they are, and whether we took them out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Parts, part};
use crate::api::mark;
use crate::plan::facts::PodFacts;

/// A pod, in as few bytes as possible: there are many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    /// Name of the revision it was made from; empty if nothing that we look after controls it.
    pub(crate) revision: Box<str>,
    pub(crate) controller: Option<Controller>,
    pub(crate) quarantined_by: Option<Box<str>>,
    inspect_until: Option<Timestamp>,
    labels: Box<[(Box<str>, Box<str>)]>,
    /// The node it was placed on; empty while it is not.
    pub(crate) node: Box<str>,
    created: Timestamp,
    ready: bool,
    ready_since: Option<Timestamp>,
    started: Option<Timestamp>,
    restarts: u32,
    most_restarts: u32,
    waiting: Box<[Box<str>]>,
    pub(crate) deleting: bool,
    pub(crate) finished: bool,
    /// It has no network of its own, but that of its node.
    pub(crate) on_host: bool,
    pub(crate) addresses: Box<[IpAddr]>,
}

/// What makes a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Controller {
    /// A ReplicaSet; else a StatefulSet or DaemonSet.
    pub(crate) replica_set: bool,
    pub(crate) name: Box<str>,
    pub(crate) uid: Box<str>,
}

impl Pod {
    /// Whether it has all of these labels.
    pub(crate) fn carries(&self, labels: &BTreeMap<String, String>) -> bool {
        labels.iter().all(|(key, value)| self.labels.iter().any(|(own, has)| **own == **key && **has == **value))
    }

    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        self.labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    /// As decisions need it.
    pub(crate) fn facts(&self, name: &str, uid: &str) -> PodFacts {
        PodFacts {
            name: name.to_owned(),
            uid: uid.to_owned(),
            revision: self.revision.to_string(),
            labels: self.labels(),
            node: self.node.to_string(),
            created: self.created,
            ready: self.ready,
            ready_since: self.ready_since,
            started: self.started,
            restarts: self.restarts,
            most_restarts: self.most_restarts,
            waiting: self.waiting.iter().map(ToString::to_string).collect(),
            deleting: self.deleting,
            finished: self.finished,
            quarantined_by: self.quarantined_by.as_ref().map(ToString::to_string),
            inspect_until: self.inspect_until,
            reached_by: Default::default(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    node_name: Option<String>,
    host_network: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStatus {
    phase: Option<String>,
    conditions: Option<Vec<Condition>>,
    container_statuses: Option<Vec<ContainerStatus>>,
    init_container_statuses: Option<Vec<ContainerStatus>>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
}

#[derive(Deserialize)]
struct PodIp {
    ip: Option<IpAddr>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    last_transition_time: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStatus {
    restart_count: Option<u32>,
    state: Option<ContainerState>,
}

#[derive(Deserialize)]
struct ContainerState {
    waiting: Option<Waiting>,
    running: Option<Running>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    started_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Waiting {
    reason: Option<String>,
}

impl PodStatus {
    fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.container_statuses.iter().chain(&self.init_container_statuses).flatten()
    }

    fn restarts(&self) -> impl Iterator<Item = u32> {
        self.containers().map(|container| container.restart_count.unwrap_or(0))
    }

    /// What a container that starts again reads anew tells nothing about the others: the last start counts.
    fn started(&self) -> Option<Timestamp> {
        let starts = self.container_statuses.iter().flatten();
        let starts: Option<Vec<_>> =
            starts.map(|container| container.state.as_ref()?.running.as_ref()?.started_at).collect();
        starts?.into_iter().max()
    }

    fn waiting(&self) -> BTreeSet<&str> {
        let states = self.containers().filter_map(|container| container.state.as_ref()?.waiting.as_ref());
        states.filter_map(|waiting| waiting.reason.as_deref()).collect()
    }
}

/// By this label the controllers of StatefulSets and DaemonSets tell from which revision they made a pod.
const REVISION: &str = "controller-revision-hash";

/// `None` for a pod that neither a workload controls nor we took out: no decision needs it.
pub(super) fn pod(parts: &Parts<'_>) -> Result<Option<Pod>, serde_json::Error> {
    let metadata = &parts.metadata;
    let known = ["ReplicaSet", "StatefulSet", "DaemonSet"];
    let controller = metadata.controller().filter(|owner| known.contains(&owner.kind.as_str()));
    let controller = controller.map(|owner| Controller {
        replica_set: owner.kind == "ReplicaSet",
        name: owner.name.as_str().into(),
        uid: owner.uid.as_str().into(),
    });
    let quarantined_by = metadata.label(mark::QUARANTINED_BY);
    let revision = match &controller {
        None if quarantined_by.is_none() => return Ok(None),
        None => "",
        Some(set) if set.replica_set => &set.name,
        Some(_) => metadata.label(REVISION).unwrap_or_default(),
    };
    let PodSpec { node_name, host_network } = part::<Option<PodSpec>>(parts.spec)?.unwrap_or_default();
    let status: Option<PodStatus> = part(parts.status)?;
    let status = status.unwrap_or_default();
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    let labels = metadata.labels.iter().flatten();
    Ok(Some(Pod {
        revision: revision.into(),
        quarantined_by: quarantined_by.map(Into::into),
        inspect_until: metadata.annotation(mark::INSPECT_UNTIL).and_then(|until| until.parse().ok()),
        controller,
        labels: labels.map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect(),
        node: node_name.unwrap_or_default().into(),
        created: metadata.created(),
        ready: ready.is_some_and(|condition| condition.status == "True"),
        ready_since: ready.and_then(|condition| condition.last_transition_time),
        started: status.started(),
        restarts: status.restarts().fold(0, u32::saturating_add),
        most_restarts: status.restarts().max().unwrap_or(0),
        waiting: status.waiting().into_iter().map(Into::into).collect(),
        deleting: metadata.deleting(),
        on_host: host_network.unwrap_or(false),
        addresses: status.pod_ips.iter().flatten().filter_map(|address| address.ip).collect(),
        finished: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
    }))
}
