//! A deletion is undone only where it does not look meant. People take a target out of service in many ways: with its
//! policy or while that is suspended (then nothing is decided at all, and the deletion is forgotten), after scaling it to
//! 0, by putting something else in its place, or by deleting once more what we created again.
//!
//! A namespace that is being deleted takes its policies with it.
//! A deletion that nobody saw is no symptom, and a target of any uid that is there is not deleted.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;
use crate::plan::facts::{Lost, RecoveryFacts};
use crate::plan::member::MemberKind;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let (Remedy::Recreate, Some(lost)) = (remedy, &case.facts.lost) else { return Ok(()) };
    let meant = |why: String| Err(Refusal::new(Reason::DeletionIntended, format!("{why}: its deletion looks meant")));
    if lost.workload.replicas == 0 && lost.workload.kind != MemberKind::DaemonSet {
        return meant("the target was scaled to 0 before".into());
    }
    if let Some(service) = served_by_others(case) {
        return meant(format!("Service {service} offers other pods"));
    }
    if let Some(before) = again(case, lost) {
        return meant(format!("Recovery {} had created the target again not long before", before.name));
    }
    Ok(())
}

/// A Service of the state behind which something is ready: a successor by another name, or pods that were left on purpose.
fn served_by_others<'a>(case: &'a Case) -> Option<&'a str> {
    let recorded = |name: &str| case.reference.member(MemberKind::Service, name).is_some();
    // What offers every pod says nothing about which of them serve.
    let mut telling = case.facts.services.iter().filter(|service| !service.publishes_not_ready);
    let serving = telling.find(|service| recorded(&service.name) && !service.offered.is_empty());
    serving.map(|service| service.name.as_str())
}

/// The Recovery that had created the target again, if its deletion followed within `limits.relapse`. Of closed ones the
/// steps are not kept in memory.
fn again<'a>(case: &'a Case, lost: &Lost) -> Option<&'a RecoveryFacts> {
    let window = case.policy.spec.limits.relapse.signed();
    case.facts.recoveries.iter().rev().filter(|recovery| !recovery.open()).find(|recovery| {
        let journal = &recovery.journal;
        let created = journal.symptom.reason == Reason::TargetDeleted && journal.attempt > 0;
        let closed = journal.timeline.closed.as_ref();
        created && closed.is_some_and(|closed| lost.since <= closed.0 + window)
    })
}
