//! Samples are what people copy first: each is a valid policy, and nothing in it is misspelt.

use std::fs;

use homeostat::api::{RecoveryBudget, RecoveryPolicy};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::rules::refusals;
use crate::{path, read, schema};

/// Paths of fields that the schema does not know. The API server would drop them without a word.
fn unknown(path: &str, schema: &Value, value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) if schema["properties"].is_object() => {
            let below =
                fields.iter().map(|(name, value)| (format!("{path}.{name}"), &schema["properties"][name], value));
            below
                .flat_map(|(path, schema, value)| match schema.is_null() {
                    true => vec![path],
                    false => unknown(&path, schema, value),
                })
                .collect()
        }
        Value::Array(entries) => entries.iter().flat_map(|value| unknown(path, &schema["items"], value)).collect(),
        _ => vec![],
    }
}

/// A policy from a sample, or what is wrong with it.
fn check(text: &str) -> Result<RecoveryPolicy, Vec<String>> {
    check_kind("RecoveryPolicy", text)
}

fn check_kind<K: DeserializeOwned>(kind: &str, text: &str) -> Result<K, Vec<String>> {
    let sample: Value = serde_saphyr::from_str(text).map_err(|error| vec![error.to_string()])?;
    let spec = &schema(kind)["properties"]["spec"];
    let mut wrong = unknown("spec", spec, &sample["spec"]);
    let top = sample.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
    wrong.extend(top.filter(|key| !matches!(*key, "apiVersion" | "kind" | "metadata" | "spec")).map(str::to_owned));
    if sample["apiVersion"] != "homeostat.dev/v1alpha1" || sample["kind"] != kind {
        wrong.push(format!("{} {} is not ours", sample["apiVersion"], sample["kind"]));
    }
    wrong.extend(refusals(kind, &sample, None));
    match serde_json::from_value(sample) {
        Ok(object) if wrong.is_empty() => Ok(object),
        Ok(_) => Err(wrong),
        Err(error) => Err(vec![error.to_string()]),
    }
}

#[test]
fn every_sample_is_a_good_policy() {
    let mut count = 0;
    for entry in fs::read_dir(path("deploy/samples")).expect("deploy/samples") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        if name == "budget.yaml" {
            continue;
        }
        let checked = check(&read(&format!("deploy/samples/{name}")));
        assert!(checked.is_ok(), "{name}: {checked:?}");
        count += 1;
    }
    assert!(count >= 3, "samples are missing");
}

#[test]
fn the_full_sample_shows_every_field_and_the_defaults() {
    let mut full = check(&read("deploy/samples/full.yaml")).expect("a policy").spec;
    let minimal = check(&read("deploy/samples/minimal.yaml")).expect("a policy").spec;
    let mut written: Value = serde_saphyr::from_str(&read("deploy/samples/full.yaml")).expect("YAML");
    // Of the ways to move traffic a policy has one; the others are in a sample of their own, one for both kinds of routes.
    let routed: Value = serde_saphyr::from_str(&read("deploy/samples/route.yaml")).expect("YAML");
    let route = routed.pointer("/spec/actions/failover/via/httpRoute").expect("a route");
    let via = written.pointer_mut("/spec/actions/failover/via").expect("a way");
    (via["httpRoute"], via["grpcRoute"]) = (route.clone(), route.clone());
    assert_eq!(missing("spec", &schema("RecoveryPolicy")["properties"]["spec"], &written["spec"]), [""; 0]);
    assert!(full.actions.failover.take().is_some());
    assert!(full.service_account_name.take().is_some());
    assert!(!std::mem::take(&mut full.stability.checks).is_empty());
    assert!(!std::mem::take(&mut full.depends_on).is_empty());
    assert!(!std::mem::take(&mut full.floors).is_empty());
    assert!(!std::mem::take(&mut full.closure.include).is_empty());
    let isolate = full.actions.isolate.as_mut().expect("isolate");
    assert!(!std::mem::take(&mut isolate.neighbours).is_empty());
    assert!(!std::mem::take(&mut isolate.dependencies).is_empty());
    assert_eq!(full, minimal);
}

/// Paths of fields of the schema that `value` does not write.
fn missing(path: &str, schema: &Value, value: &Value) -> Vec<String> {
    let fields = schema["properties"].as_object().into_iter().flatten();
    let below = fields.map(|(name, schema)| (format!("{path}.{name}"), schema, &value[name]));
    below
        .flat_map(|(path, schema, value)| if value.is_null() { vec![path] } else { missing(&path, schema, value) })
        .collect()
}

#[test]
fn the_sample_of_a_budget_shows_every_field_and_the_defaults() {
    let text = read("deploy/samples/budget.yaml");
    let budget = check_kind::<RecoveryBudget>("RecoveryBudget", &text).expect("a budget");
    let written: Value = serde_saphyr::from_str(&text).expect("YAML");
    let schema = schema("RecoveryBudget");
    assert_eq!(missing("spec", &schema["properties"]["spec"], &written["spec"]), [""; 0]);
    assert_eq!(budget.spec, Default::default());
    let empty = json!({"apiVersion": "homeostat.dev/v1alpha1", "kind": "RecoveryBudget", "metadata": {}, "spec": {}});
    let by_server: RecoveryBudget =
        serde_json::from_value(kube::core::cel::apply_defaults(&schema, &empty)).expect("a budget");
    assert_eq!(by_server.spec, budget.spec);
}

#[test]
fn the_schema_fills_in_the_same_defaults_as_the_types() {
    let minimal: Value = serde_saphyr::from_str(&read("deploy/samples/minimal.yaml")).expect("YAML");
    let filled = kube::core::cel::apply_defaults(&schema("RecoveryPolicy"), &minimal);
    let by_types: RecoveryPolicy = serde_json::from_value(minimal).expect("a policy");
    let by_server: RecoveryPolicy = serde_json::from_value(filled.clone()).expect("a policy");
    assert_eq!(by_types.spec, by_server.spec);
    assert_eq!(filled["spec"]["stability"]["soak"], "5m");
}

#[test]
fn a_bad_sample_is_found() {
    let good = read("deploy/samples/minimal.yaml");
    for (from, to, complaint) in [
        ("mode: Enforce", "mode: Enforce\n  stabilty: {soak: 5m}", "spec.stabilty"),
        ("name: checkout\n", "name: checkout\nspce: {}\n", "spce"),
        ("mode: Enforce", "mode: Enforce\n  stability: {sok: 5m}", "spec.stability.sok"),
        ("mode: Enforce", "mode: enforce", "unknown variant"),
        ("kind: Deployment", "kind: ReplicaSet", "set kind to one of them"),
        ("mode: Enforce", "objective: soon", "is not a duration"),
    ] {
        let wrong = check(&good.replacen(from, to, 1)).expect_err(to).join("; ");
        assert!(wrong.contains(complaint), "{to}: {wrong}");
    }
    assert_eq!(unknown("x", &json!({"properties": {"a": {}}}), &json!({"a": 1})), [""; 0]);
}
