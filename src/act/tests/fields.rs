//! Handing fields back, and who owned them.

use super::*;
use crate::act::field_owner;
use crate::api::mark::FROZEN_BY;
use crate::api::stable_state::FieldOwner;
use crate::plan::member::MemberKind;

fn entry(manager: &str, operation: &str, fields: Value) -> Value {
    json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": fields})
}

fn status_entry(manager: &str) -> Value {
    let mut entry = entry(manager, "Update", json!({"f:status": {}}));
    entry["subresource"] = json!("status");
    entry
}

fn ours() -> Value {
    let marks = json!({"f:annotations": {".": {}, format!("f:{FROZEN_BY}"): {}}});
    entry(
        "homeostat",
        "Update",
        json!({"f:metadata": marks,
        "f:spec": {"f:paused": {},
            "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {"f:image": {}}}}}}}),
    )
}

fn helm() -> Value {
    entry(
        "helm",
        "Apply",
        json!({"f:metadata": {"f:annotations": {"f:a": {}}},
        "f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}}}}}}}),
    )
}

fn server(entries: Vec<Value>) -> Server {
    let metadata = json!({"managedFields": entries});
    Server::with([(DEPLOYMENT, object("Deployment", "checkout", metadata, json!({"spec": {}})))])
}

fn hand_back() -> Step {
    let owner = json!({"manager": "helm", "operation": "Apply"}).to_string();
    step(Remediation::HandBackFields, "Deployment", "checkout", "", &owner)
}

#[tokio::test]
async fn our_paths_go_to_their_owner_without_our_marks() {
    let server = server(vec![helm(), ours(), status_entry("controller")]);
    assert_eq!(receipt(&server, &hand_back()).await, Receipt::Done);
    let merged = entry(
        "helm",
        "Apply",
        json!({"f:metadata": {"f:annotations": {"f:a": {}}},
        "f:spec": {"f:template": {"f:spec": {"f:containers":
            {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}}),
    );
    let value = json!([merged, status_entry("controller")]);
    let expected = guarded([json!({"op": "replace", "path": "/metadata/managedFields", "value": value})]);
    assert_eq!(server.only_write().body, expected);
    assert_eq!(receipt(&server, &hand_back()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn an_owner_without_an_entry_gets_one() {
    let server = server(vec![ours(), entry("helm", "Update", json!({"f:x": {}}))]);
    assert_eq!(receipt(&server, &hand_back()).await, Receipt::Done);
    let fields =
        json!({"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {"f:image": {}}}}}}});
    let value = json!([entry("helm", "Update", json!({"f:x": {}})), entry("helm", "Apply", fields)]);
    assert_eq!(server.only_write().body[2]["value"], value);
}

#[tokio::test]
async fn where_we_own_nothing_nothing_is_written() {
    for entries in [vec![], vec![helm()], vec![helm(), status_entry("homeostat")]] {
        let server = server(entries);
        assert_eq!(receipt(&server, &hand_back()).await, Receipt::AlreadyDone);
        assert_eq!(server.writes(), []);
    }
}

#[tokio::test]
async fn a_step_that_names_no_owner_is_invalid() {
    let server = server(vec![ours()]);
    let step = Step { to: "helm".into(), ..hand_back() };
    assert_eq!(perform(&server, &step).await.unwrap_err().category(), "Invalid");
    assert_eq!(server.writes(), []);
}

#[test]
fn the_owner_is_who_owns_most_of_the_content() {
    let owner = |manager: &str| Some(FieldOwner { manager: manager.into(), operation: "Update".into() });
    let of = |manager: &str, fields: &[&str]| {
        let template: serde_json::Map<_, _> = fields.iter().map(|f| ((*f).to_owned(), json!({}))).collect();
        entry(manager, "Update", json!({"f:spec": {"f:template": template, "f:replicas": {}}}))
    };
    let mut scale = of("hpa", &["f:a", "f:b", "f:c", "f:d"]);
    scale["subresource"] = json!("scale");
    let cases = [
        (json!([of("helm", &["f:a", "f:b"]), of("kubectl", &["f:c"])]), owner("helm")),
        (json!([of("homeostat", &["f:a", "f:b"]), of("kubectl", &["f:c"])]), owner("kubectl")),
        (json!([of("b", &["f:a"]), of("a", &["f:b"])]), owner("a")),
        (json!([scale, of("a", &["f:b"])]), owner("a")),
        (json!([entry("kubectl", "Update", json!({"f:spec": {"f:replicas": {}}}))]), None),
        (json!(null), None),
    ];
    for (fields, expected) in cases {
        assert_eq!(field_owner(MemberKind::Deployment, &fields), expected, "{fields:#}");
    }
}
