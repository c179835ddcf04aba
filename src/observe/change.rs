//! Whom a change concerns: from an object, as it was and as it is, to the policies that have to look again.
//!
//! Waking one policy too many costs one look; waking one too few leaves an incident unseen. This module must not
//! look at what changed, only at what it belongs to.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::Kind;
use super::links::Link;
use super::slim::Object;
use super::world::Namespace;
use crate::plan::facts::Workload;

/// Something changed in a way that may matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Kind of the object.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it belongs or belonged to, so that a deleted object still finds its policies.
    wakes: BTreeSet<Wake>,
}

/// What to look up for the policies concerned, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wake {
    Policy(String),
    Recovery(String),
    Workload(String),
    ReplicaSet(String),
    ConfigMap(String),
    /// The Service of this name, as it is now.
    Service(String),
    /// A Service of this name, with this selector, whether or not it still exists.
    Selector(String, BTreeMap<String, String>),
    /// Every policy of the namespace.
    Everyone,
}

impl Change {
    pub(super) fn new(kind: Kind, namespace: &str, name: &str, wakes: BTreeSet<Wake>) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned(), wakes }
    }

    /// Names of the policies of the namespace that it concerns.
    pub(super) fn policies(&self, world: &Namespace) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for wake in &self.wakes {
            resolve(world, wake, &mut found);
        }
        found
    }
}

/// What an object belongs to.
pub(super) fn wakes(name: &str, object: &Object) -> BTreeSet<Wake> {
    let name = || name.to_owned();
    match object {
        Object::Workload(_) | Object::CronJob(_) => [Wake::Workload(name())].into(),
        Object::Revision(revision) => [Wake::Workload(revision.owner.to_string())].into(),
        Object::Pod(pod) => {
            let set = pod.controller.as_ref().map(|controller| match controller.replica_set {
                true => Wake::ReplicaSet(controller.name.to_string()),
                false => Wake::Workload(controller.name.to_string()),
            });
            let recovery = pod.quarantined_by.as_ref().map(|recovery| Wake::Recovery(recovery.to_string()));
            set.into_iter().chain(recovery).collect()
        }
        Object::ConfigMap(_) => [Wake::ConfigMap(name())].into(),
        Object::Service(service) => {
            let switched = service.switched_by.clone().map(Wake::Recovery);
            switched.into_iter().chain([Wake::Selector(name(), service.selector.clone())]).collect()
        }
        // They change rarely, and whom they concern is not cheap to tell.
        Object::Member(_) => [Wake::Everyone].into(),
        Object::EndpointSlice(slice) => [Wake::Service(slice.service.to_string())].into(),
        // With its rivals: they are free once it is gone.
        Object::RecoveryPolicy(policy) => {
            [Wake::Policy(name()), Wake::Workload(policy.spec.target_ref.name.clone())].into()
        }
        Object::StableState(state) => [Wake::Policy(state.policy.to_string())].into(),
        Object::Recovery(incident) => [Wake::Policy(incident.facts.journal.policy.clone())].into(),
        // It concerns everybody, and its status changes often: who counts the targets wakes those whom it frees.
        Object::RecoveryBudget(_) => BTreeSet::new(),
        // Whose pods are on it is not cheap to tell; it changes rarely: a heartbeat is no change.
        Object::Node(_) => [Wake::Everyone].into(),
    }
}

fn resolve(world: &Namespace, wake: &Wake, found: &mut BTreeSet<String>) {
    match wake {
        Wake::Policy(name) => {
            found.insert(name.clone());
        }
        Wake::Recovery(name) => found.extend(of_recovery(world, name)),
        Wake::Workload(name) => of_workload(world, name, found),
        Wake::ReplicaSet(name) => {
            if let Some(set) = world.revision(Kind::ReplicaSet, name) {
                of_workload(world, &set.owner, found);
            }
        }
        Wake::ConfigMap(name) => {
            for workload in world.linked(Link::Consumers, name) {
                of_workload(world, workload, found);
            }
            found.extend(world.linked(Link::Includes, name).map(str::to_owned));
            let states = world.linked(Link::StatesWithConfigMap, name).filter_map(|state| world.state(state));
            found.extend(states.map(|state| state.policy.to_string()));
        }
        Wake::Service(name) => {
            if let Some(service) = world.service(name) {
                found.extend(service.switched_by.as_ref().and_then(|recovery| of_recovery(world, recovery)));
                of_service(world, name, &service.selector, found);
            }
        }
        Wake::Selector(name, selector) => of_service(world, name, selector, found),
        Wake::Everyone => found.extend(everyone(world)),
    }
}

fn of_recovery(world: &Namespace, name: &str) -> Option<String> {
    world.recovery(name).map(|incident| incident.facts.journal.policy.clone())
}

/// The policies whose target, standby or neighbour it is, and the incidents of it, whose policies may be gone.
fn of_workload(world: &Namespace, name: &str, found: &mut BTreeSet<String>) {
    let policies = world.linked(Link::Policies, name).chain(world.linked(Link::StandbyOf, name));
    let policies = policies.chain(world.linked(Link::NeighbourOf, name));
    found.extend(policies.map(str::to_owned));
    let incidents = world.linked(Link::OpenRecoveries, name);
    found.extend(incidents.filter_map(|recovery| of_recovery(world, recovery)));
}

/// The policies that move traffic by it or list it, and those whose target or standby it selects.
fn of_service(world: &Namespace, name: &str, selector: &BTreeMap<String, String>, found: &mut BTreeSet<String>) {
    found.extend(world.linked(Link::MovedBy, name).chain(world.linked(Link::Includes, name)).map(str::to_owned));
    if selector.is_empty() {
        return;
    }
    for link in [Link::Policies, Link::StandbyOf, Link::OpenRecoveries] {
        for (name, _) in world.all_linked(link) {
            let selected =
                |workload: &Workload| selector.iter().all(|(key, value)| workload.labels.get(key) == Some(value));
            if world.workloads(name).any(selected) {
                of_workload(world, name, found);
            }
        }
    }
}

/// Every policy, and every one that has an incident and may be gone.
pub(super) fn everyone(world: &Namespace) -> impl Iterator<Item = String> {
    let policies = world.all(Kind::RecoveryPolicy).map(|(name, _)| name.to_owned());
    policies.chain(world.all_linked(Link::Recoveries).map(|(policy, _)| policy.to_owned()))
}
