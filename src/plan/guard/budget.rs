//! No more targets may be under action at once than the RecoveryBudgets allow. Who was refused longest ago has its turn
//! first. It is asked last, so that only who could really act stands in the queue.

use jiff::SignedDuration;

use super::{Case, Refusal};
use crate::api::recovery::{ApprovalDecision, Remedy};
use crate::api::{Mode, Reason};
use crate::plan::fleet::{Waiting, Who, under_action};

/// Whoever waits is woken when it is its turn; this only makes sure that a lost wake-up cannot last.
const LOOK: SignedDuration = SignedDuration::from_secs(10);

pub(super) fn check(case: &Case, _: Remedy) -> Result<(), Refusal> {
    // Healing goes on: who has a token keeps it to the end.
    if case.open.is_some_and(|open| under_action(&open.journal)) || !may_act(case) {
        return Ok(());
    }
    let fleet = &case.facts.fleet;
    if let Some(name) = fleet.limits.unread.first() {
        let message = format!("RecoveryBudget {name} cannot be read, and may be the strictest; correct or delete it");
        return Err(Refusal { until: Some(case.now + LOOK), ..Refusal::new(Reason::Malformed, message) });
    }
    let me = place(case);
    let (mut ahead, mut ahead_here) = (0, 0);
    for other in fleet.queue.iter().filter(|other| **other < me) {
        ahead += 1;
        ahead_here += u32::from(other.who.namespace == me.who.namespace);
    }
    let refuse = |used: u32, limit: u32, ahead: u32, place: &str| {
        let queue = if ahead > 0 { format!(", and {ahead} with an older symptom wait") } else { String::new() };
        let message = format!("{used} of {limit} targets that may be under action {place} are{queue} (RecoveryBudget)");
        Err(Refusal { until: Some(case.now + LOOK), ..Refusal::new(Reason::BudgetExhausted, message) })
    };
    let limit = fleet.limits.in_cluster(fleet.armed + 1);
    if fleet.under_action + ahead >= limit {
        return refuse(fleet.under_action, limit, ahead, "in the cluster");
    }
    let limit = fleet.limits.in_namespace(fleet.armed_here + 1);
    if fleet.under_action_here + ahead_here >= limit {
        let place = format!("in namespace {}", me.who.namespace);
        return refuse(fleet.under_action_here, limit, ahead_here, &place);
    }
    Ok(())
}

/// Who only shows what would be done takes nothing from anybody.
fn may_act(case: &Case) -> bool {
    let approved = || {
        let answer = case.open.and_then(|open| open.spec.approval.as_ref());
        answer.is_some_and(|answer| answer.decision == ApprovalDecision::Approve)
    };
    match case.policy.spec.mode.min(case.facts.ceiling.mode) {
        Mode::Enforce => true,
        Mode::Recommend => approved(),
        Mode::Observe => false,
    }
}

/// The place of this target in the queue.
pub(crate) fn place(case: &Case) -> Waiting {
    let detected = case.open.and_then(|open| open.journal.timeline.detected.as_ref()).map(|at| at.0);
    let who = Who { namespace: case.facts.namespace.clone(), policy: case.facts.policy_name.clone() };
    Waiting { since: detected.unwrap_or(case.symptom.since), who }
}
