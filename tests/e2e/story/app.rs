//! The application of a story: a Deployment `web` with a Service and a ConfigMap, and the policy that looks after it.
//! Its image tags say how the fake kubelet lets its pods behave (tests/cluster/stages/README.md).

use serde_json::{Value, json};

/// Name of the Deployment, of its Service and of its policy.
pub const WEB: &str = "web";
/// Name of the Deployment's ConfigMap.
pub const SETTINGS: &str = "web-settings";
/// Name of the Deployment that can stand in, and of its label.
pub const STANDBY: &str = "web-standby";

/// An image whose tag chooses the behaviour.
pub fn image(tag: &str) -> String {
    format!("registry.example/shop/web:{tag}")
}

/// The Deployment.
pub fn deployment(name: &str, tag: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{
                    "name": "web",
                    "image": image(tag),
                    "ports": [{"containerPort": 8080}],
                    "envFrom": [{"configMapRef": {"name": SETTINGS, "optional": true}}],
                }]},
            },
        },
    })
}

/// What changes a Deployment's image, as a merge patch.
pub fn new_image(tag: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{
        "name": "web",
        "image": image(tag),
        "ports": [{"containerPort": 8080}],
        "envFrom": [{"configMapRef": {"name": SETTINGS, "optional": true}}],
    }]}}}})
}

/// The Service in front of it.
pub fn service() -> Value {
    service_of(WEB)
}

/// The Service in front of a Deployment of this name.
pub fn service_of(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    })
}

/// Its configuration.
pub fn config_map(timeout: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": SETTINGS},
        "data": {"TIMEOUT": timeout, "COLOUR": "blue"},
    })
}

/// A policy with short times, changed by `spec` (a merge patch).
pub fn policy(spec: Value) -> Value {
    let mut policy = json!({
        "apiVersion": "homeostat.dev/v1alpha1",
        "kind": "RecoveryPolicy",
        "metadata": {"name": WEB},
        "spec": {
            "mode": "Enforce",
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB},
            "stability": {"soak": "2s"},
            "verification": {"window": "2s"},
            "detection": {"unavailableFor": "1s"},
            "limits": {"cooldown": "1s"},
        },
    });
    merge(&mut policy["spec"], spec);
    policy
}

/// Merges `patch` into `value`, objects key by key.
pub fn merge(value: &mut Value, patch: Value) {
    match (value, patch) {
        (Value::Object(map), Value::Object(patch)) => {
            for (key, inner) in patch {
                merge(map.entry(key).or_insert(Value::Null), inner);
            }
        }
        (value, patch) => *value = patch,
    }
}

/// The same, but lists of things with names are merged by these names, as kubectl does.
pub fn merge_by_name(value: &mut Value, patch: Value) {
    match (value, patch) {
        (Value::Object(map), Value::Object(patch)) => {
            for (key, inner) in patch {
                merge_by_name(map.entry(key).or_insert(Value::Null), inner);
            }
        }
        (Value::Array(list), Value::Array(patch)) if patch.iter().all(|item| item["name"].is_string()) => {
            for inner in patch {
                match list.iter_mut().find(|item| item["name"] == inner["name"]) {
                    Some(item) => merge_by_name(item, inner),
                    None => list.push(inner),
                }
            }
        }
        (value, patch) => *value = patch,
    }
}
