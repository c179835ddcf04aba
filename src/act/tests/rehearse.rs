//! Rehearsals: what is asked, that nothing of it is stored, and what is made of each answer.

use std::collections::BTreeSet;

use http::Method;

use super::server::{Answer, Call};
use super::*;
use crate::api::Reason;
use crate::plan::facts::Feasibility;
use crate::plan::rehearsal::{Rehearse, Rollback};

const PODS: &str = "/api/v1/namespaces/shop/pods";
const COPY: &str = "/api/v1/namespaces/shop/configmaps/homeostat-1";

fn spec(image: &str) -> Value {
    let spec = json!({
        "serviceAccountName": "web",
        "containers": [{"name": "c", "image": image, "envFrom": [{"configMapRef": {"name": "settings"}}]}],
    });
    json!({"template": {"metadata": {"labels": {"app": "c"}}, "spec": spec}})
}

fn good() -> Value {
    spec("c:1")
}

fn settings(url: &str) -> Value {
    json!({"data": {"url": url}})
}

fn server(live: Value, config: Value, stable: Value) -> Server {
    let members = vec![
        member("ConfigMap", "settings", &settings("http://a"), "homeostat-1"),
        member("Deployment", "checkout", &json!({"spec": stable}), ""),
    ];
    let mut copy = settings("http://a");
    copy["immutable"] = json!(true);
    Server::with([
        (DEPLOYMENT, object("Deployment", "checkout", json!({}), json!({"spec": live}))),
        (CONFIG_MAP, object("ConfigMap", "settings", json!({}), config)),
        (COPY, object("ConfigMap", "homeostat-1", json!({}), copy)),
        (STATE, state(members)),
    ])
}

/// Everything is as the state recorded it.
fn at_home() -> Server {
    server(good(), settings("http://a"), good())
}

fn request(live: &Value, stable: &Value) -> Rehearse {
    let rollback = Rollback {
        steps: vec![],
        kinds: BTreeSet::from(["ConfigMap".to_owned()]),
        config_maps: BTreeSet::from(["settings".to_owned()]),
        secrets: BTreeSet::new(),
    };
    Rehearse {
        state: "checkout-1".into(),
        inputs: String::new(),
        live: String::new(),
        urgent: false,
        pods: 3,
        workload: step(
            Remediation::RestoreTemplate,
            "Deployment",
            "checkout",
            &digest(&json!({"spec": live})),
            &digest(&json!({"spec": stable})),
        ),
        rollback: Some(rollback),
    }
}

async fn rehearse(server: &Server, request: &Rehearse) -> Feasibility {
    hands(server).rehearse("shop", request).await
}

async fn at_home_says(server: &Server) -> Feasibility {
    rehearse(server, &request(&good(), &good())).await
}

/// Writes that are no questions about our rights.
fn writes(server: &Server) -> Vec<Call> {
    server.writes().into_iter().filter(|call| !call.path.ends_with("reviews")).collect()
}

#[track_caller]
fn refused(found: Feasibility) -> (Reason, String) {
    match found {
        Feasibility::Infeasible { reason, message } => (reason, message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_write_is_a_dry_run_and_few_requests_are_sent() {
    let server = at_home();
    let before = server.object(DEPLOYMENT);
    assert_eq!(at_home_says(&server).await, Feasibility::Feasible { unchecked: vec![] });
    let writes = writes(&server);
    assert_eq!(writes.len(), 2, "{writes:#?}");
    assert!(writes.iter().all(|call| call.path.ends_with("?fieldManager=homeostat&dryRun=All")), "{writes:#?}");
    assert_eq!(server.object(DEPLOYMENT), before);
    assert_eq!(server.calls().len(), 7, "{:#?}", server.calls());
}

#[tokio::test]
async fn the_pod_is_as_its_replica_set_would_make_it() {
    let server = at_home();
    at_home_says(&server).await;
    let pod = writes(&server).into_iter().find(|call| call.path.starts_with(PODS)).unwrap().body;
    assert_eq!(pod["spec"], good()["template"]["spec"]);
    assert_eq!(pod["metadata"]["labels"], json!({"app": "c"}));
    assert_eq!(pod["metadata"]["generateName"], "checkout-");
    assert_eq!(pod["metadata"]["name"], "checkout-rehearsal", "the same name gives the same answer");
    assert_eq!(pod["metadata"]["ownerReferences"][0]["kind"], "ReplicaSet");
}

#[tokio::test]
async fn what_differs_is_rehearsed_as_it_would_be_restored() {
    let (live, bad) = (spec("c:2"), settings("http://b"));
    let server = server(live.clone(), bad.clone(), good());
    let mut request = request(&live, &good());
    let map = step(Remediation::RestoreObject, "ConfigMap", "settings", &digest(&bad), &digest(&settings("http://a")));
    request.rollback.as_mut().unwrap().steps.push(map);
    assert_eq!(rehearse(&server, &request).await, Feasibility::Feasible { unchecked: vec![] });
    let body = |path: &str| {
        let of_object = |call: &Call| call.method == "PATCH" && call.path.starts_with(path);
        writes(&server).into_iter().find(of_object).unwrap().body
    };
    let template = json!({"op": "replace", "path": "/spec/template", "value": good()["template"]});
    assert_eq!(body(DEPLOYMENT), guarded([template]));
    let data = json!({"op": "replace", "path": "/data", "value": {"url": "http://a"}});
    assert_eq!(body(CONFIG_MAP), guarded([data]));
    assert_eq!(server.object(CONFIG_MAP).unwrap()["data"], bad["data"], "nothing is stored");
    assert_eq!(server.calls().len(), 11, "{:#?}", server.calls());
}

#[tokio::test]
async fn what_refuses_the_pod_is_told() {
    for code in [403, 422] {
        let server = at_home();
        server.next_to(Method::POST, PODS, Answer::Refuse(code, "serviceaccount \"web\" not found"));
        let (reason, message) = refused(at_home_says(&server).await);
        assert_eq!((reason, message.as_str()), (Reason::PodRefused, "serviceaccount \"web\" not found"));
    }
}

#[tokio::test]
async fn what_refuses_the_restore_is_told() {
    let server = at_home();
    server.next_to(Method::PATCH, DEPLOYMENT, Answer::Refuse(403, "not before the holidays"));
    let (reason, message) = refused(at_home_says(&server).await);
    assert_eq!((reason, message.as_str()), (Reason::RestoreRefused, "not before the holidays"));
}

#[tokio::test]
async fn a_missing_right_is_named_with_verb_and_resource() {
    for (right, forbidden) in [("patch configmaps", false), ("create configmaps", false), ("patch deployments", true)] {
        let server = at_home();
        server.deny(right);
        if forbidden {
            server.next_to(Method::PATCH, DEPLOYMENT, Answer::Refuse(403, "cannot patch resource"));
        }
        let (reason, message) = refused(at_home_says(&server).await);
        assert_eq!(reason, Reason::RightMissing);
        assert!(message.starts_with(&format!("no right to {right};")), "{message}");
    }
}

#[tokio::test]
async fn without_the_right_to_create_pods_none_is_asked_for() {
    let server = at_home();
    server.deny("create pods");
    let Feasibility::Feasible { unchecked } = at_home_says(&server).await else { panic!("it blocks") };
    assert!(unchecked[0].starts_with("whether its pods could be created"), "{unchecked:?}");
    assert!(writes(&server).iter().all(|call| !call.path.starts_with(PODS)));
}

#[tokio::test]
async fn where_no_rollback_is_allowed_only_the_pods_are_asked_about() {
    let server = at_home();
    let request = Rehearse { rollback: None, ..request(&good(), &good()) };
    assert_eq!(rehearse(&server, &request).await, Feasibility::Feasible { unchecked: vec![] });
    assert_eq!(writes(&server).len(), 1);
}

#[tokio::test]
async fn references_are_looked_for_where_we_may() {
    let mut stable = good();
    stable["template"]["spec"]["volumes"] = json!([
        {"secret": {"secretName": "token"}}, {"persistentVolumeClaim": {"claimName": "data"}},
        {"configMap": {"name": "extra"}},
    ]);
    let paths = ["secrets/token", "persistentvolumeclaims/data", "configmaps/extra"];
    let there = |server: &Server, except: &str| {
        for path in paths.iter().filter(|path| **path != except) {
            server.put(&format!("/api/v1/namespaces/shop/{path}"), object("", "", json!({}), json!({})));
        }
    };
    let request = request(&stable, &stable);
    for missing in paths {
        let server = server(stable.clone(), settings("http://a"), stable.clone());
        there(&server, missing);
        let (reason, message) = refused(rehearse(&server, &request).await);
        assert_eq!(reason, Reason::ReferenceMissing);
        assert!(
            message.contains(missing.split_once('/').unwrap().1) && message.contains("does not exist"),
            "{message}"
        );
    }
    let server = server(stable.clone(), settings("http://a"), stable.clone());
    there(&server, "secrets/token");
    server.deny("get secrets");
    let Feasibility::Feasible { unchecked } = rehearse(&server, &request).await else { panic!("it blocks") };
    assert_eq!(unchecked, ["Secret token (no right to read it)"]);
    assert!(server.calls().iter().all(|call| !call.path.contains("/secrets/")), "a read that would be refused");
}

#[tokio::test]
async fn a_full_quota_is_told_from_one_without_room() {
    let full = "exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3";
    let lowered = "exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=1";
    let server = at_home();
    server.next_to(Method::POST, PODS, Answer::Refuse(403, full));
    assert_eq!(at_home_says(&server).await, Feasibility::Feasible { unchecked: vec![] });
    server.next_to(Method::POST, PODS, Answer::Refuse(403, lowered));
    assert_eq!(refused(at_home_says(&server).await).0, Reason::PodRefused);
}

#[tokio::test]
async fn what_gives_no_answer_is_unknown() {
    let webhook = "admission webhook \"a.example\" does not support dry run";
    let cases = [
        (Answer::Refuse(500, "failed calling webhook"), false),
        (Answer::Refuse(503, "not now"), false),
        (Answer::Refuse(409, "operation cannot be fulfilled on resourcequotas"), false),
        (Answer::Silence, false),
        (Answer::Refuse(400, webhook), true),
    ];
    for (answer, expected) in cases {
        let server = at_home();
        server.next_to(Method::POST, PODS, answer);
        match at_home_says(&server).await {
            Feasibility::Unknown { lasting, .. } => assert_eq!(lasting, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_target_that_was_replaced_is_no_refusal() {
    let server = at_home();
    let mut request = request(&good(), &good());
    request.workload.object.uid = "u-2".into();
    assert!(matches!(rehearse(&server, &request).await, Feasibility::Unknown { lasting: false, .. }));
}

#[tokio::test]
async fn without_a_permit_nothing_is_asked() {
    let server = at_home();
    let hands = hands_until(&server, Duration::ZERO);
    let answer = hands.rehearse("shop", &request(&good(), &good())).await;
    assert!(!matches!(answer, Feasibility::Feasible { .. }), "{answer:?}");
    assert!(server.calls().is_empty());
}
