//! What an object's content is: the part that decides behaviour, normalised, and its digest.
//!
//! `observe` compares digests and `act` writes content; both must mean the same by it, so it is said
//! once, here, over plain JSON. Never part of it: status, managedFields, uid, resourceVersion, and
//! annotations that only ask for a restart.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::member::MemberKind;
use crate::api::mark;
use crate::api::stable_state::Group;

/// Annotations of a pod template that ask for a restart and say nothing about behaviour.
const RESTART_ANNOTATIONS: [&str; 2] = ["kubectl.kubernetes.io/restartedAt", mark::RESTARTED_AT];

/// The label that the Deployment controller adds to the templates of its ReplicaSets.
const POD_TEMPLATE_HASH: &str = "pod-template-hash";

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

/// The content of an object of this kind: an object with those of its [parts](MemberKind::parts) that are there and not
/// empty, each where it lies in the object.
#[must_use]
pub fn of(kind: MemberKind, object: &Value) -> Value {
    let mut content = Map::new();
    for part in kind.parts() {
        let found = part.iter().try_fold(object, |inner, key| inner.get(*key)).filter(|found| !empty(found));
        if let (Some(found), Some((last, parents))) = (found, part.split_last()) {
            insert(&mut content, parents, last, found.clone());
        }
    }
    let mut content = Value::Object(content);
    if let Some(template) = content.pointer_mut("/spec/template") {
        strip_template(template);
    }
    content
}

/// The digest of the content of an object of this kind. That of a Secret could be guessed from; whoever holds the key
/// makes another one.
#[must_use]
pub fn digest_of(kind: MemberKind, object: &Value) -> String {
    digest(&canonical(&of(kind, object)))
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

/// Name of the ServiceAccount that a pod template names. `None` for the namespace's own, which always exists.
#[must_use]
pub fn service_account(template: &Value) -> Option<String> {
    text(template, "/spec/serviceAccountName").filter(|name| name != "default")
}

/// Images of the containers of a pod template, as written.
#[must_use]
pub fn images(template: &Value) -> BTreeSet<String> {
    let containers = each(template, "/spec/containers").chain(each(template, "/spec/initContainers"));
    containers.filter_map(|container| text(container, "/image")).collect()
}

/// Ports that the containers of a pod template declare, each by number and, if it has one, by name.
#[must_use]
pub fn ports(template: &Value) -> BTreeSet<String> {
    let containers = each(template, "/spec/containers").chain(each(template, "/spec/initContainers"));
    let ports = containers.flat_map(|container| each(container, "/ports"));
    let names = ports.flat_map(|port| {
        let number = port.get("containerPort").and_then(Value::as_i64).map(|number| number.to_string());
        number.into_iter().chain(text(port, "/name"))
    });
    names.collect()
}

/// The digest of a closure, from the groups that it covers and `(kind, name, digest)` of its members, both in any
/// order. An absent member has an empty digest.
#[must_use]
pub fn closure_digest<'a>(
    groups: impl IntoIterator<Item = Group>,
    members: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>,
) -> String {
    let groups: BTreeSet<_> = groups.into_iter().collect();
    let members: BTreeSet<_> = members.into_iter().collect();
    digest(&canonical(&json!([groups, members])))
}

/// The elements of the array at `pointer`; anything else has none.
pub(super) fn each<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

pub(super) fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(entries) => entries.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    }
}

/// Puts a value under `key` in the map at `parents`, which are made where they are missing.
fn insert(content: &mut Map<String, Value>, parents: &[&str], key: &str, value: Value) {
    match parents.split_first() {
        None => drop(content.insert(key.to_owned(), value)),
        Some((first, rest)) => {
            let inner = content.entry(*first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                insert(inner, rest, key, value);
            }
        }
    }
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
        let plain = json!({"spec": {"template": {"metadata": {"labels": {"app": "a"}}, "spec": {}}, "replicas": 3}});
        let restarted = json!({"spec": {"template": {"metadata": {"labels": {"app": "a"}, "creationTimestamp": null,
            "annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}, "spec": {}}, "replicas": 5, "paused": true}});
        assert_eq!(of(MemberKind::Deployment, &plain), of(MemberKind::Deployment, &restarted));
    }

    #[test]
    fn an_added_environment_variable_is_a_difference() {
        let before = json!({"spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}});
        let after = json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "env": [{"name": "X"}]}]}}}});
        assert_ne!(of(MemberKind::Deployment, &before), of(MemberKind::Deployment, &after));
    }

    #[test]
    fn what_the_api_server_assigns_is_no_content_of_a_service() {
        let service = |address: &str| json!({"spec": {"clusterIP": address, "ports": [{"port": 80}], "selector": {}}});
        assert_eq!(of(MemberKind::Service, &service("10.0.0.1")), json!({"spec": {"ports": [{"port": 80}]}}));
        assert_eq!(digest_of(MemberKind::Service, &service("a")), digest_of(MemberKind::Service, &service("b")));
    }

    #[test]
    fn an_identity_outside_of_the_cluster_is_content_of_a_service_account() {
        let account =
            |role: &str| json!({"metadata": {"annotations": {"eks.amazonaws.com/role-arn": role, "x": role}}});
        let kind = MemberKind::ServiceAccount;
        assert_ne!(digest_of(kind, &account("a")), digest_of(kind, &account("b")));
        assert_eq!(of(kind, &account("a")).pointer("/metadata/annotations/x"), None);
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
            for kind in MemberKind::ALL {
                let _ = of(kind, &odd);
            }
            let _ = (config_map_references(&odd), service_account(&odd), template_digest(&odd), images(&odd));
        }
    }
}
