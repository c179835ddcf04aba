//! What NetworkPolicies know of a target and of the dependencies that it can do without.
//!
//! Pods are only looked through where the policy names such a dependency. This module must not judge.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::SelectorExt;

use super::kind::Kind;
use super::links::Link;
use super::slim::{Member, Pod, Policy, Tie};
use super::world::Namespace;
use crate::plan::cuts::{Callee, CutFacts, Network};
use crate::plan::facts::{RecoveryFacts, Workload};

pub(super) fn network(
    world: &Namespace,
    policy: Option<&Policy>,
    target: Option<&Workload>,
    recoveries: &[RecoveryFacts],
) -> Network {
    let cuts = cuts(world, target, recoveries);
    let isolate = policy.and_then(|policy| policy.spec.actions.isolate.as_ref());
    let named = isolate.map(|isolate| isolate.dependencies.as_slice()).unwrap_or_default();
    let Some(target) = target.filter(|_| !named.is_empty() || !cuts.is_empty()) else {
        return Network { cuts, ..Network::default() };
    };
    let pods = pods(world, target);
    let dependencies =
        named.iter().filter_map(|named| world.workload(Kind::of(&named.api_version, &named.kind)?, &named.name));
    Network {
        limits: limits(world, target, &pods),
        namesakes: namesakes(world, target, &pods),
        on_host: pods.values().any(|pod| pod.on_host),
        callees: dependencies.map(|dependency| callee(world, dependency)).collect(),
        cuts,
    }
}

fn policies(world: &Namespace) -> impl Iterator<Item = (&str, &Member)> {
    let all = world.all(Kind::NetworkPolicy);
    all.filter_map(|(name, _)| Some((name, world.member(Kind::NetworkPolicy, name)?)))
}

/// Those of our Recoveries, and those that nobody but the target can be meant by.
fn cuts(world: &Namespace, target: Option<&Workload>, recoveries: &[RecoveryFacts]) -> Vec<CutFacts> {
    let marked = world.all_linked(Link::Marked).flat_map(|(_, names)| names);
    let found = marked.filter_map(|name| {
        let member = world.member(Kind::NetworkPolicy, name)?;
        let Tie::Limits { selector, cut_by: Some(recovery), .. } = &member.tie else { return None };
        let ours = recoveries.iter().any(|own| *own.name == **recovery);
        let concerned = ours || target.is_some_and(|target| selector.matches(&target.labels));
        let (name, recovery, digest) = (name.to_owned(), recovery.to_string(), member.digest.to_string());
        concerned.then_some(CutFacts { name, recovery, digest })
    });
    found.collect()
}

/// The NetworkPolicies that say whom the target's pods may call, as they are or as they will be made.
fn limits(world: &Namespace, target: &Workload, pods: &BTreeMap<&str, &Pod>) -> BTreeSet<String> {
    let labels: BTreeSet<BTreeMap<String, String>> = pods.values().map(|pod| pod.labels()).collect();
    let limiting = policies(world).filter(|(_, member)| match &member.tie {
        Tie::Limits { selector, egress: true, .. } => {
            selector.matches(&target.labels) || labels.iter().any(|labels| selector.matches(labels))
        }
        _ => false,
    });
    limiting.map(|(name, _)| name.to_owned()).collect()
}

/// Its pods that have not ended, by name.
fn pods<'a>(world: &'a Namespace, workload: &'a Workload) -> BTreeMap<&'a str, &'a Pod> {
    let sets = world.linked(Link::Revisions, &workload.uid);
    let uids = sets.filter_map(|set| world.get(Kind::ReplicaSet, set)).map(|stored| stored.uid.as_ref());
    let names = uids.chain([workload.uid.as_str()]).flat_map(|uid| world.linked(Link::Pods, uid));
    names.filter_map(|name| Some((name, world.pod(name)?))).filter(|(_, pod)| !pod.finished).collect()
}

/// Pods of other workloads with the labels by which this one selects its own.
fn namesakes(world: &Namespace, workload: &Workload, own: &BTreeMap<&str, &Pod>) -> BTreeSet<String> {
    let all = world.all(Kind::Pod).filter_map(|(name, _)| Some((name, world.pod(name)?)));
    let others = all.filter(|(name, pod)| !own.contains_key(name) && !pod.finished && pod.carries(&workload.selector));
    others.map(|(name, _)| name.to_owned()).collect()
}

fn callee(world: &Namespace, workload: &Workload) -> Callee {
    let own = pods(world, workload);
    Callee {
        title: workload.title(),
        selector: workload.selector.clone(),
        namesakes: namesakes(world, workload, &own),
        on_host: own.values().any(|pod| pod.on_host),
        pods: own.into_iter().map(|(name, pod)| (name.to_owned(), pod.addresses.iter().copied().collect())).collect(),
    }
}
