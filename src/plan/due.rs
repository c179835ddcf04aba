//! Which steps of a journal are to be carried out now, and when the next one is due.

use jiff::Timestamp;

use crate::api::recovery::{Journal, Phase, Remediation, Step, StepState};

/// Steps that may be carried out now. A pod in quarantine is deleted when its inspection ends, whatever the phase.
pub(super) fn outstanding(journal: &Journal, now: Timestamp) -> Vec<usize> {
    let due = |step: &Step| match (journal.phase, step.remediation) {
        (Phase::Releasing, _) => step.state == StepState::Planned,
        (_, Remediation::DeletePod) => {
            planned_removal(journal, step) && inspected(step).is_some_and(|until| until <= now)
        }
        (Phase::Acting, _) => step.state == StepState::Planned,
        _ => false,
    };
    (0..).zip(&journal.steps).filter(|(_, step)| due(step)).map(|(index, _)| index).collect()
}

/// The removal of a pod that is in quarantine by this incident.
pub(super) fn planned_removal(journal: &Journal, step: &Step) -> bool {
    let quarantined = |other: &Step| {
        other.remediation == Remediation::QuarantinePod && other.state == StepState::Done && other.object == step.object
    };
    step.remediation == Remediation::DeletePod
        && step.state == StepState::Planned
        && journal.steps.iter().any(quarantined)
}

/// The end of the inspection of the pod that the step removes.
fn inspected(step: &Step) -> Option<Timestamp> {
    step.to.parse().ok()
}

pub(super) fn next_removal(journal: &Journal, now: Timestamp) -> Option<Timestamp> {
    let planned = journal.steps.iter().filter(|step| planned_removal(journal, step));
    planned.filter_map(inspected).filter(|until| *until > now).min()
}
