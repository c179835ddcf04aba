//! What came before: an incident whose trouble comes back soon, in the same content, was not ended by what was done.
//!
//! Each incident records how much was tried before it, so that the count outlives the history that is kept.

use jiff::{SignedDuration, Timestamp};

use super::facts::{Facts, PolicyFacts, RecoveryFacts};
use crate::api::Outcome;
use crate::api::recovery::Remedy;

/// An incident that came back.
#[derive(Clone, Copy, Debug)]
pub struct Relapse<'a> {
    /// The incident before.
    pub last: &'a RecoveryFacts,
    /// How many remedies were begun for this content until then.
    pub tried: u32,
}

/// The incident that came back with a symptom that began at `since` in the content `broken`, if one did.
#[must_use]
pub fn of<'a>(
    facts: &'a Facts,
    policy: &PolicyFacts,
    target_uid: &str,
    broken: &str,
    since: Timestamp,
) -> Option<Relapse<'a>> {
    let window = policy.spec.limits.relapse.signed();
    if window == SignedDuration::ZERO {
        return None;
    }
    facts
        .recoveries
        .iter()
        .filter(|recovery| !recovery.open() && recovery.journal.target.uid == target_uid)
        .filter(|recovery| recovery.journal.broken == broken)
        // Somebody took over: what was tried then was not what failed.
        .filter(|recovery| recovery.journal.outcome != Some(Outcome::Superseded))
        .filter_map(|last| {
            let tried = last.journal.attempt.saturating_add(last.journal.tried_before);
            let closed = last.journal.timeline.closed.as_ref()?.0;
            (tried > 0 && since <= closed + window).then_some((closed, Relapse { last, tried }))
        })
        .max_by_key(|(closed, _)| *closed)
        .map(|(_, relapse)| relapse)
}

/// Whether somebody ended a freeze of ours on this content not long before `since`: it would only be a quarrel.
#[must_use]
pub fn freeze_was_ended(facts: &Facts, policy: &PolicyFacts, target_uid: &str, broken: &str, since: Timestamp) -> bool {
    let window = policy.spec.limits.relapse.signed();
    facts.recoveries.iter().any(|recovery| {
        let journal = &recovery.journal;
        journal.target.uid == target_uid
            && journal.broken == broken
            && journal.decision.remedy == Remedy::Freeze
            && journal.outcome == Some(Outcome::Superseded)
            && journal.timeline.closed.as_ref().is_some_and(|closed| since <= closed.0 + window)
    })
}

/// The incident in which a verified rollback went away from this content, if there was one.
#[must_use]
pub fn proven_bad<'a>(facts: &'a Facts, content: &str) -> Option<&'a RecoveryFacts> {
    facts.recoveries.iter().rev().find(|recovery| {
        let journal = &recovery.journal;
        journal.broken == content && journal.outcome == Some(Outcome::Recovered) && journal.decision.remedy.restores()
    })
}
