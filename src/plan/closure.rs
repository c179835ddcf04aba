//! The closure of the live target, and how it differs from a stable state.
//!
//! Equality is by content only. This module must not decide what to do about a difference.

use std::collections::BTreeSet;

use super::content;
use super::facts::{Facts, MemberFacts, StateFacts};
use super::member::MemberKind;
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
    let config_maps = target.config_maps.iter().map(|name| {
        let found = facts.config_maps.get(name);
        let (uid, digest) = found.map_or(("", ""), |found| (&found.uid, &found.digest));
        (MemberKind::ConfigMap, name.as_str(), uid, digest)
    });
    let belonging = facts.objects.iter().filter(|object| object.belongs && !switched(facts, object.kind, &object.name));
    let objects = belonging.map(|object| (object.kind, &*object.name, &*object.uid, &*object.digest));
    let itself = (target.kind, target.name.as_str(), target.uid.as_str(), target.digest.as_str());
    let groups = groups(facts);
    let looked_at = |(kind, ..): &Live| kind.group().is_none_or(|group| groups.contains(&group));
    Some(config_maps.chain(objects).filter(looked_at).chain([itself]).collect())
}

/// How the live closure differs from `state`, in the order in which members are put back: those that are not what they
/// were, and those that attached themselves since.
#[must_use]
pub fn differences<'a>(facts: &'a Facts, state: &'a StateFacts) -> Vec<Difference<'a>> {
    let groups = groups(facts);
    let compared =
        |kind: MemberKind| kind.group().is_none_or(|group| groups.contains(&group) && state.groups.contains(&group));
    let recorded = state.members.iter().filter_map(|stable| difference(facts, stable));
    let known = |kind: MemberKind, name: &str| {
        state.members.iter().any(|member| member.kind == kind.name() && member.name == name)
    };
    let live = live_members(facts).unwrap_or_default();
    let added = live
        .into_iter()
        .filter(|(kind, name, ..)| !kind.referred_to() && !known(*kind, name))
        .map(|(kind, name, uid, live)| Difference { kind, name, uid, live, stable: "", owner: None });
    let mut found: Vec<_> = recorded.chain(added).filter(|difference| compared(difference.kind)).collect();
    found.sort_by_key(|difference| (difference.kind, difference.name));
    found
}

/// The members of `state` that the policy lets us write and that differ, guard rails excepted.
#[must_use]
pub fn restorable<'a>(facts: &'a Facts, state: &'a StateFacts) -> Vec<Difference<'a>> {
    let mut found = differences(facts, state);
    found.retain(|difference| {
        let group = difference.kind.group();
        let written = group.is_none_or(|group| member_policy(facts, group) == MemberPolicy::Restore);
        written && !difference.guard_rail() && (!difference.added() || difference.kind.removable())
    });
    found
}

/// Whether the live closure is that of `state` but for what is others' to set: guard rails, members that the policy only
/// compares, and what somebody added beside them.
#[must_use]
pub fn at_home(facts: &Facts, state: &StateFacts) -> bool {
    let pods = |difference: &Difference| difference.kind.referred_to() && !difference.guard_rail();
    facts.target.is_some() && restorable(facts, state).is_empty() && !differences(facts, state).iter().any(pods)
}

/// Guard rails that differ from `state` and that could be put back.
#[must_use]
pub fn guard_rails<'a>(facts: &'a Facts, state: &'a StateFacts) -> Vec<Difference<'a>> {
    let mut found = differences(facts, state);
    found.retain(|difference| difference.guard_rail() && (!difference.added() || difference.kind.removable()));
    found
}

fn difference<'a>(facts: &'a Facts, stable: &'a MemberFacts) -> Option<Difference<'a>> {
    let kind = MemberKind::of(&stable.kind)?;
    let (uid, live) = live_of(facts, kind, &stable.name);
    // Traffic that we moved goes home by other means.
    let differs = live != stable.digest && !switched(facts, kind, &stable.name);
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
    kind == MemberKind::Service
        && facts.services.iter().any(|service| service.name == name && service.switched_by.is_some())
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
        // What may not be read cannot be compared; the policy's conditions say so.
        Group::Secrets if !facts.ceiling.secrets => MemberPolicy::Ignore,
        Group::Secrets => closure.secrets,
    }
}
