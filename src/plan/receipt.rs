//! What came of a step, entered into the journal. What follows from it is decided by the next step of the loop.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::due::{outstanding, planned_removal, put_in_place_by};
use super::isolation;
use super::journal::cut;
use super::on_standby::{switched, switches};
use crate::api::recovery::{Journal, ObjectRef, Phase, Remediation, Remedy, Step, StepState};
use crate::api::{Outcome, Reason};

/// What `act` found out about a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The API server acknowledged the effect.
    Done,
    /// The effect was there already; nothing was written.
    AlreadyDone,
    /// What is there is not what the step expected: somebody else moved. Nothing was written.
    Moved(String),
    /// The object is gone, or another object has its name. Nothing was written.
    Gone,
    /// The API server refused the write for good.
    Refused(String),
}

/// Enters what `act` found out about step `index`.
pub fn receive(journal: &mut Journal, index: usize, receipt: &Receipt, now: Timestamp) {
    let Some(step) = journal.steps.get_mut(index) else { return };
    let remediation = step.remediation;
    let object = step.object.clone();
    match receipt {
        // Somebody else deleted it, or we did and were not told: then we are the more careful.
        Receipt::AlreadyDone if remediation == Remediation::ReleaseDependency => {
            step.state = StepState::Skipped;
            step.acknowledged = Some(MicroTime(now));
        }
        Receipt::Done | Receipt::AlreadyDone => {
            step.state = StepState::Done;
            step.acknowledged = Some(MicroTime(now));
            if journal.phase == Phase::Acting {
                journal.timeline.contained.get_or_insert(MicroTime(now));
            }
        }
        Receipt::Gone => step.state = StepState::Skipped,
        Receipt::Moved(why) => {
            step.state = StepState::Skipped;
            // A pod that changed hands, or fields that nobody can take back, do not end the incident.
            let essential = matches!(
                remediation,
                Remediation::RestoreTemplate
                    | Remediation::RestoreObject
                    | Remediation::RemoveObject
                    | Remediation::RecreateWorkload
                    | Remediation::RenewPods
                    | Remediation::SwitchService
                    | Remediation::SwitchRoute
            );
            if essential && journal.phase == Phase::Acting {
                // What we hold is planned anew by letting go; the rest of this plan must not follow.
                skip_planned(journal);
                if switched(journal).is_some() {
                    journal.phase = Phase::OnStandby;
                    journal.reason = Reason::OnStandby;
                    journal.message = cut(&format!(
                        "somebody else changed {object}: {why}; home is theirs to repair, and traffic returns when it is well"
                    ));
                    return;
                }
                journal.phase = Phase::Releasing;
                journal.outcome = Some(Outcome::Superseded);
                journal.reason = Reason::Superseded;
                journal.message = cut(&format!("somebody else changed {object}: {why}; we let go"));
            }
        }
        Receipt::Refused(why) => refused(journal, index, why, now),
    }
    skip_removals_of_what_is_free(journal, remediation);
    isolation::enter_released(journal, now);
}

fn refused(journal: &mut Journal, index: usize, why: &str, now: Timestamp) {
    journal.timeline.refused = Some(MicroTime(now));
    let Some(step) = journal.steps.get_mut(index) else { return };
    step.state = StepState::Skipped;
    step.refused = cut(why);
    let message = refusal(step);
    match journal.phase {
        // A release that is refused now would be refused for ever: it is said, and left to a person.
        Phase::Releasing | Phase::Closed => {
            journal.message = cut(&format!("{message} (undo our change by hand); {}", journal.message));
        }
        _ if put_in_place_by(step.remediation).is_some() => journal.message = cut(&message),
        _ => {
            let kept: Vec<bool> = journal.steps.iter().map(|step| planned_removal(journal, step)).collect();
            for (step, kept) in journal.steps.iter_mut().zip(kept) {
                if step.state == StepState::Planned && !kept {
                    step.state = StepState::Skipped;
                }
            }
            // Traffic that is away has to be looked after all the same.
            let away = switched(journal).is_some();
            journal.phase = if away { Phase::OnStandby } else { Phase::Holding };
            journal.outcome = (!away).then_some(Outcome::Held);
            journal.reason = Reason::WriteRefused;
            journal.message = cut(&message);
        }
    }
}

fn refusal(step: &Step) -> String {
    format!("the API server refused to change {}: {}", step.object, step.refused)
}

/// The last write that was refused, and why, for whoever has to mend it.
pub(super) fn last_refusal(journal: &Journal) -> Option<String> {
    journal.steps.iter().rfind(|step| !step.refused.is_empty()).map(refusal)
}

fn skip_planned(journal: &mut Journal) {
    // A fence is no part of what follows: it is let go with the rest.
    let kept: Vec<bool> = journal.steps.iter().map(|step| is_fence(journal, step)).collect();
    for (step, kept) in journal.steps.iter_mut().zip(kept) {
        if step.state == StepState::Planned && !kept {
            step.state = StepState::Skipped;
        }
    }
}

fn is_fence(journal: &Journal, step: &Step) -> bool {
    step.remediation != Remediation::DeletePod && planned_removal(journal, step)
}

/// A pod that did not get into quarantine is not ours to delete, nor a node that we did not cordon ours to uncordon.
fn skip_removals_of_what_is_free(journal: &mut Journal, put: Remediation) {
    let free: Vec<ObjectRef> = journal
        .steps
        .iter()
        .filter(|step| step.remediation == put && step.state == StepState::Skipped)
        .map(|step| step.object.clone())
        .collect();
    let removals = journal.steps.iter_mut().filter(|step| put_in_place_by(step.remediation) == Some(put));
    for step in removals.filter(|step| step.state == StepState::Planned && free.contains(&step.object)) {
        step.state = StepState::Skipped;
    }
}

/// Moves on when nothing of the plan is outstanding.
pub fn settle(journal: &mut Journal, now: Timestamp) {
    if journal.phase != Phase::Acting || !outstanding(journal, now).is_empty() {
        return;
    }
    if journal.decision.remedy == Remedy::Freeze {
        journal.phase = Phase::Holding;
        journal.outcome = Some(Outcome::Held);
        journal.reason = Reason::RolloutFrozen;
        return;
    }
    if journal.decision.remedy == Remedy::PreScale && switches(journal) == 0 {
        let raised = |step: &Step| step.remediation == Remediation::PreScaleStandby && step.state == StepState::Done;
        journal.phase = Phase::Holding;
        journal.outcome = Some(Outcome::Held);
        let done = journal.steps.iter().any(raised);
        journal.reason = if done { Reason::StandbyPreScaled } else { Reason::StandbyTooSmall };
        return;
    }
    journal.timeline.acted = Some(MicroTime(now));
    (journal.phase, journal.reason) = match switched(journal) {
        Some(_) if switches(journal) > 1 => (Phase::OnStandby, Reason::HomeBrokeAgain),
        Some(_) => (Phase::OnStandby, Reason::OnStandby),
        None => (Phase::Verifying, Reason::Verifying),
    };
    if journal.reason == Reason::HomeBrokeAgain {
        journal.outcome = Some(Outcome::Escalated);
    }
}
