//! Switching a Service to the standby, and back.

use super::*;
use crate::api::mark::SWITCHED_BY;

const SERVICE: &str = "/api/v1/namespaces/shop/services/checkout";
const HOME: &str = r#"{"app":"c"}"#;
const STANDBY: &str = r#"{"app":"c","role":"standby"}"#;

fn server(selector: &str, switched_by: Option<&str>) -> Server {
    let metadata = switched_by.map_or(json!({}), |name| json!({"annotations": {SWITCHED_BY: name}}));
    let selector: Value = serde_json::from_str(selector).unwrap();
    Server::with([(SERVICE, object("Service", "checkout", metadata, json!({"spec": {"selector": selector}})))])
}

fn switch() -> Step {
    step(Remediation::SwitchService, "Service", "checkout", HOME, STANDBY)
}

fn home() -> Step {
    step(Remediation::ReturnService, "Service", "checkout", STANDBY, HOME)
}

fn unmark() -> Value {
    json!({"op": "remove", "path": "/metadata/annotations/homeostat.dev~1switched-by"})
}

#[tokio::test]
async fn a_switch_replaces_the_whole_selector_and_marks_it() {
    let server = server(HOME, None);
    assert_eq!(receipt(&server, &switch()).await, Receipt::Done);
    let expected = guarded([
        json!({"op": "replace", "path": "/spec/selector", "value": {"app": "c", "role": "standby"}}),
        json!({"op": "add", "path": "/metadata/annotations", "value": {}}),
        json!({"op": "add", "path": "/metadata/annotations/homeostat.dev~1switched-by", "value": RECOVERY}),
    ]);
    assert_eq!(server.only_write().body, expected);
    assert_eq!(receipt(&server, &switch()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn the_way_home_replaces_the_selector_and_takes_the_mark_away() {
    let server = server(STANDBY, Some(RECOVERY));
    assert_eq!(receipt(&server, &home()).await, Receipt::Done);
    let replace = json!({"op": "replace", "path": "/spec/selector", "value": {"app": "c"}});
    assert_eq!(server.only_write().body, guarded([replace, unmark()]));
    assert_eq!(receipt(&server, &home()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn a_selector_that_is_home_already_only_loses_our_mark() {
    let marked = server(HOME, Some(RECOVERY));
    assert_eq!(receipt(&marked, &home()).await, Receipt::Done);
    assert_eq!(marked.only_write().body, guarded([unmark()]));
    let others = server(HOME, Some("other"));
    assert_eq!(receipt(&others, &home()).await, Receipt::AlreadyDone);
    assert_eq!(others.writes(), []);
}

#[tokio::test]
async fn a_selector_that_somebody_else_wrote_is_left_alone() {
    let cases = [
        (switch(), server(r#"{"app":"d"}"#, None)),
        (switch(), server(STANDBY, None)),
        (home(), server(r#"{"app":"d"}"#, Some(RECOVERY))),
        (home(), server(STANDBY, Some("other"))),
    ];
    for (step, server) in cases {
        assert!(matches!(receipt(&server, &step).await, Receipt::Moved(_)));
        assert_eq!(server.writes(), []);
    }
}

#[tokio::test]
async fn an_empty_selector_is_never_written() {
    let server = server(HOME, None);
    for to in ["", "{}", "null", "3"] {
        let step = Step { to: to.into(), ..switch() };
        assert_eq!(perform(&server, &step).await.unwrap_err().category(), "Invalid");
    }
    assert_eq!(server.writes(), []);
}
