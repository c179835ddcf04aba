//! Which state a decision is made with: the reference, or, where going back to it is not possible any more, the next.

use jiff::Timestamp;

use super::assess::Symptom;
use super::decide::{self, Choice};
use super::facts::{PolicyFacts, RecoveryFacts, StateFacts, Workload};
use super::guard::{Case, Refusal, budget};
use super::journal::View;
use super::memory::Memory;
use super::stale::Content;
use super::{rehearsal, relapse, states, triage};
use crate::api::Reason;
use crate::api::recovery::Suspect;

/// A decision, and what it was made with.
pub(super) struct Chosen {
    pub choice: Choice,
    pub suspect: Suspect,
    /// Name of the state that is restored; empty if none is.
    pub state: String,
}

/// Nothing can be decided before this state was rehearsed.
pub(super) struct Unrehearsed(pub String);

/// The symptom to decide about, and in which incident.
pub(super) struct Question<'a> {
    pub policy: &'a PolicyFacts,
    pub symptom: &'a Symptom,
    pub open: Option<&'a RecoveryFacts>,
    /// Name of the incident's Recovery.
    pub name: &'a str,
}

/// Chooses a remedy. An older state is considered only if a rehearsal refused every newer one; if none of them is
/// possible, the first answer stands.
pub(super) fn choose(view: &View, question: &Question, memory: &mut Memory) -> Result<Chosen, Unrehearsed> {
    let found = states::candidates(view.facts).and_then(|candidates| match view.facts.subject() {
        Some(target) => Ok((target, candidates)),
        None => Err(Refusal::new(Reason::TargetNotFound, "the target does not exist")),
    });
    let (target, candidates) = match found {
        Ok(found) => found,
        Err(refusal) => return Ok(held(refusal)),
    };
    let mut first: Option<Chosen> = None;
    let mut until: Option<Timestamp> = None;
    for state in candidates {
        let (chosen, waiting) = with(view, question, target, state, &memory.read_at_start);
        memory.waiting = waiting;
        if refused(&chosen, |reason| reason == Reason::NotRehearsed) {
            return Err(Unrehearsed(state.name.clone()));
        }
        let possible = chosen.choice.decision.remedy.restores();
        if possible || (first.is_none() && !refused(&chosen, rehearsal::refuses)) {
            return Ok(chosen);
        }
        until = [until, chosen.choice.until].into_iter().flatten().min();
        first.get_or_insert(chosen);
    }
    let mut chosen = first.unwrap_or_else(|| held(Refusal::new(Reason::NoStableState, "there is no stable state")));
    chosen.choice.until = until;
    Ok(chosen)
}

fn held(refusal: Refusal) -> Chosen {
    Chosen { choice: decide::hold(refusal), suspect: Suspect::Unknown, state: String::new() }
}

/// Decides with one state, and says since when the decision waits for its turn, if it does.
fn with(
    view: &View,
    question: &Question,
    target: &Workload,
    reference: &StateFacts,
    read_at_start: &[Content],
) -> (Chosen, Option<Timestamp>) {
    let View { facts, assessment, weather, brake, now } = *view;
    let Question { policy, symptom, open, name } = *question;
    let triage = triage::triage(facts, assessment, symptom, reference);
    let triage = &triage;
    let (broken, since) = open.map_or((&assessment.closure, symptom.since), |open| {
        let detected = open.journal.timeline.detected.as_ref().map(|at| at.0);
        (&open.journal.broken, detected.unwrap_or(symptom.since))
    });
    let relapse = relapse::of(facts, policy, &target.uid, broken, since);
    let case = Case {
        facts,
        policy,
        target,
        assessment,
        symptom,
        triage,
        reference,
        read_at_start,
        weather,
        brake,
        relapse,
        open,
        now,
    };
    let choice = decide::decide(&case, name);
    let restored = choice.decision.remedy.restores();
    let waiting = choice.waits.then(|| budget::place(&case).since);
    let state = if restored { reference.name.clone() } else { String::new() };
    (Chosen { choice, suspect: triage.suspect, state }, waiting)
}

/// Whether a way back was refused for such a reason.
fn refused(chosen: &Chosen, reason: impl Fn(Reason) -> bool) -> bool {
    let alternatives = &chosen.choice.decision.alternatives;
    alternatives.iter().any(|alternative| alternative.remedy.restores() && reason(alternative.reason))
}
