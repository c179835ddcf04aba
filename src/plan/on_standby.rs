//! Traffic is on the standby: how long it stays there, what is done about home meanwhile, and the way home.
//!
//! Traffic goes home when home is verified without it, and comes back once if home fails under it; then a person decides.
//! So it moves four times at most, whatever flaps. Nothing here begins a failover.

use jiff::{SignedDuration, Timestamp};

use super::choose::Chosen;
use super::facts::RecoveryFacts;
use super::journal::{View, adopt, choose_again, cut, in_charge, proven};
use super::memory::Memory;
use super::standby::{self, Strength};
use super::{checks, decide, states, steps, traffic, verify};
use crate::api::policy::{Failback, Failover};
use crate::api::recovery::{Journal, Phase, Step, StepState, Suspect};
use crate::api::{Mode, Reason};

/// How long a refused write is left alone.
const AFTER_REFUSAL: SignedDuration = SignedDuration::from_secs(60);

/// The step by which traffic, or a share of it, is on the standby now, as far as the journal knows.
pub(super) fn switched(journal: &Journal) -> Option<&Step> {
    traffic::last_move(journal).filter(|step| !traffic::returns(step.remediation))
}

/// How often traffic was moved to the standby.
pub(super) fn switches(journal: &Journal) -> usize {
    journal.steps.iter().filter(|step| moved(step)).count()
}

fn moved(step: &Step) -> bool {
    traffic::leaves(step.remediation) && step.state == StepState::Done
}

/// Waits for home, and repairs it where that is ours to do.
pub(super) fn wait(
    view: &View,
    open: &RecoveryFacts,
    journal: &mut Journal,
    memory: &mut Memory,
    rehearse: &mut Option<String>,
) -> Option<Timestamp> {
    let policy = in_charge(view.facts)?;
    let again = journal.timeline.refused.as_ref().map(|refused| refused.0 + AFTER_REFUSAL);
    if let Some(again) = again.filter(|again| view.now < *again) {
        return Some(again);
    }
    if again_in_part(view, journal, memory) {
        return None;
    }
    let strength = policy.spec.actions.failover.as_ref().map(|failover| measure(view, failover));
    let overloaded = strength.as_ref().filter(|strength| strength.ready < strength.needed);
    let mut missing = at_home(view, journal, overloaded);
    let healthy = missing.is_empty() && checks::judge(view.facts, view.now).pass();
    let look = strength.as_ref().and_then(|strength| strength.settled);
    tell_load(journal, overloaded);
    if let ([few], Reason::OnStandby) = (missing.as_slice(), journal.reason)
        && verify::missing_at_home(view.facts, view.assessment).is_empty()
    {
        journal.message = cut(few);
    }
    let automatic = policy.spec.actions.failover.as_ref().is_none_or(|f| f.failback == Failback::Automatic);
    let word = automatic || open.spec.failback;
    if let Some(strength) = overloaded.filter(|_| healthy && word) {
        let (ready, needed) = (strength.ready, strength.needed);
        let message =
            format!("{ready} of {needed} pods of the standby bear the load; home is healthy, and traffic returns");
        go_home(view, journal, memory, &message, true);
        return None;
    }
    if let Some(later) = repair(view, open, journal, memory, rehearse) {
        return later.into_iter().chain(look).min();
    }
    match proven(view, &mut missing, memory) {
        None => return look,
        Some(Ok(later)) => return look.into_iter().chain([later]).min(),
        Some(Err(_)) => {}
    }
    // Home bore no load once before: that it is well without any says little.
    if switches(journal) > 1 {
        return look;
    }
    if !word {
        journal.message = "home is verified; set spec.failback to true to let traffic return".into();
        return look;
    }
    go_home(view, journal, memory, "home is verified; traffic returns", false);
    None
}

/// What is missing before traffic may go home: its health, and as many ready pods as serve now, if home ever had so many.
fn at_home(view: &View, journal: &Journal, overloaded: Option<&Strength>) -> Vec<String> {
    let mut missing = verify::missing_at_home(view.facts, view.assessment);
    let serving = match overloaded {
        // Those that fail in turns are no measure.
        Some(strength) => strength.ready + 1,
        None => switched(journal).map_or(0, |step| traffic::serving(view.facts, failover(view), step)),
    };
    let most = standby::served(view.facts, states::reference(view.facts).ok());
    let ready = view.assessment.ready;
    if ready < serving.min(most) {
        missing.push(format!("home has {ready} ready pods, and {serving} serve now"));
    }
    missing
}

fn failover<'a>(view: &'a View) -> Option<&'a Failover> {
    view.facts.policy.as_ref()?.spec.actions.failover.as_ref()
}

fn measure(view: &View, failover: &Failover) -> Strength {
    standby::now(view.facts, failover, states::reference(view.facts).ok(), view.now)
}

/// Says once that the standby gets worse, and once that it is well again.
fn tell_load(journal: &mut Journal, overloaded: Option<&Strength>) {
    match (overloaded, journal.reason) {
        (Some(strength), Reason::OnStandby) => {
            journal.reason = Reason::StandbyOverloaded;
            journal.message = cut(&format!(
                "{} pods of the standby have stayed ready under the load, and {} are needed; home cannot take it back",
                strength.ready, strength.needed
            ));
        }
        (None, Reason::StandbyOverloaded) => {
            journal.reason = Reason::OnStandby;
            journal.message = "the standby bears the load again".into();
        }
        _ => {}
    }
}

/// The next step of the way home, or the rest of it at once.
fn go_home(view: &View, journal: &mut Journal, memory: &mut Memory, message: &str, whole: bool) {
    let Some(next) = traffic::homewards(journal, failover(view), whole) else { return };
    let all = traffic::returns(next.remediation);
    let handed_back = steps::hand_back(&next.object, traffic::owner(view.facts, &next).filter(|_| all));
    let message = if all { message.to_owned() } else { format!("{message} in steps: {}", next.intent) };
    journal.steps.extend([next].into_iter().chain(handed_back));
    memory.back = None;
    journal.phase = Phase::Acting;
    journal.outcome = None;
    journal.reason = Reason::Acting;
    journal.message = cut(&message);
}

/// A change broke home, and traffic was moved first: what was changed is put back behind it. `None`: there is nothing to
/// repair; else when to look again.
fn repair(
    view: &View,
    open: &RecoveryFacts,
    journal: &mut Journal,
    memory: &mut Memory,
    rehearse: &mut Option<String>,
) -> Option<Option<Timestamp>> {
    let policy = in_charge(view.facts)?;
    view.assessment.symptom.as_ref()?;
    memory.back = None;
    // What was changed since is somebody's repair, and what was tried once is not tried again.
    let ours = journal.suspect == Suspect::Change && view.assessment.closure == journal.broken;
    let tried = journal.steps.iter().any(|step| step.remediation.restores());
    if !ours || tried || policy.spec.mode.min(view.facts.ceiling.mode) != Mode::Enforce {
        return None;
    }
    let Some(Chosen { choice, suspect, state }) = choose_again(view, open, journal, memory, rehearse) else {
        return Some(None);
    };
    let until = choice.until;
    let mode = decide::mode_for(view.facts, &choice)?;
    if !choice.decision.remedy.restores() || mode != Mode::Enforce {
        return until.map(Some);
    }
    (journal.stable_state, journal.suspect) = (state, suspect);
    memory.back = None;
    adopt(journal, choice, mode, None, view.now);
    Some(None)
}

/// Home failed under the share of the traffic that it got back.
fn again_in_part(view: &View, journal: &mut Journal, memory: &mut Memory) -> bool {
    switched(journal).is_some_and(|step| !traffic::leaves(step.remediation)) && again(view, journal, memory)
}

/// Home failed after traffic had returned: once more to the standby, if more of it is ready. Then it is held.
pub(super) fn again(view: &View, journal: &mut Journal, memory: &mut Memory) -> bool {
    let last = traffic::last_move(journal).cloned();
    let Some(last) = last.filter(|step| switches(journal) == 1 && !traffic::leaves(step.remediation)) else {
        return false;
    };
    let failing = view.assessment.ready == 0 || view.assessment.symptom.is_some();
    let Some(policy) = in_charge(view.facts).filter(|_| failing) else { return false };
    let Some(failover) = policy.spec.actions.failover.as_ref() else { return false };
    let acts = policy.spec.mode.min(view.facts.ceiling.mode) != Mode::Observe;
    let Strength { ready, needed, .. } = measure(view, failover);
    if !acts || ready < needed || ready <= view.assessment.ready {
        return false;
    }
    let Some(first) = journal.steps.iter().find(|step| moved(step)).cloned() else { return false };
    let home = view.assessment.ready;
    journal.steps.push(Step { state: StepState::Planned, acknowledged: None, from: last.to, ..first });
    memory.back = None;
    journal.phase = Phase::Acting;
    journal.outcome = None;
    journal.reason = Reason::Acting;
    journal.message = cut(&format!(
        "home failed after traffic had returned ({home} pods ready, {ready} of the standby): traffic goes to the standby \
         again, and stays there until a person sets spec.abort"
    ));
    true
}
