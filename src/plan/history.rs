//! What is beyond the history limits of a policy. Nothing that is in use, or that a person pinned, ever is.

use super::facts::Facts;
use super::{neighbours, states};
use crate::api::StepState;

/// Names of objects of ours to be deleted, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Stable states.
    pub states: Vec<String>,
    /// Closed Recoveries.
    pub recoveries: Vec<String>,
}

/// What is beyond the limits. Without a policy, or with a rival, nothing is deleted.
pub(super) fn expired(facts: &Facts) -> Expired {
    let Some(policy) = facts.policy.as_ref().filter(|policy| policy.rivals.is_empty()) else {
        return Expired::default();
    };
    let limits = &policy.spec.history;
    Expired { states: old_states(facts, limits.stable_states), recoveries: old_recoveries(facts, limits.recoveries) }
}

fn old_states(facts: &Facts, limit: u32) -> Vec<String> {
    let in_use = facts.open_recovery().map(|open| open.journal.stable_state.as_str());
    let reference = states::reference(facts).ok().map(|state| state.name.as_str());
    let own = states::by_age(facts).into_iter().filter(|state| state.sealed && state.review.is_none());
    own.skip(limit as usize)
        .map(|state| state.name.as_str())
        .filter(|name| Some(*name) != in_use && Some(*name) != reference)
        .map(str::to_owned)
        .collect()
}

/// Facts have Recoveries oldest first.
fn old_recoveries(facts: &Facts, limit: u32) -> Vec<String> {
    let closed = facts.recoveries.iter().rev().filter(|recovery| !recovery.open());
    closed
        .skip(limit as usize)
        .filter(|recovery| recovery.journal.steps.iter().all(|step| step.state != StepState::Planned))
        .filter(|recovery| neighbours::held(facts, &recovery.name).next().is_none())
        .map(|recovery| recovery.name.clone())
        .collect()
}
