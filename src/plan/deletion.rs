//! The target itself was deleted: that it was there, since when it is not, and whether the one that is there now is the
//! one that we created.
//!
//! Only what was seen to happen counts. A policy that comes before its target, a target that was deleted while nobody
//! looked, or while the policy was suspended, is nobody's loss. This module must not say whether a deletion may be undone:
//! that is a guard's.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::json;

use super::assess::{Assessment, Symptom, Verdict};
use super::content;
use super::facts::{Facts, Lost, RecoveryFacts, Workload};
use super::member::MemberKind;
use super::memory::TargetSeen;
use super::steps;
use crate::api::Reason;
use crate::api::policy::RecoveryPolicySpec;
use crate::api::recovery::{Journal, Phase, Remediation, Step, StepState};

/// Brings up to date what was seen of the target. A gap in sight, and a person's word to keep out, end it.
pub(super) fn look(facts: &Facts, seen: Option<TargetSeen>, now: Timestamp) -> Option<TargetSeen> {
    let policy = facts.policy.as_ref()?;
    if !facts.sight.blind.is_empty() || !facts.sight.malformed.is_empty() {
        return None;
    }
    if let Some(target) = &facts.target {
        let same = seen.filter(|seen| seen.gone.is_none() && seen.workload == *target);
        return same.or_else(|| Some(TargetSeen { workload: target.clone(), gone: None }));
    }
    let kept_out = policy.deleting || policy.spec.suspend || facts.ceiling.suspended || !policy.rivals.is_empty();
    let reference = &policy.spec.target_ref;
    let same = |workload: &Workload| workload.kind.name() == reference.kind && workload.name == reference.name;
    let seen = seen.filter(|seen| !kept_out && same(&seen.workload))?;
    Some(TargetSeen { gone: seen.gone.or(Some(now)), ..seen })
}

/// The facts, with what was lost.
pub(super) fn with_lost<'a>(facts: Cow<'a, Facts>, seen: Option<&TargetSeen>) -> Cow<'a, Facts> {
    match lost(&facts, seen) {
        Some(lost) => Cow::Owned(Facts { lost: Some(lost), ..facts.into_owned() }),
        None => facts,
    }
}

/// After a restart it is not known any more what the target was; where that was enough to decide by, the journal has what
/// is needed to go on.
fn lost(facts: &Facts, seen: Option<&TargetSeen>) -> Option<Lost> {
    let policy = facts.policy.as_ref().filter(|_| facts.target.is_none() && facts.sight.blind.is_empty())?;
    if let Some((seen, since)) = seen.and_then(|seen| Some((seen, seen.gone?))) {
        return Some(Lost { workload: seen.workload.clone(), since });
    }
    let journal = &facts.open_recovery().filter(|open| of_deletion(open))?.journal;
    let step = journal.steps.iter().find(|step| step.remediation == Remediation::RecreateWorkload)?;
    let workload = Workload {
        kind: MemberKind::of(&journal.target.kind)?,
        name: journal.target.name.clone(),
        uid: journal.target.uid.clone(),
        replicas: replicas(&step.from)?,
        ..Workload::default()
    };
    Some(Lost { workload, since: journal.symptom.since.0 - policy.spec.detection.unavailable_for.signed() })
}

/// What is so without a target: a deletion counts after `unavailableFor`, in which most are put right by who made them.
pub(super) fn assess(facts: &Facts, spec: &RecoveryPolicySpec, now: Timestamp) -> Assessment {
    let missing = Assessment::unknown(Reason::TargetNotFound, format!("{} does not exist", spec.target_ref));
    let Some(Lost { workload, since }) = &facts.lost else { return missing };
    let counts = *since + spec.detection.unavailable_for.signed();
    if now < counts {
        return Assessment { look_again: Some(counts), ..missing };
    }
    let message = format!("{} was deleted", workload.title());
    let closure = content::digest(&format!("without {} {}", workload.title(), workload.uid));
    let reason = Reason::TargetDeleted;
    Assessment {
        verdict: Verdict::Unstable,
        reason,
        message: message.clone(),
        symptom: Some(Symptom { reason, message, since: counts, closure: closure.clone() }),
        closure,
        required: usize::try_from(workload.replicas).unwrap_or(0),
        ..missing
    }
}

/// Whether an incident is about the deletion of its target.
pub(super) fn of_deletion(recovery: &RecoveryFacts) -> bool {
    recovery.journal.symptom.reason == Reason::TargetDeleted
}

/// Whether the target is missing because it was not created again yet, or is the one that this incident created.
pub(super) fn as_expected(facts: &Facts, open: &RecoveryFacts) -> bool {
    let created = |step: &Step| step.remediation == Remediation::RecreateWorkload && step.state == StepState::Done;
    of_deletion(open)
        && match &facts.target {
            None => !open.journal.steps.iter().any(created),
            Some(target) => target.recreated_by.as_ref() == Some(&open.name),
        }
}

/// From here on the incident is about the target that it created; our mark on it has done its duty.
pub(super) fn adopt(facts: &Facts, recovery: &str, journal: &mut Journal) {
    let ours = facts.target.as_ref().filter(|target| target.recreated_by.as_deref() == Some(recovery));
    let Some(target) = ours.filter(|target| target.uid != journal.target.uid) else { return };
    if !matches!(journal.phase, Phase::Acting | Phase::Verifying) {
        return;
    }
    journal.target.uid = target.uid.clone();
    journal.steps.push(unmark(facts, target, &journal.stable_state));
    journal.phase = Phase::Acting;
    journal.reason = Reason::Acting;
}

/// The step that takes our mark away from what we created, and gives its fields to whom they belonged.
pub(super) fn unmark(facts: &Facts, target: &Workload, state: &str) -> Step {
    let state = facts.states.iter().find(|known| known.name == state);
    let owner = state.and_then(|state| state.itself(target)?.owner.as_ref());
    let object = steps::workload_ref(target);
    let intent = match owner {
        Some(owner) => format!("take our mark off {object}, and give its fields back to {}", owner.manager),
        None => format!("take our mark off {object}"),
    };
    let to = json!(owner).to_string();
    steps::step(Remediation::HandBackFields, object, intent, String::new(), to)
}

/// What a step that creates a workload again records of the one that was deleted.
pub(super) fn recorded(lost: &Workload) -> String {
    json!({"replicas": lost.replicas}).to_string()
}

fn replicas(recorded: &str) -> Option<i32> {
    let recorded: serde_json::Value = serde_json::from_str(recorded).ok()?;
    i32::try_from(recorded.get("replicas")?.as_i64()?).ok()
}
