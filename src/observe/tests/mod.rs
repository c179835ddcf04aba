//! Small worlds made of JSON, and what is known of them.

mod budgets;
mod folder;
mod gathering;
mod keeping;
mod network;
mod nodes;
mod providers;
mod reflecting;
mod secrets;
mod waking;

use serde_json::{Value, json};

use super::{Kind, PolicyKey, Stores};
use crate::api::Mode;
use crate::plan::facts::{Ceiling, Facts};

pub(super) const CEILING: Ceiling = Ceiling {
    mode: Mode::Enforce,
    suspended: false,
    secrets: true,
    neighbours: true,
    pod_network: false,
    gateway_api: true,
    cluster_members: true,
};

/// Stores for which every seal is ours.
pub(super) fn stores() -> Stores {
    Stores::new(|_| true)
}

pub(super) fn put(stores: &Stores, kind: Kind, object: &Value) {
    stores.absorb(kind, &object.to_string());
}

pub(super) fn key(name: &str) -> PolicyKey {
    PolicyKey::new("shop", name)
}

pub(super) fn facts(stores: &Stores, policy: &str) -> Facts {
    stores.facts(&key(policy), CEILING, vec![]).expect("facts")
}

/// Metadata of an object in the namespace `shop`; its uid is `<name>-uid` unless changed.
pub(super) fn metadata(name: &str, version: u64) -> Value {
    json!({"namespace": "shop", "name": name, "uid": format!("{name}-uid"), "resourceVersion": version.to_string(),
        "creationTimestamp": "2026-01-01T00:00:00Z"})
}

pub(super) fn owned(name: &str, version: u64, kind: &str, owner: &str) -> Value {
    let mut metadata = metadata(name, version);
    let uid = format!("{owner}-uid");
    metadata["ownerReferences"] =
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": owner, "uid": uid, "controller": true}]);
    metadata
}

pub(super) fn template(config_map: &str) -> Value {
    json!({"metadata": {"labels": {"app": "checkout"}},
        "spec": {"containers": [{"name": "main", "envFrom": [{"configMapRef": {"name": config_map}}]}]}})
}

pub(super) fn deployment(name: &str, version: u64) -> Value {
    json!({"metadata": metadata(name, version), "spec": {"replicas": 2, "template": template("settings"),
        "selector": {"matchLabels": {"app": "checkout"}}}, "status": {"readyReplicas": 2}})
}

pub(super) fn replica_set(name: &str, version: u64, deployment: &str) -> Value {
    let mut template = template("settings");
    template["metadata"]["labels"]["pod-template-hash"] = json!("abc");
    json!({"metadata": owned(name, version, "Deployment", deployment), "spec": {"template": template}})
}

pub(super) fn pod(name: &str, version: u64, replica_set: &str) -> Value {
    let mut metadata = owned(name, version, "ReplicaSet", replica_set);
    metadata["labels"] = json!({"app": "checkout"});
    json!({"metadata": metadata, "status": {"phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:05Z"}]}})
}

pub(super) fn quarantined(name: &str, version: u64, recovery: &str) -> Value {
    let mut metadata = metadata(name, version);
    metadata["labels"] = json!({"homeostat.dev/quarantined-by": recovery});
    metadata["annotations"] = json!({"homeostat.dev/inspect-until": "2026-01-01T01:00:00Z"});
    json!({"metadata": metadata, "status": {}})
}

pub(super) fn config_map(name: &str, version: u64) -> Value {
    json!({"metadata": metadata(name, version), "data": {"a": "1"}})
}

pub(super) fn service(name: &str, version: u64, app: &str) -> Value {
    json!({"metadata": metadata(name, version), "spec": {"selector": {"app": app}}})
}

/// A route of the Gateway API to these backends, in one rule.
pub(super) fn route(name: &str, version: u64, kind: &str, backends: &Value) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": metadata(name, version),
        "spec": {"parentRefs": [{"name": "edge"}], "rules": [{"backendRefs": backends}, {}]}})
}

pub(super) fn slice(name: &str, version: u64, service: &str, pods: &[(&str, bool)]) -> Value {
    let mut metadata = metadata(name, version);
    metadata["labels"] = json!({"kubernetes.io/service-name": service});
    let endpoint = |(pod, ready): &(&str, bool)| {
        let target = json!({"kind": "Pod", "name": pod, "uid": format!("{pod}-uid")});
        json!({"conditions": {"ready": ready}, "targetRef": target})
    };
    json!({"metadata": metadata, "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>()})
}

pub(super) fn policy(name: &str, version: u64, target: &str) -> Value {
    json!({"metadata": metadata(name, version), "spec": {"mode": "Enforce",
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}}})
}

/// A policy with a standby and the Service by which traffic moves.
pub(super) fn with_failover(mut policy: Value, standby: &str, service: &str) -> Value {
    policy["spec"]["actions"] = json!({"failover": {"via": {"service": service},
        "standby": {"apiVersion": "apps/v1", "kind": "Deployment", "name": standby}}});
    policy
}

pub(super) fn state(name: &str, version: u64, policy: &str, config_map: &str) -> Value {
    let digest = "0".repeat(64);
    json!({"metadata": metadata(name, version), "spec": {"seal": {"keyId": "k", "mac": digest}, "record": {
        "policy": policy, "target": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
        "digest": digest,
        "members": [{"kind": "ConfigMap", "name": config_map, "digest": digest, "copy": "homeostat-0000"},
            {"kind": "Deployment", "name": "checkout", "digest": digest, "content": "{}"}],
        "evidence": {"from": "2026-01-01T00:00:00.000000Z", "to": "2026-01-01T00:05:00.000000Z", "replicas": 2,
            "restarts": 0, "timeToReadySeconds": 7}}}})
}

pub(super) fn recovery(name: &str, version: u64, policy: &str, phase: &str) -> Value {
    let journal = json!({"policy": policy, "target": {"kind": "Deployment", "name": "checkout", "uid": "checkout-uid"},
        "symptom": {"reason": "CrashLoop", "message": "pods crash", "since": "2026-01-01T00:00:00.000000Z"},
        "suspect": "Change", "phase": phase, "reason": "CrashLoop", "message": "a sentence",
        "decision": {"remedy": "Rollback", "reason": "CrashLoop", "message": "restored",
            "alternatives": [{"remedy": "Hold", "reason": "CrashLoop", "message": "no"}]},
        "steps": [{"remediation": "RestoreTemplate", "state": "Done", "intent": "restore",
            "object": {"kind": "Deployment", "name": "checkout"}}]});
    json!({"metadata": metadata(name, version), "spec": {"opening": journal}, "status": {"journal": journal}})
}

/// A target with its policy, two pods, a ConfigMap, a Service and its slice.
pub(super) fn small_world() -> Stores {
    let stores = stores();
    let objects = [
        (Kind::RecoveryPolicy, policy("checkout", 1, "checkout")),
        (Kind::Deployment, deployment("checkout", 2)),
        (Kind::ReplicaSet, replica_set("checkout-1", 3, "checkout")),
        (Kind::Pod, pod("a", 4, "checkout-1")),
        (Kind::Pod, pod("b", 5, "checkout-1")),
        (Kind::ConfigMap, config_map("settings", 6)),
        (Kind::Service, service("front", 7, "checkout")),
        (Kind::EndpointSlice, slice("front-x", 8, "front", &[("a", true), ("b", false)])),
        (Kind::StableState, state("checkout-0000", 9, "checkout", "settings")),
    ];
    for (kind, object) in objects {
        put(&stores, kind, &object);
    }
    stores
}
