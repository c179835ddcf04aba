//! The writers of our own objects.

use http::Method;

use super::server::Answer;
use super::*;
use crate::act::policy_label;
use crate::api::mark::COPY_OF;
use crate::api::{Journal, RecoveryBudgetStatus, RecoveryPolicyStatus, RecoverySpec};
use crate::plan::member::MemberKind;

const RECOVERIES: &str = "/apis/homeostat.dev/v1alpha1/namespaces/shop/recoveries";
const POLICY: &str = "/apis/homeostat.dev/v1alpha1/namespaces/shop/recoverypolicies/checkout";
const COPY: &str = "/api/v1/namespaces/shop/configmaps/homeostat-1";

fn journal() -> Journal {
    serde_json::from_value(json!({
        "policy": "checkout",
        "target": {"kind": "Deployment", "name": "checkout", "uid": "u-1"},
        "symptom": {"reason": "CrashLoop", "message": "", "since": "2026-01-01T10:00:00.000000Z"},
        "suspect": "Change",
        "decision": {"remedy": "Rollback", "reason": "ChangeReverted", "message": ""},
        "phase": "Acting",
        "reason": "Acting",
    }))
    .unwrap()
}

fn spec() -> RecoverySpec {
    RecoverySpec { opening: journal(), approval: None, abort: false, failback: false, release: false }
}

#[tokio::test]
async fn a_recovery_is_opened_with_its_first_intent_in_the_body() {
    let server = Server::default();
    hands(&server).open_recovery("shop", "r-1", "checkout", spec()).await.unwrap();
    let write = server.only_write();
    assert_eq!((write.method.as_str(), write.path), ("POST", format!("{RECOVERIES}?fieldManager=homeostat")));
    let expected = json!({"apiVersion": "homeostat.dev/v1alpha1", "kind": "Recovery",
        "metadata": {"name": "r-1", "namespace": "shop", "labels": {"homeostat.dev/policy": "checkout"}},
        "spec": {"opening": journal(), "abort": false, "failback": false}});
    assert_eq!(write.body, expected);
    let again = hands(&server).open_recovery("shop", "r-1", "checkout", spec()).await;
    assert_eq!(again, Err(Error::Conflict));
}

#[tokio::test]
async fn an_isolation_is_told_as_a_condition() {
    for (reason, status) in [("IsolationProven", "True"), ("Unproven", "False"), ("Released", "False")] {
        let path = format!("{RECOVERIES}/r-1");
        let server = Server::default();
        server.put(&path, object("Recovery", "r-1", json!({}), json!({"spec": {}})));
        let mut journal = journal();
        let isolation = json!({"reason": reason, "message": "Pod a", "since": "2026-01-01T10:00:00.000000Z"});
        journal.isolation = serde_json::from_value(isolation).unwrap();
        hands(&server).write_journal("shop", "r-1", "7", &journal).await.unwrap();
        let condition = json!({"type": "Isolated", "status": status, "reason": reason, "message": "Pod a",
            "lastTransitionTime": "2026-01-01T10:00:00Z"});
        assert_eq!(server.only_write().body[1]["value"]["conditions"], json!([condition]));
    }
}

#[tokio::test]
async fn a_journal_is_written_only_over_the_version_that_was_read() {
    let path = format!("{RECOVERIES}/r-1");
    let server = Server::default();
    server.put(&path, object("Recovery", "r-1", json!({}), json!({"spec": {}})));
    hands(&server).write_journal("shop", "r-1", "7", &journal()).await.unwrap();
    let write = server.only_write();
    assert_eq!((write.method.as_str(), write.path), ("PATCH", format!("{path}/status?fieldManager=homeostat")));
    let expected = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "add", "path": "/status", "value": {"journal": journal()}},
    ]);
    assert_eq!(write.body, expected);
    let stale = hands(&server).write_journal("shop", "r-1", "7", &journal()).await;
    assert_eq!(stale.unwrap_err().category(), "Moved");
    server.next(Method::PATCH, Answer::Refuse(422, "too long"));
    let version = server.object(&path).unwrap()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let refused = hands(&server).write_journal("shop", "r-1", &version, &journal()).await;
    assert_eq!(refused.unwrap_err().category(), "Invalid");
    let missing = hands(&server).write_journal("shop", "r-2", "7", &journal()).await;
    assert_eq!(missing, Err(Error::Gone));
}

#[tokio::test]
async fn a_policy_status_is_guarded_if_there_is_a_version() {
    let server = Server::with([(POLICY, object("RecoveryPolicy", "checkout", json!({}), json!({})))]);
    let status = RecoveryPolicyStatus::default();
    hands(&server).write_policy_status("shop", "checkout", Some("7"), &status).await.unwrap();
    hands(&server).write_policy_status("shop", "checkout", None, &status).await.unwrap();
    let writes = server.writes();
    assert_eq!(writes[0].path, format!("{POLICY}/status?fieldManager=homeostat"));
    assert_eq!(writes[0].body[0]["value"], json!("7"));
    assert_eq!(writes[1].body, json!([{"op": "add", "path": "/status", "value": status}]));
    let stale = hands(&server).write_policy_status("shop", "checkout", Some("7"), &status).await;
    assert_eq!(stale.unwrap_err().category(), "Moved");
}

#[tokio::test]
async fn a_state_is_deleted_unless_it_was_pinned() {
    let server = Server::with([(STATE, state(vec![]))]);
    let mut pinned = state(vec![]);
    pinned["spec"]["review"] = json!("Pin");
    server.put(STATE, pinned);
    assert!(matches!(hands(&server).delete_state("shop", "checkout-1").await, Ok(Receipt::Moved(_))));
    assert_eq!(server.writes(), []);
    server.put(STATE, state(vec![]));
    assert_eq!(hands(&server).delete_state("shop", "checkout-1").await, Ok(Receipt::Done));
    assert_eq!(server.only_write().body["preconditions"], json!({"uid": "s-1", "resourceVersion": "3"}));
    assert_eq!(hands(&server).delete_state("shop", "checkout-1").await, Ok(Receipt::AlreadyDone));
}

#[tokio::test]
async fn a_copy_is_deleted_only_if_it_is_one_and_no_state_needs_it() {
    let copy = |labels: Value, immutable: bool| {
        let rest = json!({"data": {"a": "b"}, "immutable": immutable});
        object("ConfigMap", "homeostat-1", json!({"labels": labels}), rest)
    };
    let server = Server::with([(COPY, copy(json!({}), true))]);
    for odd in [copy(json!({}), true), copy(json!({COPY_OF: "ConfigMap"}), false)] {
        server.put(COPY, odd);
        assert_eq!(
            hands(&server).delete_copy("shop", MemberKind::ConfigMap, "homeostat-1").await.unwrap_err().category(),
            "Invalid"
        );
    }
    server.put(COPY, copy(json!({COPY_OF: "ConfigMap"}), true));
    let needing = state(vec![member("ConfigMap", "settings", &json!({"data": {"a": "b"}}), "homeostat-1")]);
    for needs in [needing, json!({"spec": "unreadable"})] {
        server.put(STATE, needs);
        assert!(matches!(
            hands(&server).delete_copy("shop", MemberKind::ConfigMap, "homeostat-1").await,
            Ok(Receipt::Moved(_))
        ));
    }
    assert_eq!(server.writes(), []);
    server.put(STATE, state(vec![member("Deployment", "checkout", &json!({}), "")]));
    assert_eq!(hands(&server).delete_copy("shop", MemberKind::ConfigMap, "homeostat-1").await, Ok(Receipt::Done));
    assert_eq!(
        hands(&server).delete_copy("shop", MemberKind::ConfigMap, "homeostat-1").await,
        Ok(Receipt::AlreadyDone)
    );
    assert_eq!(server.only_write().method, "DELETE");
}

#[test]
fn a_long_policy_name_is_a_label_still_and_its_own() {
    assert_eq!(policy_label("checkout"), "checkout");
    let (a, b) = (format!("{}.a", "x".repeat(100)), format!("{}.b", "x".repeat(100)));
    assert!(policy_label(&a).len() <= 63);
    assert_ne!(policy_label(&a), policy_label(&b));
    assert!(!policy_label(&format!("{}.....", "x".repeat(53))).contains(".-"));
}

#[tokio::test]
async fn a_budgets_status_is_written_where_budgets_are() {
    let path = "/apis/homeostat.dev/v1alpha1/recoverybudgets/default";
    let server = Server::default();
    server.put(path, object("RecoveryBudget", "default", json!({}), json!({"spec": {}})));
    hands(&server).write_budget_status("default", &RecoveryBudgetStatus::default()).await.unwrap();
    let write = server.only_write();
    assert_eq!((write.method.as_str(), write.path), ("PATCH", format!("{path}/status?fieldManager=homeostat")));
    assert_eq!(write.body[0]["path"], "/status");
}

/// What the API server filters by is tested against a real one; here it has nothing to list.
#[tokio::test]
async fn open_recoveries_are_asked_for_by_their_phase() {
    for (namespace, path) in [(None, "/apis/homeostat.dev/v1alpha1/recoveries"), (Some("shop"), RECOVERIES)] {
        let server = Server::default();
        let _ = hands(&server).open_recoveries(namespace).await;
        let asked = server.calls().into_iter().map(|call| call.path).collect::<Vec<_>>();
        assert_eq!(asked, [format!("{path}?fieldSelector=status.journal.phase%21%3DClosed")]);
    }
}
