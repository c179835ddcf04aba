//! What the condition `Recoverable` says of a state that is there and can be used: what its rehearsal said.

use jiff::Timestamp;

use super::facts::{Facts, Feasibility, PolicyFacts, StateFacts};
use super::status::Said;
use super::{floors, rehearsal};
use crate::api::Reason;
use crate::api::condition::{ConditionType, status_word};

/// The answer for `state`.
pub(super) fn answer(facts: &Facts, policy: &PolicyFacts, state: &StateFacts, now: Timestamp) -> Said {
    let name = &state.name;
    let said = |answer, reason, message| (ConditionType::Recoverable, answer, reason, message);
    if let Some(below) = floors::judge(facts, state, now).below.first() {
        let message = format!("StableState {name} is below a floor: {below} (spec.floors)");
        return said(Some(false), Reason::BelowFloor, message);
    }
    let Some(every) = rehearsal::interval(facts) else {
        let message = format!("StableState {name} can be restored; whether its pods could be created is not checked");
        return said(Some(true), Reason::StateReady, message);
    };
    let Some(known) = rehearsal::known(facts, state) else {
        // Asked this moment: what was said before stands until the answer is there.
        return before(policy).unwrap_or_else(|| {
            let message = format!("whether StableState {name} could be restored was not asked yet");
            said(None, Reason::NotRehearsed, message)
        });
    };
    if now >= rehearsal::good_until(known, every).max(known.at + every.saturating_mul(2)) {
        let message = format!("whether StableState {name} could be restored was last asked at {}", known.at);
        return said(None, Reason::NotRehearsed, message);
    }
    match &known.feasibility {
        Feasibility::Feasible { unchecked } if unchecked.is_empty() => {
            said(Some(true), Reason::StateReady, format!("StableState {name} can be restored"))
        }
        Feasibility::Feasible { unchecked } => {
            let message = format!("StableState {name} can be restored; not checked: {}", unchecked.join("; "));
            said(Some(true), Reason::StateReady, message)
        }
        Feasibility::Infeasible { reason, message } => {
            said(Some(false), *reason, format!("StableState {name} could not be restored now: {message}"))
        }
        Feasibility::Unknown { message, .. } => said(
            None,
            Reason::NotRehearsed,
            format!("whether StableState {name} could be restored is not known: {message}"),
        ),
    }
}

/// The condition as it is written.
fn before(policy: &PolicyFacts) -> Option<Said> {
    let type_ = ConditionType::Recoverable;
    let written = policy.status.conditions.iter().find(|condition| condition.type_ == type_.as_str())?;
    let answers = [Some(true), Some(false), None];
    let answer = answers.into_iter().find(|answer| status_word(*answer) == written.status)?;
    let reason = Reason::ALL.iter().find(|reason| reason.as_str() == written.reason)?;
    Some((type_, answer, *reason, written.message.clone()))
}
