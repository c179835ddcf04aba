//! The closure of the live target, and how it differs from a stable state.
//!
//! Equality is by content only. This module must not decide what to do about a difference.

use std::collections::BTreeSet;

use super::content;
use super::facts::{Facts, MemberFacts, StateFacts};
use super::member::MemberKind;
use super::{parity, triage};
use crate::api::policy::MemberPolicy;
use crate::api::stable_state::{FieldOwner, Group};

/// One member whose live content is not what the state recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference<'a> {
    /// Its kind.
    pub kind: MemberKind,
    /// Its name.
    pub name: &'a str,
    /// Uid of the live object; empty if it does not exist.
    pub uid: &'a str,
    /// Digest of the live content; empty if it does not exist.
    pub live: &'a str,
    /// Digest of what the state recorded; empty if it was absent.
    pub stable: &'a str,
    /// Who owned what the state recorded.
    pub owner: Option<&'a FieldOwner>,
}

impl Difference<'_> {
    /// The state does not have it.
    #[must_use]
    pub fn added(&self) -> bool {
        self.stable.is_empty()
    }

    /// Whether it is a limit that an administrator set.
    #[must_use]
    pub fn guard_rail(&self) -> bool {
        self.kind.group() == Some(Group::GuardRails)
    }

    /// Whether others set it, for us to compare and to leave as it is: guard rails, and what is outside of the namespace.
    #[must_use]
    pub fn of_others(&self) -> bool {
        self.guard_rail() || self.kind.outside()
    }
}

/// A member as it is now: kind, name, uid and digest; the last two are empty if it does not exist.
type Live<'a> = (MemberKind, &'a str, &'a str, &'a str);

/// The parts of the closure that are looked at.
#[must_use]
pub fn groups(facts: &Facts) -> BTreeSet<Group> {
    let looked_at = |group: &Group| member_policy(facts, *group) != MemberPolicy::Ignore;
    Group::ALL.into_iter().filter(looked_at).collect()
}

/// The digest of the live closure. `None` without a target.
#[must_use]
pub fn live_digest(facts: &Facts) -> Option<String> {
    let members = live_members(facts)?;
    let members = members.iter().map(|(kind, name, _, digest)| (kind.name(), *name, *digest));
    Some(content::closure_digest(groups(facts), members))
}

/// The members of the live closure: the target, what it refers to, and what attaches itself to it. `None` without a
/// target.
#[must_use]
pub fn live_members(facts: &Facts) -> Option<Vec<Live<'_>>> {
    let target = facts.target.as_ref()?;
    let further = included(facts).filter(|(kind, _)| *kind == MemberKind::ConfigMap).map(|(_, name)| name);
    let further = further.filter(|name| facts.config_maps.contains_key(*name));
    let names: BTreeSet<&str> = target.config_maps.iter().map(String::as_str).chain(further).collect();
    let config_maps = names.into_iter().map(|name| {
        let found = facts.config_maps.get(name);
        let (uid, digest) = found.map_or(("", ""), |found| (&found.uid, &found.digest));
        (MemberKind::ConfigMap, name, uid, digest)
    });
    let belonging = facts.objects.iter().filter(|object| object.belongs && !switched(facts, object.kind, &object.name));
    let objects = belonging.map(|object| (object.kind, &*object.name, &*object.uid, &*object.digest));
    let itself = (target.kind, target.name.as_str(), target.uid.as_str(), target.digest.as_str());
    let groups = groups(facts);
    let looked_at = |(kind, ..): &Live| kind.group().is_none_or(|group| groups.contains(&group));
    Some(config_maps.chain(objects).filter(looked_at).chain([itself]).collect())
}

/// What the policy adds to the closure, by kind and name, whether or not it exists.
fn included(facts: &Facts) -> impl Iterator<Item = (MemberKind, &str)> {
    let policy = facts.policy.iter().flat_map(|policy| &policy.spec.closure.include);
    policy.map(|object| (object.kind.into(), object.name.as_str()))
}

/// Whether the policy lists it. That it is there is wanted, whatever a state knows of it, and it need not lead to the
/// target.
pub(super) fn listed(facts: &Facts, kind: MemberKind, name: &str) -> bool {
    included(facts).any(|object| object == (kind, name))
}

/// How the live closure differs from `state`, in the order in which members are put back: those that are not what they
/// were, and those that attached themselves since.
#[must_use]
pub fn differences<'a>(facts: &'a Facts, state: &'a StateFacts) -> Vec<Difference<'a>> {
    let groups = groups(facts);
    let compared =
        |kind: MemberKind| kind.group().is_none_or(|group| groups.contains(&group) && state.groups.contains(&group));
    let recorded = state.members.iter().filter_map(|stable| difference(facts, stable));
    let live = live_members(facts).unwrap_or_default();
    let added = live
        .into_iter()
        .filter(|(kind, name, ..)| {
            !kind.referred_to() && state.member(*kind, name).is_none() && !listed(facts, *kind, name)
        })
        .map(|(kind, name, uid, live)| Difference { kind, name, uid, live, stable: "", owner: None });
    let mut found: Vec<_> = recorded.chain(added).filter(|difference| compared(difference.kind)).collect();
    found.sort_by_key(|difference| (difference.kind, difference.name));
    found
}

/// The members of `state` that the policy lets us write and that differ, guard rails excepted, what is only stricter now,
/// and what serves another workload by now.
#[must_use]
pub fn restorable<'a>(facts: &'a Facts, state: &'a StateFacts) -> Vec<Difference<'a>> {
    let mut found = restorable_loosely(facts, state);
    found.retain(|difference| !parity::spares(facts, state, difference));
    found
}

/// As [`restorable`], with what is stricter now than it was.
#[must_use]
pub fn restorable_loosely<'a>(facts: &'a Facts, state: &'a StateFacts) -> Vec<Difference<'a>> {
    let mut found = differences(facts, state);
    found.retain(|difference| {
        written(facts, difference.kind)
            && !difference.guard_rail()
            && !elsewhere(facts, difference)
            && (!difference.added() || difference.kind.removable())
    });
    found
}

/// Whether the policy lets us write members of this kind; the target itself is written by whoever rolls back.
pub(super) fn written(facts: &Facts, kind: MemberKind) -> bool {
    kind.group().is_none_or(|group| member_policy(facts, group) == MemberPolicy::Restore)
}

/// An autoscaler that serves another workload by now: putting it back would take it from that one.
fn elsewhere(facts: &Facts, difference: &Difference) -> bool {
    facts.object(difference.kind, difference.name).is_some_and(|object| object.scales_other.is_some())
}

/// Whether the live closure is that of `state` but for what is others' to set: guard rails, hardening, what is outside of
/// the namespace, members that the policy only compares, and what somebody added beside them.
#[must_use]
pub fn at_home(facts: &Facts, state: &StateFacts) -> bool {
    at_home_but_for(facts, state, |_| false)
}

/// As [`at_home`], but for what may differ although pods are made of it.
pub(super) fn at_home_but_for(facts: &Facts, state: &StateFacts, may: impl Fn(&Difference) -> bool) -> bool {
    let pods = |difference: &Difference| {
        let theirs = difference.of_others() || parity::spares(facts, state, difference) || may(difference);
        difference.kind.referred_to() && !theirs
    };
    facts.target.is_some() && restorable(facts, state).is_empty() && !differences(facts, state).iter().any(pods)
}

/// Guard rails that differ from `state` and that could be put back without allowing anything again.
#[must_use]
pub fn guard_rails<'a>(facts: &'a Facts, state: &'a StateFacts) -> Vec<Difference<'a>> {
    let mut found = all_guard_rails(facts, state);
    found.retain(|difference| !parity::spares(facts, state, difference));
    found
}

/// The guard rails that a remedy puts back: where nothing else differs, those that are stricter now. Only a person may want
/// that.
#[must_use]
pub fn guard_rails_to_restore<'a>(facts: &'a Facts, state: &'a StateFacts) -> Vec<Difference<'a>> {
    let found = guard_rails(facts, state);
    if found.is_empty() { all_guard_rails(facts, state) } else { found }
}

/// Guard rails that differ from `state` and that could be put back.
#[must_use]
pub fn all_guard_rails<'a>(facts: &'a Facts, state: &'a StateFacts) -> Vec<Difference<'a>> {
    let mut found = differences(facts, state);
    found.retain(|difference| difference.guard_rail() && (!difference.added() || difference.kind.removable()));
    found
}

/// What differs outside of the namespace and could explain a symptom, where nothing else does: an administrator's to put
/// right. Empty if anything in the namespace could be put back.
#[must_use]
pub fn only_outside<'a>(facts: &'a Facts, state: &'a StateFacts) -> Vec<Difference<'a>> {
    let found = triage::explaining(facts, state);
    if found.iter().all(|difference| difference.kind.outside()) { found } else { vec![] }
}

/// Kinds and names, for people.
pub(super) fn named(differences: &[Difference]) -> String {
    let names: Vec<_> = differences.iter().map(|found| format!("{} {}", found.kind, found.name)).collect();
    names.join(", ")
}

fn difference<'a>(facts: &'a Facts, stable: &'a MemberFacts) -> Option<Difference<'a>> {
    let kind = MemberKind::of(&stable.kind)?;
    let (uid, live) = live_of(facts, kind, &stable.name);
    // The namespace is there: that nothing is known of it says that it may not be looked at.
    let unseen = kind == MemberKind::Namespace && uid.is_empty();
    // Traffic that we moved goes home by other means.
    let differs = live != stable.digest && !unseen && !switched(facts, kind, &stable.name);
    let (name, owner) = (stable.name.as_str(), stable.owner.as_ref());
    differs.then_some(Difference { kind, name, uid, live, stable: &stable.digest, owner })
}

/// Uid and digest of a member as it is now; both empty if it does not exist.
#[must_use]
pub fn live_of<'a>(facts: &'a Facts, kind: MemberKind, name: &str) -> (&'a str, &'a str) {
    let found = match kind {
        _ if kind.workload() => {
            let target = facts.target.as_ref().filter(|target| target.kind == kind);
            target.map(|target| (&target.uid, &target.digest))
        }
        MemberKind::ConfigMap => facts.config_maps.get(name).map(|found| (&found.uid, &found.digest)),
        _ => facts.object(kind, name).map(|found| (&found.uid, &found.digest)),
    };
    found.map_or(("", ""), |(uid, digest)| (uid, digest))
}

/// Size of a member's content in bytes; 0 where it is not known.
pub(super) fn size_of(facts: &Facts, kind: MemberKind, name: &str) -> usize {
    match kind {
        _ if kind.workload() => 0,
        MemberKind::ConfigMap => facts.config_maps.get(name).map_or(0, |found| found.size),
        _ => facts.object(kind, name).map_or(0, |found| found.size),
    }
}

fn switched(facts: &Facts, kind: MemberKind, name: &str) -> bool {
    match kind {
        MemberKind::Service => {
            facts.services.iter().any(|service| service.name == name && service.switched_by.is_some())
        }
        _ => facts.object(kind, name).is_some_and(|object| object.switched_by.is_some()),
    }
}

/// What the policy says about a part of the closure; without a policy, its defaults. Guard rails are always compared.
#[must_use]
pub fn member_policy(facts: &Facts, group: Group) -> MemberPolicy {
    let closure = facts.policy.as_ref().map(|policy| policy.spec.closure.clone()).unwrap_or_default();
    match group {
        Group::ConfigMaps => closure.config_maps,
        Group::ServiceAccounts => closure.service_accounts,
        Group::Exposure => closure.exposure,
        Group::Scaling => closure.scaling,
        Group::GuardRails => MemberPolicy::Compare,
        Group::Cluster if !facts.ceiling.cluster_members => MemberPolicy::Ignore,
        Group::Cluster => MemberPolicy::Compare,
        // What may not be read cannot be compared; the policy's conditions say so.
        Group::Secrets if !facts.ceiling.secrets => MemberPolicy::Ignore,
        Group::Secrets => closure.secrets,
        Group::Routes if !facts.ceiling.gateway_api => MemberPolicy::Ignore,
        Group::Routes => closure.exposure,
    }
}
