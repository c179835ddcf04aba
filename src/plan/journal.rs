//! The life of one incident: opened, acted on, verified, or let go; every change of its journal is made here.
//!
//! An intent is in the journal before its effect happens. A step without a receipt is simply asked for
//! again: `act` sees whether it is done already. Nothing here writes; it only says what to write.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::assess::{self, Assessment, Symptom, Verdict};
use super::brake::{Brake, Weather};
use super::choose::{Chosen, Question, Unrehearsed, choose};
use super::decide::{self, Choice};
use super::due::{next_removal, outstanding, planned_removal};
use super::facts::{Facts, PolicyFacts, RecoveryFacts, StateFacts};
use super::memory::{Memory, Since};
use super::receipt::settle;
use super::rehearsal::Probe;
use super::{
    checks, closing, closure, course, cuts, deletion, floors, isolation, letting_go, neighbours, nodes, on_standby,
    owners, parity, pre_scale, relapse, stale, states, steps, verify,
};
use crate::api::recovery::{ApprovalDecision, Journal, Phase, Remedy, StepState};
use crate::api::recovery::{SymptomRecord, Timeline};
use crate::api::{Mode, Outcome, Reason};

/// What one step of the loop means for one Recovery.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Turn {
    /// Name of the Recovery.
    pub recovery: String,
    /// The journal to write before anything else; `None` if it is as it should be.
    pub record: Option<Record>,
    /// Indices of the steps to carry out now, in order.
    pub effects: Vec<usize>,
    /// When to look again.
    pub until: Option<Timestamp>,
    /// Name of the state without whose rehearsal nothing can be decided.
    pub rehearse: Option<String>,
}

/// How the journal is to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Create the Recovery with this opening.
    Open(Box<Journal>),
    /// Replace the journal.
    Update(Box<Journal>),
}

/// Everything an incident is judged by.
pub(super) struct View<'a> {
    pub facts: &'a Facts,
    pub assessment: &'a Assessment,
    /// How much fails, this target included.
    pub weather: Weather,
    /// The brake, as it is with that.
    pub brake: Brake,
    pub now: Timestamp,
}

/// Opens an incident if a symptom counts and the policy is in charge.
pub(super) fn begin(view: &View, memory: &mut Memory) -> Option<Turn> {
    let policy = in_charge(view.facts)?;
    let symptom = view.assessment.symptom.as_ref()?;
    let target = view.facts.subject()?;
    if hands_off(view, symptom) {
        return None;
    }
    let name = next_name(view.facts, &target.uid);
    let relapse = relapse::of(view.facts, policy, &target.uid, &view.assessment.closure, symptom.since);
    let question = Question { policy, symptom, open: None, name: &name };
    let Chosen { choice, suspect, state: stable_state } = match choose(view, &question, memory) {
        Ok(chosen) => chosen,
        Err(Unrehearsed(state)) => return Some(Turn { rehearse: Some(state), ..Turn::default() }),
    };
    if said_already(view.facts, &choice) {
        return None;
    }
    let mut journal = Journal {
        policy: view.facts.policy_name.clone(),
        target: steps::workload_ref(target),
        symptom: SymptomRecord {
            reason: symptom.reason,
            message: cut(&symptom.message),
            since: MicroTime(symptom.since),
            closure: symptom.closure.clone(),
        },
        suspect,
        decision: choice.decision.clone(),
        broken: view.assessment.closure.clone(),
        stable_state,
        hardened: parity::hardened(view.facts),
        exceptions: vec![],
        attempt: 0,
        tried_before: relapse.map_or(0, |relapse| relapse.tried),
        steps: vec![],
        isolation: None,
        timeline: Timeline { detected: Some(MicroTime(symptom.since)), ..Timeline::default() },
        phase: Phase::Holding,
        outcome: None,
        reason: choice.decision.reason,
        message: String::new(),
    };
    let until = choice.until;
    let mode = decide::mode_for(view.facts, &choice)?;
    adopt(&mut journal, choice, mode, None, view.now);
    note_exceptions(view, &mut journal);
    let effects = outstanding(&journal, view.now);
    Some(Turn { recovery: name, record: Some(Record::Open(Box::new(journal))), effects, until, rehearse: None })
}

/// A person made us let go of this trouble: it stays theirs until it is over, or until something is changed.
fn hands_off(view: &View, symptom: &Symptom) -> bool {
    let Some(last) = view.facts.recoveries.last().map(|last| &last.journal) else { return false };
    let closed = last.timeline.closed.as_ref();
    // After a restart it is not known that the trouble never ended; then the content has to tell.
    let same = closed.is_some_and(|closed| symptom.since <= closed.0) || last.broken == view.assessment.closure;
    let earned = view.facts.states.iter().any(|state| state.digest == view.assessment.closure);
    let began_after = closed.is_some_and(|closed| symptom.since > closed.0);
    last.reason == Reason::AbortedByUser && same && !(earned && began_after)
}

/// Nothing but what was undone before is possible, and the last incident ended by saying so.
fn said_already(facts: &Facts, choice: &Choice) -> bool {
    let last = facts.recoveries.last().map(|last| &last.journal);
    let held = choice.decision.remedy == Remedy::Hold && choice.decision.reason == Reason::RevertedByGitOps;
    held && last.is_some_and(owners::by_reversion)
}

/// Takes an open incident one step further.
pub(super) fn advance(view: &View, open: &RecoveryFacts, memory: &mut Memory) -> Turn {
    let mut journal = open.journal.clone();
    if !view.facts.sight.blind.is_empty() {
        // What we hold may only look gone: not even letting go is finished blindly.
        return Turn { recovery: open.name.clone(), ..Turn::default() };
    }
    deletion::adopt(view.facts, &open.name, &mut journal);
    let (mut until, mut rehearse) = (None, None);
    if let Some(end) = letting_go::due(view.facts, open) {
        letting_go::release(view, open, &mut journal, end);
    } else if journal.phase == Phase::Releasing {
        letting_go::release_or_close(view, &mut journal);
    } else if view.assessment.verdict == Verdict::Unknown && !view.assessment.only_checks() {
        memory.back = None;
        return Turn { recovery: open.name.clone(), ..Turn::default() };
    } else {
        match journal.phase {
            Phase::Acting => settle(&mut journal, view.now),
            Phase::Verifying => until = verifying(view, open, &mut journal, memory, &mut rehearse),
            Phase::OnStandby => until = on_standby::wait(view, open, &mut journal, memory, &mut rehearse),
            Phase::Holding | Phase::AwaitingApproval => {
                until = reconsider(view, open, &mut journal, memory, &mut rehearse);
            }
            Phase::Releasing | Phase::Closed => {}
        }
    }
    if journal.outcome == Some(Outcome::Superseded) || owners::by_reversion(&journal) {
        give_time(view, memory);
    }
    isolation::enter(view.facts, &open.name, &mut journal, view.now);
    let standing = RecoveryFacts { journal, ..open.clone() };
    let (fences, well) = fences_due(view, &standing);
    let journal = standing.journal;
    let effects = [outstanding(&journal, view.now), fences].concat();
    let until = next_removal(&journal, view.now).into_iter().chain(well).chain(until).min();
    let record = (journal != open.journal).then(|| Record::Update(Box::new(journal)));
    Turn { recovery: open.name.clone(), record, effects, until, rehearse }
}

/// Somebody took over. What pods from before show must not open the next incident at once, also if we forgot
/// meanwhile that something was wrong before that change.
fn give_time(view: &View, memory: &mut Memory) {
    let (Some(policy), Some(target)) = (&view.facts.policy, &view.facts.target) else { return };
    let until = view.now + assess::patience(view.facts, &policy.spec, target);
    memory.grace.get_or_insert(Since { value: view.now, at: until });
    memory.symptom = None;
}

/// Ends the inspection of quarantined pods of closed incidents, their fences around nodes and their cuts, and lets stopped
/// neighbours and raised autoscalers go on.
pub(super) fn sweep(view: &View) -> Option<Turn> {
    if !view.facts.sight.blind.is_empty() {
        return None;
    }
    let mut until: Option<Timestamp> = None;
    for recovery in view.facts.recoveries.iter().filter(|recovery| !recovery.open()) {
        let mut due = neighbours::due(view.facts, recovery);
        due.extend(pre_scale::undo(view.facts, &recovery.name, &recovery.journal));
        if !due.is_empty() {
            let mut journal = recovery.journal.clone();
            journal.steps.extend(due);
            let effects = outstanding(&journal, view.now);
            let record = Some(Record::Update(Box::new(journal)));
            return Some(Turn { recovery: recovery.name.clone(), record, effects, ..Turn::default() });
        }
        let (fences, well) = fences_due(view, recovery);
        let effects = [outstanding(&recovery.journal, view.now), fences].concat();
        if !effects.is_empty() {
            return Some(Turn { recovery: recovery.name.clone(), record: None, effects, ..Turn::default() });
        }
        until = next_removal(&recovery.journal, view.now).into_iter().chain(well).chain(until).min();
    }
    until.map(|until| Turn { until: Some(until), ..Turn::default() })
}

/// Fences around nodes and cuts of a Recovery that may go now, and when to look again.
fn fences_due(view: &View, recovery: &RecoveryFacts) -> (Vec<usize>, Option<Timestamp>) {
    let (nodes, well) = nodes::release_due(view.facts, recovery, view.now);
    let (cuts, sound) = cuts::release_due(view.facts, recovery, view.now);
    ([nodes, cuts].concat(), well.into_iter().chain(sound).min())
}

/// Closed incidents have their turn when the open one has nothing to do.
pub(super) fn with_sweep(view: &View, turn: Turn) -> Turn {
    if turn.record.is_some() || !turn.effects.is_empty() || turn.rehearse.is_some() {
        return turn;
    }
    match sweep(view) {
        Some(swept) if !swept.effects.is_empty() => swept,
        Some(swept) => Turn { until: turn.until.into_iter().chain(swept.until).min(), ..turn },
        None => turn,
    }
}

/// The policy, if it exists, is alone, and nothing is suspended.
pub(super) fn in_charge(facts: &Facts) -> Option<&PolicyFacts> {
    let policy = facts.policy.as_ref()?;
    let idle = policy.deleting || policy.spec.suspend || facts.ceiling.suspended || !policy.rivals.is_empty();
    (!idle).then_some(policy)
}

/// Enters a choice into the journal, as far as the mode allows.
pub(super) fn adopt(
    journal: &mut Journal,
    choice: Choice,
    mode: Mode,
    approval: Option<ApprovalDecision>,
    now: Timestamp,
) {
    journal.decision = choice.decision;
    journal.timeline.decided = Some(MicroTime(now));
    // What was planned before was never begun, but for the removal of pods that are in quarantine.
    let kept: Vec<bool> =
        journal.steps.iter().map(|s| s.state != StepState::Planned || planned_removal(journal, s)).collect();
    let mut kept = kept.into_iter();
    journal.steps.retain(|_| kept.next().unwrap_or(true));
    let hold = |journal: &mut Journal, phase, reason, message: String| {
        let escalated = journal.outcome == Some(Outcome::Escalated) || given_up(reason);
        journal.phase = phase;
        journal.outcome = Some(if escalated { Outcome::Escalated } else { Outcome::Held });
        journal.reason = reason;
        journal.message = cut(&message);
    };
    let message = journal.decision.message.clone();
    let digest = journal.decision.plan_digest.clone();
    match (journal.decision.remedy, mode, approval) {
        (Remedy::Hold, ..) => return hold(journal, Phase::Holding, journal.decision.reason, message),
        (_, Mode::Observe, _) => {
            journal.steps.extend(choice.steps);
            let message = format!("would act, but the mode is Observe: {message}");
            return hold(journal, Phase::Holding, Reason::ObserveOnly, message);
        }
        (_, Mode::Recommend, Some(ApprovalDecision::Reject)) => {
            return hold(journal, Phase::Holding, Reason::Rejected, "a person rejected the plan".into());
        }
        (_, Mode::Recommend, None) => {
            journal.steps.extend(choice.steps);
            let message = format!("{message}; to go ahead set spec.approval to Approve with planDigest {digest}");
            return hold(journal, Phase::AwaitingApproval, Reason::AwaitingApproval, message);
        }
        (_, Mode::Enforce, _) | (_, Mode::Recommend, Some(ApprovalDecision::Approve)) => {}
    }
    journal.steps.extend(choice.steps);
    journal.attempt += u32::from(!matches!(journal.decision.remedy, Remedy::Freeze | Remedy::PreScale));
    journal.phase = Phase::Acting;
    journal.outcome = None;
    journal.reason = Reason::Acting;
    journal.message = cut(&message);
}

/// Nothing more is tried: a person has to do something.
const fn given_up(reason: Reason) -> bool {
    matches!(reason, Reason::AttemptsExhausted | Reason::RevertedByGitOps)
}

/// Which exceptions from floors a rollback passes by, as they are now.
fn note_exceptions(view: &View, journal: &mut Journal) {
    let state = view.facts.states.iter().find(|state| state.name == journal.stable_state);
    if let Some(state) = state.filter(|_| journal.decision.remedy.rolls_back()) {
        let excepted = floors::judge(view.facts, state, view.now).excepted;
        journal.exceptions = excepted.iter().take(32).map(|line| cut(line)).collect();
    }
}

/// Acted; is it back?
fn verifying(
    view: &View,
    open: &RecoveryFacts,
    journal: &mut Journal,
    memory: &mut Memory,
    rehearse: &mut Option<String>,
) -> Option<Timestamp> {
    let policy = view.facts.policy.as_ref()?;
    if on_standby::again(view, journal, memory) {
        return None;
    }
    let mut missing = verify::missing(view.facts, view.assessment, open);
    if let Some(verdict) = proven_again(view, open, &mut missing, memory, rehearse) {
        return verdict.map_or_else(|from| close_recovered(view, open, journal, from), Some);
    }
    let acted = journal.timeline.acted.as_ref().map_or(view.now, |at| at.0);
    let detected = journal.timeline.detected.as_ref().map_or(acted, |at| at.0);
    let target = view.facts.target.as_ref()?;
    let patience = assess::patience(view.facts, &policy.spec, target);
    let measured = checks::longest_window(&policy.spec);
    let due = (detected + policy.spec.objective.signed()).max(acted + patience + measured);
    let (reason, what) = match course::diverges(view, journal, acted, memory) {
        Some(how) => (Reason::Diverging, how),
        None if view.now < due => return Some(due),
        None => (Reason::VerificationTimedOut, "not back in time".to_owned()),
    };
    journal.outcome = Some(Outcome::Escalated);
    journal.reason = reason;
    journal.phase = Phase::Holding;
    journal.message = cut(&format!("{what}: {}; a person has to look", missing.join("; ")));
    try_again(view, open, journal, memory, rehearse)
}

/// Holding or waiting: has it healed, or is something possible now?
fn reconsider(
    view: &View,
    open: &RecoveryFacts,
    journal: &mut Journal,
    memory: &mut Memory,
    rehearse: &mut Option<String>,
) -> Option<Timestamp> {
    if on_standby::again(view, journal, memory) {
        return None;
    }
    if view.assessment.symptom.is_some() {
        memory.back = None;
        return try_again(view, open, journal, memory, rehearse);
    }
    let acted = journal.attempt > 0;
    let mut missing = match acted {
        true => verify::missing(view.facts, view.assessment, open),
        false if frozen_by_us(view.facts, open) => verify::missing_while_frozen(view.facts, view.assessment),
        false => verify::missing_at_home(view.facts, view.assessment),
    };
    match proven_again(view, open, &mut missing, memory, rehearse)? {
        Ok(later) => Some(later),
        Err(from) if acted => close_recovered(view, open, journal, from),
        Err(_) => {
            let end = letting_go::End {
                outcome: journal.outcome.unwrap_or(Outcome::Held),
                reason: Reason::HealedItself,
                message: "the symptom is gone and the target is healthy; nothing was restored".into(),
            };
            letting_go::release(view, open, journal, end);
            None
        }
    }
}

fn frozen_by_us(facts: &Facts, open: &RecoveryFacts) -> bool {
    facts.target.as_ref().is_some_and(|target| target.frozen_by.as_ref() == Some(&open.name))
}

/// What is chosen now in an open incident with a symptom. `None` without a symptom, and until a rehearsal has answered.
pub(super) fn choose_again(
    view: &View,
    open: &RecoveryFacts,
    journal: &Journal,
    memory: &mut Memory,
    rehearse: &mut Option<String>,
) -> Option<Chosen> {
    let policy = in_charge(view.facts)?;
    let symptom = view.assessment.symptom.as_ref()?;
    let current = RecoveryFacts { journal: journal.clone(), ..open.clone() };
    let question = Question { policy, symptom, open: Some(&current), name: &open.name };
    choose(view, &question, memory).map_err(|Unrehearsed(state)| *rehearse = Some(state)).ok()
}

/// Decides anew in an open incident. The journal changes only if the decision does.
fn try_again(
    view: &View,
    open: &RecoveryFacts,
    journal: &mut Journal,
    memory: &mut Memory,
    rehearse: &mut Option<String>,
) -> Option<Timestamp> {
    let Chosen { choice, suspect, state } = choose_again(view, open, journal, memory, rehearse)?;
    let until = choice.until;
    let mode = decide::mode_for(view.facts, &choice)?;
    let answered = open.spec.approval.as_ref().filter(|answer| answer.plan_digest == choice.decision.plan_digest);
    let mut next = journal.clone();
    if choice.decision.remedy.restores() {
        next.stable_state = state;
    }
    next.suspect = suspect;
    // Whatever holds after an attempt stays escalated: a person has to look.
    adopt(&mut next, choice, mode, answered.map(|answer| answer.decision), view.now);
    note_exceptions(view, &mut next);
    let same = next.phase == journal.phase
        && next.reason == journal.reason
        && next.decision.remedy == journal.decision.remedy
        && next.decision.plan_digest == journal.decision.plan_digest;
    // A mere hold must not hide that we froze it, or that what was done did not help.
    let telling = matches!(journal.reason, Reason::VerificationTimedOut | Reason::Diverging | Reason::RolloutFrozen);
    let worse = telling && next.decision.remedy == Remedy::Hold;
    if !same && !worse {
        *journal = next;
    }
    until
}

/// Keeps track of since when nothing is missing. `None`: something is. `Ok`: look again then. `Err`: proven, since then.
pub(super) fn proven(
    view: &View,
    missing: &mut Vec<String>,
    memory: &mut Memory,
) -> Option<Result<Timestamp, Timestamp>> {
    let rest = missing.is_empty() && (view.assessment.symptom.is_none() || view.assessment.only_checks());
    memory.rest_back = rest.then(|| Since::carry(memory.rest_back.take(), (), view.now));
    let judged = checks::judge(view.facts, view.now);
    if !judged.pass() {
        missing.push(judged.said());
    }
    if !missing.is_empty() || view.assessment.symptom.is_some() {
        memory.back = None;
        return None;
    }
    let back = Since::carry(memory.back.take(), (), view.now);
    let from = back.at;
    memory.back = Some(back);
    let window = view.facts.policy.as_ref()?.spec.verification.window.signed();
    let rest = memory.rest_back.as_ref().map_or(view.now, |rest| rest.at);
    match checks::unmeasured_until(view.facts, rest, view.now) {
        Some(later) => Some(Ok(later.max(from + window))),
        None if view.now >= from + window => Some(Err(from)),
        None => Some(Ok(from + window)),
    }
}

/// As [`proven`]; after a rollback also that its pods could be created again, asked anew once everything else is back.
fn proven_again(
    view: &View,
    open: &RecoveryFacts,
    missing: &mut Vec<String>,
    memory: &mut Memory,
    rehearse: &mut Option<String>,
) -> Option<Result<Timestamp, Timestamp>> {
    let proven = proven(view, missing, memory)?;
    let from = memory.back.as_ref()?.at;
    let why = match verify::probe(view.facts, open, from) {
        Probe::Passed => return Some(proven),
        Probe::Wanted => {
            *rehearse = Some(open.journal.stable_state.clone());
            "whether its pods could be created again is being asked".into()
        }
        Probe::Failed(why) => why,
    };
    missing.push(why);
    proven.is_ok().then_some(proven)
}

fn close_recovered(view: &View, open: &RecoveryFacts, journal: &mut Journal, from: Timestamp) -> Option<Timestamp> {
    let now = view.now;
    // Home has borne the load for the whole window: the standby needs no more pods than before.
    let undo = pre_scale::undo(view.facts, &open.name, journal);
    if !undo.is_empty() {
        journal.steps.extend(undo);
        journal.phase = Phase::Acting;
        journal.outcome = None;
        journal.reason = Reason::Acting;
        journal.message = "home is verified; the standby's autoscaler is let go".into();
        return None;
    }
    let back = "healthy and unmarked for the whole window";
    // What pods were renewed for is there to stay, and they proved themselves with it.
    let home = |state: &&StateFacts| match journal.decision.remedy {
        Remedy::RenewPods => stale::at_home(view.facts, state),
        _ => closure::at_home(view.facts, state),
    };
    let (outcome, message) = match states::reference(view.facts).ok().filter(home) {
        // Without one of its dependencies it works in part.
        Some(_) if !cuts::held(journal).is_empty() => (Outcome::PartiallyRecovered, back.to_owned()),
        Some(state) => {
            (Outcome::Recovered, format!("verified: back, {back}{}", closing::left_alone(view.facts, state)))
        }
        // Healthy is not enough to be called recovered: this content has not earned a stable state.
        None => (Outcome::PartiallyRecovered, format!("{back}, but not in a stable state")),
    };
    journal.phase = Phase::Closed;
    journal.outcome = Some(outcome);
    journal.reason = Reason::Verified;
    let left = closing::left_over(journal);
    let cut_off = cuts::stays(view.facts, journal);
    let stays = neighbours::stays(view.facts, &open.name) + &pre_scale::stays(view.facts, &open.name);
    journal.message = cut(&format!("{message}{left}{stays}{cut_off}"));
    journal.timeline.converged = Some(MicroTime(from));
    journal.timeline.verified = Some(MicroTime(now));
    journal.timeline.closed = Some(MicroTime(now));
    None
}

/// Deterministic, so that two replicas that decide at once collide instead of acting twice.
fn next_name(facts: &Facts, target_uid: &str) -> String {
    let policy: String = facts.policy_name.chars().take(200).collect();
    let number = |name: &str| name.rsplit('-').next().and_then(|last| last.parse::<u64>().ok());
    let last = facts.recoveries.iter().filter_map(|recovery| number(&recovery.name)).max().unwrap_or(0);
    let target: String = target_uid.chars().filter(char::is_ascii_alphanumeric).take(5).collect();
    format!("{policy}-{target}-{}", last + 1)
}

/// Messages are bounded in the API.
pub(super) fn cut(message: &str) -> String {
    message.chars().take(1000).collect()
}
