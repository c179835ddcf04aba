//! What a restore brings back that nobody's present manifest has: fields that only the stable state had.
//!
//! Fields that a restore wrote go back to their owner's name, but an owner who does not know them never takes them away:
//! Helm and `kubectl apply` leave alone what was not in what they applied last. So they are listed. Names only, no values.

use serde_json::{Map, Value};

use super::compare::below;
use super::member::MemberKind;

/// More are not listed.
pub const MOST: usize = 32;
/// The longest path, in characters.
const LONGEST: usize = 256;

/// Paths of what `stable` has and `present` has not; each only where it begins. Nothing of Secrets is named.
#[must_use]
pub fn of(kind: MemberKind, present: &Value, stable: &Value) -> Vec<String> {
    let mut found = vec![];
    if kind != MemberKind::Secret {
        compare("", present, stable, &mut found);
    }
    found.truncate(MOST);
    found
}

fn compare(path: &str, present: &Value, stable: &Value, found: &mut Vec<String>) {
    match (present, stable) {
        (Value::Object(present), Value::Object(stable)) => {
            for (key, value) in stable {
                step(&below(path, key), present.get(key), value, found);
            }
        }
        // Things with names are told by them; of other lists, owners write the whole.
        (Value::Array(present), Value::Array(stable)) => {
            for value in stable {
                let Some(name) = name_of(value) else { continue };
                let same = present.iter().find(|other| name_of(other) == Some(name));
                step(&format!("{path}[{name}]"), same, value, found);
            }
        }
        _ => {}
    }
}

fn step(path: &str, present: Option<&Value>, stable: &Value, found: &mut Vec<String>) {
    match present {
        Some(present) => compare(path, present, stable, found),
        None => found.push(path.chars().take(LONGEST).collect()),
    }
}

fn name_of(value: &Value) -> Option<&str> {
    value.as_object().and_then(|entries: &Map<String, Value>| entries.get("name")).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_the_present_does_not_have_is_listed_and_only_where_it_begins() {
        let present =
            json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "b", "args": ["x"]}]}}}});
        let stable = json!({"spec": {"minReadySeconds": 3, "template": {
            "metadata": {"annotations": {"a.b/c": "d"}},
            "spec": {"containers": [
                {"name": "web", "image": "a", "args": ["y", "z"], "env": [{"name": "E", "value": "secret"}]},
                {"name": "side", "image": "c"}]}}}});
        let expected = [
            "spec.minReadySeconds",
            "spec.template.metadata",
            "spec.template.spec.containers[web].env",
            "spec.template.spec.containers[side]",
        ];
        assert_eq!(of(MemberKind::Deployment, &present, &stable), expected);
        assert!(of(MemberKind::Deployment, &stable, &stable).is_empty());
        let (present, stable) = (json!({"data": {"A": "1"}}), json!({"data": {"A": "2", "B.c": "3"}}));
        assert_eq!(of(MemberKind::ConfigMap, &present, &stable), ["data[\"B.c\"]"]);
        assert!(of(MemberKind::Secret, &present, &stable).is_empty());
    }
}
