//! The nodes as one policy needs them: all of them counted, and those that its pods are on.
//!
//! What is wrong with a node shows in the pods of others as well; these are looked up by a link, and only on nodes where
//! the target has a pod that is not ready. This module must not judge.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::kind::Kind;
use super::links::Link;
use super::stores::Worlds;
use super::world::Namespace;
use crate::plan::facts::{Facts, PodFacts};
use crate::plan::forgotten::is_of;
use crate::plan::nodes::{NodeFacts, Nodes};

/// All nodes, seen from one policy.
pub(super) fn nodes(worlds: &Worlds, facts: &Facts) -> Nodes {
    let Some(cluster) = worlds.get("") else { return Nodes::default() };
    let all = || cluster.all(Kind::Node).filter_map(|(name, _)| cluster.node(name));
    let count = |test: &dyn Fn(&NodeFacts) -> bool| u32::try_from(all().filter(|node| test(node)).count()).unwrap_or(0);
    let unread = cluster.malformed().filter(|(kind, ..)| *kind == Kind::Node).count();
    let cordoned = all().filter(|node| node.unschedulable && node.cordoned_by.is_some());
    let concerned = concerned(facts);
    let here = format!("{}/", facts.namespace);
    let of_policy = |by: &str| by.strip_prefix(&here).is_some_and(|recovery| is_of(&facts.policy_name, recovery));
    let mine =
        |node: &NodeFacts| node.cordoned_by.as_ref().is_some_and(|by| concerned.marks.contains(by) || of_policy(by));
    let known = all().filter(|node| concerned.names.contains(node.name.as_str()) || mine(node));
    Nodes {
        all: count(&|_| true),
        ready: count(&|node| node.ready),
        schedulable: count(&NodeFacts::schedulable),
        unread: u32::try_from(unread).unwrap_or(u32::MAX),
        last_back: all().filter(|node| node.ready).filter_map(|node| node.since).max(),
        cordoned: cordoned.map(|node| node.name.clone()).collect(),
        known: known.map(|node| NodeFacts { sick_others: sick_others(worlds, facts, node), ..node.clone() }).collect(),
    }
}

/// What ties nodes to a policy.
struct Concerned<'a> {
    names: BTreeSet<&'a str>,
    marks: BTreeSet<String>,
}

fn concerned(facts: &Facts) -> Concerned<'_> {
    let hosts = facts.pods.iter().chain(&facts.standby_pods).map(|pod| pod.node.as_str());
    let steps = facts.recoveries.iter().flat_map(|recovery| &recovery.journal.steps);
    let fenced = steps.filter(|step| step.object.kind == Kind::Node.name()).map(|step| step.object.name.as_str());
    let mark = |name: &str| format!("{}/{name}", facts.namespace);
    Concerned {
        names: hosts.chain(fenced).filter(|name| !name.is_empty()).collect(),
        marks: facts.recoveries.iter().map(|recovery| mark(&recovery.name)).collect(),
    }
}

/// How many other workloads are bad here and good everywhere else.
fn sick_others(worlds: &Worlds, facts: &Facts, node: &NodeFacts) -> u32 {
    if !facts.live_pods().any(|pod| pod.node == node.name && !pod.ready) {
        return 0;
    }
    let own: BTreeSet<&str> = facts.pods.iter().map(|pod| pod.uid.as_str()).collect();
    let sick = worlds.values().flat_map(|world| {
        let there = pods(world, world.linked(Link::PodsOnNode, &node.name));
        let controllers: BTreeMap<String, bool> =
            there.filter_map(|(controller, pod)| Some((controller?, own.contains(pod.uid.as_str())))).collect();
        let others = controllers.into_iter().filter(|(_, own)| !own).map(|(controller, _)| controller);
        others.filter(|controller| sick_only_there(world, controller, &node.name)).collect::<Vec<_>>()
    });
    u32::try_from(sick.count()).unwrap_or(u32::MAX)
}

fn sick_only_there(world: &Namespace, controller: &str, node: &str) -> bool {
    let live = pods(world, world.linked(Link::Pods, controller)).map(|(_, pod)| pod);
    let (there, elsewhere): (Vec<_>, Vec<_>) =
        live.filter(|pod| !pod.deleting && !pod.finished).partition(|pod| pod.node == node);
    let sick = !there.is_empty() && there.iter().all(failed);
    sick && !elsewhere.is_empty() && elsewhere.iter().all(|pod| pod.ready)
}

/// Not ready any more, or tried in vain. One that was only just made may still get ready.
fn failed(pod: &PodFacts) -> bool {
    let was_ready = pod.ready_since.is_some_and(|since| since > pod.created + SignedDuration::from_secs(1));
    !pod.ready && (was_ready || pod.restarts > 0)
}

/// Pods by name, each with the uid of its controller.
fn pods<'a>(
    world: &'a Namespace,
    names: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = (Option<String>, PodFacts)> {
    names.filter_map(|name| {
        let uid = &world.get(Kind::Pod, name)?.uid;
        let pod = world.pod(name)?;
        Some((pod.controller.as_ref().map(|controller| controller.uid.to_string()), pod.facts(name, uid)))
    })
}
