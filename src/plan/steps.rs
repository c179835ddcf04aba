//! The steps that carry out a remedy, in order. What is needed first goes first.
//!
//! A step says what must be there before and what will be there after; `act` refuses it otherwise.
//! Nothing here decides whether a remedy is allowed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::closure::{self, Difference};
use super::facts::{Facts, PodFacts, ServiceFacts, StateFacts, Workload};
use super::guard::Case;
use super::member::MemberKind;
use crate::api::recovery::{ObjectRef, Remediation, Remedy, Step, StepState};
use crate::api::stable_state::FieldOwner;

/// The label by which a ReplicaSet tells its pods from those of its siblings.
const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// The steps of `remedy`.
#[must_use]
pub fn of(case: &Case, remedy: Remedy, recovery: &str) -> Vec<Step> {
    match remedy {
        Remedy::Hold => vec![],
        Remedy::Freeze => vec![freeze(case.target)],
        Remedy::Rollback => rollback(case, recovery),
        Remedy::RestoreGuardRails => put_back(case.reference, &closure::guard_rails(case.facts, case.reference)),
        Remedy::IsolatePods => isolate(case),
        Remedy::Failover => failover(case),
    }
}

/// The steps that release what `recovery` still holds. A quarantined pod ends in deletion: giving its labels back would
/// make its former controller delete a good pod. Traffic goes home only if home can take it.
#[must_use]
pub fn release(facts: &Facts, recovery: &str) -> Vec<Step> {
    let mut steps = vec![];
    if let Some(target) = facts.target.as_ref().filter(|target| target.frozen_by.as_deref() == Some(recovery)) {
        let intent = format!("let {} go on, which we froze", target.title());
        steps.push(step(Remediation::ReleaseFreeze, workload_ref(target), intent, String::new(), String::new()));
    }
    for pod in facts.quarantined.iter().filter(|pod| pod.quarantined_by.as_deref() == Some(recovery) && !pod.deleting) {
        steps.push(delete(&pod.name, &pod.uid, String::new()));
    }
    steps
}

/// The way home after a failover: the Service's selector as it was before.
#[must_use]
pub fn return_home(switched: &Step, service_owner: Option<&FieldOwner>) -> Vec<Step> {
    let intent = format!("point {} back at its target", switched.object);
    let home =
        step(Remediation::ReturnService, switched.object.clone(), intent, switched.to.clone(), switched.from.clone());
    let mut steps = vec![home];
    steps.extend(hand_back(&switched.object, service_owner));
    steps
}

fn freeze(target: &Workload) -> Step {
    let intent = format!("freeze {}, so that the bad revision spreads no further", target.title());
    step(Remediation::FreezeRollout, workload_ref(target), intent, String::new(), String::new())
}

fn rollback(case: &Case, recovery: &str) -> Vec<Step> {
    let mut steps = put_back(case.reference, &closure::restorable(case.facts, case.reference));
    let restores_template = steps.iter().any(|step| step.remediation == Remediation::RestoreTemplate);
    let handing_back = |steps: &[Step]| {
        steps.iter().position(|step| step.remediation == Remediation::HandBackFields).unwrap_or(steps.len())
    };
    if restores_template {
        let at = handing_back(&steps);
        steps.splice(at..at, stuck_pods(case));
    }
    if case.target.frozen_by.as_deref() == Some(recovery) && !restores_template {
        let release = release(case.facts, recovery);
        let at = handing_back(&steps);
        steps.splice(at..at, release.into_iter().filter(|step| step.remediation == Remediation::ReleaseFreeze));
    }
    steps
}

/// What brings these members back, in their order; then their fields go back to whom they belonged.
fn put_back(state: &StateFacts, differences: &[Difference]) -> Vec<Step> {
    let restored = differences.iter().map(|difference| restore(difference, &state.name));
    let handed_back = differences.iter().filter_map(|difference| hand_back(&object(difference), difference.owner));
    restored.chain(handed_back).collect()
}

/// The steps that put back every member of a state that a rollback writes and that differs now.
#[must_use]
pub fn restores(facts: &Facts, state: &StateFacts) -> Vec<Step> {
    closure::restorable(facts, state).iter().map(|difference| restore(difference, &state.name)).collect()
}

/// The step that puts a member of a state back, from what is live now.
#[must_use]
pub fn restore(difference: &Difference, state: &str) -> Step {
    let object = object(difference);
    let (remediation, intent) = match difference.kind {
        _ if difference.added() => {
            (Remediation::RemoveObject, format!("delete {object}, which StableState {state} does not have"))
        }
        kind if kind.workload() => (Remediation::RestoreTemplate, recorded(&object, state)),
        _ => (Remediation::RestoreObject, recorded(&object, state)),
    };
    step(remediation, object, intent, difference.live.into(), difference.stable.into())
}

fn object(difference: &Difference) -> ObjectRef {
    let (kind, name, uid) = (difference.kind.name().into(), difference.name.into(), difference.uid.into());
    ObjectRef { kind, name, uid }
}

/// A StatefulSet waits for a pod of a bad revision to get ready before it replaces it: such pods have to go.
fn stuck_pods(case: &Case) -> Vec<Step> {
    if case.target.kind != MemberKind::StatefulSet {
        return vec![];
    }
    let unready = case.facts.live_pods().filter(|pod| !pod.ready && case.assessment.bad_pods.contains(&pod.uid));
    unready.map(evict).collect()
}

fn evict(pod: &PodFacts) -> Step {
    let object = ObjectRef { kind: "Pod".into(), name: pod.name.clone(), uid: pod.uid.clone() };
    let intent = format!("evict {object}, so that its controller makes it anew");
    step(Remediation::EvictPod, object, intent, String::new(), String::new())
}

fn recorded(object: &ObjectRef, state: &str) -> String {
    format!("restore {object} as recorded in StableState {state}")
}

fn isolate(case: &Case) -> Vec<Step> {
    let inspection = case
        .policy
        .spec
        .actions
        .isolate
        .as_ref()
        .map(|isolate| isolate.inspection)
        .unwrap_or(crate::api::Duration::minutes(10));
    let until = (case.now + inspection.signed()).to_string();
    let bad: Vec<&PodFacts> =
        case.facts.live_pods().filter(|pod| case.assessment.bad_pods.contains(&pod.uid)).collect();
    if case.target.kind != MemberKind::Deployment {
        // Its controller knows its pods by name or node, and makes another one only when this one is gone.
        return bad.iter().map(|pod| evict(pod)).collect();
    }
    let quarantine = bad.iter().map(|pod| {
        let labels = labels_to_release(pod, case.target, &case.facts.services);
        let object = ObjectRef { kind: "Pod".into(), name: pod.name.clone(), uid: pod.uid.clone() };
        let intent = format!(
            "take Pod {} out of its Service and its ReplicaSet; keep it for inspection for {inspection}",
            pod.name
        );
        step(Remediation::QuarantinePod, object, intent, json!(labels).to_string(), until.clone())
    });
    let removal = bad.iter().map(|pod| delete(&pod.name, &pod.uid, until.clone()));
    quarantine.chain(removal).collect()
}

fn failover(case: &Case) -> Vec<Step> {
    let (Some(failover), Some(standby)) = (&case.policy.spec.actions.failover, &case.facts.standby) else {
        return vec![];
    };
    let Some(service) = case.facts.services.iter().find(|service| service.name == failover.via.service) else {
        return vec![];
    };
    let object = ObjectRef { kind: "Service".into(), name: service.name.clone(), uid: service.uid.clone() };
    let intent = format!("point Service {} at standby Deployment {}", service.name, standby.name);
    let (from, to) = (json!(service.selector).to_string(), json!(standby.selector).to_string());
    vec![step(Remediation::SwitchService, object, intent, from, to)]
}

/// The labels whose removal makes both the ReplicaSet and every Service let the pod go.
fn labels_to_release(pod: &PodFacts, target: &Workload, services: &[ServiceFacts]) -> BTreeMap<String, String> {
    let mut keys: BTreeSet<&str> = target.selector.keys().map(String::as_str).chain([POD_TEMPLATE_HASH]).collect();
    for service in services.iter().filter(|service| service.selects(&pod.labels)) {
        if !service.selector.keys().any(|key| keys.contains(key.as_str())) {
            keys.extend(service.selector.keys().map(String::as_str));
        }
    }
    pod.labels.iter().filter(|(key, _)| keys.contains(key.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn hand_back(object: &ObjectRef, owner: Option<&FieldOwner>) -> Option<Step> {
    let owner = owner?;
    let intent =
        format!("give the fields of {object} back to {}, so that its next apply meets no conflict", owner.manager);
    let to = serde_json::to_string(owner).unwrap_or_default();
    Some(step(Remediation::HandBackFields, object.clone(), intent, String::new(), to))
}

fn delete(name: &str, uid: &str, not_before: String) -> Step {
    let object = ObjectRef { kind: "Pod".into(), name: name.into(), uid: uid.into() };
    step(Remediation::DeletePod, object, format!("delete Pod {name}, which we quarantined"), String::new(), not_before)
}

/// The workload as the object of a step.
pub(super) fn workload_ref(target: &Workload) -> ObjectRef {
    ObjectRef { kind: target.kind.name().into(), name: target.name.clone(), uid: target.uid.clone() }
}

fn step(remediation: Remediation, object: ObjectRef, intent: String, from: String, to: String) -> Step {
    Step { remediation, object, intent, from, to, state: StepState::Planned, acknowledged: None }
}
