//! Quarantine of a pod, and its deletion after the inspection.

use http::Method;

use super::server::Answer;
use super::*;
use crate::api::mark::QUARANTINED_BY;

const POD: &str = "/api/v1/namespaces/shop/pods/checkout-x";
const LABELS: &str = r#"{"app.kubernetes.io/name":"c","pod-template-hash":"1"}"#;
const UNTIL: &str = "2026-01-01T10:00:00Z";

fn server(labels: Value) -> Server {
    Server::with([(POD, object("Pod", "checkout-x", json!({"labels": labels}), json!({})))])
}

fn serving() -> Server {
    server(json!({"app.kubernetes.io/name": "c", "pod-template-hash": "1", "tier": "web"}))
}

fn quarantine() -> Step {
    step(Remediation::QuarantinePod, "Pod", "checkout-x", LABELS, UNTIL)
}

fn delete() -> Step {
    step(Remediation::DeletePod, "Pod", "checkout-x", "", UNTIL)
}

#[tokio::test]
async fn labels_go_and_the_way_back_is_written_on_the_pod() {
    let server = serving();
    assert_eq!(receipt(&server, &quarantine()).await, Receipt::Done);
    let expected = guarded([
        json!({"op": "remove", "path": "/metadata/labels/app.kubernetes.io~1name"}),
        json!({"op": "remove", "path": "/metadata/labels/pod-template-hash"}),
        json!({"op": "add", "path": "/metadata/labels/homeostat.dev~1quarantined-by", "value": RECOVERY}),
        json!({"op": "add", "path": "/metadata/annotations", "value": {}}),
        json!({"op": "add", "path": "/metadata/annotations/homeostat.dev~1released-labels", "value": LABELS}),
        json!({"op": "add", "path": "/metadata/annotations/homeostat.dev~1inspect-until", "value": UNTIL}),
    ]);
    assert_eq!(server.only_write().body, expected);
    assert_eq!(receipt(&server, &quarantine()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn a_pod_that_changed_hands_is_left_alone() {
    let cases = [
        json!({"app.kubernetes.io/name": "c", "pod-template-hash": "2"}),
        json!({"app.kubernetes.io/name": "c"}),
        json!({"app.kubernetes.io/name": "c", "pod-template-hash": "1", QUARANTINED_BY: "other"}),
    ];
    for labels in cases {
        let server = server(labels);
        assert!(matches!(receipt(&server, &quarantine()).await, Receipt::Moved(_)));
        assert_eq!(server.writes(), []);
    }
}

#[tokio::test]
async fn a_quarantine_without_labels_or_end_is_invalid() {
    let server = serving();
    for (from, to) in [("", UNTIL), ("{}", UNTIL), ("[]", UNTIL), (LABELS, ""), (LABELS, "later")] {
        let step = step(Remediation::QuarantinePod, "Pod", "checkout-x", from, to);
        assert_eq!(perform(&server, &step).await.unwrap_err().category(), "Invalid");
    }
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn only_exactly_the_quarantined_pod_is_deleted() {
    let server = server(json!({QUARANTINED_BY: RECOVERY}));
    let effect = perform(&server, &delete()).await.unwrap();
    assert_eq!(effect, Effect { receipt: Receipt::Done, object: None, change: String::new(), leftovers: vec![] });
    let write = server.only_write();
    assert_eq!((write.method.as_str(), write.path.as_str()), ("DELETE", POD));
    assert_eq!(write.body["preconditions"], json!({"uid": "u-1", "resourceVersion": "7"}));
    assert_eq!(receipt(&server, &delete()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn a_pod_that_is_not_quarantined_by_us_is_never_deleted() {
    for labels in [json!({"app": "c"}), json!({QUARANTINED_BY: "other"})] {
        let server = server(labels);
        assert!(matches!(receipt(&server, &delete()).await, Receipt::Moved(_)));
        assert_eq!(server.writes(), []);
    }
    let server = server(json!({QUARANTINED_BY: RECOVERY}));
    let other = Step { object: ObjectRef { uid: "u-0".into(), ..delete().object }, ..delete() };
    assert_eq!(receipt(&server, &other).await, Receipt::AlreadyDone);
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn a_pod_that_changed_before_its_deletion_is_a_conflict() {
    let server = server(json!({QUARANTINED_BY: RECOVERY}));
    server.next(
        Method::DELETE,
        Answer::After(Box::new(|objects| {
            objects.get_mut(POD).unwrap()["metadata"]["resourceVersion"] = json!("8");
        })),
    );
    assert_eq!(perform(&server, &delete()).await, Err(Error::Conflict));
    assert!(server.object(POD).is_some());
}
