//! The members of a closure, found from the live target and from its states.
//!
//! The target refers to some by name, which may not exist; others attach themselves to it. What a state records is
//! looked up in any case, and so are the copies of Secrets that it needs. This module must not judge.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::Kind;
use super::slim::Tie;
use super::world::Namespace;
use crate::plan::facts::{ObjectFacts, StateFacts, Workload};
use crate::plan::member::MemberKind;

/// Every member but the target and its ConfigMaps, sorted by kind and name.
pub(super) fn objects(world: &Namespace, target: Option<&Workload>, states: &[StateFacts]) -> Vec<ObjectFacts> {
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
        found.extend(belonging(world, target).into_iter().map(|key| (key, true)));
    }
    found.into_iter().map(|((kind, name), belongs)| facts(world, kind, name, belongs)).collect()
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
            let leads = match &member.tie {
                Tie::LeadsTo { services: backends, .. } => backends.iter().any(|name| services.contains(name.as_ref())),
                _ => false,
            };
            if !leads && !member.attached_to(target) {
                continue;
            }
            found.insert((kind, name));
            match &member.tie {
                Tie::Grants { role: Some(role), .. } => drop(found.insert((MemberKind::Role, role))),
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

/// A Secret that exists and that nobody may make a member.
fn never_looked_at(world: &Namespace, name: &str) -> bool {
    world.member(Kind::Secret, name).is_some_and(|secret| secret.digest.is_empty())
}

fn facts(world: &Namespace, kind: MemberKind, name: &str, belongs: bool) -> ObjectFacts {
    let nothing = ObjectFacts { belongs, ..ObjectFacts::unknown(kind, name) };
    let Some(observed) = Kind::of_member(kind) else { return nothing };
    let Some(stored) = world.get(observed, name) else { return nothing };
    let uid = stored.uid.to_string();
    if let Some(service) = world.service(name).filter(|_| kind == MemberKind::Service) {
        return ObjectFacts { uid, digest: service.digest.clone(), size: service.size, ..nothing };
    }
    let Some(member) = world.member(observed, name) else { return nothing };
    let known = ObjectFacts { uid, digest: member.digest.to_string(), size: member.size, ..nothing };
    match &member.tie {
        Tie::LeadsTo { services, shows } => {
            let dangling = services.iter().filter(|backend| world.service(backend).is_none());
            let dangling = dangling.map(ToString::to_string).collect();
            ObjectFacts { dangling, shows: shows.iter().map(ToString::to_string).collect(), ..known }
        }
        Tie::Scales { most, .. } => ObjectFacts { most_replicas: Some(*most), ..known },
        Tie::Keeps { sealed_copy, certificate } => {
            ObjectFacts { sealed_copy: *sealed_copy, certificate: *certificate, ..known }
        }
        _ => known,
    }
}
