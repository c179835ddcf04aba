//! The standby's autoscaler: raised within its own bounds, recognised, and put back.

use http::Method;

use super::server::Answer;
use super::*;
use crate::api::mark::SCALED_BY;

const AUTOSCALER: &str = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers/standby";

fn autoscaler(least: i32, most: i32, by: Option<&str>) -> Value {
    let annotations = by.map_or(json!({}), |name| json!({"annotations": {SCALED_BY: name, "a": "b"}}));
    let spec = json!({"spec": {"minReplicas": least, "maxReplicas": most}});
    object("HorizontalPodAutoscaler", "standby", annotations, spec)
}

fn raise() -> Step {
    let (few, many) = (json!({"minReplicas": 1, "owner": null}).to_string(), json!({"minReplicas": 3}).to_string());
    step(Remediation::PreScaleStandby, "HorizontalPodAutoscaler", "standby", &few, &many)
}

fn lower() -> Step {
    let Step { from, to, .. } = raise();
    step(Remediation::ReleaseStandby, "HorizontalPodAutoscaler", "standby", &to, &from)
}

#[tokio::test]
async fn it_is_raised_and_marked_in_one_write_and_put_back_in_one() {
    let server = Server::with([(AUTOSCALER, autoscaler(1, 5, None))]);
    assert_eq!(receipt(&server, &raise()).await, Receipt::Done);
    let mark = format!("/metadata/annotations/{}", SCALED_BY.replace('/', "~1"));
    let expected = guarded([
        json!({"op": "replace", "path": "/spec/minReplicas", "value": 3}),
        json!({"op": "add", "path": "/metadata/annotations", "value": {}}),
        json!({"op": "add", "path": mark, "value": RECOVERY}),
    ]);
    assert_eq!(server.only_write().body, expected);
    assert_eq!(receipt(&server, &raise()).await, Receipt::AlreadyDone);
    server.only_write();
    assert_eq!(receipt(&server, &lower()).await, Receipt::Done);
    let object = server.object(AUTOSCALER).unwrap();
    assert_eq!((&object["spec"]["minReplicas"], &object["metadata"]["annotations"]), (&json!(1), &json!({})));
    assert_eq!(receipt(&server, &lower()).await, Receipt::AlreadyDone);
}

#[tokio::test]
async fn what_somebody_set_meanwhile_stays_before_and_after() {
    for live in [
        autoscaler(2, 5, None),
        autoscaler(1, 2, None),
        autoscaler(1, 5, Some("other")),
        autoscaler(4, 5, Some(RECOVERY)),
    ] {
        let server = Server::with([(AUTOSCALER, live.clone())]);
        assert!(matches!(receipt(&server, &raise()).await, Receipt::Moved(_)), "{live}");
        assert_eq!(server.writes(), []);
    }
    let server = Server::with([(AUTOSCALER, autoscaler(4, 5, Some(RECOVERY)))]);
    assert_eq!(receipt(&server, &lower()).await, Receipt::Done);
    let object = server.object(AUTOSCALER).unwrap();
    assert_eq!((&object["spec"]["minReplicas"], &object["metadata"]["annotations"]), (&json!(4), &json!({"a": "b"})));
    let server = Server::with([(AUTOSCALER, autoscaler(3, 5, Some("other")))]);
    assert_eq!(receipt(&server, &lower()).await, Receipt::AlreadyDone);
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn one_that_is_gone_is_let_go_and_nothing_else_is_written() {
    let server = Server::default();
    assert_eq!(receipt(&server, &raise()).await, Receipt::Gone);
    assert_eq!(receipt(&server, &lower()).await, Receipt::Gone);
    let nonsense = step(Remediation::PreScaleStandby, "HorizontalPodAutoscaler", "standby", "many", "more");
    let other = step(Remediation::PreScaleStandby, "Deployment", "standby", &raise().from, &raise().to);
    let server = Server::with([(AUTOSCALER, autoscaler(1, 5, None))]);
    for wrong in [nonsense, other] {
        assert_eq!(perform(&server, &wrong).await.unwrap_err().category(), "Invalid");
    }
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn a_refusal_a_conflict_and_silence_are_told_apart() {
    let answers = [
        (Answer::Refuse(403, "no"), "Forbidden"),
        (Answer::Refuse(409, "no"), "Conflict"),
        (Answer::Silence, "Timeout"),
    ];
    for (answer, category) in answers {
        let server = Server::with([(AUTOSCALER, autoscaler(1, 5, None))]);
        server.next(Method::PATCH, answer);
        assert_eq!(perform(&server, &raise()).await.unwrap_err().category(), category);
    }
}
