//! Freeze, release and restore of a Deployment.

use super::*;
use crate::api::mark::FROZEN_BY;

fn good() -> Value {
    json!({"template": {"metadata": {"labels": {"app": "c"}}, "spec": {"containers": [{"name": "c", "image": "c:1"}]}},
        "strategy": {"type": "RollingUpdate"}})
}

fn bad() -> Value {
    json!({"template": {"metadata": {"labels": {"app": "c"}},
        "spec": {"containers": [{"name": "c", "image": "c:2", "env": [{"name": "X", "value": "1"}]}]}},
        "strategy": {"type": "RollingUpdate"}, "minReadySeconds": 5})
}

/// The content of a Deployment with this spec.
fn recorded(spec: Value) -> Value {
    json!({"spec": spec})
}

/// A Deployment with this spec, paused or not, and marked by a Recovery or not.
fn deployment(mut spec: Value, paused: bool, frozen_by: Option<&str>) -> Value {
    if paused {
        spec["paused"] = json!(true);
    }
    spec["replicas"] = json!(3);
    let metadata = frozen_by.map_or(json!({}), |name| json!({"annotations": {FROZEN_BY: name, "a": "b"}}));
    object("Deployment", "checkout", metadata, json!({"spec": spec}))
}

fn server(deployment: Value) -> Server {
    Server::with([
        (DEPLOYMENT, deployment),
        (STATE, state(vec![member("Deployment", "checkout", &recorded(good()), "")])),
    ])
}

fn freeze() -> Step {
    step(Remediation::FreezeRollout, "Deployment", "checkout", "", "")
}

fn release() -> Step {
    step(Remediation::ReleaseFreeze, "Deployment", "checkout", "", "")
}

fn restore() -> Step {
    step(Remediation::RestoreTemplate, "Deployment", "checkout", &digest(&recorded(bad())), &digest(&recorded(good())))
}

#[tokio::test]
async fn a_freeze_is_one_guarded_patch() {
    let server = server(deployment(bad(), false, None));
    let effect = perform(&server, &freeze()).await.unwrap();
    let write = server.only_write();
    assert_eq!((write.method.as_str(), write.content_type.as_str()), ("PATCH", "application/json-patch+json"));
    assert_eq!(write.path, format!("{DEPLOYMENT}?fieldManager=homeostat"));
    let expected = guarded([
        json!({"op": "add", "path": "/spec/paused", "value": true}),
        json!({"op": "add", "path": "/metadata/annotations", "value": {}}),
        json!({"op": "add", "path": "/metadata/annotations/homeostat.dev~1frozen-by", "value": RECOVERY}),
    ]);
    assert_eq!(write.body, expected);
    assert_eq!(
        effect,
        Effect { receipt: Receipt::Done, object: server.object(DEPLOYMENT), change: String::new(), leftovers: vec![] }
    );
    assert_eq!(receipt(&server, &freeze()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn a_pause_that_is_not_ours_or_not_any_more_is_respected() {
    for (paused, by) in [(true, None), (true, Some("other")), (false, Some(RECOVERY))] {
        let server = server(deployment(bad(), paused, by));
        let found = receipt(&server, &freeze()).await;
        assert!(matches!(found, Receipt::Moved(_)), "{found:?}");
        assert_eq!(server.writes(), []);
    }
}

#[tokio::test]
async fn a_release_ends_our_pause_and_nobody_elses() {
    let away = json!({"op": "remove", "path": "/metadata/annotations/homeostat.dev~1frozen-by"});
    let resume = json!({"op": "remove", "path": "/spec/paused"});
    let cases = [
        (true, Some(RECOVERY), Some(vec![resume, away.clone()])),
        (false, Some(RECOVERY), Some(vec![away])),
        (true, Some("other"), None),
        (true, None, None),
        (false, None, None),
    ];
    for (paused, by, expected) in cases {
        let server = server(deployment(bad(), paused, by));
        let found = receipt(&server, &release()).await;
        match expected {
            Some(operations) => {
                assert_eq!(found, Receipt::Done);
                assert_eq!(server.only_write().body, guarded(operations));
            }
            None => {
                assert_eq!(found, Receipt::AlreadyDone);
                assert_eq!(server.writes(), []);
            }
        }
    }
}

#[tokio::test]
async fn a_restore_replaces_whole_parts_and_ends_our_pause_with_them() {
    let server = server(deployment(bad(), true, Some(RECOVERY)));
    assert_eq!(receipt(&server, &restore()).await, Receipt::Done);
    let expected = guarded([
        json!({"op": "replace", "path": "/spec/template", "value": good()["template"]}),
        json!({"op": "remove", "path": "/spec/minReadySeconds"}),
        json!({"op": "remove", "path": "/spec/paused"}),
        json!({"op": "remove", "path": "/metadata/annotations/homeostat.dev~1frozen-by"}),
    ]);
    assert_eq!(server.only_write().body, expected);
    assert_eq!(receipt(&server, &restore()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn a_restored_content_still_frozen_by_us_is_only_released() {
    let server = server(deployment(good(), true, Some(RECOVERY)));
    assert_eq!(receipt(&server, &restore()).await, Receipt::Done);
    let expected = guarded([
        json!({"op": "remove", "path": "/spec/paused"}),
        json!({"op": "remove", "path": "/metadata/annotations/homeostat.dev~1frozen-by"}),
    ]);
    assert_eq!(server.only_write().body, expected);
}

#[tokio::test]
async fn a_restart_annotation_is_neither_a_difference_nor_brought_back() {
    let mut restarted = good();
    restarted["template"]["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/restartedAt": "now"});
    restarted["strategy"] = json!({"type": "Recreate"});
    let mut from = good();
    from["strategy"] = json!({"type": "Recreate"});
    let server = server(deployment(restarted, false, None));
    let mut step = restore();
    step.from = digest(&recorded(from));
    assert_eq!(receipt(&server, &step).await, Receipt::Done);
    let expected = guarded([json!({"op": "replace", "path": "/spec/strategy", "value": {"type": "RollingUpdate"}})]);
    assert_eq!(server.only_write().body, expected);
}

#[tokio::test]
async fn a_content_that_is_not_the_expected_one_is_left_alone() {
    let mut third = bad();
    third["template"]["spec"]["containers"][0]["image"] = json!("c:3");
    for (spec, paused, by) in [(third, false, None), (bad(), true, None), (bad(), true, Some("other"))] {
        let server = server(deployment(spec, paused, by));
        let found = receipt(&server, &restore()).await;
        assert!(matches!(found, Receipt::Moved(_)), "{found:?}");
        assert_eq!(server.writes(), []);
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_trusted_is_never_written() {
    let sealed = state(vec![member("Deployment", "checkout", &recorded(good()), "")]);
    let edited = |path: &str, value: Value| {
        let mut state = sealed.clone();
        *state.pointer_mut(path).unwrap() = value;
        state
    };
    let mut rejected = sealed.clone();
    rejected["spec"]["review"] = json!("Reject");
    let forged = content::canonical(&recorded(bad()));
    let cases = [
        edited("/spec/record/members/0/content", json!(forged)),
        edited("/spec/record/policy", json!("other")),
        edited("/spec/seal/keyId", json!("key-2")),
        edited("/spec/seal/mac", json!("0".repeat(64))),
        edited("/metadata/name", json!("checkout-2")),
        edited("/metadata/namespace", json!("other")),
        edited("/spec/record/members", json!(3)),
        state(vec![member("Deployment", "other", &recorded(good()), "")]),
        state(vec![member("Deployment", "checkout", &recorded(bad()), "")]),
        state(vec![Member { content: "{}".into(), ..member("Deployment", "checkout", &recorded(good()), "") }]),
        rejected,
    ];
    for state in cases {
        let server = server(deployment(bad(), false, None));
        server.put(STATE, state.clone());
        assert_eq!(perform(&server, &restore()).await.unwrap_err().category(), "Invalid", "{state:#}");
        assert_eq!(server.writes(), []);
    }
    let server = server(deployment(bad(), false, None));
    server.delete(STATE);
    assert_eq!(perform(&server, &restore()).await.unwrap_err().category(), "Invalid");
}

#[tokio::test]
async fn a_restore_keeps_what_is_stricter_now_and_is_done_once() {
    let strict = json!({"runAsNonRoot": true, "capabilities": {"drop": ["ALL"]}});
    let mut hardened = bad();
    hardened["template"]["spec"]["containers"][0]["securityContext"] = strict.clone();
    let server = server(deployment(hardened.clone(), false, None));
    let from = digest(&recorded(hardened));
    let step = Step { from, keeps: vec!["container c: root".into()], ..restore() };
    assert_eq!(receipt(&server, &step).await, Receipt::Done);
    let found = server.object(DEPLOYMENT).unwrap();
    let container = found.pointer("/spec/template/spec/containers/0").unwrap();
    assert_eq!(*container, json!({"name": "c", "image": "c:1", "securityContext": strict}));
    assert_eq!(receipt(&server, &step).await, Receipt::AlreadyDone);
    server.only_write();
    // Somebody's other change is nothing that we overwrite.
    let server = super::deployment::server(deployment(bad(), false, None));
    assert!(matches!(receipt(&server, &step).await, Receipt::Moved(_)));
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn what_only_the_state_had_is_named() {
    let mut live = bad();
    live.as_object_mut().unwrap().remove("strategy");
    let server = server(deployment(live.clone(), false, None));
    let step = Step { from: digest(&recorded(live)), ..restore() };
    assert_eq!(perform(&server, &step).await.unwrap().leftovers, ["spec.strategy"]);
    let again = perform(&server, &step).await.unwrap();
    assert_eq!((again.receipt, again.leftovers), (Receipt::AlreadyDone, vec![]));
}
