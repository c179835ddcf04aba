//! Which stable states can be used, and which one is compared with and restored.
//!
//! A target to go back to is earned and sealed; it is never picked by a revision number.

use jiff::Timestamp;

use super::closure::live_digest;
use super::facts::{Facts, MemberFacts, RecoveryFacts, StateFacts};
use super::guard::Refusal;
use super::member::MemberKind;
use crate::api::stable_state::Review;
use crate::api::{Outcome, Reason};

/// Whether a state could be restored: sealed by us, for this target, not rejected, its copies complete.
///
/// # Errors
/// The reason why it cannot.
pub fn usable(facts: &Facts, state: &StateFacts) -> Result<(), Refusal> {
    if !state.sealed {
        let message = format!("StableState {} does not carry our seal; delete it", state.name);
        return Err(Refusal::new(Reason::SealInvalid, message));
    }
    if state.review == Some(Review::Reject) {
        return Err(Refusal::new(Reason::Rejected, format!("StableState {} was rejected by a person", state.name)));
    }
    for member in state.members.iter().filter(|member| !member.copy.is_empty()) {
        if !intact(facts, member) {
            let message = format!(
                "copy {} of {} {} in StableState {} is missing or changed; delete the state, it will be earned again",
                member.copy, member.kind, member.name, state.name
            );
            return Err(Refusal::new(Reason::CopyMissing, message));
        }
    }
    Ok(())
}

/// Whether the copy of a member is as it was made. Of Secrets that may not be looked at nothing will be restored either.
fn intact(facts: &Facts, member: &MemberFacts) -> bool {
    let copy = match MemberKind::of(&member.kind) {
        Some(MemberKind::Secret) if !facts.ceiling.secrets => return true,
        Some(MemberKind::Secret) => {
            facts.object(MemberKind::Secret, &member.copy).map(|copy| (copy.sealed_copy, &copy.digest))
        }
        _ => facts.config_maps.get(&member.copy).map(|copy| (copy.sealed_copy, &copy.digest)),
    };
    copy.is_some_and(|(sealed, digest)| sealed == Some(true) && *digest == member.digest)
}

/// The state that the live target is compared with: the one it equals, else the newest that can be used and was not
/// proven bad since.
///
/// # Errors
/// Why there is none: nothing was earned yet, or the reason that refuses the newest.
pub fn reference(facts: &Facts) -> Result<&StateFacts, Refusal> {
    let mut refusal = None;
    let mut newest = None;
    let live = live_digest(facts);
    for state in by_age(facts) {
        match usable(facts, state) {
            Ok(()) if proven_bad(facts, state) => {
                let message = format!("StableState {} was rolled away from since it was recorded", state.name);
                refusal.get_or_insert(Refusal::new(Reason::NoStableState, message));
            }
            Ok(()) if live.as_ref() == Some(&state.digest) => return Ok(state),
            Ok(()) => newest = newest.or(Some(state)),
            Err(why) => refusal = refusal.or(Some(why)),
        }
    }
    newest.ok_or_else(|| {
        refusal.unwrap_or_else(|| {
            let message = "no verified stable state yet: the target has not held its criteria for the soak";
            Refusal::new(Reason::NoStableState, message)
        })
    })
}

/// Every state that could be gone back to: the reference, then the others that can be used, newest first.
///
/// # Errors
/// As for [`reference`].
pub fn candidates(facts: &Facts) -> Result<Vec<&StateFacts>, Refusal> {
    let reference = reference(facts)?;
    let good = |state: &&StateFacts| usable(facts, state).is_ok() && !proven_bad(facts, state);
    let others = by_age(facts).into_iter().filter(|state| state.name != reference.name).filter(good);
    Ok([reference].into_iter().chain(others).collect())
}

/// States of the target, newest first; a tie is broken by name, so that the order never depends on chance.
pub fn by_age(facts: &Facts) -> Vec<&StateFacts> {
    let target = target_name(facts);
    let mut states: Vec<_> = facts.states.iter().filter(|state| Some(state.target.as_str()) == target).collect();
    states.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.name.cmp(&b.name)));
    states
}

/// A verified rollback went away from this content after it was recorded.
fn proven_bad(facts: &Facts, state: &StateFacts) -> bool {
    facts.recoveries.iter().any(|recovery| {
        let journal = &recovery.journal;
        journal.broken == state.digest
            && journal.outcome == Some(Outcome::Recovered)
            && journal.decision.remedy.restores()
            && detected(recovery).is_some_and(|at| at > state.created)
    })
}

fn detected(recovery: &RecoveryFacts) -> Option<Timestamp> {
    recovery.journal.timeline.detected.as_ref().map(|at| at.0)
}

fn target_name(facts: &Facts) -> Option<&str> {
    match &facts.policy {
        Some(policy) => Some(&policy.spec.target_ref.name),
        None => facts.recoveries.last().map(|recovery| recovery.journal.target.name.as_str()),
    }
}
