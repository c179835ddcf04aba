//! Third step: the first remedy that every guard allows, or hold; every alternative with its reason.
//!
//! Deterministic: the order of remedies is fixed, and the same case gives the same bytes.

use jiff::Timestamp;

use super::closure;
use super::content::digest;
use super::facts::Facts;
use super::guard::{self, Case, Refusal};
use super::journal::cut;
use super::steps;
use crate::api::policy::GuardRailPolicy;
use crate::api::recovery::{Alternative, Decision, Remediation, Remedy, Step};
use crate::api::{Mode, Reason};

/// Remedies from the smallest reach to the widest; containment without repair comes last.
const ORDER: [Remedy; 5] =
    [Remedy::IsolatePods, Remedy::Rollback, Remedy::RestoreGuardRails, Remedy::Failover, Remedy::Freeze];

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The decision, for the journal.
    pub decision: Decision,
    /// The steps that carry it out; empty for a hold.
    pub steps: Vec<Step>,
    /// When a refusal ends by itself.
    pub until: Option<Timestamp>,
    /// Nothing but a budget is in the way.
    pub waits: bool,
}

/// Chooses a remedy.
#[must_use]
pub fn decide(case: &Case, recovery: &str) -> Choice {
    let mut alternatives = vec![];
    let mut chosen = None;
    let mut until: Option<Timestamp> = None;
    let mut why = None;
    for remedy in ORDER {
        let verdict = match &chosen {
            Some(better) => Err(Refusal::new(Reason::NotIndicated, format!("{better:?} is enough"))),
            None => guard::allowed(case, remedy),
        };
        match verdict {
            Ok(()) => chosen = Some(remedy),
            Err(refusal) => {
                until = [until, refusal.until].into_iter().flatten().min();
                if why.is_none() && remedy == primary(case) {
                    why = Some(refusal.clone());
                }
                alternatives.push(Alternative { remedy, reason: refusal.reason, message: cut(&refusal.message) });
            }
        }
    }
    let remedy = chosen.unwrap_or(Remedy::Hold);
    let exhausted = |other: &Alternative| other.reason == Reason::BudgetExhausted;
    let waits = remedy == Remedy::Hold && alternatives.iter().any(exhausted);
    let steps = steps::of(case, remedy, recovery);
    let (reason, message) = match (remedy, why) {
        (Remedy::Hold, Some(refusal)) => (refusal.reason, refusal.message),
        (Remedy::Hold, None) => (Reason::CauseUnknown, case.triage.message.clone()),
        (Remedy::Freeze, Some(refusal)) => (Reason::RolloutFrozen, format!("contained only: {}", refusal.message)),
        (Remedy::Freeze, None) => (Reason::RolloutFrozen, case.triage.message.clone()),
        (Remedy::IsolatePods, _) => (Reason::PodIsolated, case.triage.message.clone()),
        (Remedy::Rollback | Remedy::RestoreGuardRails, _) => (Reason::ChangeReverted, case.triage.message.clone()),
        (Remedy::Failover, _) => (Reason::TrafficMoved, format!("the target is down and {}", case.triage.message)),
    };
    let plan_digest = if steps.is_empty() { String::new() } else { plan_digest(&steps) };
    let decision = Decision { remedy, reason, message: cut(&message), plan_digest, alternatives };
    Choice { decision, steps, until, waits }
}

/// A hold, where there is no case to decide: no stable state to compare with.
#[must_use]
pub fn hold(refusal: Refusal) -> Choice {
    let alternative = |remedy| Alternative { remedy, reason: refusal.reason, message: cut(&refusal.message) };
    let alternatives = ORDER.into_iter().map(alternative).collect();
    let Refusal { reason, message, until } = refusal;
    let message = cut(&message);
    let decision = Decision { remedy: Remedy::Hold, reason, message, plan_digest: String::new(), alternatives };
    Choice { decision, steps: vec![], until, waits: false }
}

/// The mode in force for a remedy: the policy's, lowered to the ceiling of the operator, and to approval for guard
/// rails unless the policy says that they are restored.
#[must_use]
pub fn mode(facts: &Facts, remedy: Remedy) -> Option<Mode> {
    let spec = &facts.policy.as_ref()?.spec;
    let asks = remedy == Remedy::RestoreGuardRails && spec.closure.guard_rails != GuardRailPolicy::Restore;
    let most = if asks { Mode::Recommend } else { Mode::Enforce };
    Some(spec.mode.min(facts.ceiling.mode).min(most))
}

/// The remedy whose refusal explains a hold best.
fn primary(case: &Case) -> Remedy {
    use crate::api::recovery::Suspect;
    match case.triage.suspect {
        Suspect::Pod => Remedy::IsolatePods,
        Suspect::Change if only_guard_rails(case) => Remedy::RestoreGuardRails,
        Suspect::Change => Remedy::Rollback,
        // Without a standby the honest answer is that there is nothing to revert.
        Suspect::Unknown if case.policy.spec.actions.failover.is_none() => Remedy::Rollback,
        Suspect::Unknown => Remedy::Failover,
    }
}

fn only_guard_rails(case: &Case) -> bool {
    closure::restorable(case.facts, case.reference).is_empty()
        && !closure::guard_rails(case.facts, case.reference).is_empty()
}

/// What an approval is bound to: every step's remediation, object and content.
fn plan_digest(steps: &[Step]) -> String {
    let parts: Vec<String> = steps
        .iter()
        .map(|step| {
            // The end of an inspection moves with the clock and is not what a person approves.
            let timed = matches!(step.remediation, Remediation::QuarantinePod | Remediation::DeletePod);
            let to = if timed { "" } else { &step.to };
            format!("{:?} {} {} {} {to}", step.remediation, step.object, step.object.uid, step.from)
        })
        .collect();
    digest(&parts.join("\n")).chars().take(16).collect()
}
