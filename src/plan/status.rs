//! What people read on the policy: conditions, a one-word state, the drift.
//!
//! A function of the facts, so that writing it twice changes nothing; there is no timestamp in it that runs freely.

use jiff::{SignedDuration, Timestamp};

use super::assess::{Assessment, Verdict};
use super::drift;
use super::facts::{Facts, PolicyFacts};
use super::journal::cut;
use super::member::MemberKind;
use super::memory::{Memory, Since};
use super::soak::Soak;
use super::{closure, forgotten, owners, recoverable, states};
use crate::api::condition::{ConditionType, condition};
use crate::api::policy::{Drift, MemberPolicy, RecoveryPolicyStatus, State};
use crate::api::recovery::Journal;
use crate::api::{Phase, Reason};

/// How long numbers and messages may lag behind, so that each pod of a rollout does not cost a write.
pub(super) const PACE: SignedDuration = SignedDuration::from_secs(1);

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
    let mut said =
        vec![ready(facts, policy, assessment), healthy(assessment, soak, open), recoverable(facts, policy, soak, now)];
    if let Some((name, journal)) = open {
        let message = format!("Recovery {name}: {}", journal.message);
        said.push((ConditionType::Recovering, Some(true), journal.reason, message));
    }
    let suspended = policy.spec.suspend || facts.ceiling.suspended;
    if suspended {
        let who = if policy.spec.suspend { "spec.suspend is true" } else { "the operator is suspended" };
        said.push((ConditionType::Suspended, Some(true), Reason::Suspended, who.into()));
    }
    if let Some(rival) = policy.rivals.first() {
        let message = format!("RecoveryPolicy {rival} names the same target; delete one of the two");
        said.push((ConditionType::Conflicted, Some(true), Reason::Conflicted, message));
    }
    let left = forgotten::left_behind(facts);
    if !left.is_empty() {
        said.push((ConditionType::LeftBehind, Some(true), Reason::FenceForgotten, left.join("; ")));
    }
    let conditions = said.into_iter().map(|(type_, answer, reason, message)| {
        let before = &policy.status.conditions;
        condition(before, type_, answer, reason, &cut(&message), policy.generation, now)
    });

    let reference = states::reference(facts);
    let at_home = reference.as_ref().is_ok_and(|state| state.digest == assessment.closure);
    RecoveryPolicyStatus {
        observed_generation: policy.generation,
        state: state(assessment, soak, open, suspended, at_home),
        conditions: conditions.collect(),
        drift: reference.as_ref().ok().and_then(|state| drift::distance(facts, state)).map(|drift| {
            let trend = drift::trend(policy.status.drift.as_ref(), &drift);
            Drift { trend, ..drift }
        }),
        stable_state: reference.map(|state| state.name.clone()).unwrap_or_default(),
        active_recovery: open.map(|(name, _)| name.to_owned()).unwrap_or_default(),
    }
}

/// `status`, or `written` for a little longer if they differ in nothing but details.
pub(super) fn unless_only_details(
    written: &RecoveryPolicyStatus,
    status: RecoveryPolicyStatus,
    memory: &mut Memory,
    now: Timestamp,
) -> RecoveryPolicyStatus {
    let only_details = *written != status && without_details(written) == without_details(&status);
    let since = only_details.then(|| Since::carry(memory.details.take(), (), now));
    memory.details = since.filter(|since| now < since.at + PACE);
    if memory.details.is_some() { written.clone() } else { status }
}

fn without_details(status: &RecoveryPolicyStatus) -> RecoveryPolicyStatus {
    let mut essence = RecoveryPolicyStatus { drift: None, ..status.clone() };
    for condition in &mut essence.conditions {
        condition.message = String::new();
    }
    essence
}

/// A condition: its type, its answer, the reason, and a sentence.
pub(super) type Said = (ConditionType, Option<bool>, Reason, String);

/// Armed: accepted, references resolved, facts fresh. Never a word about the workload's health.
fn ready(facts: &Facts, policy: &PolicyFacts, assessment: &Assessment) -> Said {
    let said = |armed, reason, message| (ConditionType::Ready, Some(armed), reason, message);
    if let Some(rival) = policy.rivals.first() {
        return said(false, Reason::Conflicted, format!("RecoveryPolicy {rival} names the same target; neither acts"));
    }
    if matches!(assessment.reason, Reason::Blind | Reason::Malformed | Reason::TargetNotFound | Reason::TargetDeleted) {
        return said(false, assessment.reason, assessment.message.clone());
    }
    if facts.target.as_ref().is_some_and(|target| target.kind == MemberKind::DaemonSet && target.node_critical) {
        let message = "nodes cannot work without the target (system-node-critical); it is not touched";
        return said(false, Reason::TargetProtected, message.into());
    }
    if let Some(owner) = facts.target.as_ref().and_then(|target| target.owner.as_ref()) {
        return said(false, Reason::TargetOwned, format!("the target is controlled by {owner}; it is not touched"));
    }
    if policy.spec.mode > facts.ceiling.mode {
        let message = format!("armed, but the operator's ceiling lowers the mode to {:?}", facts.ceiling.mode);
        return said(true, Reason::ModeCeiling, message);
    }
    said(true, Reason::Armed, format!("watching; the mode is {:?}", policy.spec.mode))
}

fn healthy(assessment: &Assessment, soak: &Soak, open: Open) -> Said {
    let answer = match (assessment.verdict, &assessment.symptom) {
        (Verdict::Stable, _) if assessment.reason == Reason::Healthy => Some(true),
        (Verdict::Unstable, Some(_)) => Some(false),
        (Verdict::Unstable, None) if !assessment.rolling => Some(false),
        _ => None,
    };
    // The counts of a symptom change with every pod; the journal keeps what counted.
    let message = match open.filter(|_| assessment.symptom.is_some()) {
        Some((_, journal)) if journal.symptom.reason == assessment.reason => journal.symptom.message.clone(),
        _ if assessment.reason == Reason::RollingOut => "a rollout is under way".into(),
        _ => match soak {
            Soak::Unread(unread) => format!("{}; {unread}", assessment.message),
            _ => assessment.message.clone(),
        },
    };
    (ConditionType::TargetHealthy, answer, assessment.reason, message)
}

/// What keeps all of it from being restored goes before what keeps a part.
fn recoverable(facts: &Facts, policy: &PolicyFacts, soak: &Soak, now: Timestamp) -> Said {
    let whole = of_states(facts, policy, soak, now);
    let secrets = policy.spec.closure.secrets;
    if whole.1 != Some(true) || secrets == MemberPolicy::Ignore || facts.ceiling.secrets {
        return whole;
    }
    let message = format!(
        "spec.closure.secrets is {secrets:?}, and the operator may not read Secrets (capabilities.secrets of its chart); \
         for the rest: {}",
        whole.3
    );
    (ConditionType::Recoverable, Some(false), Reason::RightMissing, message)
}

fn of_states(facts: &Facts, policy: &PolicyFacts, soak: &Soak, now: Timestamp) -> Said {
    let said = |answer, reason, message| (ConditionType::Recoverable, Some(answer), reason, message);
    let usable = states::by_age(facts).into_iter().any(|state| states::usable(facts, state).is_ok());
    match (states::reference(facts), soak) {
        (Ok(state), _) => {
            if let Some(kept) = owners::kept(facts, policy, state) {
                let message = format!(
                    "{kept}: a rollback has to be made there; isolation, and failover through what is not kept, stay possible"
                );
                return said(false, Reason::GitOwned, message);
            }
            match owners::undone(facts, &closure::restorable(facts, state)) {
                Some((before, step)) => {
                    said(false, Reason::RevertedByGitOps, owners::told(facts, &before.journal, step))
                }
                None => recoverable::answer(facts, policy, state, now),
            }
        }
        (Err(_), Soak::TooLarge(message)) if !usable => said(false, Reason::TooLarge, message.clone()),
        (Err(_), Soak::Unread(message)) if !usable => said(false, Reason::Soaking, message.clone()),
        (Err(_), Soak::Running(_) | Soak::Complete(_)) if !usable => {
            said(false, Reason::Soaking, format!("the target is soaking for {}", policy.spec.stability.soak))
        }
        (Err(refusal), _) => said(false, refusal.reason, refusal.message),
    }
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
            (Verdict::Stable, Soak::Running(_) | Soak::Complete(_) | Soak::Unread(_)) => State::Soaking,
            (Verdict::Stable, _) => State::Unstable,
        },
    }
}
