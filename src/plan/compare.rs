//! What differs between two contents, place by place. Pure: no cluster, no words for people.
//!
//! A place is a path of keys from the root, `spec.template.spec.containers[web].image`. Elements of lists that have names
//! are told apart by them, so that one that was put in front does not change all that follow.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

/// What elements of lists are known by, the first that both lists have.
const NAMES: [&str; 5] = ["name", "mountPath", "containerPort", "port", "key"];

/// A place at which two contents differ. What is not there on one side is `None`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    /// Where.
    pub path: String,
    /// What is there in the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What is there in the second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// Every place at which `to` differs from `from`, in the order of their paths' keys.
#[must_use]
pub fn places(from: &Value, to: &Value) -> Vec<Place> {
    let mut found = vec![];
    walk("", Some(from), Some(to), &mut found);
    found
}

fn walk(path: &str, from: Option<&Value>, to: Option<&Value>, found: &mut Vec<Place>) {
    match (from, to) {
        (from, to) if from == to => {}
        (Some(Value::Object(from)), Some(Value::Object(to))) => {
            let keys: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
            for key in keys {
                walk(&below(path, key), from.get(key), to.get(key), found);
            }
        }
        (Some(Value::Array(from)), Some(Value::Array(to))) => list(path, from, to, found),
        (from, to) => found.push(Place { path: path.to_owned(), from: from.cloned(), to: to.cloned() }),
    }
}

fn list(path: &str, from: &[Value], to: &[Value], found: &mut Vec<Place>) {
    let known = NAMES.iter().find_map(|key| Some((named(from, key)?, named(to, key)?)));
    let Some((old, new)) = known else {
        for index in 0..from.len().max(to.len()) {
            walk(&format!("{path}[{index}]"), from.get(index), to.get(index), found);
        }
        return;
    };
    let (before, after): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (old.iter().cloned().collect(), new.iter().cloned().collect());
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in &names {
        walk(&format!("{path}[{name}]"), before.get(*name).copied(), after.get(*name).copied(), found);
    }
    let order = |list: &[(String, &Value)], others: &BTreeMap<String, &Value>| -> Vec<String> {
        list.iter().map(|(name, _)| name.clone()).filter(|name| others.contains_key(name)).collect()
    };
    let (before, after) = (order(&old, &after), order(&new, &before));
    if before != after {
        found.push(Place { path: format!("{path} (order)"), from: Some(json!(before)), to: Some(json!(after)) });
    }
}

/// The elements by name; `None` if one has none, or two have the same.
fn named<'v>(list: &'v [Value], key: &str) -> Option<Vec<(String, &'v Value)>> {
    let name = |element: &Value| match element.get(key)? {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let elements: Vec<(String, &Value)> =
        list.iter().map(|element| name(element).map(|name| (name, element))).collect::<Option<_>>()?;
    let distinct: BTreeSet<&String> = elements.iter().map(|(name, _)| name).collect();
    (distinct.len() == elements.len()).then_some(elements)
}

/// The path of what stands under `key`.
pub(super) fn below(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    match (plain, path.is_empty()) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{path}.{key}"),
        (false, _) => format!("{path}[{}]", json!(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(from: Value, to: Value) -> Vec<(String, Option<Value>, Option<Value>)> {
        places(&from, &to).into_iter().map(|place| (place.path, place.from, place.to)).collect()
    }

    #[test]
    fn equal_contents_differ_nowhere() {
        let content = json!({"spec": {"containers": [{"name": "a"}], "x": [1, 2, null]}});
        assert_eq!(found(content.clone(), content), []);
    }

    #[test]
    fn each_place_is_named_once() {
        let from = json!({"spec": {"replicas": 2, "gone": true, "same": {"a": 1}}, "data": {"app.properties": "x"}});
        let to =
            json!({"spec": {"replicas": 3, "added": {"deep": [1]}, "same": {"a": 1}}, "data": {"app.properties": "y"}});
        assert_eq!(
            found(from, to),
            [
                ("data[\"app.properties\"]".into(), Some(json!("x")), Some(json!("y"))),
                ("spec.added".into(), None, Some(json!({"deep": [1]}))),
                ("spec.gone".into(), Some(json!(true)), None),
                ("spec.replicas".into(), Some(json!(2)), Some(json!(3))),
            ]
        );
    }

    #[test]
    fn elements_with_names_are_told_apart_by_them() {
        let from = json!({"containers": [{"name": "web", "image": "a:1"}]});
        let to = json!({"containers": [{"name": "sidecar", "image": "s:1"}, {"name": "web", "image": "a:2"}]});
        let added = ("containers[sidecar]".to_owned(), None, Some(json!({"name": "sidecar", "image": "s:1"})));
        let changed = ("containers[web].image".to_owned(), Some(json!("a:1")), Some(json!("a:2")));
        assert_eq!(found(from, to), [added, changed]);
        let ports = |port: i32| json!([{"containerPort": 80, "protocol": "TCP"}, {"containerPort": port}]);
        assert_eq!(found(ports(1), ports(2)).len(), 2);
    }

    #[test]
    fn an_order_that_changed_is_a_difference() {
        let env = |names: [&str; 2]| json!({"env": names.map(|name| json!({"name": name, "value": "1"}))});
        assert_eq!(
            found(env(["A", "B"]), env(["B", "A"])),
            [("env (order)".into(), Some(json!(["A", "B"])), Some(json!(["B", "A"])))]
        );
    }

    #[test]
    fn elements_without_names_or_with_the_same_are_counted() {
        assert_eq!(found(json!([1, 2]), json!([1, 3, 4])).len(), 2);
        let twice = json!([{"name": "a", "x": 1}, {"name": "a", "x": 2}]);
        let other = json!([{"name": "a", "x": 1}, {"name": "a", "x": 3}]);
        assert_eq!(found(twice, other), [("[1].x".into(), Some(json!(2)), Some(json!(3)))]);
    }

    #[test]
    fn values_of_another_kind_are_replaced_as_a_whole() {
        assert_eq!(found(json!({"a": [1]}), json!({"a": {"b": 1}})).len(), 1);
        assert_eq!(found(json!(null), json!({"a": 1})).len(), 1);
    }
}
