//! Cordons, their end, and pods on nodes that do not answer.

use http::Method;

use super::server::Answer;
use super::*;
use crate::api::mark::CORDONED_BY;

const NODE: &str = "/api/v1/nodes/node-2";
const OTHER: &str = "/api/v1/nodes/node-1";
const POD: &str = "/api/v1/namespaces/shop/pods/checkout-x";
const MARK: &str = "shop/checkout-r1";
const DEAD: &str = r#"{"ready":false,"maxCordoned":1}"#;
const SICK: &str = r#"{"ready":true,"maxCordoned":1}"#;

fn node(name: &str, ready: bool, unschedulable: Option<bool>, mark: Option<&str>) -> Value {
    let status = if ready { "True" } else { "Unknown" };
    let mut node = object("Node", name, json!({}), json!({"spec": {}}));
    node["status"] = json!({"conditions": [{"type": "Ready", "status": status}]});
    if let Some(unschedulable) = unschedulable {
        node["spec"]["unschedulable"] = json!(unschedulable);
    }
    if let Some(mark) = mark {
        node["metadata"]["annotations"] = json!({CORDONED_BY: mark});
    }
    if name != "node-2" {
        node["metadata"]["uid"] = json!(name);
    }
    node
}

fn dead() -> Server {
    Server::with([(NODE, node("node-2", false, None, None)), (OTHER, node("node-1", true, None, None))])
}

fn cordon(from: &str) -> Step {
    step(Remediation::CordonNode, "Node", "node-2", from, MARK)
}

fn uncordon() -> Step {
    step(Remediation::UncordonNode, "Node", "node-2", "", "")
}

fn delete_lost() -> Step {
    step(Remediation::DeleteLostPod, "Pod", "checkout-x", "node-2", "")
}

fn lost_pod(owner: &str, node: &str, ready: &str) -> Value {
    let owners = json!([{"kind": owner, "name": "checkout-1", "uid": "rs", "controller": true}]);
    let mut pod = object("Pod", "checkout-x", json!({"ownerReferences": owners}), json!({"spec": {"nodeName": node}}));
    pod["status"] = json!({"conditions": [{"type": "Ready", "status": ready}]});
    pod
}

#[tokio::test]
async fn a_cordon_and_its_mark_are_one_write_and_its_repeat_is_none() {
    let server = dead();
    assert_eq!(receipt(&server, &cordon(DEAD)).await, Receipt::Done);
    let expected = guarded([
        json!({"op": "add", "path": "/spec/unschedulable", "value": true}),
        json!({"op": "add", "path": "/metadata/annotations", "value": {}}),
        json!({"op": "add", "path": "/metadata/annotations/homeostat.dev~1cordoned-by", "value": MARK}),
    ]);
    let write = server.only_write();
    assert!(write.path.starts_with(NODE) && write.body == expected, "{write:?}");
    assert_eq!(receipt(&server, &cordon(DEAD)).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn a_node_that_is_not_as_expected_is_left_alone() {
    for (why, found) in [
        ("a person cordoned it", node("node-2", false, Some(true), None)),
        ("another Recovery did", node("node-2", false, Some(true), Some("shop/other-1"))),
        ("a person ended our cordon", node("node-2", false, Some(false), Some(MARK))),
        ("it is ready again", node("node-2", true, None, None)),
    ] {
        let server = dead();
        server.put(NODE, found);
        assert!(matches!(receipt(&server, &cordon(DEAD)).await, Receipt::Moved(_)), "{why}");
        assert_eq!(server.writes(), [], "{why}");
    }
    let server = dead();
    server.delete(NODE);
    assert_eq!(receipt(&server, &cordon(DEAD)).await, Receipt::Gone);
}

#[tokio::test]
async fn never_the_last_node_that_takes_pods() {
    let mut tainted = node("node-1", true, None, None);
    tainted["spec"]["taints"] = json!([{"key": "a", "effect": "NoSchedule"}]);
    for other in [node("node-1", false, None, None), node("node-1", true, Some(true), None), tainted] {
        for from in [DEAD, SICK] {
            let server = dead();
            server.put(NODE, node("node-2", from == SICK, None, None));
            server.put(OTHER, other.clone());
            assert_eq!(perform(&server, &cordon(from)).await.unwrap_err().category(), "Invalid");
            assert_eq!(server.writes(), []);
        }
    }
}

#[tokio::test]
async fn never_more_than_the_budget_whatever_was_seen_before() {
    let server = dead();
    server.put("/api/v1/nodes/node-3", node("node-3", false, Some(true), Some("elsewhere/web-1")));
    let error = perform(&server, &cordon(DEAD)).await.unwrap_err();
    assert!(error.to_string().contains("1 of 1 nodes"), "{error}");
    assert_eq!(server.writes(), []);
    // What people cordoned does not count, nor a mark that was left on a node.
    server.put("/api/v1/nodes/node-3", node("node-3", false, Some(true), None));
    server.put("/api/v1/nodes/node-4", node("node-4", true, None, Some("elsewhere/web-1")));
    assert_eq!(receipt(&server, &cordon(DEAD)).await, Receipt::Done);
}

#[tokio::test]
async fn two_cordons_at_once_do_not_both_find_room() {
    let server = dead();
    server.put("/api/v1/nodes/node-3", node("node-3", false, None, None));
    let mut third = step(Remediation::CordonNode, "Node", "node-3", DEAD, MARK);
    third.object.uid = "node-3".into();
    let hands = hands(&server);
    let one = cordon(DEAD);
    let both = tokio::join!(
        hands.perform("shop", RECOVERY, "", None, &one),
        hands.perform("shop", "checkout-r2", "", None, &third),
    );
    assert!(both.0.is_ok() && both.1.is_err(), "{both:?}");
    server.only_write();
}

#[tokio::test]
async fn a_cordon_that_is_conflicted_refused_forbidden_or_not_answered() {
    for (answer, category) in [
        (Answer::Refuse(409, "modified"), "Conflict"),
        (Answer::Refuse(403, "no"), "Forbidden"),
        (Answer::Refuse(503, "later"), "Transient"),
        (Answer::Silence, "Timeout"),
        (
            Answer::After(Box::new(|objects| {
                objects.get_mut(NODE).unwrap()["metadata"]["resourceVersion"] = json!("8")
            })),
            "Moved",
        ),
    ] {
        let server = dead();
        server.next(Method::PATCH, answer);
        assert_eq!(perform(&server, &cordon(DEAD)).await.unwrap_err().category(), category);
    }
    let server = dead();
    assert_eq!(perform(&server, &cordon("soon")).await.unwrap_err().category(), "Invalid");
}

#[tokio::test]
async fn only_our_own_cordon_is_ended() {
    let server = dead();
    server.put(NODE, node("node-2", true, Some(true), Some(MARK)));
    assert_eq!(receipt(&server, &uncordon()).await, Receipt::Done);
    let expected = guarded([
        json!({"op": "remove", "path": "/spec/unschedulable"}),
        json!({"op": "remove", "path": "/metadata/annotations/homeostat.dev~1cordoned-by"}),
    ]);
    assert_eq!(server.only_write().body, expected);
    assert_eq!(receipt(&server, &uncordon()).await, Receipt::AlreadyDone);
    for mark in [None, Some("shop/other-1"), Some("elsewhere/checkout-r1")] {
        let server = dead();
        server.put(NODE, node("node-2", true, Some(true), mark));
        assert_eq!(receipt(&server, &uncordon()).await, Receipt::AlreadyDone);
        assert_eq!(server.writes(), []);
    }
}

#[tokio::test]
async fn where_somebody_uncordoned_it_only_our_mark_goes() {
    let server = dead();
    server.put(NODE, node("node-2", true, None, Some(MARK)));
    assert_eq!(receipt(&server, &uncordon()).await, Receipt::Done);
    let mark = json!({"op": "remove", "path": "/metadata/annotations/homeostat.dev~1cordoned-by"});
    assert_eq!(server.only_write().body, guarded([mark]));
}

#[tokio::test]
async fn a_lost_pod_of_a_replica_set_is_deleted_with_its_usual_grace() {
    let server = dead();
    // What it says of itself is as old as the last word of its node.
    server.put(POD, lost_pod("ReplicaSet", "node-2", "True"));
    assert_eq!(receipt(&server, &delete_lost()).await, Receipt::Done);
    let write = server.only_write();
    assert_eq!((write.method.as_str(), write.path.as_str()), ("DELETE", POD));
    assert_eq!(write.body["preconditions"], json!({"uid": "u-1", "resourceVersion": "7"}));
    assert!(write.body.get("gracePeriodSeconds").is_none(), "by force: {}", write.body);
    assert_eq!(receipt(&server, &delete_lost()).await, Receipt::AlreadyDone);
}

#[tokio::test]
async fn no_other_pod_is_deleted() {
    for (why, pod) in [
        ("two would write", lost_pod("StatefulSet", "node-2", "False")),
        ("it moved", lost_pod("ReplicaSet", "node-1", "False")),
    ] {
        let server = dead();
        server.put(POD, pod);
        assert!(matches!(receipt(&server, &delete_lost()).await, Receipt::Moved(_)), "{why}");
        assert_eq!(server.writes(), [], "{why}");
    }
    let server = dead();
    server.put(POD, lost_pod("ReplicaSet", "node-2", "False"));
    server.put(NODE, node("node-2", true, None, None));
    assert!(matches!(receipt(&server, &delete_lost()).await, Receipt::Moved(_)), "the node is back");
    assert_eq!(server.writes(), []);
}
