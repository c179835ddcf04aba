//! The rules that the API server evaluates, evaluated here: what they accept, what they refuse, and in which words.

use kube::core::cel::Validator;
use serde_json::{Value, json};

use crate::schema;

/// The messages of the rules that refuse `object`, in place of `old` if that is given.
pub fn refusals(kind: &str, object: &Value, old: Option<&Value>) -> Vec<String> {
    match Validator::new().validate(&schema(kind), object, old) {
        Ok(()) => vec![],
        Err(errors) => errors.iter().map(|error| format!("{}: {}", error.field_path, error.message)).collect(),
    }
}

/// A policy with every part, changed at `pointer`.
fn policy(pointer: &str, value: Value) -> Value {
    let standby = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout-standby"});
    let mut policy = json!({"spec": {
        "mode": "Enforce",
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"},
        "stability": {"soak": "5m", "checks": [
            {"name": "errors", "provider": "main", "query": "up", "max": "0.5", "min": "-0.5", "window": "1m"},
        ]},
        "verification": {"window": "30s"},
        "detection": {"unavailableFor": "10s"},
        "dependsOn": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "checkout"}],
        "actions": {
            "isolate": {"inspection": "0s", "neighbours": [
                {"apiVersion": "batch/v1", "kind": "CronJob", "name": "checkout"},
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": "scanner"},
            ]},
            "rollback": {"maxAge": "8784h"},
            "failover": {"standby": standby, "via": {"service": "checkout"}},
        },
        "limits": {"cooldown": "0s"},
        "objective": "1h30m",
    }});
    if let Some(place) = policy.pointer_mut(pointer) {
        *place = value;
    }
    policy
}

#[test]
fn a_good_policy_is_accepted() {
    assert_eq!(refusals("RecoveryPolicy", &policy("", json!(null)), None).len(), 0);
    let whole = policy("/nowhere", json!(null));
    assert_eq!(refusals("RecoveryPolicy", &whole, None), [""; 0]);
    let mut short = whole.clone();
    short["spec"].as_object_mut().expect("a spec").retain(|key, _| matches!(key.as_str(), "mode" | "targetRef"));
    assert_eq!(refusals("RecoveryPolicy", &short, None), [""; 0]);
    assert_eq!(refusals("RecoveryPolicy", &policy("/spec/actions", json!({})), None), [""; 0]);
    for kind in ["httpRoute", "grpcRoute"] {
        let via = json!({kind: {"name": "checkout", "standbyService": "spare", "steps": [10, 100]}});
        assert_eq!(refusals("RecoveryPolicy", &policy("/spec/actions/failover/via", via), None), [""; 0]);
    }
}

#[test]
fn a_bad_policy_is_refused_with_advice() {
    let table = [
        ("/spec/targetRef/kind", json!("ReplicaSet"), "set kind to one of them"),
        ("/spec/targetRef/apiVersion", json!("apps/v1beta1"), "apiVersion to apps/v1"),
        ("/spec/actions/failover/standby/name", json!("checkout"), "name another workload"),
        ("/spec/actions/failover/standby/kind", json!("DaemonSet"), "set kind to one of them"),
        ("/spec/actions/failover/standby/apiVersion", json!("v1"), "apiVersion to apps/v1"),
        ("/spec/actions/failover/via", json!({}), "set exactly one of service, httpRoute and grpcRoute"),
        (
            "/spec/actions/failover/via",
            json!({"service": "checkout", "grpcRoute": {"name": "a", "standbyService": "b", "steps": [100]}}),
            "set exactly one of service, httpRoute and grpcRoute",
        ),
        (
            "/spec/actions/failover/via",
            json!({"httpRoute": {"name": "a", "standbyService": "b", "steps": [20, 50]}}),
            "write 100 into steps",
        ),
        ("/spec/stability/soak", json!("0s"), "longer than 0s"),
        (
            "/spec/stability/checks/0",
            json!({"name": "a", "provider": "b", "query": "c"}),
            "set max to the highest value",
        ),
        ("/spec/stability/checks/0/min", json!("0.6"), "set min to at most max"),
        ("/spec/stability/checks/0/window", json!("0s"), "longer than 0s"),
        ("/spec/verification/window", json!("0s"), "longer than 0s"),
        ("/spec/detection/unavailableFor", json!("0ms"), "longer than 0s"),
        ("/spec/actions/rollback/maxAge", json!("8785h"), "at most 366 days"),
        ("/spec/objective", json!("0h"), "longer than 0s"),
        ("/spec/limits/cooldown", json!("9000h"), "at most 8784h"),
        ("/spec/actions/isolate/inspection", json!("999999h"), "at most 8784h"),
        ("/spec/dependsOn/0/kind", json!("Deployment"), "name other workloads"),
        ("/spec/dependsOn/0/kind", json!("CronJob"), "set kind to one of them"),
        ("/spec/actions/isolate/neighbours/1/name", json!("checkout"), "other than the target"),
        ("/spec/actions/isolate/neighbours/1/kind", json!("StatefulSet"), "must name Deployments"),
        ("/spec/actions/isolate/neighbours/0/apiVersion", json!("batch/v1beta1"), "must name Deployments"),
    ];
    for (pointer, value, advice) in table {
        let refused = refusals("RecoveryPolicy", &policy(pointer, value.clone()), None);
        assert_eq!(refused.len(), 1, "{pointer} = {value}: {refused:?}");
        assert!(refused[0].contains(advice), "{pointer} = {value}: {}", refused[0]);
    }
}

/// A budget with this brake.
fn braked(brake: Value) -> Value {
    json!({"spec": {"brake": brake}})
}

#[test]
fn a_good_budget_is_accepted() {
    let release = json!({"belowPercent": 50, "after": "1m"});
    for brake in [json!({}), json!({"minPercent": 50, "window": "5m", "release": release})] {
        assert_eq!(refusals("RecoveryBudget", &braked(brake.clone()), None), [""; 0], "{brake}");
    }
    assert_eq!(refusals("RecoveryBudget", &json!({"spec": {}}), None), [""; 0]);
}

#[test]
fn a_bad_budget_is_refused_with_advice() {
    let release = |percent: u32, after: &str| json!({"belowPercent": percent, "after": after});
    let table = [
        (json!({"minPercent": 30, "release": release(31, "5m")}), "set brake.release.belowPercent to at most"),
        (json!({"minPercent": 30, "release": release(30, "0s")}), "longer than 0s"),
        (json!({"window": "0s"}), "longer than 0s"),
        (json!({"window": "9000h"}), "at most 366 days"),
    ];
    for (brake, advice) in table {
        let refused = refusals("RecoveryBudget", &braked(brake.clone()), None);
        assert_eq!(refused.len(), 1, "{brake}: {refused:?}");
        assert!(refused[0].contains(advice), "{brake}: {}", refused[0]);
    }
}

#[test]
fn the_record_of_how_an_incident_began_cannot_be_changed() {
    let old = json!({"spec": {"opening": {"policy": "checkout", "attempt": 0}, "abort": false, "failback": false}});
    let mut new = old.clone();
    new["spec"]["abort"] = json!(true);
    new["spec"]["approval"] = json!({"decision": "Approve", "planDigest": "0123456789abcdef"});
    assert_eq!(refusals("Recovery", &new, Some(&old)), [""; 0]);
    new["spec"]["opening"]["policy"] = json!("cart");
    let refused = refusals("Recovery", &new, Some(&old));
    assert!(refused.len() == 1 && refused[0].contains("cannot be changed"), "{refused:?}");
}

#[test]
fn a_sealed_record_cannot_be_changed_but_reviewed() {
    let old = json!({"spec": {"record": {"policy": "checkout", "digest": "a"}, "seal": {"keyId": "k", "mac": "m"}}});
    let mut new = old.clone();
    new["spec"]["review"] = json!("Reject");
    assert_eq!(refusals("StableState", &new, Some(&old)), [""; 0]);
    for (pointer, what) in [("/spec/record/digest", "spec.record"), ("/spec/seal/mac", "spec.seal")] {
        let mut edited = old.clone();
        *edited.pointer_mut(pointer).expect("a place") = json!("edited");
        let refused = refusals("StableState", &edited, Some(&old));
        assert!(refused.len() == 1 && refused[0].contains(what), "{pointer}: {refused:?}");
    }
}

/// Whether a text has the pattern of a field. The API server's regular expressions are those of its rules.
fn has_pattern(pointer: &str, text: &str) -> bool {
    let spec = &schema("RecoveryPolicy")["properties"]["spec"];
    let field = pointer.split('/').fold(spec, |schema, name| &schema["properties"][name]);
    let rule = format!("self.matches({})", field["pattern"]);
    let asked = json!({"type": "string", "x-kubernetes-validations": [{"rule": rule, "message": "no"}]});
    Validator::new().validate(&asked, &json!(text), None).is_ok()
}

#[test]
fn patterns_tell_good_from_bad() {
    for (field, good, bad) in [
        ("stability/minReady", ["1%", "80%", "100%"], ["0%", "101%", "80"]),
        ("stability/soak", ["90s", "1h30m", "1.5s"], ["90", "-5s", "soon"]),
        ("actions/failover/minCapacity", ["1%", "50%", "100%"], ["0%", "101%", "half"]),
        ("actions/failover/via/service", ["checkout", "a1", "9-a"], ["Checkout", "a.b", "-a"]),
        ("targetRef/name", ["checkout", "a.b", "a-1"], ["Checkout", "-a", "a/b"]),
    ] {
        for text in good {
            assert!(has_pattern(field, text), "{field} refuses {text}");
        }
        for text in bad {
            assert!(!has_pattern(field, text), "{field} accepts {text}");
        }
    }
}
