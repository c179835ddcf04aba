//! Never the same remedy again for the same evidence, and never more remedies than the policy allows.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::{Journal, Remediation, Remedy, Step, StepState};

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let Some(open) = case.open else { return Ok(()) };
    let journal = &open.journal;
    let same_state = remedy != Remedy::Rollback || journal.stable_state == case.reference.name;
    if same_state && carried_out(journal, remedy) {
        return Err(Refusal::new(Reason::AlreadyTried, "this was carried out in this incident, and did not help"));
    }
    let most = case.policy.spec.limits.max_attempts;
    if journal.attempt >= most && remedy != Remedy::Freeze {
        let message = format!("{most} remedies were tried in this incident (limits.maxAttempts); a person has to look");
        return Err(Refusal::new(Reason::AttemptsExhausted, message));
    }
    Ok(())
}

/// Some effect of this remedy was acknowledged, and none is outstanding.
fn carried_out(journal: &Journal, remedy: Remedy) -> bool {
    let of_remedy = |step: &&Step| match step.remediation {
        Remediation::RestoreTemplate | Remediation::RestoreConfigMap => remedy == Remedy::Rollback,
        Remediation::QuarantinePod => remedy == Remedy::IsolatePods,
        Remediation::SwitchService => remedy == Remedy::Failover,
        Remediation::FreezeRollout => remedy == Remedy::Freeze,
        _ => false,
    };
    let steps: Vec<_> = journal.steps.iter().filter(of_remedy).collect();
    steps.iter().any(|step| step.state == StepState::Done) && steps.iter().all(|step| step.state != StepState::Planned)
}
