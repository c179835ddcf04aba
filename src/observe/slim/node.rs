//! Nodes: whether they are ready, whether they take pods, and whether we cordoned them.

use jiff::Timestamp;
use serde::Deserialize;

use super::{Parts, part};
use crate::api::mark;
use crate::plan::nodes::NodeFacts;

const ZONE: &str = "topology.kubernetes.io/zone";
/// Taints with these effects keep new pods away.
const REPELLING: [&str; 2] = ["NoSchedule", "NoExecute"];
/// What the node controller says of a cordoned node, and takes away with the cordon.
const CORDONED: &str = "node.kubernetes.io/unschedulable";

#[derive(Default, Deserialize)]
struct NodeSpec {
    unschedulable: Option<bool>,
    taints: Option<Vec<Taint>>,
}

#[derive(Deserialize)]
struct Taint {
    key: String,
    effect: String,
}

#[derive(Default, Deserialize)]
struct NodeStatus {
    conditions: Option<Vec<Condition>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    last_transition_time: Option<Timestamp>,
}

/// How many others are sick on it is not the node's own to say.
pub(super) fn node(parts: &Parts<'_>) -> Result<NodeFacts, serde_json::Error> {
    let spec = part::<Option<NodeSpec>>(parts.spec)?.unwrap_or_default();
    let status = part::<Option<NodeStatus>>(parts.status)?.unwrap_or_default();
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    let repels = |taint: &Taint| taint.key != CORDONED && REPELLING.contains(&taint.effect.as_str());
    let metadata = &parts.metadata;
    Ok(NodeFacts {
        name: metadata.name.clone(),
        uid: metadata.uid(),
        ready: ready.is_some_and(|condition| condition.status == "True"),
        since: ready.and_then(|condition| condition.last_transition_time),
        unschedulable: spec.unschedulable.unwrap_or(false),
        tainted: spec.taints.iter().flatten().any(repels),
        zone: metadata.label(ZONE).unwrap_or_default().to_owned(),
        cordoned_by: metadata.annotation(mark::CORDONED_BY).map(str::to_owned),
        sick_others: 0,
    })
}
