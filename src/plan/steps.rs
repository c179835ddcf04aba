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
use super::{cuts, deletion, neighbours, nodes, parity, pre_scale, relapse, stale, traffic};
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
        Remedy::Rollback | Remedy::RollbackLoosening => rollback(case, recovery, remedy),
        Remedy::Recreate => recreate(case),
        Remedy::RenewPods => [stale::renew(case.target, case.now)].into_iter().chain(stuck_pods(case)).collect(),
        Remedy::RestoreGuardRails => {
            let differences = closure::guard_rails_to_restore(case.facts, case.reference);
            put_back(case.reference, &differences, |_| vec![])
        }
        Remedy::IsolatePods => isolate(case, recovery),
        Remedy::Failover => failover(case),
        Remedy::PreScale => pre_scale::steps(case),
        Remedy::IsolateNode => nodes::isolate(case, recovery),
        Remedy::CutDependency => cuts::steps(case, recovery),
        Remedy::StopNeighbour => {
            neighbours::suspect(case.facts, case.reference).map(neighbours::stop).into_iter().collect()
        }
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
    let recreated = facts.target.as_ref().filter(|target| target.recreated_by.as_deref() == Some(recovery));
    if let Some(target) = recreated {
        let state = facts.recoveries.iter().find(|known| known.name == recovery);
        steps.push(deletion::unmark(facts, target, state.map_or("", |known| &known.journal.stable_state)));
    }
    steps.extend(neighbours::release(facts, recovery));
    steps.extend(pre_scale::release(facts, recovery));
    steps
}

fn freeze(target: &Workload) -> Step {
    let intent = format!("freeze {}, so that the bad revision spreads no further", target.title());
    step(Remediation::FreezeRollout, workload_ref(target), intent, String::new(), String::new())
}

fn rollback(case: &Case, recovery: &str, remedy: Remedy) -> Vec<Step> {
    let (facts, state) = (case.facts, case.reference);
    let mut steps = match remedy {
        Remedy::RollbackLoosening => put_back(state, &closure::restorable_loosely(facts, state), |_| vec![]),
        _ => put_back(state, &closure::restorable(facts, state), |of| parity::keeps(facts, state, of)),
    };
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
    // Who brought back what was proven bad would do so again. Repairing goes first: it must not hang on that.
    if relapse::proven_bad(case.facts, &case.symptom.closure).is_some() && !steps.is_empty() {
        let at = handing_back(&steps);
        steps.splice(at..at, neighbours::actor(case.facts).map(neighbours::stop));
    }
    steps
}

/// What was lost with the target goes back in its order, and the target with it. The fields of the target itself are
/// handed back when it is known which one was created.
fn recreate(case: &Case) -> Vec<Step> {
    let mut steps = put_back(case.reference, &closure::restorable(case.facts, case.reference), |_| vec![]);
    steps.retain(|step| {
        let itself = MemberKind::of(&step.object.kind).is_some_and(MemberKind::workload);
        !itself || step.remediation != Remediation::HandBackFields
    });
    for step in steps.iter_mut().filter(|step| step.remediation == Remediation::RecreateWorkload) {
        step.from = deletion::recorded(case.target);
    }
    steps
}

/// What brings these members back, in their order; then their fields go back to whom they belonged.
fn put_back(state: &StateFacts, differences: &[Difference], keeps: impl Fn(&Difference) -> Vec<String>) -> Vec<Step> {
    let restored = differences.iter().map(|difference| restore(difference, &state.name, keeps(difference)));
    let handed_back = differences.iter().filter_map(|difference| hand_back(&object(difference), difference.owner));
    restored.chain(handed_back).collect()
}

/// The steps that put back every member of a state that a rollback writes and that differs now.
#[must_use]
pub fn restores(facts: &Facts, state: &StateFacts) -> Vec<Step> {
    let differences = closure::restorable(facts, state);
    let keeps = |difference: &Difference| parity::keeps(facts, state, difference);
    differences.iter().map(|difference| restore(difference, &state.name, keeps(difference))).collect()
}

/// The step that puts a member of a state back, from what is live now, and leaves forbidden what it keeps.
#[must_use]
pub fn restore(difference: &Difference, state: &str, keeps: Vec<String>) -> Step {
    let object = object(difference);
    let (remediation, intent) = match difference.kind {
        _ if difference.added() => {
            (Remediation::RemoveObject, format!("delete {object}, which StableState {state} does not have"))
        }
        kind if kind.workload() && difference.uid.is_empty() => {
            (Remediation::RecreateWorkload, format!("create {object} again as recorded in StableState {state}"))
        }
        kind if kind.workload() => (Remediation::RestoreTemplate, recorded(&object, state)),
        _ => (Remediation::RestoreObject, recorded(&object, state)),
    };
    let intent = match keeps.len() {
        0 => intent,
        count => format!("{intent}, with {count} things forbidden as they are now"),
    };
    Step { keeps, ..step(remediation, object, intent, difference.live.into(), difference.stable.into()) }
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

pub(super) fn evict(pod: &PodFacts) -> Step {
    let object = ObjectRef { kind: "Pod".into(), name: pod.name.clone(), uid: pod.uid.clone() };
    let intent = format!("evict {object}, so that its controller makes it anew");
    step(Remediation::EvictPod, object, intent, String::new(), String::new())
}

fn recorded(object: &ObjectRef, state: &str) -> String {
    format!("restore {object} as recorded in StableState {state}")
}

fn isolate(case: &Case, recovery: &str) -> Vec<Step> {
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
    if !case.facts.ceiling.pod_network {
        return quarantine.chain(removal).collect();
    }
    // What selected the pod by the labels that it loses does not protect anybody from it any more.
    let deny = network(Remediation::DenyPodNetwork, recovery);
    [deny]
        .into_iter()
        .chain(quarantine)
        .chain(removal)
        .chain([network(Remediation::AllowPodNetwork, recovery)])
        .collect()
}

/// The NetworkPolicy of a quarantine: to be made before it, or taken away after it.
fn network(remediation: Remediation, recovery: &str) -> Step {
    let object = ObjectRef { kind: "NetworkPolicy".into(), name: format!("homeostat-{recovery}"), uid: String::new() };
    let intent = match remediation {
        Remediation::DenyPodNetwork => format!("keep all network away from pods in quarantine, by {object}"),
        _ => format!("delete {object}, which no pod needs any more"),
    };
    step(remediation, object, intent, String::new(), String::new())
}

fn failover(case: &Case) -> Vec<Step> {
    let (Some(failover), Some(standby)) = (&case.policy.spec.actions.failover, &case.facts.standby) else {
        return vec![];
    };
    traffic::find(case.facts, failover, case.target).map(|means| vec![means.away(standby)]).unwrap_or_default()
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

pub(super) fn hand_back(object: &ObjectRef, owner: Option<&FieldOwner>) -> Option<Step> {
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

pub(super) fn step(remediation: Remediation, object: ObjectRef, intent: String, from: String, to: String) -> Step {
    Step {
        remediation,
        object,
        intent,
        from,
        to,
        change: String::new(),
        refused: String::new(),
        keeps: vec![],
        leftovers: vec![],
        state: StepState::Planned,
        acknowledged: None,
    }
}
