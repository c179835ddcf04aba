//! A remedy must fit the suspect; what cannot help is not tried.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::{Remedy, Suspect};
use crate::plan::{closure, rehearsal};

/// Something differs that a rollback writes, or we hold the rollout still, which a rollback ends.
fn restorable(case: &Case) -> bool {
    !closure::restorable(case.facts, case.reference).is_empty()
}

fn guard_rails(case: &Case) -> bool {
    !closure::guard_rails(case.facts, case.reference).is_empty()
}

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let refuse = |reason: Reason, message: String| Err(Refusal::new(reason, message));
    match (remedy, case.triage.suspect) {
        (Remedy::Rollback, Suspect::Change) if restorable(case) => Ok(()),
        (Remedy::Rollback, Suspect::Change) => {
            refuse(Reason::NoChangeToRevert, format!("{}; a rollback writes none of it", case.triage.message))
        }
        (Remedy::RestoreGuardRails, Suspect::Change) if !guard_rails(case) => {
            refuse(Reason::NoChangeToRevert, "no guard rail differs from the stable state".into())
        }
        (Remedy::RestoreGuardRails, Suspect::Change)
        | (Remedy::IsolatePods, Suspect::Pod)
        | (Remedy::Failover, Suspect::Unknown | Suspect::Pod)
        | (Remedy::Hold, _) => Ok(()),
        // What cannot be reverted is no reason to let a target stay down.
        (Remedy::Failover, Suspect::Change) if gone(case) => Ok(()),
        (Remedy::Freeze, Suspect::Change) if case.assessment.rolling => Ok(()),
        (Remedy::Freeze, _) => refuse(Reason::NotIndicated, "no bad rollout is under way".into()),
        (Remedy::Rollback, Suspect::Unknown) => refuse(case.triage.reason, case.triage.message.clone()),
        (Remedy::RestoreGuardRails, Suspect::Unknown) => refuse(case.triage.reason, case.triage.message.clone()),
        (Remedy::Rollback | Remedy::RestoreGuardRails, _) => {
            refuse(Reason::NoChangeToRevert, case.triage.message.clone())
        }
        (Remedy::IsolatePods, _) => refuse(
            Reason::NotIndicated,
            "the symptom is not that of single pods among good ones of the same revision".into(),
        ),
        (Remedy::Failover, Suspect::Change) => refuse(
            Reason::NotIndicated,
            "a change explains the symptom; reverting it comes before moving traffic".into(),
        ),
    }
}

/// The state that a rollback would go back to is not possible any more.
fn gone(case: &Case) -> bool {
    let allowed = rehearsal::allows(case.facts, case.reference, Remedy::Rollback, case.now);
    allowed.is_err_and(|refusal| rehearsal::refuses(refusal.reason))
}
