//! Never the same remedy again for the same evidence, never more remedies than the policy allows, also if the trouble
//! seemed to be over in between, and a pause after a write that was refused: rights and quotas are mended by people, in
//! minutes.

use jiff::SignedDuration;

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::{Journal, Remediation, Remedy, Step, StepState};
use crate::api::stable_state::Group;
use crate::plan::member::MemberKind;
use crate::plan::receipt::last_refusal;
use crate::plan::{cuts, relapse};

/// How long a refused write is left alone.
const AFTER_REFUSAL: SignedDuration = SignedDuration::from_secs(60);

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let journal = case.open.map(|open| &open.journal);
    if let Some(journal) = journal {
        tried_here(case, journal, remedy)?;
    }
    let broken = journal.map_or(&case.assessment.closure, |journal| &journal.broken);
    if remedy == Remedy::Freeze
        && relapse::freeze_was_ended(case.facts, case.policy, &case.target.uid, broken, case.symptom.since)
    {
        return Err(Refusal::new(Reason::AlreadyTried, "somebody ended our freeze of this content before"));
    }
    if remedy == Remedy::CutDependency && cuts::ended_by_person(case) {
        let message = "somebody ended our cut from this dependency not long before (limits.relapse)";
        return Err(Refusal::new(Reason::AlreadyTried, message));
    }
    let before =
        journal.map_or_else(|| case.relapse.map_or(0, |relapse| relapse.tried), |journal| journal.tried_before);
    let tried = journal.map_or(0, |journal| journal.attempt) + before;
    let most = case.policy.spec.limits.max_attempts;
    let prepares = matches!(remedy, Remedy::Freeze | Remedy::PreScale);
    if tried >= most && !prepares {
        let mut message = match before {
            0 => format!("{most} remedies were tried in this incident (limits.maxAttempts); a person has to look"),
            _ => format!(
                "{tried} remedies were tried for this content and it came back (limits.maxAttempts, limits.relapse); a \
                 person has to look"
            ),
        };
        if let Some(refusal) = journal.and_then(last_refusal) {
            message = format!("{message}; {refusal}");
        }
        return Err(Refusal::new(Reason::AttemptsExhausted, message));
    }
    let again = journal.and_then(|journal| journal.timeline.refused.as_ref()).map(|refused| refused.0 + AFTER_REFUSAL);
    if let Some(again) = again.filter(|again| remedy != Remedy::Freeze && case.now < *again) {
        let refusal = journal.and_then(last_refusal);
        let refusal = refusal.unwrap_or_else(|| "the API server refused a write of this plan".to_owned());
        let message = format!("{refusal}; it is tried again a minute later");
        return Err(Refusal { until: Some(again), ..Refusal::new(Reason::WriteRefused, message) });
    }
    Ok(())
}

fn tried_here(case: &Case, journal: &Journal, remedy: Remedy) -> Result<(), Refusal> {
    let same_state = !remedy.restores() || journal.stable_state == case.reference.name;
    // A freeze is not limited by attempts: one that did not come about would be tried for ever.
    if remedy == Remedy::Freeze && began_freeze(journal) {
        return Err(Refusal::new(Reason::AlreadyTried, "a freeze was begun in this incident"));
    }
    if same_state && carried_out(journal, remedy) {
        return Err(Refusal::new(Reason::AlreadyTried, "this was carried out in this incident, and did not help"));
    }
    Ok(())
}

fn began_freeze(journal: &Journal) -> bool {
    journal.steps.iter().any(|step| step.remediation == Remediation::FreezeRollout && step.state != StepState::Planned)
}

/// Some effect of this remedy was acknowledged, and none is outstanding. One that loosens leaves nothing to be loosened.
fn carried_out(journal: &Journal, remedy: Remedy) -> bool {
    let of_remedy = |step: &&Step| match step.remediation {
        Remediation::RestoreTemplate => remedy == Remedy::Rollback,
        Remediation::RenewPods => remedy == Remedy::RenewPods,
        Remediation::RecreateWorkload => remedy == Remedy::Recreate,
        Remediation::RestoreObject | Remediation::RemoveObject => {
            let guard_rail = MemberKind::of(&step.object.kind).and_then(MemberKind::group) == Some(Group::GuardRails);
            remedy == if guard_rail { Remedy::RestoreGuardRails } else { Remedy::Rollback }
        }
        Remediation::QuarantinePod => remedy == Remedy::IsolatePods,
        Remediation::CordonNode | Remediation::DeleteLostPod => remedy == Remedy::IsolateNode,
        Remediation::EvictPod => {
            remedy == journal.decision.remedy && matches!(remedy, Remedy::IsolatePods | Remedy::IsolateNode)
        }
        Remediation::SwitchService | Remediation::SwitchRoute => remedy == Remedy::Failover,
        Remediation::FreezeRollout => remedy == Remedy::Freeze,
        Remediation::StopNeighbour => remedy == Remedy::StopNeighbour,
        Remediation::PreScaleStandby => remedy == Remedy::PreScale,
        Remediation::CutDependency => remedy == Remedy::CutDependency,
        _ => false,
    };
    let steps: Vec<_> = journal.steps.iter().filter(of_remedy).collect();
    steps.iter().any(|step| step.state == StepState::Done) && steps.iter().all(|step| step.state != StepState::Planned)
}
