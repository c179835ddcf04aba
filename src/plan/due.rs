//! Which steps of a journal are to be carried out now, and when the next one is due.

use jiff::Timestamp;

use crate::api::recovery::{Journal, Phase, Remediation, Step, StepState};

/// Steps that may be carried out now. A pod in quarantine is deleted when its inspection ends, whatever the phase.
pub(super) fn outstanding(journal: &Journal, now: Timestamp) -> Vec<usize> {
    let due = |step: &Step| match (journal.phase, step.remediation) {
        // Not before the last pod that it keeps is gone.
        (Phase::Releasing, Remediation::AllowPodNetwork) => step.state == StepState::Planned && !keeps_pods(journal),
        (Phase::Releasing, _) => step.state == StepState::Planned,
        // When a fence may go is told by its node, and a cut by its dependency.
        (_, Remediation::UncordonNode | Remediation::ReleaseDependency) => false,
        (_, Remediation::DeletePod) => {
            planned_removal(journal, step) && inspected(step).is_some_and(|until| until <= now)
        }
        (_, Remediation::AllowPodNetwork) => planned_removal(journal, step) && !keeps_pods(journal),
        (Phase::Acting, _) => step.state == StepState::Planned,
        (Phase::Closed, Remediation::ReleaseNeighbour | Remediation::ReleaseStandby | Remediation::HandBackFields) => {
            step.state == StepState::Planned
        }
        _ => false,
    };
    (0..).zip(&journal.steps).filter(|(_, step)| due(step)).map(|(index, _)| index).collect()
}

/// The removal of what this incident put in place and keeps after it has ended: a pod in quarantine with its
/// NetworkPolicy, a cordon, a cut.
pub(super) fn planned_removal(journal: &Journal, step: &Step) -> bool {
    let Some(put) = put_in_place_by(step.remediation) else { return false };
    let in_place =
        |other: &Step| other.remediation == put && other.state == StepState::Done && other.object == step.object;
    step.state == StepState::Planned && journal.steps.iter().any(in_place)
}

/// What puts in place what this takes away, where that may stand after the incident has ended.
pub(super) fn put_in_place_by(remediation: Remediation) -> Option<Remediation> {
    match remediation {
        Remediation::DeletePod => Some(Remediation::QuarantinePod),
        Remediation::UncordonNode => Some(Remediation::CordonNode),
        Remediation::AllowPodNetwork => Some(Remediation::DenyPodNetwork),
        Remediation::ReleaseDependency => Some(Remediation::CutDependency),
        _ => None,
    }
}

/// A pod in quarantine is still to be deleted.
fn keeps_pods(journal: &Journal) -> bool {
    let deletes = |step: &Step| step.remediation == Remediation::DeletePod && step.state == StepState::Planned;
    journal.steps.iter().any(deletes)
}

/// The end of the inspection of the pod that the step removes.
fn inspected(step: &Step) -> Option<Timestamp> {
    step.to.parse().ok()
}

pub(super) fn next_removal(journal: &Journal, now: Timestamp) -> Option<Timestamp> {
    let removes = |step: &&Step| step.remediation == Remediation::DeletePod && planned_removal(journal, step);
    let planned = journal.steps.iter().filter(removes);
    planned.filter_map(inspected).filter(|until| *until > now).min()
}
