//! Nodes: what is known of them, whether one of them is to blame, and how long one that we cordoned stays so.
//!
//! A node is everybody's, so evidence has to be better than for a pod: it is dead, or it makes others ill as well, and
//! the target's copies elsewhere are well. What stands after an incident has closed is a fence: a planned
//! `UncordonNode` in its journal, which is carried out as soon as the node is well again.

use std::borrow::Cow;
use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::assess::Assessment;
use super::due::planned_removal;
use super::facts::{Facts, PodFacts, RecoveryFacts};
use super::guard::Case;
use super::journal::in_charge;
use super::member::MemberKind;
use super::steps::step;
use crate::api::Reason;
use crate::api::recovery::{Journal, ObjectRef, Phase, Remediation, Remedy, Step, Suspect};

/// Whether the nodes are looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeSight {
    /// They are not: the operator has no right to.
    #[default]
    Off,
    /// They are, and are out of sight now.
    Blind,
    /// They are.
    Seen(Nodes),
}

/// All nodes, seen from one target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nodes {
    /// How many there are.
    pub all: u32,
    /// How many are ready.
    pub ready: u32,
    /// How many take new pods that tolerate nothing: ready, not cordoned, not tainted.
    pub schedulable: u32,
    /// How many cannot be read.
    pub unread: u32,
    /// When one last became ready (whole seconds).
    #[serde(default)]
    pub last_back: Option<Timestamp>,
    /// Names of those that are cordoned by us, for whichever target.
    pub cordoned: BTreeSet<String>,
    /// Those that carry pods of the target or of its standby, and those that a Recovery of its policy names.
    pub known: Vec<NodeFacts>,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Its Ready condition is true; Unknown is not.
    pub ready: bool,
    /// When that last changed (whole seconds).
    pub since: Option<Timestamp>,
    /// Cordoned, by whomsoever.
    pub unschedulable: bool,
    /// Has a taint that keeps new pods away.
    pub tainted: bool,
    /// Its zone; empty if it has none.
    pub zone: String,
    /// The Recovery that cordoned it, as in `shop/web-1`.
    pub cordoned_by: Option<String>,
    /// Other workloads all of whose copies here are bad, and all of whose copies elsewhere are good. Counted only where
    /// the target has a pod that is not ready.
    pub sick_others: u32,
}

impl NodeSight {
    /// The nodes, if they are seen.
    #[must_use]
    pub fn seen(&self) -> Option<&Nodes> {
        match self {
            Self::Seen(nodes) => Some(nodes),
            Self::Off | Self::Blind => None,
        }
    }
}

impl Nodes {
    /// The node of this name, if anything of ours is on it.
    #[must_use]
    pub fn known(&self, name: &str) -> Option<&NodeFacts> {
        self.known.iter().find(|node| node.name == name)
    }
}

impl NodeFacts {
    /// Takes new pods that tolerate nothing.
    #[must_use]
    pub fn schedulable(&self) -> bool {
        self.ready && !self.unschedulable && !self.tainted
    }
}

/// The facts, with no pod taken for ready that is on a node which is not: nobody there tells any more. A node whose
/// kubelet says itself that it is not ready leaves its pods as they were, until they are evicted minutes later.
pub(super) fn believed(facts: &Facts) -> Cow<'_, Facts> {
    let Some(nodes) = facts.nodes.seen() else { return Cow::Borrowed(facts) };
    let dead = |pod: &PodFacts| nodes.known(&pod.node).filter(|node| pod.ready && !node.ready);
    if !facts.pods.iter().chain(&facts.standby_pods).any(|pod| dead(pod).is_some()) {
        return Cow::Borrowed(facts);
    }
    let mut believed = facts.clone();
    for pod in believed.pods.iter_mut().chain(&mut believed.standby_pods) {
        if let Some(node) = dead(pod) {
            (pod.ready, pod.ready_since) = (false, node.since.max(pod.ready_since));
        }
    }
    Cow::Owned(believed)
}

/// Who is suspected, if nodes are.
pub(super) struct Suspicion {
    pub suspect: Suspect,
    pub reason: Reason,
    pub message: String,
    /// The node, if it is a single one.
    pub node: Option<String>,
}

/// Most nodes look dead: more likely the cluster is, or the way to it, and nothing of it can be mended here.
pub(super) fn observer(facts: &Facts) -> Option<Suspicion> {
    let nodes = facts.nodes.seen().filter(|nodes| nodes.ready.saturating_mul(2) < nodes.all)?;
    let message = format!("only {} of {} nodes are ready", nodes.ready, nodes.all);
    Some(Suspicion { suspect: Suspect::Observer, reason: Reason::MostNodesLost, message, node: None })
}

/// One node, or one zone, that all bad pods share and no good one. Only asked where nothing changed.
pub(super) fn shared(facts: &Facts, assessment: &Assessment) -> Option<Suspicion> {
    let nodes = facts.nodes.seen().filter(|_| !assessment.rolling)?;
    let is_bad = |pod: &&PodFacts| assessment.bad_pods.contains(&pod.uid) && !pod.ready;
    let bad: Vec<&PodFacts> = facts.live_pods().filter(is_bad).collect();
    let good: Vec<&PodFacts> = facts.live_pods().filter(|pod| pod.ready).collect();
    let hosts: BTreeSet<&str> = bad.iter().map(|pod| pod.node.as_str()).collect();
    // One that was never placed, or that is on a node which we do not know, points to no node.
    let hosts: Vec<&NodeFacts> = hosts.into_iter().map(|name| nodes.known(name)).collect::<Option<_>>()?;
    match hosts.as_slice() {
        [] => None,
        [node] if good.iter().any(|pod| pod.node == node.name) => None,
        [node] => blame(nodes, node, bad.len(), good.len()),
        [first, ..] => zone(nodes, &hosts, first, &good),
    }
}

/// A node that is not ready speaks for itself, as long as others are. One that is ready is believed, unless several
/// workloads fall ill on it, or several copies of one, that are all well elsewhere.
fn blame(nodes: &Nodes, node: &NodeFacts, bad: usize, good: usize) -> Option<Suspicion> {
    let name = &node.name;
    let message = match node.ready {
        false if nodes.ready == 0 => return None,
        false => format!("nothing changed, and all {bad} bad pods are on Node {name}, which is not ready"),
        true if good > 0 && (bad >= 2 || node.sick_others >= 1) => format!(
            "nothing changed, and all {bad} bad pods are on Node {name}, on which {} other workloads fail as well; {good} \
             elsewhere are good",
            node.sick_others
        ),
        true => return None,
    };
    Some(Suspicion { suspect: Suspect::Node, reason: Reason::NodeIsolated, message, node: Some(name.clone()) })
}

fn zone(nodes: &Nodes, hosts: &[&NodeFacts], first: &NodeFacts, good: &[&PodFacts]) -> Option<Suspicion> {
    let zone = &first.zone;
    let together = !zone.is_empty() && hosts.iter().all(|node| node.zone == *zone);
    let in_zone = |pod: &&PodFacts| nodes.known(&pod.node).is_none_or(|node| node.zone == *zone);
    let known_elsewhere = !good.is_empty() || hosts.iter().all(|node| !node.ready);
    if !together || !known_elsewhere || good.iter().any(in_zone) {
        return None;
    }
    let message = format!("nothing changed, and all bad pods are on {} nodes of zone {zone}", hosts.len());
    Some(Suspicion { suspect: Suspect::Zone, reason: Reason::ZoneSuspected, message, node: None })
}

/// The node that is suspected.
pub(super) fn suspected<'a>(case: &'a Case) -> Option<&'a NodeFacts> {
    case.facts.nodes.seen()?.known(case.triage.node.as_ref()?)
}

/// Where a pod would share the suspect: its node, if that is suspected, or its zone. A node that we do not know may be
/// in any zone.
pub(super) fn shares_place(case: &Case, pod: &PodFacts) -> Option<String> {
    if case.triage.suspect == Suspect::Node {
        let node = case.triage.node.as_ref()?;
        return (pod.node == *node).then(|| format!("Node {node}"));
    }
    let nodes = case.facts.nodes.seen().filter(|_| case.triage.suspect == Suspect::Zone)?;
    let bad = case.facts.live_pods().find(|pod| case.assessment.bad_pods.contains(&pod.uid) && !pod.ready)?;
    let zone = &nodes.known(&bad.node)?.zone;
    nodes.known(&pod.node).is_none_or(|node| node.zone == *zone).then(|| format!("zone {zone}"))
}

/// Keeps new pods away from the suspected node, and moves the target's bad pods off it. A node that is cordoned already,
/// by whomsoever, is left as it is.
pub(super) fn isolate(case: &Case, recovery: &str) -> Vec<Step> {
    let Some(node) = suspected(case) else { return vec![] };
    let mine = |pod: &&PodFacts| pod.node == node.name && !pod.ready && case.assessment.bad_pods.contains(&pod.uid);
    let pods = case.facts.live_pods().filter(mine);
    let moved: Vec<Step> = match (node.ready, case.target.kind) {
        (true, _) => pods.map(super::steps::evict).collect(),
        (false, MemberKind::Deployment) => pods.map(|pod| delete_lost(pod, node)).collect(),
        // It may run there still, and its successor would be a second one of the same name: two that write.
        (false, _) => vec![],
    };
    if node.unschedulable {
        return moved;
    }
    let left = moved.is_empty();
    [cordon(case, node, recovery, left)].into_iter().chain(moved).chain([uncordon(case, node)]).collect()
}

fn object(node: &NodeFacts) -> ObjectRef {
    ObjectRef { kind: "Node".into(), name: node.name.clone(), uid: node.uid.clone() }
}

fn cordon(case: &Case, node: &NodeFacts, recovery: &str, left: bool) -> Step {
    let most = case.facts.fleet.limits.max_cordoned;
    let mut intent = format!("cordon Node {}, so that nothing new is placed on it", node.name);
    if left {
        intent.push_str("; pods of a StatefulSet there are left to the node controller, as they may still be writing");
    }
    let from = json!({"ready": node.ready, "maxCordoned": most}).to_string();
    step(Remediation::CordonNode, object(node), intent, from, format!("{}/{recovery}", case.facts.namespace))
}

fn delete_lost(pod: &PodFacts, node: &NodeFacts) -> Step {
    let object = ObjectRef { kind: "Pod".into(), name: pod.name.clone(), uid: pod.uid.clone() };
    let intent = format!("delete {object} on Node {}, which does not answer: its ReplicaSet makes it anew", node.name);
    step(Remediation::DeleteLostPod, object, intent, node.name.clone(), String::new())
}

/// That a node is well again can be seen only of one that was not ready. Any other is tried again after the time for
/// an inspection.
fn uncordon(case: &Case, node: &NodeFacts) -> Step {
    let inspection = case.policy.spec.actions.isolate.as_ref().map(|isolate| isolate.inspection);
    let until = case.now + inspection.unwrap_or(crate::api::Duration::minutes(10)).signed();
    let intent = format!("uncordon Node {}, which we cordoned, when it is well again", node.name);
    let to = if node.ready { until.to_string() } else { String::new() };
    step(Remediation::UncordonNode, object(node), intent, String::new(), to)
}

/// Cordons of ours that stand, as far as the journal knows.
fn fences(journal: &Journal) -> impl Iterator<Item = (usize, &Step)> {
    let fence = |step: &Step| step.remediation == Remediation::UncordonNode && planned_removal(journal, step);
    (0..).zip(&journal.steps).filter(move |(_, step)| fence(step))
}

/// Whether somebody took a cordon of ours away.
pub(super) fn uncordoned_by_other(facts: &Facts, open: &RecoveryFacts) -> Option<String> {
    let nodes = facts.nodes.seen()?;
    let mine = format!("{}/{}", facts.namespace, open.name);
    let (_, step) = fences(&open.journal).find(|(_, step)| {
        let node = nodes.known.iter().find(|node| node.uid == step.object.uid);
        node.is_some_and(|node| !node.unschedulable || node.cordoned_by.as_ref() != Some(&mine))
    })?;
    Some(format!("somebody uncordoned {}, which we had cordoned", step.object))
}

/// Which fences of a Recovery are to be taken away now, and when to look again. One whose node is out of sight stays.
pub(super) fn release_due(facts: &Facts, recovery: &RecoveryFacts, now: Timestamp) -> (Vec<usize>, Option<Timestamp>) {
    let settled = matches!(recovery.journal.phase, Phase::Closed | Phase::Holding | Phase::AwaitingApproval);
    let Some(nodes) = facts.nodes.seen().filter(|_| settled) else { return (vec![], None) };
    let (mut due, mut until) = (vec![], None);
    for (index, step) in fences(&recovery.journal) {
        match released_at(facts, nodes, &recovery.name, step) {
            Some(at) if at <= now => due.push(index),
            Some(at) => until = [until, Some(at)].into_iter().flatten().min(),
            None => {}
        }
    }
    (due, until)
}

/// When a fence may go; `None` while nobody knows.
fn released_at(facts: &Facts, nodes: &Nodes, recovery: &str, step: &Step) -> Option<Timestamp> {
    let at_once = Some(Timestamp::MIN);
    let Some(node) = nodes.known.iter().find(|node| node.uid == step.object.uid) else { return at_once };
    let mine = format!("{}/{recovery}", facts.namespace);
    let Some(policy) = in_charge(facts) else { return at_once };
    if !node.unschedulable || node.cordoned_by != Some(mine) {
        return at_once;
    }
    let well = node.since.filter(|_| node.ready)? + policy.spec.stability.soak.signed();
    Some(step.to.parse().map_or(well, |inspected: Timestamp| inspected.max(well)))
}

/// What is missing before a node counts as isolated: seen to be so, and offered by no Service.
pub(super) fn missing(facts: &Facts, recovery: &RecoveryFacts) -> Vec<String> {
    let mut missing = vec![];
    if recovery.journal.decision.remedy != Remedy::IsolateNode {
        return missing;
    }
    for (_, step) in fences(&recovery.journal) {
        let Some(nodes) = facts.nodes.seen() else {
            missing.push(format!("whether {} is isolated is out of sight", step.object));
            continue;
        };
        let node = nodes.known.iter().find(|node| node.uid == step.object.uid);
        if node.is_some_and(|node| !node.unschedulable) {
            missing.push(format!("{} takes new pods", step.object));
        }
        let there = |uid: &String| facts.pods.iter().any(|pod| pod.uid == *uid && pod.node == step.object.name);
        let offering = facts.services.iter().filter(|service| service.offered.iter().any(there));
        missing.extend(offering.map(|service| format!("Service {} offers a pod on {}", service.name, step.object)));
    }
    missing
}
