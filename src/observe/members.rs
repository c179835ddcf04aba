//! The members of a closure, found from the live target and from its states.
//!
//! The target refers to some by name, which may not exist; others attach themselves to it. What a state records is
//! looked up in any case, and so are the copies of Secrets that it needs. This module must not judge.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::Kind;
use super::slim::{Granted, Routing, Tie};
use super::world::Namespace;
use crate::api::policy::Included;
use crate::plan::facts::{ObjectFacts, StateFacts, Workload};
use crate::plan::member::MemberKind;

/// Where members are looked for.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) namespace: &'a str,
    pub(super) world: &'a Namespace,
    /// What belongs to no namespace, if that may be a member.
    pub(super) cluster: Option<&'a Namespace>,
}

impl<'a> Around<'a> {
    fn of(self, kind: MemberKind) -> Option<&'a Namespace> {
        if kind.outside() { self.cluster } else { Some(self.world) }
    }
}

/// Every member but the target and its ConfigMaps, sorted by kind and name.
pub(super) fn objects(
    around: Around<'_>,
    target: Option<&Workload>,
    included: &[Included],
    states: &[StateFacts],
) -> Vec<ObjectFacts> {
    let mut found: BTreeMap<(MemberKind, &str), bool> = BTreeMap::new();
    for member in states.iter().flat_map(|state| &state.members) {
        if let Some(kind) = MemberKind::of(&member.kind).filter(|kind| !kept_elsewhere(*kind)) {
            found.insert((kind, member.name.as_str()), false);
            if !member.copy.is_empty() {
                found.insert((kind, member.copy.as_str()), false);
            }
        }
    }
    if let Some(target) = target {
        found.extend(belonging(around.world, target).into_iter().map(|key| (key, true)));
        found.extend(outside(around, target).into_iter().map(|key| (key, true)));
        found.extend(listed(around.world, included).map(|key| (key, true)));
    }
    found.into_iter().map(|((kind, name), belongs)| facts(around, kind, name, belongs)).collect()
}

/// What the policy lists, as far as it exists and may be looked at.
fn listed<'a>(world: &Namespace, included: &'a [Included]) -> impl Iterator<Item = (MemberKind, &'a str)> {
    let objects = included.iter().map(|object| (MemberKind::from(object.kind), object.name.as_str()));
    objects.filter(|(kind, name)| {
        let exists = Kind::of_member(*kind).is_some_and(|kind| world.get(kind, name).is_some());
        exists && !kept_elsewhere(*kind) && (*kind != MemberKind::Secret || !never_looked_at(world, name))
    })
}

/// The target and ConfigMaps have facts of their own.
fn kept_elsewhere(kind: MemberKind) -> bool {
    kind.workload() || kind == MemberKind::ConfigMap
}

/// What the live target refers to, and what attaches itself to it.
fn belonging<'a>(world: &'a Namespace, target: &'a Workload) -> BTreeSet<(MemberKind, &'a str)> {
    let mut found = BTreeSet::new();
    found.extend(target.service_account.iter().map(|name| (MemberKind::ServiceAccount, name.as_str())));
    found.extend(target.secrets.iter().map(|name| (MemberKind::Secret, name.as_str())));
    let services = world
        .all(Kind::Service)
        .filter(|(name, _)| world.service(name).is_some_and(|service| service.selects(&target.labels)));
    let services: BTreeSet<&str> = services.map(|(name, _)| name).collect();
    found.extend(services.iter().map(|name| (MemberKind::Service, *name)));
    for kind in MemberKind::ALL {
        let Some(observed) = Kind::of_member(kind) else { continue };
        for (name, _) in world.all(observed) {
            let Some(member) = world.member(observed, name) else { continue };
            let leads = !member.leads_to().is_disjoint(&services);
            if !leads && !member.attached_to(target) {
                continue;
            }
            found.insert((kind, name));
            match &member.tie {
                Tie::Grants { role: Granted::Role(role), .. } => drop(found.insert((MemberKind::Role, role))),
                Tie::LeadsTo { shows, .. } => {
                    found.extend(shows.iter().map(|name| (MemberKind::Secret, name.as_ref())));
                }
                _ => {}
            }
        }
    }
    found.retain(|(kind, name)| *kind != MemberKind::Secret || !never_looked_at(world, name));
    found
}

/// What of it belongs to no namespace: ClusterRoles that bindings give to its account, the bindings that do so in all
/// namespaces, and the priority of its pods.
fn outside<'a>(around: Around<'a>, target: &'a Workload) -> BTreeSet<(MemberKind, &'a str)> {
    let mut found = BTreeSet::new();
    let Around { namespace: here, world, cluster: Some(cluster) } = around else { return found };
    found.extend(target.priority_class.iter().map(|name| (MemberKind::PriorityClass, name.as_str())));
    let Some(own) = target.service_account.as_deref() else { return found };
    for (name, _) in world.all(Kind::RoleBinding) {
        let binding = world.member(Kind::RoleBinding, name).filter(|binding| binding.attached_to(target));
        if let Some(Tie::Grants { role: Granted::ClusterRole(role), .. }) = binding.map(|binding| &binding.tie) {
            found.insert((MemberKind::ClusterRole, role.as_ref()));
        }
    }
    for (name, _) in cluster.all(Kind::ClusterRoleBinding) {
        let tie = cluster.member(Kind::ClusterRoleBinding, name).map(|binding| &binding.tie);
        let Some(Tie::GrantsEverywhere { accounts, role }) = tie else { continue };
        if accounts.iter().any(|(namespace, account)| **namespace == *here && **account == *own) {
            found.insert((MemberKind::ClusterRoleBinding, name));
            found.insert((MemberKind::ClusterRole, role.as_ref()));
        }
    }
    found
}

/// A Secret that exists and that nobody may make a member.
fn never_looked_at(world: &Namespace, name: &str) -> bool {
    world.member(Kind::Secret, name).is_some_and(|secret| secret.digest.is_empty())
}

fn facts(around: Around<'_>, kind: MemberKind, name: &str, belongs: bool) -> ObjectFacts {
    let nothing = ObjectFacts { belongs, ..ObjectFacts::unknown(kind, name) };
    let (Some(observed), Some(world)) = (Kind::of_member(kind), around.of(kind)) else { return nothing };
    let Some(stored) = world.get(observed, name) else { return nothing };
    let uid = stored.uid.to_string();
    if let Some(service) = world.service(name).filter(|_| kind == MemberKind::Service) {
        let (digest, posture) = (service.digest.clone(), service.posture.clone());
        let git_ops = service.git_ops.clone();
        return ObjectFacts { uid, digest, size: service.size, posture, git_ops, ..nothing };
    }
    let Some(member) = world.member(observed, name) else { return nothing };
    let (digest, posture) = (member.digest.to_string(), member.posture.clone());
    let git_ops = member.git_ops.map(str::to_owned);
    let known = ObjectFacts { uid, digest, size: member.size, posture, git_ops, ..nothing };
    let dangling = || {
        let missing = member.leads_to().into_iter().filter(|backend| world.service(backend).is_none());
        missing.map(str::to_owned).collect()
    };
    match &member.tie {
        Tie::LeadsTo { shows, .. } => {
            ObjectFacts { dangling: dangling(), shows: shows.iter().map(ToString::to_string).collect(), ..known }
        }
        Tie::Routes(routing) => {
            let Routing { backends, switched_by, field_owner } = routing.as_ref().clone();
            ObjectFacts { dangling: dangling(), backends, switched_by, field_owner, ..known }
        }
        Tie::Scales { kind, name, scaling, .. } => {
            let other = Kind::of("apps/v1", kind).filter(|_| !belongs).and_then(|kind| world.workload(kind, name));
            let other = other.filter(|other| other.available_replicas > 0).map(Workload::title);
            ObjectFacts { scaling: Some(scaling.clone()), scales_other: other, ..known }
        }
        Tie::Keeps { sealed_copy, certificate, written } => {
            ObjectFacts { sealed_copy: *sealed_copy, certificate: *certificate, written: *written, ..known }
        }
        _ => known,
    }
}
