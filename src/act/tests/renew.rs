//! Making pods anew.

use http::Method;

use super::server::Answer;
use super::*;
use crate::api::mark::RESTARTED_AT;
use crate::plan::member::MemberKind;

const WHEN: &str = "2026-01-01T00:00:00Z";

fn spec() -> Value {
    json!({"template": {"metadata": {"labels": {"app": "checkout"}}, "spec": {"containers": [{"name": "c"}]}}})
}

fn server(spec: Value) -> Server {
    Server::with([(DEPLOYMENT, object("Deployment", "checkout", json!({}), json!({"spec": spec})))])
}

fn renew() -> Step {
    let from = content::digest_of(MemberKind::Deployment, &json!({"spec": spec()}));
    step(Remediation::RenewPods, "Deployment", "checkout", &from, WHEN)
}

#[tokio::test]
async fn it_is_one_guarded_patch_of_the_template_and_happens_once() {
    let server = server(spec());
    assert_eq!(receipt(&server, &renew()).await, Receipt::Done);
    let annotations = "/spec/template/metadata/annotations";
    let expected = guarded([
        json!({"op": "add", "path": annotations, "value": {}}),
        json!({"op": "add", "path": format!("{annotations}/{}", RESTARTED_AT.replace('/', "~1")), "value": WHEN}),
    ]);
    assert_eq!(server.only_write().body, expected);
    assert_eq!(receipt(&server, &renew()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn what_was_changed_or_is_held_still_is_left_alone() {
    let mut changed = spec();
    changed["template"]["spec"]["containers"][0]["image"] = json!("other");
    let mut paused = spec();
    paused["paused"] = json!(true);
    for spec in [changed, paused] {
        let server = server(spec);
        assert!(matches!(receipt(&server, &renew()).await, Receipt::Moved(_)));
        assert_eq!(server.writes(), []);
    }
}

/// What the rollout of each kind is held still by.
#[tokio::test]
async fn every_workload_is_renewed_alike_and_held_in_its_own_way() {
    let kinds = [
        (
            "StatefulSet",
            "/apis/apps/v1/namespaces/shop/statefulsets/checkout",
            json!({"rollingUpdate": {"partition": 2}}),
        ),
        ("DaemonSet", "/apis/apps/v1/namespaces/shop/daemonsets/checkout", json!({"type": "OnDelete"})),
    ];
    for (kind, path, held) in kinds {
        let member = MemberKind::of(kind).unwrap();
        let from = content::digest_of(member, &json!({"spec": spec()}));
        let step = step(Remediation::RenewPods, kind, "checkout", &from, WHEN);
        let server = Server::with([(path, object(kind, "checkout", json!({}), json!({"spec": spec()})))]);
        assert_eq!(receipt(&server, &step).await, Receipt::Done);
        assert_eq!(receipt(&server, &step).await, Receipt::AlreadyDone);
        server.only_write();
        let mut still = spec();
        still["updateStrategy"] = held;
        let server = Server::with([(path, object(kind, "checkout", json!({}), json!({"spec": still})))]);
        assert!(matches!(receipt(&server, &step).await, Receipt::Moved(_)), "{kind}");
        assert_eq!(server.writes(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn each_refusal_has_its_class_and_silence_ends() {
    for (code, category) in [(409, "Conflict"), (403, "Forbidden"), (422, "Invalid"), (503, "Transient")] {
        let server = server(spec());
        server.next(Method::PATCH, Answer::Refuse(code, "no"));
        assert_eq!(perform(&server, &renew()).await.unwrap_err().category(), category, "{code}");
        server.only_write();
    }
    let server = server(spec());
    server.next(Method::PATCH, Answer::Silence);
    assert_eq!(perform(&server, &renew()).await, Err(Error::Timeout(Duration::from_secs(1))));
    let server = self::server(spec());
    server.next(Method::PATCH, Answer::Lose);
    assert_eq!(perform(&server, &renew()).await.unwrap_err().category(), "Timeout");
    assert_eq!(receipt(&server, &renew()).await, Receipt::AlreadyDone);
    server.only_write();
}

/// A restart that somebody else asked for before or after is another one.
#[tokio::test]
async fn an_older_restart_is_replaced() {
    let mut older = spec();
    older["template"]["metadata"]["annotations"] = json!({RESTARTED_AT: "2025-01-01T00:00:00Z", "a": "b"});
    let server = server(older);
    let from = content::digest_of(MemberKind::Deployment, &json!({"spec": server.object(DEPLOYMENT).unwrap()["spec"]}));
    let renew = Step { from, ..renew() };
    assert_eq!(receipt(&server, &renew).await, Receipt::Done);
    let live = server.object(DEPLOYMENT).unwrap();
    assert_eq!(live["spec"]["template"]["metadata"]["annotations"], json!({RESTARTED_AT: WHEN, "a": "b"}));
}

#[tokio::test]
async fn gone_is_said_and_nonsense_refused() {
    assert_eq!(receipt(&Server::with([]), &renew()).await, Receipt::Gone);
    let server = server(spec());
    let never = Step { to: String::new(), ..renew() };
    assert!(matches!(perform(&server, &never).await, Err(Error::Invalid(_))));
    let pod = step(Remediation::RenewPods, "Pod", "checkout", "", WHEN);
    assert!(matches!(perform(&server, &pod).await, Err(Error::Invalid(_))));
    assert_eq!(server.writes(), []);
}
