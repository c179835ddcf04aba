//! Third step: the first remedy that every guard allows, or hold; every alternative with its reason.
//!
//! Deterministic: the order of remedies is fixed, and the same case gives the same bytes.

use jiff::Timestamp;

use super::closure;
use super::content::digest;
use super::facts::Facts;
use super::guard::{self, Case, Refusal};
use super::journal::cut;
use super::{cuts, parity, pre_scale, stale, standby, steps};
use crate::api::policy::{GuardRailPolicy, RecreatePolicy};
use crate::api::recovery::{Alternative, Decision, Remediation, Remedy, Step, Suspect};
use crate::api::{Mode, Reason};

/// Remedies from the smallest reach to the widest; containment without repair comes last.
const ORDER: [Remedy; 12] = [
    // Only where a node is suspected; then nothing smaller helps for long.
    Remedy::IsolateNode,
    Remedy::IsolatePods,
    Remedy::Rollback,
    // Only where there is nothing left that a rollback could write to.
    Remedy::Recreate,
    // With nothing left to put back.
    Remedy::RenewPods,
    Remedy::RestoreGuardRails,
    // With approval only; what is kept strict goes first.
    Remedy::RollbackLoosening,
    Remedy::StopNeighbour,
    // Only where nothing but the size of the standby is in the way of the next.
    Remedy::PreScale,
    Remedy::Failover,
    // The target then works in part.
    Remedy::CutDependency,
    Remedy::Freeze,
];

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
    /// It allows something again that is forbidden now: a person has to approve it in every mode.
    pub loosens: bool,
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
    let loosened = loosened(case, remedy);
    let (reason, message) = told(case, remedy, why, &loosened);
    let plan_digest = if steps.is_empty() { String::new() } else { plan_digest(&steps) };
    let decision = Decision { remedy, reason, message: cut(&message), plan_digest, alternatives };
    Choice { decision, steps, until, waits, loosens: !loosened.is_empty() }
}

/// The reason of a decision, and what is said of it. `why`: what refused the remedy that fits the suspect first.
fn told(case: &Case, remedy: Remedy, why: Option<Refusal>, loosened: &[String]) -> (Reason, String) {
    let said = || case.triage.message.clone();
    match (remedy, why) {
        (Remedy::Hold, Some(refusal)) => (refusal.reason, refusal.message),
        (Remedy::Hold, None) if case.triage.suspect == Suspect::Dependency => (case.triage.reason, said()),
        (Remedy::Hold, None) => (Reason::CauseUnknown, said()),
        (Remedy::Freeze, Some(refusal)) => (Reason::RolloutFrozen, format!("contained only: {}", refusal.message)),
        (Remedy::Freeze, None) => (Reason::RolloutFrozen, said()),
        (Remedy::IsolatePods, _) => (Reason::PodIsolated, said()),
        (Remedy::IsolateNode, _) => (Reason::NodeIsolated, said()),
        (Remedy::Rollback | Remedy::RestoreGuardRails | Remedy::RollbackLoosening, _) if loosened.is_empty() => {
            (Reason::ChangeReverted, said())
        }
        (Remedy::Rollback | Remedy::RestoreGuardRails | Remedy::RollbackLoosening, _) => {
            (Reason::ChangeReverted, format!("{}; allowed again by it: {}", said(), loosened.join("; ")))
        }
        (Remedy::RenewPods, _) => (Reason::PodsRenewed, stale::found(case).map_or_else(said, |stale| stale.message())),
        (Remedy::Recreate, _) => (Reason::TargetDeleted, said()),
        (Remedy::StopNeighbour, _) => (Reason::NeighbourStopped, said()),
        (Remedy::CutDependency, _) => (Reason::DependencyCut, said()),
        (Remedy::PreScale, _) => {
            let message = format!("the target is down and {}; {}", said(), pre_scale::told(case));
            (Reason::StandbyPreScaled, message)
        }
        (Remedy::Failover, _) => {
            let first = standby::first(case).map(|why| format!("; {why}")).unwrap_or_default();
            let message = format!("the target is down and {}{first}{}", said(), standby::in_part(case));
            (Reason::TrafficMoved, message)
        }
    }
}

/// What a remedy would allow again that is forbidden now.
fn loosened(case: &Case, remedy: Remedy) -> Vec<String> {
    match remedy {
        Remedy::RollbackLoosening => parity::loosened_by(case.facts, case.reference),
        Remedy::RestoreGuardRails => {
            let rails = closure::guard_rails_to_restore(case.facts, case.reference);
            parity::loosened(case.facts, case.reference, &rails)
        }
        _ => vec![],
    }
}

/// A hold, where there is no case to decide: no stable state to compare with.
#[must_use]
pub fn hold(refusal: Refusal) -> Choice {
    let alternative = |remedy| Alternative { remedy, reason: refusal.reason, message: cut(&refusal.message) };
    let alternatives = ORDER.into_iter().map(alternative).collect();
    let Refusal { reason, message, until } = refusal;
    let message = cut(&message);
    let decision = Decision { remedy: Remedy::Hold, reason, message, plan_digest: String::new(), alternatives };
    Choice { decision, steps: vec![], until, waits: false, loosens: false }
}

/// The mode in force for a choice: that for its remedy, lowered to approval if it loosens anything.
pub(super) fn mode_for(facts: &Facts, choice: &Choice) -> Option<Mode> {
    let most = if choice.loosens { Mode::Recommend } else { Mode::Enforce };
    Some(mode(facts, choice.decision.remedy)?.min(most))
}

/// The mode in force for a remedy: the policy's, lowered to the ceiling of the operator, and to approval for guard
/// rails and for a deleted target unless the policy says that they are restored, and for what loosens security.
#[must_use]
pub fn mode(facts: &Facts, remedy: Remedy) -> Option<Mode> {
    let spec = &facts.policy.as_ref()?.spec;
    let rollback = spec.actions.rollback.as_ref();
    let asks = match remedy {
        Remedy::RestoreGuardRails => spec.closure.guard_rails != GuardRailPolicy::Restore,
        Remedy::RollbackLoosening => true,
        Remedy::Recreate => rollback.is_none_or(|rollback| rollback.recreate != RecreatePolicy::Restore),
        _ => false,
    };
    let most = if asks { Mode::Recommend } else { Mode::Enforce };
    Some(spec.mode.min(facts.ceiling.mode).min(most))
}

/// The remedy whose refusal explains a hold best.
fn primary(case: &Case) -> Remedy {
    let standby = case.policy.spec.actions.failover.is_some();
    match case.triage.suspect {
        // Nothing is left to be put back then.
        _ if stale::found(case).is_some() => Remedy::RenewPods,
        Suspect::Pod => Remedy::IsolatePods,
        Suspect::Node => Remedy::IsolateNode,
        Suspect::Observer => Remedy::Rollback,
        Suspect::Change if only_guard_rails(case) => Remedy::RestoreGuardRails,
        Suspect::Change if only_hardening(case) => Remedy::RollbackLoosening,
        Suspect::Change => Remedy::Rollback,
        Suspect::Dependency if cuts::any_declared(case.policy) => Remedy::CutDependency,
        Suspect::Dependency if case.triage.reason == Reason::DependencyFailing && standby => Remedy::Failover,
        // Nothing that this policy may do would help; what is said is what triage found.
        Suspect::Dependency => Remedy::Hold,
        Suspect::Neighbour => Remedy::StopNeighbour,
        Suspect::TargetDeleted => Remedy::Recreate,
        // Without a standby the honest answer is that there is nothing to revert.
        Suspect::Unknown | Suspect::Zone if !standby => Remedy::Rollback,
        Suspect::Unknown | Suspect::Zone => Remedy::Failover,
    }
}

fn only_guard_rails(case: &Case) -> bool {
    closure::restorable(case.facts, case.reference).is_empty()
        && !closure::guard_rails(case.facts, case.reference).is_empty()
}

fn only_hardening(case: &Case) -> bool {
    closure::restorable(case.facts, case.reference).is_empty()
        && !parity::loosened_by(case.facts, case.reference).is_empty()
}

/// What an approval is bound to: every step's remediation, object and content.
fn plan_digest(steps: &[Step]) -> String {
    let parts: Vec<String> = steps
        .iter()
        .map(|step| {
            // The end of an inspection, and when pods were renewed, move with the clock and are not what a person approves.
            let timed = matches!(
                step.remediation,
                Remediation::QuarantinePod
                    | Remediation::DeletePod
                    | Remediation::UncordonNode
                    | Remediation::RenewPods
            );
            let to = if timed { "" } else { &step.to };
            let keeps = step.keeps.join(",");
            format!("{:?} {} {} {} {to} {keeps}", step.remediation, step.object, step.object.uid, step.from)
        })
        .collect();
    digest(&parts.join("\n")).chars().take(16).collect()
}
