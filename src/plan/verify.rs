//! Did it work? Judged from new facts only, never from the API server's answer to what we did.
//!
//! Everything that is missing is named; "recovered" needs nothing to be missing for the whole window. The checks of
//! metrics come on top, in [`super::checks`]: what they are measured from has to lie after the rest is back.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::assess::{Assessment, Verdict};
use super::closure;
use super::due::put_in_place_by;
use super::facts::{Facts, RecoveryFacts, Workload};
use super::rehearsal::Probe;
use super::{bonds, isolation, nodes, parity, rehearsal, states, traffic};
use crate::api::Reason;
use crate::api::recovery::{Remedy, Step, StepState};

/// What is still missing before `recovery` may be called recovered; empty when everything is back.
#[must_use]
pub fn missing(facts: &Facts, assessment: &Assessment, recovery: &RecoveryFacts) -> Vec<String> {
    let Some(target) = &facts.target else { return vec!["the target does not exist".into()] };
    let mut missing = health(facts, assessment, target);
    if recovery.journal.decision.remedy.restores() {
        missing.extend(content(facts, recovery));
    }
    missing.extend(leftovers(facts, recovery, target));
    missing.extend(endpoints(facts, target));
    let lost = parity::lost(facts, &recovery.journal).into_iter();
    missing.extend(lost.map(|what| format!("allowed again, and it was forbidden before: {what}")));
    missing.extend(nodes::missing(facts, recovery));
    missing.extend(isolation::missing(facts, &recovery.journal));
    if recovery.journal.symptom.reason == Reason::DependentsFailing {
        missing.extend(bonds::missing(facts, recovery.journal.symptom.since.0));
    }
    missing
}

/// What is missing before the target may take traffic again: its health, whatever its content now is.
#[must_use]
pub fn missing_at_home(facts: &Facts, assessment: &Assessment) -> Vec<String> {
    facts
        .target
        .as_ref()
        .map_or_else(|| vec!["the target does not exist".into()], |target| health(facts, assessment, target))
}

/// What is missing before our own freeze may be ended because the trouble is over. The rollout is incomplete and the
/// pods are of two revisions because of the freeze; so every single pod must be ready.
#[must_use]
pub fn missing_while_frozen(facts: &Facts, assessment: &Assessment) -> Vec<String> {
    let unready = facts.live_pods().filter(|pod| !pod.ready).count();
    let judged = assessment.verdict != Verdict::Unknown || assessment.only_checks();
    let enough = unready == 0 && assessment.ready >= assessment.required && judged;
    if enough { vec![] } else { vec![format!("{unready} pods are not ready")] }
}

fn health(facts: &Facts, assessment: &Assessment, target: &Workload) -> Vec<String> {
    let mut missing = vec![];
    if assessment.verdict != Verdict::Stable && !assessment.only_checks() {
        missing.push(assessment.message.clone());
    }
    if target.observed_generation < target.generation {
        missing.push(format!("the controller has not seen the present spec of {}", target.title()));
    }
    if target.paused {
        missing.push(format!("the rollout of {} is held still", target.title()));
    }
    let wanted = usize::try_from(target.replicas).unwrap_or(0);
    if assessment.ready < assessment.required || assessment.ready < wanted {
        missing.push(format!("{} of {wanted} pods ready", assessment.ready));
    }
    let present = facts.present_revisions();
    let others = facts.pods.iter().filter(|pod| !pod.finished && !present.contains(pod.revision.as_str())).count();
    if others > 0 {
        missing.push(format!("{others} pods of another revision are left"));
    }
    missing
}

/// What a rollback still owes when everything else is back, since `from`.
#[must_use]
pub(super) fn probe(facts: &Facts, recovery: &RecoveryFacts, from: Timestamp) -> Probe {
    let journal = &recovery.journal;
    let restores = |step: &Step| step.remediation.restores() && step.state == StepState::Done;
    let restored = facts.states.iter().find(|state| state.name == journal.stable_state);
    match restored.filter(|_| journal.steps.iter().any(restores)) {
        Some(state) => rehearsal::probe(facts, state, from),
        None => Probe::Passed,
    }
}

fn content(facts: &Facts, recovery: &RecoveryFacts) -> Vec<String> {
    let name = &recovery.journal.stable_state;
    let Some(state) = facts.states.iter().find(|state| state.name == *name) else {
        return vec![format!("StableState {name} is gone")];
    };
    let remedy = recovery.journal.decision.remedy;
    let mut differing = match remedy {
        Remedy::RollbackLoosening => closure::restorable_loosely(facts, state),
        _ => closure::restorable(facts, state),
    };
    // Guard rails that this incident did not write are an administrator's, and stay as they are.
    if remedy == Remedy::RestoreGuardRails {
        let written = |difference: &closure::Difference| {
            let of = |step: &Step| step.object.kind == difference.kind.name() && step.object.name == difference.name;
            recovery.journal.steps.iter().any(of)
        };
        let mut rails = closure::all_guard_rails(facts, state);
        rails.retain(|difference| written(difference) || !parity::spares(facts, state, difference));
        differing.extend(rails);
    }
    let mut missing: Vec<_> = differing
        .into_iter()
        .map(|difference| format!("{} {} differs from StableState {name}", difference.kind, difference.name))
        .collect();
    if let Err(refusal) = states::usable(facts, state) {
        missing.push(refusal.message);
    }
    missing
}

/// What we put in place and have to take away again, and steps that are not acknowledged.
fn leftovers(facts: &Facts, recovery: &RecoveryFacts, target: &Workload) -> Vec<String> {
    let mut missing = vec![];
    if target.frozen_by.is_some() {
        missing.push(format!("{} still carries our freeze", target.title()));
    }
    if target.recreated_by.as_ref() == Some(&recovery.name) {
        missing.push(format!("{} still carries our mark", target.title()));
    }
    let moved = traffic::moved(facts);
    missing.extend(moved.map(|(kind, name, _)| format!("{kind} {name} still points at the standby")));
    let outstanding = recovery
        .journal
        .steps
        .iter()
        .filter(|step| step.state == StepState::Planned && put_in_place_by(step.remediation).is_none());
    missing.extend(outstanding.map(|step| format!("not done yet: {}", step.intent)));
    missing
}

/// Every Service that leads to the target offers its ready pods, and no quarantined one.
fn endpoints(facts: &Facts, target: &Workload) -> Vec<String> {
    let ready: BTreeSet<&str> = facts.live_pods().filter(|pod| pod.ready).map(|pod| pod.uid.as_str()).collect();
    let mut missing = vec![];
    for service in facts.services.iter().filter(|service| service.selects(&target.labels)) {
        let absent = ready.iter().filter(|uid| !service.offered.contains(**uid)).count();
        if absent > 0 {
            missing.push(format!("Service {} does not offer {absent} ready pods yet", service.name));
        }
        if facts.quarantined.iter().any(|pod| service.offered.contains(&pod.uid)) {
            missing.push(format!("Service {} still offers a quarantined pod", service.name));
        }
    }
    missing
}
