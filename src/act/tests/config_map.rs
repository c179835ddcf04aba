//! Restore of a ConfigMap, in place and by creating it again.

use http::Method;

use super::server::Answer;
use super::*;

const COPY: &str = "/api/v1/namespaces/shop/configmaps/homeostat-1";
const COLLECTION: &str = "/api/v1/namespaces/shop/configmaps";

fn good() -> Value {
    json!({"data": {"url": "http://a", "a/b": "~"}})
}

fn bad() -> Value {
    json!({"data": {"url": "http://b"}, "binaryData": {"x": "AA=="}})
}

fn config_map(content: Value) -> Value {
    object("ConfigMap", "settings", json!({}), content)
}

fn server(live: Option<Value>) -> Server {
    let copy = object("ConfigMap", "homeostat-1", json!({}), json!({"data": good()["data"], "immutable": true}));
    let state = state(vec![member("ConfigMap", "settings", &good(), "homeostat-1")]);
    let server = Server::with([(STATE, state), (COPY, copy)]);
    if let Some(live) = live {
        server.put(CONFIG_MAP, live);
    }
    server
}

fn restore() -> Step {
    step(Remediation::RestoreObject, "ConfigMap", "settings", &digest(&bad()), &digest(&good()))
}

fn create() -> Step {
    let mut step = step(Remediation::RestoreObject, "ConfigMap", "settings", "", &digest(&good()));
    step.object.uid = String::new();
    step
}

#[tokio::test]
async fn whole_parts_are_put_back_in_one_patch() {
    let server = server(Some(config_map(bad())));
    assert_eq!(receipt(&server, &restore()).await, Receipt::Done);
    let write = server.only_write();
    assert_eq!(write.path, format!("{CONFIG_MAP}?fieldManager=homeostat"));
    let expected = guarded([
        json!({"op": "replace", "path": "/data", "value": good()["data"]}),
        json!({"op": "remove", "path": "/binaryData"}),
    ]);
    assert_eq!(write.body, expected);
    assert_eq!(receipt(&server, &restore()).await, Receipt::AlreadyDone);
    server.only_write();
}

/// What is to be changed where it is kept.
#[tokio::test]
async fn a_restore_tells_what_it_changed() {
    let told = "binaryData: (not there)\ndata[\"a/b\"]: \"~\"\ndata.url: \"http://a\"";
    let effect = perform(&server(Some(config_map(bad()))), &restore()).await.unwrap();
    assert_eq!(effect.change, told);
    let mut immutable = config_map(bad());
    immutable["immutable"] = json!(true);
    assert_eq!(perform(&server(Some(immutable)), &restore()).await.unwrap().change, told);
    let created = perform(&server(None), &create()).await.unwrap();
    assert_eq!(created.change, r#"data: {"a/b":"~","url":"http://a"}"#);
    let again = perform(&server(Some(config_map(good()))), &restore()).await.unwrap();
    assert_eq!((again.receipt, again.change), (Receipt::AlreadyDone, String::new()));
}

#[tokio::test]
async fn other_content_than_expected_is_left_alone() {
    let server = server(Some(config_map(json!({"data": {"url": "http://c"}}))));
    assert!(matches!(receipt(&server, &restore()).await, Receipt::Moved(_)));
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn an_immutable_one_is_deleted_and_created_again() {
    let mut immutable = config_map(bad());
    immutable["immutable"] = json!(true);
    let server = server(Some(immutable));
    assert_eq!(receipt(&server, &restore()).await, Receipt::Done);
    let writes = server.writes();
    assert_eq!(writes.iter().map(|write| write.method.as_str()).collect::<Vec<_>>(), ["DELETE", "POST"]);
    assert_eq!(writes[0].body["preconditions"], json!({"uid": "u-1", "resourceVersion": "7"}));
    assert_eq!(writes[1].body["data"], good()["data"]);
}

#[tokio::test]
async fn one_that_is_gone_is_created_whatever_uid_it_had() {
    let server = server(None);
    assert_eq!(receipt(&server, &restore()).await, Receipt::Done);
    assert_eq!(server.only_write().method.as_str(), "POST");
}

#[tokio::test]
async fn a_recorded_absence_is_refused() {
    let server = server(Some(config_map(bad())));
    let absent = Step { to: String::new(), ..restore() };
    assert_eq!(perform(&server, &absent).await.unwrap_err().category(), "Invalid");
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn a_copy_that_is_missing_or_changed_is_never_used() {
    let server = server(Some(config_map(bad())));
    server.put(COPY, object("ConfigMap", "homeostat-1", json!({}), json!({"data": {"url": "http://evil"}})));
    assert_eq!(perform(&server, &restore()).await.unwrap_err().category(), "Invalid");
    server.delete(COPY);
    assert_eq!(perform(&server, &restore()).await.unwrap_err().category(), "Invalid");
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn a_missing_one_is_created_with_its_content_only() {
    let server = server(None);
    assert_eq!(receipt(&server, &create()).await, Receipt::Done);
    let write = server.only_write();
    assert_eq!((write.method.as_str(), write.path), ("POST", format!("{COLLECTION}?fieldManager=homeostat")));
    let metadata = json!({"name": "settings", "namespace": "shop"});
    let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
        "data": good()["data"]});
    assert_eq!(write.body, expected);
    assert_eq!(receipt(&server, &create()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn one_that_was_created_meanwhile_is_compared() {
    for (content, same) in [(good(), true), (bad(), false)] {
        for late in [false, true] {
            let live = config_map(content.clone());
            let server = server((!late).then(|| live.clone()));
            if late {
                let create = |objects: &mut server::Objects| drop(objects.insert(CONFIG_MAP.into(), live));
                server.next(Method::POST, Answer::After(Box::new(create)));
            }
            let found = receipt(&server, &create()).await;
            assert_eq!(found == Receipt::AlreadyDone, same, "{found:?}");
            assert_eq!(matches!(found, Receipt::Moved(_)), !same, "{found:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_create_is_invalid() {
    let server = server(None);
    server.next(Method::POST, Answer::Refuse(422, "no"));
    assert_eq!(perform(&server, &create()).await.unwrap_err().category(), "Invalid");
}
