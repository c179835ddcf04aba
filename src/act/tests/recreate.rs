//! Creating a deleted workload again, and what is recorded for that.

use http::Method;

use super::server::{Answer, Objects};
use super::*;
use crate::api::mark::RECREATED_BY;

const COLLECTION: &str = "/apis/apps/v1/namespaces/shop/deployments";

fn content() -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "a"}]}}}})
}

fn creation(more: &Value) -> Value {
    let mut creation = json!({
        "metadata": {"labels": {"team": "a"}, "annotations": {"meta.helm.sh/release-name": "shop"}},
        "spec": {"selector": {"matchLabels": {"app": "checkout"}}, "replicas": 2, "revisionHistoryLimit": 3},
    });
    if let (Some(spec), Some(more)) = (creation["spec"].as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    creation
}

/// A state that records the workload, with this for its creation.
fn server(creation: Option<Value>) -> Server {
    let mut member = member("Deployment", "checkout", &content(), "");
    member.creation = creation.map(|creation| creation.to_string()).unwrap_or_default();
    Server::with([(STATE, state(vec![member]))])
}

fn recreate() -> Step {
    let mut step =
        step(Remediation::RecreateWorkload, "Deployment", "checkout", r#"{"replicas":4}"#, &digest(&content()));
    step.object.uid = String::new();
    step
}

#[tokio::test]
async fn it_is_created_as_recorded_with_its_last_replicas_and_our_mark() {
    let server = server(Some(creation(&json!({}))));
    assert_eq!(receipt(&server, &recreate()).await, Receipt::Done);
    let write = server.only_write();
    assert_eq!((write.method, write.path), ("POST".to_owned(), format!("{COLLECTION}?fieldManager=homeostat")));
    let expected = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "checkout",
            "namespace": "shop",
            "labels": {"team": "a"},
            "annotations": {"meta.helm.sh/release-name": "shop", RECREATED_BY: RECOVERY},
        },
        "spec": {
            "selector": {"matchLabels": {"app": "checkout"}},
            "replicas": 4,
            "revisionHistoryLimit": 3,
            "template": content()["spec"]["template"],
        },
    });
    assert_eq!(write.body, expected);
    // After a crash it is there already.
    assert_eq!(receipt(&server, &recreate()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn what_somebody_created_is_theirs() {
    for annotations in [json!({}), json!({RECREATED_BY: "other"})] {
        let server = server(Some(creation(&json!({}))));
        server.put(DEPLOYMENT, object("Deployment", "checkout", json!({"annotations": annotations}), content()));
        assert!(matches!(receipt(&server, &recreate()).await, Receipt::Moved(_)));
        assert_eq!(server.writes(), []);
    }
}

/// The create loses a race, and the one who won it is looked at.
#[tokio::test]
async fn one_that_is_created_in_the_middle_is_theirs() {
    for (by, ours) in [("other", false), (RECOVERY, true)] {
        let server = server(Some(creation(&json!({}))));
        let created = object("Deployment", "checkout", json!({"annotations": {RECREATED_BY: by}}), content());
        let create = move |objects: &mut Objects| drop(objects.insert(DEPLOYMENT.to_owned(), created));
        server.next(Method::POST, Answer::After(Box::new(create)));
        assert_eq!(receipt(&server, &recreate()).await == Receipt::AlreadyDone, ours);
    }
}

#[tokio::test]
async fn one_that_is_still_going_is_waited_for() {
    let server = server(Some(creation(&json!({}))));
    let going = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "annotations": {RECREATED_BY: RECOVERY}});
    server.put(DEPLOYMENT, object("Deployment", "checkout", going, content()));
    assert!(matches!(perform(&server, &recreate()).await, Err(Error::Moved(_))));
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn what_does_not_suffice_is_never_created_from() {
    let claims = json!({"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"}});
    // Recorded by an older version; and one whose data went with it.
    for creation in [None, Some(json!({"metadata": {}})), Some(creation(&claims))] {
        let server = server(creation);
        assert!(matches!(perform(&server, &recreate()).await, Err(Error::Invalid(_))));
        assert_eq!(server.writes(), []);
    }
    let server = server(Some(creation(&json!({}))));
    let unsaid = Step { from: String::new(), ..recreate() };
    assert!(matches!(perform(&server, &unsaid).await, Err(Error::Invalid(_))));
    let pod = step(Remediation::RecreateWorkload, "Pod", "checkout", "", "x");
    assert!(matches!(perform(&server, &pod).await, Err(Error::Invalid(_))));
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn a_missing_right_is_an_error() {
    let server = server(Some(creation(&json!({}))));
    server.next(Method::POST, Answer::Refuse(403, "no"));
    assert!(matches!(perform(&server, &recreate()).await, Err(Error::Forbidden(_))));
}

#[tokio::test]
async fn our_mark_goes_when_its_fields_are_handed_back_also_to_nobody() {
    let entry = |manager: &str, fields: Value| {
        json!({"manager": manager, "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
            "fieldsV1": fields})
    };
    let marks = json!({"f:annotations": {".": {}, format!("f:{RECREATED_BY}"): {}}});
    let ours = entry("homeostat", json!({"f:metadata": marks, "f:spec": {"f:replicas": {}}}));
    let metadata = json!({"annotations": {RECREATED_BY: RECOVERY, "a": "b"}, "managedFields": [ours]});
    let gone = json!({"op": "remove", "path": "/metadata/annotations/homeostat.dev~1recreated-by"});
    let helm = json!([{"manager": "helm", "operation": "Update", "apiVersion": "apps/v1", "time": null,
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]);
    let handed = json!({"op": "replace", "path": "/metadata/managedFields", "value": helm});
    for (owner, expected) in [
        (json!({"manager": "helm", "operation": "Update"}), guarded([gone.clone(), handed])),
        (json!(null), guarded([gone.clone()])),
    ] {
        let server =
            Server::with([(DEPLOYMENT, object("Deployment", "checkout", metadata.clone(), json!({"spec": {}})))]);
        let step = step(Remediation::HandBackFields, "Deployment", "checkout", "", &owner.to_string());
        assert_eq!(receipt(&server, &step).await, Receipt::Done);
        assert_eq!(server.only_write().body, expected);
    }
}
