//! What an object's content is: the part that decides behaviour, normalised, and its digest.
//!
//! `observe` compares digests and `act` writes content; both must mean the same by it, so it is said
//! once, here, over plain JSON. Never part of it: status, managedFields, uid, resourceVersion, and
//! annotations that only ask for a restart.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Annotations of a pod template that ask for a restart and say nothing about behaviour.
const RESTART_ANNOTATIONS: [&str; 2] = ["kubectl.kubernetes.io/restartedAt", "homeostat.dev/restarted-at"];

/// The label that the Deployment controller adds to the templates of its ReplicaSets.
const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// The parts of a Deployment's spec that are recorded and restored. `replicas` belongs to people and autoscalers,
/// `paused` is how a freeze works, `selector` cannot change.
pub const DEPLOYMENT_PARTS: [&str; 3] = ["template", "strategy", "minReadySeconds"];

/// The parts of a ConfigMap that are recorded and restored.
pub const CONFIG_MAP_PARTS: [&str; 2] = ["data", "binaryData"];

/// JSON with sorted keys and no white space: the same value gives the same bytes.
#[must_use]
pub fn canonical(value: &Value) -> String {
    // serde_json sorts the keys of a map as long as no dependency turns on `preserve_order`; a test watches that.
    value.to_string()
}

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The content of a Deployment, from its `spec`: an object with those of [`DEPLOYMENT_PARTS`] that are there.
#[must_use]
pub fn deployment(spec: &Value) -> Value {
    let mut content = parts(spec, &DEPLOYMENT_PARTS);
    if let Some(template) = content.get_mut("template") {
        strip_template(template);
    }
    content
}

/// The digest by which a pod template is compared with the templates of ReplicaSets. The controller compares
/// everything but its own hash label, restart annotations included: so does this.
#[must_use]
pub fn template_digest(template: &Value) -> String {
    let mut template = template.clone();
    remove_entry(&mut template, "labels", &[POD_TEMPLATE_HASH]);
    if let Some(Value::Object(metadata)) = template.get_mut("metadata") {
        metadata.retain(|key, value| key != "creationTimestamp" && !value.is_null());
    }
    digest(&canonical(&template))
}

/// The content of a ConfigMap: an object with those of [`CONFIG_MAP_PARTS`] that are there and not empty.
#[must_use]
pub fn config_map(object: &Value) -> Value {
    let mut content = parts(object, &CONFIG_MAP_PARTS);
    if let Value::Object(map) = &mut content {
        map.retain(|_, part| part.as_object().is_some_and(|entries| !entries.is_empty()));
    }
    content
}

/// Names of the ConfigMaps that a pod template refers to: environment, volumes and projections.
#[must_use]
pub fn config_map_references(template: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let containers = each(template, "/spec/containers").chain(each(template, "/spec/initContainers"));
    for container in containers {
        names.extend(each(container, "/env").filter_map(|it| text(it, "/valueFrom/configMapKeyRef/name")));
        names.extend(each(container, "/envFrom").filter_map(|it| text(it, "/configMapRef/name")));
    }
    for volume in each(template, "/spec/volumes") {
        names.extend(text(volume, "/configMap/name"));
        names.extend(each(volume, "/projected/sources").filter_map(|it| text(it, "/configMap/name")));
    }
    names
}

/// The digest of a closure, from `(kind, name, digest)` of its members in any order. An absent member has an empty digest.
#[must_use]
pub fn closure_digest<'a>(members: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> String {
    let sorted: BTreeSet<_> = members.into_iter().collect();
    digest(&canonical(&json!(sorted)))
}

/// The elements of the array at `pointer`; anything else has none.
fn each<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

fn parts(object: &Value, names: &[&str]) -> Value {
    let found = names.iter().filter_map(|name| {
        let part = object.get(*name).filter(|part| !part.is_null())?;
        Some(((*name).to_owned(), part.clone()))
    });
    Value::Object(found.collect::<Map<_, _>>())
}

fn strip_template(template: &mut Value) {
    remove_entry(template, "annotations", &RESTART_ANNOTATIONS);
    if let Some(Value::Object(metadata)) = template.get_mut("metadata") {
        metadata.retain(|key, value| key != "creationTimestamp" && !value.is_null());
    }
}

/// Removes keys from `metadata.<map>` of a template, and the map with them when nothing is left.
fn remove_entry(template: &mut Value, map: &str, keys: &[&str]) {
    let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let Some(entries) = metadata.get_mut(map).and_then(Value::as_object_mut) else { return };
    for key in keys {
        entries.remove(*key);
    }
    if entries.is_empty() {
        metadata.remove(map);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_whatever_the_order_they_came_in() {
        let value: Value = serde_json::from_str(r#"{"b":1,"a":{"d":2,"c":3}}"#).unwrap();
        assert_eq!(canonical(&value), r#"{"a":{"c":3,"d":2},"b":1}"#);
    }

    #[test]
    fn a_restart_annotation_is_not_a_difference() {
        let plain = json!({"template": {"metadata": {"labels": {"app": "a"}}, "spec": {}}, "replicas": 3});
        let restarted = json!({"template": {"metadata": {"labels": {"app": "a"}, "creationTimestamp": null,
            "annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}, "spec": {}}, "replicas": 5, "paused": true});
        assert_eq!(deployment(&plain), deployment(&restarted));
    }

    #[test]
    fn an_added_environment_variable_is_a_difference() {
        let before = json!({"template": {"spec": {"containers": [{"name": "a"}]}}});
        let after = json!({"template": {"spec": {"containers": [{"name": "a", "env": [{"name": "X"}]}]}}});
        assert_ne!(deployment(&before), deployment(&after));
    }

    #[test]
    fn the_hash_label_of_a_replica_set_is_left_out() {
        let ours = json!({"metadata": {"labels": {"app": "a"}}, "spec": {}});
        let theirs = json!({"metadata": {"creationTimestamp": null, "labels": {"app": "a", "pod-template-hash": "1"}}, "spec": {}});
        assert_eq!(template_digest(&ours), template_digest(&theirs));
    }

    #[test]
    fn references_are_found_everywhere() {
        let template = json!({"spec": {
            "initContainers": [{"envFrom": [{"configMapRef": {"name": "a"}}]}],
            "containers": [{"env": [{"valueFrom": {"configMapKeyRef": {"name": "b"}}}, {"value": "x"}]}],
            "volumes": [{"configMap": {"name": "c"}}, {"projected": {"sources": [{"configMap": {"name": "d"}}, {"secret": {}}]}}],
        }});
        assert_eq!(config_map_references(&template), ["a", "b", "c", "d"].map(str::to_owned).into());
    }

    #[test]
    fn malformed_objects_have_no_content_and_no_panic() {
        for odd in [
            json!(null),
            json!(3),
            json!([]),
            json!({"template": 3, "data": "x"}),
            json!({"template": {"metadata": 1}}),
        ] {
            let _ = (deployment(&odd), config_map(&odd), config_map_references(&odd), template_digest(&odd));
        }
    }
}
