//! Is what we isolated really out of the way? Judged from fresh facts, never from the answer to a write.
//!
//! A journal tells what stands; facts tell whether it is so. What cannot be seen is not proven. Nothing is decided here.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::cuts;
use super::due::put_in_place_by;
use super::facts::{Facts, PodFacts, Workload};
use super::journal::cut;
use super::nodes::NodeFacts;
use crate::api::Reason;
use crate::api::recovery::{Isolation, Journal, Remediation, Remedy, Step, StepState};

/// Times of the API are whole seconds.
const ROUNDING: SignedDuration = SignedDuration::from_secs(1);
const RELEASED: &str = "nothing is isolated any more";

/// Enters whether what this incident isolated is proven to be, if it isolated anything.
pub(super) fn enter(facts: &Facts, recovery: &str, journal: &mut Journal, now: Timestamp) {
    if !journal.steps.iter().any(|step| isolates(journal, step)) {
        return;
    }
    if released(journal) {
        return say(journal, Reason::Released, RELEASED, now);
    }
    let held: Vec<&Step> = held(journal).collect();
    let (reason, mut message) = judge(facts, recovery, &held);
    if let Some(policy) = denied(journal) {
        message.push_str(&format!(
            "; {} keeps its network away only where the network plugin enforces that",
            policy.object
        ));
    }
    say(journal, reason, &message, now);
}

/// Enters that nothing stands any more, if that is so: also where no facts are at hand.
pub(super) fn enter_released(journal: &mut Journal, now: Timestamp) {
    if journal.isolation.is_some() && released(journal) {
        say(journal, Reason::Released, RELEASED, now);
    }
}

/// The NetworkPolicy that was made for it.
fn denied(journal: &Journal) -> Option<&Step> {
    let done = |step: &&Step| step.remediation == Remediation::DenyPodNetwork && step.state == StepState::Done;
    journal.steps.iter().find(done)
}

/// Something stood, and nothing does any more. A pod that was evicted does not come back: that stands for ever.
fn released(journal: &Journal) -> bool {
    let standing = |step: &&Step| !matches!(step.remediation, Remediation::EvictPod | Remediation::DeleteLostPod);
    let mut isolating = journal.steps.iter().filter(|step| isolates(journal, step));
    isolating.any(|step| standing(&step)) && !held(journal).any(|step| standing(&step))
}

fn say(journal: &mut Journal, reason: Reason, message: &str, now: Timestamp) {
    let message = cut(message);
    let since = match &journal.isolation {
        Some(known) if known.reason == reason && known.message == message => return,
        Some(known) if known.reason == reason => known.since.clone(),
        _ => MicroTime(now),
    };
    journal.isolation = Some(Isolation { reason, message, since });
}

/// What is missing before the pods of this incident count as out of the way.
pub(super) fn missing(facts: &Facts, journal: &Journal) -> Vec<String> {
    let pods = held(journal).filter(|step| step.remediation == Remediation::QuarantinePod);
    pods.filter_map(|step| pod(facts, step).err()).collect()
}

/// Keeps something away, as an end in itself: an eviction that only unsticks a rollback does not.
fn isolates(journal: &Journal, step: &Step) -> bool {
    let of_isolation = matches!(journal.decision.remedy, Remedy::IsolatePods | Remedy::IsolateNode);
    let kind = match step.remediation {
        Remediation::QuarantinePod
        | Remediation::CordonNode
        | Remediation::FreezeRollout
        | Remediation::DeleteLostPod
        | Remediation::StopNeighbour
        | Remediation::CutDependency => true,
        Remediation::EvictPod => of_isolation,
        _ => false,
    };
    kind && step.state == StepState::Done
}

/// What stands: isolated, and not let go.
fn held(journal: &Journal) -> impl Iterator<Item = &Step> {
    let let_go = move |step: &Step| {
        journal.steps.iter().filter(|other| other.state != StepState::Planned && other.object == step.object).any(
            |other| match (step.remediation, other.remediation) {
                // A restore of the template ends a freeze as well.
                (Remediation::FreezeRollout, Remediation::ReleaseFreeze | Remediation::RestoreTemplate) => {
                    other.state == StepState::Done
                }
                (Remediation::StopNeighbour, Remediation::ReleaseNeighbour) => true,
                (put, removed) => put_in_place_by(removed) == Some(put),
            },
        )
    };
    journal.steps.iter().filter(move |step| isolates(journal, step) && !let_go(step))
}

fn judge(facts: &Facts, recovery: &str, held: &[&Step]) -> (Reason, String) {
    let proofs: Vec<Result<String, String>> = held.iter().map(|step| proof(facts, recovery, step)).collect();
    let unproven: Vec<&str> = proofs.iter().filter_map(|proof| proof.as_ref().err()).map(String::as_str).collect();
    if !unproven.is_empty() {
        return (Reason::Unproven, unproven.join("; "));
    }
    let proven: Vec<&str> = proofs.iter().filter_map(|proof| proof.as_ref().ok()).map(String::as_str).collect();
    let mut uncovered: Vec<&str> = held.iter().map(|step| uncovered(step.remediation)).collect();
    uncovered.sort_unstable();
    uncovered.dedup();
    let message = format!("{}. Not covered by this: {}", proven.join("; "), uncovered.join("; "));
    (Reason::IsolationProven, message)
}

fn proof(facts: &Facts, recovery: &str, step: &Step) -> Result<String, String> {
    match step.remediation {
        Remediation::QuarantinePod => pod(facts, step),
        Remediation::CordonNode => node(facts, recovery, step),
        Remediation::FreezeRollout => freeze(facts, recovery, step),
        Remediation::StopNeighbour => neighbour(facts, recovery, step),
        Remediation::CutDependency => Err(cuts::known(facts, recovery, step)),
        _ => gone(facts, step),
    }
}

/// What the proof of such an isolation says nothing about.
const fn uncovered(remediation: Remediation) -> &'static str {
    match remediation {
        Remediation::FreezeRollout => "pods of the bad revision that run already go on",
        Remediation::StopNeighbour => "runs and pods that have not ended yet",
        Remediation::CordonNode => "pods of others on that node, and what is on it while nobody hears from it",
        _ => "connections that are open already, and work that a pod fetches itself (queues, locks, timers)",
    }
}

/// Labelled as ours, and reached through no Service: neither by a selector nor by an EndpointSlice.
fn pod(facts: &Facts, step: &Step) -> Result<String, String> {
    let object = &step.object;
    if facts.pods.iter().any(|pod| pod.uid == object.uid) {
        return Err(format!("{object} belongs to the target again"));
    }
    let Some(pod) = facts.quarantined.iter().find(|pod| pod.uid == object.uid) else {
        return Ok(format!("{object} is gone"));
    };
    match pod.reached_by.first() {
        Some(service) => Err(format!("{object} is still reached through Service {service}")),
        None => Ok(format!("{object} is in no Service and no EndpointSlice")),
    }
}

/// Unschedulable by us, and no pod of the target is ready there or offered from there.
fn node(facts: &Facts, recovery: &str, step: &Step) -> Result<String, String> {
    let object = &step.object;
    let Some(nodes) = facts.nodes.seen() else { return Err(format!("{object} is out of sight")) };
    let Some(node) = nodes.known.iter().find(|node| node.uid == object.uid) else {
        return Ok(format!("{object} is gone"));
    };
    let mine = format!("{}/{recovery}", facts.namespace);
    if !node.unschedulable || node.cordoned_by.as_ref() != Some(&mine) {
        return Err(format!("{object} is not cordoned by us"));
    }
    let here: Vec<&PodFacts> = facts.live_pods().filter(|pod| on(pod, node)).collect();
    if let Some(pod) = here.iter().find(|pod| pod.ready) {
        return Err(format!("Pod {} is ready on {object}", pod.name));
    }
    let offered = facts.services.iter().find(|service| here.iter().any(|pod| service.offered.contains(&pod.uid)));
    match offered {
        Some(service) => Err(format!("Service {} offers a pod on {object}", service.name)),
        None => Ok(format!("{object} takes no new pods, and none of the target serves there")),
    }
}

fn on(pod: &PodFacts, node: &NodeFacts) -> bool {
    pod.node == node.name
}

/// Held still by us, seen by its controller, and no pod of the bad revision was made since.
fn freeze(facts: &Facts, recovery: &str, step: &Step) -> Result<String, String> {
    let object = &step.object;
    let target = facts.target.as_ref().filter(|target| target.uid == object.uid);
    let Some(target) = target else { return Ok(format!("{object} is gone")) };
    if !target.paused || target.frozen_by.as_deref() != Some(recovery) {
        return Err(format!("{object} is not held still by us"));
    }
    if target.observed_generation < target.generation {
        return Err(format!("the controller of {object} has not seen that it is held still"));
    }
    match made_since(facts, target, step) {
        Some(pod) => Err(format!("Pod {} of the bad revision was made after {object} was held still", pod.name)),
        None => Ok(format!("{object} is held still, and no pod of the bad revision was made since")),
    }
}

fn made_since<'a>(facts: &'a Facts, target: &Workload, step: &Step) -> Option<&'a PodFacts> {
    let since = step.acknowledged.as_ref()?.0 + ROUNDING;
    if target.replicas == 0 {
        return None;
    }
    let present = facts.present_revisions();
    facts.live_pods().find(|pod| present.contains(pod.revision.as_str()) && pod.created > since)
}

/// Stopped by us, and wants nothing.
fn neighbour(facts: &Facts, recovery: &str, step: &Step) -> Result<String, String> {
    let object = &step.object;
    let Some(found) = facts.neighbours.iter().find(|found| found.uid == object.uid) else {
        return Ok(format!("{object} is gone"));
    };
    match found.load == 0 && found.stopped_by.as_deref() == Some(recovery) {
        true => Ok(format!("{object} is stopped")),
        false => Err(format!("{object} is not stopped by us")),
    }
}

/// An evicted pod is out of the way when it is gone.
fn gone(facts: &Facts, step: &Step) -> Result<String, String> {
    let object = &step.object;
    match facts.pods.iter().any(|pod| pod.uid == object.uid) {
        true => Err(format!("{object} is not gone yet")),
        false => Ok(format!("{object} is gone")),
    }
}
