//! What people read on the policy: conditions, a one-word state, the drift.
//!
//! A function of the facts, so that writing it twice changes nothing; there is no timestamp in it that runs freely.

use jiff::Timestamp;

use super::assess::{Assessment, Verdict};
use super::drift;
use super::facts::{Facts, PolicyFacts};
use super::journal::cut;
use super::soak::Soak;
use super::states;
use crate::api::condition::{ConditionType, condition};
use crate::api::policy::{RecoveryPolicyStatus, State};
use crate::api::recovery::Journal;
use crate::api::{Phase, Reason};

/// The incident that is open after this step, as it will stand in its journal.
pub(super) type Open<'a> = Option<(&'a str, &'a Journal)>;

/// The status of the policy.
pub(super) fn status(
    facts: &Facts,
    policy: &PolicyFacts,
    assessment: &Assessment,
    soak: &Soak,
    open: Open,
    now: Timestamp,
) -> RecoveryPolicyStatus {
    let reference = states::reference(facts);
    let usable = states::by_age(facts).into_iter().any(|state| states::usable(facts, state).is_ok());
    let mut conditions = vec![];
    let mut set = |type_, answer, reason, message: &str| {
        let message = cut(message);
        conditions.push(condition(&policy.status.conditions, type_, answer, reason, &message, policy.generation, now));
    };

    let (armed, reason, message) = ready(facts, policy, assessment);
    set(ConditionType::Ready, Some(armed), reason, &message);
    let healthy = match (assessment.verdict, &assessment.symptom) {
        (Verdict::Stable, _) => Some(true),
        (Verdict::Unstable, Some(_)) => Some(false),
        (Verdict::Unstable, None) if !assessment.rolling => Some(false),
        _ => None,
    };
    // The counts of a symptom change with every pod; the journal keeps what counted.
    let seen = match open.filter(|_| assessment.symptom.is_some()) {
        Some((_, journal)) if journal.symptom.reason == assessment.reason => journal.symptom.message.clone(),
        _ if assessment.reason == Reason::RollingOut => "a rollout is under way".into(),
        _ => assessment.message.clone(),
    };
    set(ConditionType::TargetHealthy, healthy, assessment.reason, &seen);
    match (&reference, soak) {
        (Ok(state), _) => {
            let message = format!("StableState {} can be restored", state.name);
            set(ConditionType::Recoverable, Some(true), Reason::StateReady, &message);
        }
        (Err(_), Soak::Running(_) | Soak::Complete(_)) if !usable => {
            let message = format!("the target is soaking for {}", policy.spec.stability.soak);
            set(ConditionType::Recoverable, Some(false), Reason::Soaking, &message);
        }
        (Err(refusal), _) => set(ConditionType::Recoverable, Some(false), refusal.reason, &refusal.message),
    }
    if let Some((name, journal)) = open {
        let message = format!("Recovery {name}: {}", journal.message);
        set(ConditionType::Recovering, Some(true), journal.reason, &message);
    }
    let suspended = policy.spec.suspend || facts.ceiling.suspended;
    if suspended {
        let who = if policy.spec.suspend { "spec.suspend is true" } else { "the operator is suspended" };
        set(ConditionType::Suspended, Some(true), Reason::Suspended, who);
    }
    if let Some(rival) = policy.rivals.first() {
        let message = format!("RecoveryPolicy {rival} names the same target; delete one of the two");
        set(ConditionType::Conflicted, Some(true), Reason::Conflicted, &message);
    }

    let at_home = reference.as_ref().is_ok_and(|state| state.digest == assessment.closure);
    RecoveryPolicyStatus {
        observed_generation: policy.generation,
        state: state(assessment, soak, open, suspended, at_home),
        conditions,
        drift: reference.as_ref().ok().and_then(|state| drift::distance(facts, state)),
        stable_state: reference.map(|state| state.name.clone()).unwrap_or_default(),
        active_recovery: open.map(|(name, _)| name.to_owned()).unwrap_or_default(),
    }
}

/// Armed: accepted, references resolved, facts fresh. Never a word about the workload's health.
fn ready(facts: &Facts, policy: &PolicyFacts, assessment: &Assessment) -> (bool, Reason, String) {
    if let Some(rival) = policy.rivals.first() {
        return (false, Reason::Conflicted, format!("RecoveryPolicy {rival} names the same target; neither acts"));
    }
    if matches!(assessment.reason, Reason::Blind | Reason::Malformed | Reason::TargetNotFound) {
        return (false, assessment.reason, assessment.message.clone());
    }
    if let Some(owner) = facts.target.as_ref().and_then(|target| target.owner.as_ref()) {
        return (false, Reason::TargetOwned, format!("the target is controlled by {owner}; it is not touched"));
    }
    if policy.spec.mode > facts.ceiling.mode {
        let message = format!("armed, but the operator's ceiling lowers the mode to {:?}", facts.ceiling.mode);
        return (true, Reason::ModeCeiling, message);
    }
    (true, Reason::Armed, format!("watching; the mode is {:?}", policy.spec.mode))
}

fn state(assessment: &Assessment, soak: &Soak, open: Open, suspended: bool, at_home: bool) -> State {
    match open.map(|(_, journal)| journal.phase) {
        _ if suspended => State::Suspended,
        Some(Phase::Holding | Phase::AwaitingApproval) => State::Held,
        Some(_) => State::Recovering,
        None if assessment.reason == Reason::TargetNotFound => State::Pending,
        None => match (assessment.verdict, soak) {
            (Verdict::Unknown, _) => State::Unknown,
            (Verdict::Unstable, _) => State::Unstable,
            (Verdict::Stable, _) if at_home => State::Stable,
            (Verdict::Stable, Soak::Running(_) | Soak::Complete(_)) => State::Soaking,
            (Verdict::Stable, _) => State::Unstable,
        },
    }
}
