//! Security parity: nothing is looser after a recovery than before, unless a person said so.
//!
//! The stricter of the stable state and of the moment before the incident wins. What was hardened since the stable state
//! is recorded when the incident opens, kept by a restore of the template, and compared again before anything is called
//! recovered. This module must not decide what is done about a loosening.

use std::collections::BTreeSet;

use super::closure::{self, Difference};
use super::facts::{Facts, MemberFacts, StateFacts};
use super::member::MemberKind;
use super::posture::{ENFORCE, Loosening, Posture};
use super::states;
use crate::api::recovery::{Journal, Remedy};

/// The most that is recorded of an incident.
const MOST: usize = 256;
/// The most that is shown of a step.
const MOST_SHOWN: usize = 32;
/// The longest line of it, in characters.
const LONGEST: usize = 256;

/// What a live member allows; `None` if it does not exist.
fn live<'a>(facts: &'a Facts, kind: MemberKind, name: &str) -> Option<&'a Posture> {
    match kind {
        _ if kind.workload() => {
            facts.target.as_ref().filter(|target| target.kind == kind).map(|target| &target.posture)
        }
        _ => facts.object(kind, name).filter(|object| !object.uid.is_empty()).map(|object| &object.posture),
    }
}

/// What the recorded content of a member allows and the live one does not. What is gone forbids nothing: it is missing.
pub(super) fn loosenings(facts: &Facts, stable: &MemberFacts) -> Vec<Loosening> {
    let kind = MemberKind::of(&stable.kind);
    let present = kind.and_then(|kind| live(facts, kind, &stable.name));
    present.map(|present| stable.posture.beyond(present)).unwrap_or_default()
}

/// Whether a rollback leaves a member as it is although it differs from the state: the target, if nothing but what is
/// stricter differs; another one, if its restore would allow something again.
#[must_use]
pub fn spared(facts: &Facts, stable: &MemberFacts) -> bool {
    match MemberKind::of(&stable.kind) {
        Some(kind) if kind.workload() => facts.target.as_ref().is_some_and(|target| {
            // Nothing is known of a state from before this was looked at.
            target.body == stable.body
                && !stable.body.is_empty()
                && target.posture == stable.posture.keeping(&target.posture)
        }),
        _ => !loosenings(facts, stable).is_empty(),
    }
}

/// As [`spared`], of a difference from `state`.
pub(super) fn spares(facts: &Facts, state: &StateFacts, difference: &Difference) -> bool {
    state.member(difference.kind, difference.name).is_some_and(|stable| spared(facts, stable))
}

/// Whether a difference could explain that pods fail. What Pod Security only tells of, it refuses nobody for.
pub(super) fn explains(facts: &Facts, state: &StateFacts, difference: &Difference) -> bool {
    let enforced = |posture: &Posture| posture.0.get(ENFORCE).cloned();
    let stable = state.member(difference.kind, difference.name).filter(|_| difference.kind == MemberKind::Namespace);
    stable.is_none_or(|stable| {
        let present = live(facts, difference.kind, difference.name);
        present.is_none_or(|present| enforced(&stable.posture) != enforced(present))
    })
}

/// What a rollback to `state` leaves forbidden in the workload although the state allows it, for its step.
pub(super) fn keeps(facts: &Facts, state: &StateFacts, difference: &Difference) -> Vec<String> {
    let stable = state.member(difference.kind, difference.name).filter(|_| difference.kind.workload());
    let found = stable.map(|stable| loosenings(facts, stable)).unwrap_or_default();
    found.iter().filter(|found| found.keepable).take(MOST_SHOWN).map(|found| line(&found.to_string())).collect()
}

/// What a rollback to `state` would have to allow again: it cannot leave it forbidden.
pub(super) fn unkeepable(facts: &Facts, state: &StateFacts) -> Vec<String> {
    of_workload(facts, state)
        .filter(|(_, found)| !found.keepable)
        .map(|(stable, found)| named(stable, &found))
        .collect()
}

fn of_workload<'a>(facts: &'a Facts, state: &'a StateFacts) -> impl Iterator<Item = (&'a MemberFacts, Loosening)> {
    let workload = |member: &&MemberFacts| MemberKind::of(&member.kind).is_some_and(MemberKind::workload);
    let members = state.members.iter().filter(workload);
    members.flat_map(|member| loosenings(facts, member).into_iter().map(move |found| (member, found)))
}

/// What a plain restore of what may be written of `state` would allow again.
pub(super) fn loosened_by(facts: &Facts, state: &StateFacts) -> Vec<String> {
    loosened(facts, state, &closure::restorable_loosely(facts, state))
}

/// What putting these members back would allow again.
pub(super) fn loosened(facts: &Facts, state: &StateFacts, written: &[Difference]) -> Vec<String> {
    let members = written.iter().filter_map(|difference| state.member(difference.kind, difference.name));
    members.flat_map(|stable| loosenings(facts, stable).into_iter().map(|found| named(stable, &found))).collect()
}

/// What was hardened since the states that could be gone back to, for the journal of an incident that begins now.
pub(super) fn hardened(facts: &Facts) -> Vec<String> {
    let states = states::candidates(facts).unwrap_or_default();
    let found: BTreeSet<String> = states.into_iter().flat_map(|state| loosened_by(facts, state)).collect();
    found.into_iter().take(MOST).collect()
}

/// What was forbidden before this incident and is allowed now, unless a person approved exactly that.
#[must_use]
pub fn lost(facts: &Facts, journal: &Journal) -> Vec<String> {
    if journal.hardened.is_empty() || (journal.decision.remedy == Remedy::RollbackLoosening && journal.attempt > 0) {
        return vec![];
    }
    let target = facts.target.as_ref().map(|target| (target.kind, target.name.as_str(), &target.posture));
    let objects = facts.objects.iter().filter(|object| !object.uid.is_empty());
    let objects = objects.map(|object| (object.kind, object.name.as_str(), &object.posture));
    let allowed: BTreeSet<String> = target
        .into_iter()
        .chain(objects)
        .flat_map(|(kind, name, posture)| posture.allowed().map(move |what| line(&format!("{kind} {name}: {what}"))))
        .collect();
    journal.hardened.iter().filter(|what| allowed.contains(*what)).cloned().collect()
}

/// What the live members allow beyond the state, or beyond what the open incident found: what keeps parity from holding.
pub(super) fn looser_now(facts: &Facts, state: &StateFacts) -> Vec<String> {
    let beyond = state.members.iter().flat_map(|stable| {
        let present = MemberKind::of(&stable.kind).and_then(|kind| live(facts, kind, &stable.name));
        let found = present.map(|present| present.beyond(&stable.posture)).unwrap_or_default();
        found.into_iter().map(|found| named(stable, &found))
    });
    let lost = facts.open_recovery().map(|open| lost(facts, &open.journal)).unwrap_or_default();
    let all: BTreeSet<String> = beyond.chain(lost).collect();
    all.into_iter().collect()
}

fn named(stable: &MemberFacts, found: &Loosening) -> String {
    line(&format!("{} {}: {found}", stable.kind, stable.name))
}

fn line(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}
