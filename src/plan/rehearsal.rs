//! Is the past still possible? For which state that is to be asked, when, and what an answer is good for.
//!
//! Asking is `act`'s part and stores nothing; answers are facts, and grow old. What a bad change itself changes (the
//! live template, the content of a ConfigMap) is no input of an answer: it stays known, and shown. But nothing is decided
//! by one that was given before that change, which may have come with more than we see.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::closure::{self, Difference};
use super::content::digest;
use super::facts::{Facts, Feasibility, MemberFacts, Rehearsal, StateFacts, Workload};
use super::guard::{Case, Refusal};
use super::member::MemberKind;
use super::{deletion, parity, states, steps};
use crate::api::policy::{GitOps, MemberPolicy};
use crate::api::recovery::{Remediation, Remedy, Step};
use crate::api::{Duration, Reason};

/// A refusal is asked about again this soon: people mend quotas and accounts in minutes, and wait for it.
const SOON: SignedDuration = SignedDuration::from_secs(15);
/// After a change of the live closure it is asked again at once, but not more often than this.
const PACE: SignedDuration = SignedDuration::from_secs(5);
/// No answer is too old before this: asking may take as long.
const SHORTEST_LIFE: SignedDuration = SignedDuration::from_secs(15);

/// A state to be rehearsed, and what is needed for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rehearse {
    /// Name of the state.
    pub state: String,
    /// See [`Rehearsal::inputs`].
    pub inputs: String,
    /// See [`Rehearsal::live`].
    pub live: String,
    /// A decision waits for the answer.
    pub urgent: bool,
    /// Pods of the target that are there: one that is made again takes the room of one of them.
    pub pods: usize,
    /// The step that puts the workload itself back, whether or not it differs.
    pub workload: Step,
    /// What a rollback would do beside it; `None` if the policy allows no rollback.
    pub rollback: Option<Rollback>,
}

/// What a rollback to the state would do beside putting the workload back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollback {
    /// The steps that put back what differs now.
    pub steps: Vec<Step>,
    /// The kinds of all members that it may have to put back.
    pub kinds: BTreeSet<String>,
    /// The ConfigMaps that are there afterwards in any case.
    pub config_maps: BTreeSet<String>,
    /// The Secrets that are.
    pub secrets: BTreeSet<String>,
}

/// What is to be asked now, or when to think of it again.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Outlook {
    pub ask: Option<Rehearse>,
    pub again: Option<Timestamp>,
}

/// What a finished rollback still owes: proof that its pods could be created again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    /// Proven, as far as it can be.
    Passed,
    /// Not asked since everything else is back.
    Wanted,
    /// They could not, or it could not be asked: why.
    Failed(String),
}

/// Whether anybody asks for this policy.
pub(super) fn interval(facts: &Facts) -> Option<SignedDuration> {
    facts.policy.as_ref()?;
    facts.rehearsals.every.map(Duration::signed)
}

/// The last answer about a state that still says something about it, however old.
pub(super) fn known<'a>(facts: &'a Facts, state: &StateFacts) -> Option<&'a Rehearsal> {
    let inputs = inputs(facts, state)?;
    facts.rehearsals.answers.iter().find(|answer| answer.state == state.name && answer.inputs == inputs)
}

/// Until when an answer may be decided by.
pub(super) fn good_until(answer: &Rehearsal, every: SignedDuration) -> Timestamp {
    answer.at
        + match &answer.feasibility {
            Feasibility::Feasible { .. } | Feasibility::Unknown { lasting: true, .. } => {
                every.saturating_mul(2).max(SHORTEST_LIFE)
            }
            Feasibility::Infeasible { .. } | Feasibility::Unknown { lasting: false, .. } => SHORTEST_LIFE,
        }
}

/// Whether `remedy` may go back to the case's state. An answer that was not given cannot refuse it: the writes will tell.
///
/// # Errors
/// [`Reason::NotRehearsed`] if it has to be asked first; else what the answer says.
pub(super) fn allows(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let Case { facts, reference: state, now, .. } = *case;
    let Some(every) = interval(facts) else { return Ok(()) };
    let live = closure::live_digest(facts).unwrap_or_default();
    let decides = |answer: &&Rehearsal| now < good_until(answer, every) && answer.live == live;
    let Some(answer) = known(facts, state).filter(decides) else {
        let message = format!("whether StableState {} could be restored is being asked", state.name);
        return Err(Refusal::new(Reason::NotRehearsed, message));
    };
    match &answer.feasibility {
        // What keeps its pods from being created may be what is put back first; the proof comes afterwards.
        Feasibility::Infeasible { reason: Reason::PodRefused, .. }
            if remedy == Remedy::RestoreGuardRails || creates_account(facts, state) =>
        {
            Ok(())
        }
        Feasibility::Infeasible { reason, message } => Err(Refusal {
            until: Some(good_until(answer, every)),
            ..Refusal::new(*reason, format!("StableState {} cannot be gone back to: {message}", state.name))
        }),
        Feasibility::Feasible { .. } | Feasibility::Unknown { .. } => Ok(()),
    }
}

fn creates_account(facts: &Facts, state: &StateFacts) -> bool {
    let accounts = |difference: &Difference| difference.kind == MemberKind::ServiceAccount && difference.uid.is_empty();
    closure::restorable(facts, state).iter().any(accounts)
}

/// Whether a refusal is one of a rehearsal, or of a floor: then an older state may still be possible.
pub(super) const fn refuses(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::PodRefused
            | Reason::ReferenceMissing
            | Reason::RestoreRefused
            | Reason::RightMissing
            | Reason::BelowFloor
    )
}

/// Judges the last answer about `state`, which everything else has been equal to since `from`.
pub(super) fn probe(facts: &Facts, state: &StateFacts, from: Timestamp) -> Probe {
    if interval(facts).is_none() {
        return Probe::Passed;
    }
    let Some(answer) = known(facts, state).filter(|answer| answer.at >= from) else { return Probe::Wanted };
    match &answer.feasibility {
        Feasibility::Feasible { .. } | Feasibility::Unknown { lasting: true, .. } => Probe::Passed,
        Feasibility::Unknown { message, lasting: false } => {
            Probe::Failed(format!("whether its pods could be created again is not known: {message}"))
        }
        Feasibility::Infeasible { reason: Reason::PodRefused | Reason::ReferenceMissing, message } => {
            Probe::Failed(format!("its pods could not be created again: {message}"))
        }
        Feasibility::Infeasible { message, .. } => Probe::Failed(format!("it could not be restored again: {message}")),
    }
}

/// What is to be asked: what a decision waits for, else the reference when its answer is due.
pub(super) fn outlook(facts: &Facts, wanted: Option<&str>, now: Timestamp) -> Outlook {
    let (Some(every), true) = (interval(facts), facts.sight.blind.is_empty()) else { return Outlook::default() };
    if let Some(name) = wanted {
        let state = facts.states.iter().find(|state| state.name == name);
        return Outlook { ask: state.and_then(|state| request(facts, state, true)), again: None };
    }
    // A tool that undoes every rollback makes the question idle.
    let respects = facts.policy.as_ref().is_some_and(|policy| policy.spec.git_ops == GitOps::Respect);
    let kept = respects && facts.target.as_ref().is_some_and(|target| target.git_ops.is_some());
    let Some(state) = states::reference(facts).ok().filter(|_| !kept) else { return Outlook::default() };
    match due(facts, state, every) {
        Some(due) if due > now => Outlook { ask: None, again: Some(due) },
        _ => Outlook { ask: request(facts, state, false), again: None },
    }
}

/// When the answer about `state` is to be renewed; `None` if there is none.
fn due(facts: &Facts, state: &StateFacts, every: SignedDuration) -> Option<Timestamp> {
    let answer = known(facts, state)?;
    let calm = facts.open_recovery().is_none();
    let changed = calm && closure::live_digest(facts).is_some_and(|live| live != answer.live);
    let pause = match &answer.feasibility {
        _ if changed => every.min(PACE),
        Feasibility::Feasible { .. } | Feasibility::Unknown { lasting: true, .. } => spread(facts, every),
        Feasibility::Infeasible { .. } | Feasibility::Unknown { lasting: false, .. } => every.min(SOON),
    };
    Some(answer.at + pause)
}

/// The interval, shortened by up to a fifth, so that not all policies ask at once; the same for one policy every time.
fn spread(facts: &Facts, every: SignedDuration) -> SignedDuration {
    let uid = facts.policy.as_ref().map_or("", |policy| policy.uid.as_str());
    let drawn = digest(uid).get(..2).and_then(|drawn| i32::from_str_radix(drawn, 16).ok()).unwrap_or(0);
    let fifth = every.checked_div(5 * 256).unwrap_or_default().saturating_mul(drawn);
    every.saturating_sub(fifth)
}

/// Digest of what an answer about `state` depends on, as far as we see it.
fn inputs(facts: &Facts, state: &StateFacts) -> Option<String> {
    let (policy, target) = (facts.policy.as_ref()?, facts.subject()?);
    let restored = (policy.spec.actions.rollback.is_some(), &policy.spec.closure);
    // Creating it again is another question than writing to it.
    let lost = if facts.lost.is_some() { " lost" } else { "" };
    // What is kept of the live template is part of what would be restored.
    let keeps = workload(facts, state, target).map(|step| step.keeps).unwrap_or_default();
    Some(digest(&format!("{} {} {} {} {restored:?} {keeps:?}{lost}", state.name, state.uid, state.digest, target.uid)))
}

fn request(facts: &Facts, state: &StateFacts, urgent: bool) -> Option<Rehearse> {
    let (policy, target) = (facts.policy.as_ref()?, facts.subject()?);
    Some(Rehearse {
        state: state.name.clone(),
        inputs: inputs(facts, state)?,
        live: closure::live_digest(facts).unwrap_or_default(),
        urgent,
        pods: facts.live_pods().count(),
        workload: workload(facts, state, target)?,
        rollback: policy.spec.actions.rollback.as_ref().map(|_| rollback(facts, state)),
    })
}

fn workload(facts: &Facts, state: &StateFacts, target: &Workload) -> Option<Step> {
    let stable = state.itself(target)?;
    let lost = facts.lost.is_some();
    let recorded = deletion::recorded(target);
    let present = Difference {
        kind: target.kind,
        name: &target.name,
        uid: if lost { "" } else { &target.uid },
        live: if lost { &recorded } else { &target.digest },
        stable: &stable.digest,
        owner: None,
    };
    let keeps = parity::keeps(facts, state, &present);
    Some(steps::restore(&present, &state.name, keeps))
}

/// What may have to be put back beside the workload, guard rails excepted: those are a remedy of their own.
fn rollback(facts: &Facts, state: &StateFacts) -> Rollback {
    let restored = |member: &&MemberFacts| {
        let group = MemberKind::of(&member.kind).and_then(MemberKind::group);
        !member.absent && group.is_some_and(|group| closure::member_policy(facts, group) == MemberPolicy::Restore)
    };
    let others = state.members.iter().filter(restored);
    let named = |kind: MemberKind| {
        others.clone().filter(move |member| member.kind == kind.name()).map(|member| member.name.clone()).collect()
    };
    let itself = |step: &Step| matches!(step.remediation, Remediation::RestoreTemplate | Remediation::RecreateWorkload);
    let beside = |step: &Step| !itself(step) && !step.to.is_empty();
    Rollback {
        steps: steps::restores(facts, state).into_iter().filter(beside).collect(),
        kinds: others.clone().map(|member| member.kind.clone()).collect(),
        config_maps: named(MemberKind::ConfigMap),
        secrets: named(MemberKind::Secret),
    }
}
