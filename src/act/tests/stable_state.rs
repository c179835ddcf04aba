//! Recording a stable state.

use super::*;
use crate::act::StateRequest;
use crate::api::stable_state::{FieldOwner, Group, LARGEST_MEMBER};
use crate::plan::member::MemberKind;

fn spec() -> Value {
    json!({"replicas": 3, "template": {"spec": {"containers": [{"name": "c", "image": "c:1",
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"configMapRef": {"name": "missing"}}]}]}},
        "strategy": {"type": "RollingUpdate"}})
}

fn data() -> Value {
    json!({"data": {"url": "http://a"}})
}

fn server() -> Server {
    let owned =
        |fields: Value| json!({"managedFields": [{"manager": "helm", "operation": "Apply", "fieldsV1": fields}]});
    let deployment =
        object("Deployment", "checkout", owned(json!({"f:spec": {"f:template": {}}})), json!({"spec": spec()}));
    let settings = object("ConfigMap", "settings", owned(json!({"f:data": {"f:url": {}}})), data());
    Server::with([(DEPLOYMENT, deployment), (CONFIG_MAP, settings)])
}

fn closure() -> String {
    let (deployment, settings) =
        (content::digest_of(MemberKind::Deployment, &json!({"spec": spec()})), digest(&data()));
    let members = [
        ("Deployment", "checkout", deployment.as_str()),
        ("ConfigMap", "settings", settings.as_str()),
        ("ConfigMap", "missing", ""),
    ];
    content::closure_digest([Group::ConfigMaps], members)
}

fn request() -> StateRequest {
    StateRequest {
        policy: "checkout".into(),
        target: target(),
        target_uid: "u-1".into(),
        digest: closure(),
        groups: [Group::ConfigMaps].into(),
        members: vec![
            (MemberKind::Deployment, "checkout".into()),
            (MemberKind::ConfigMap, "settings".into()),
            (MemberKind::ConfigMap, "missing".into()),
        ],
        evidence: evidence(),
    }
}

#[tokio::test]
async fn copies_come_first_and_then_the_sealed_record_over_them() {
    let server = server();
    let answers = hands(&server).record_state("shop", &request()).await.unwrap();
    let writes = server.writes();
    assert_eq!((writes.len(), answers.len()), (2, 2));
    let copy = format!("homeostat-{}", &digest(&data())[..16]);
    let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "immutable": true, "data": {"url": "http://a"},
        "metadata": {"name": copy, "namespace": "shop",
            "labels": {"homeostat.dev/copy-of": "ConfigMap", "app.kubernetes.io/managed-by": "homeostat"}}});
    assert_eq!(writes[0].body, expected);

    let state: StableState = serde_json::from_value(answers[1].clone()).unwrap();
    assert!(sealer().verify(&state));
    assert_eq!(state.metadata.name, Some(format!("checkout-{}", &closure()[..8])));
    assert_eq!(writes[1].body["metadata"]["labels"], json!({"homeostat.dev/policy": "checkout"}));
    let names: Vec<_> =
        state.spec.record.members.iter().map(|m| (m.name.as_str(), m.absent, m.copy.as_str())).collect();
    assert_eq!(names, [("missing", true, ""), ("settings", false, copy.as_str()), ("checkout", false, "")]);
    let helm = Some(FieldOwner { manager: "helm".into(), operation: "Apply".into() });
    assert_eq!((&state.spec.record.members[1].owner, &state.spec.record.members[2].owner), (&helm, &helm));
    assert_eq!(
        state.spec.record.members[2].content,
        content::canonical(&content::of(MemberKind::Deployment, &json!({"spec": spec()})))
    );
}

#[tokio::test]
async fn of_the_workload_everything_is_recorded_that_it_takes_to_create_it_again() {
    let server = server();
    let annotations = json!({"team": "a", "deployment.kubernetes.io/revision": "7",
        "homeostat.dev/recreated-by": "old", "kubectl.kubernetes.io/last-applied-configuration": "{}"});
    let mut spec = spec();
    spec["selector"] = json!({"matchLabels": {"app": "checkout"}});
    spec["paused"] = json!(false);
    server
        .put(DEPLOYMENT, object("Deployment", "checkout", json!({"annotations": annotations}), json!({"spec": spec})));
    let answers = hands(&server).record_state("shop", &request()).await.unwrap();
    let state: StableState = serde_json::from_value(answers[1].clone()).unwrap();
    let creation: Value = serde_json::from_str(&state.spec.record.members[2].creation).unwrap();
    let selector = json!({"matchLabels": {"app": "checkout"}});
    let expected = json!({"metadata": {"annotations": {"team": "a"}, "labels": {}},
        "spec": {"replicas": 3, "selector": selector}});
    assert_eq!(creation, expected);
}

#[tokio::test]
async fn recording_again_finds_what_is_there() {
    let server = server();
    let first = hands(&server).record_state("shop", &request()).await.unwrap();
    let again = hands(&server).record_state("shop", &request()).await.unwrap();
    assert_eq!(first, again);
}

#[tokio::test]
async fn a_closure_that_changed_since_it_was_judged_is_not_recorded() {
    let changed = server();
    changed.put(CONFIG_MAP, object("ConfigMap", "settings", json!({}), json!({"data": {"url": "http://b"}})));
    let appeared = server();
    let path = "/api/v1/namespaces/shop/configmaps/missing";
    appeared.put(path, object("ConfigMap", "missing", json!({}), json!({})));
    let replaced = server();
    let mut other = replaced.object(DEPLOYMENT).unwrap();
    other["metadata"]["uid"] = json!("u-2");
    replaced.put(DEPLOYMENT, other);
    for server in [changed, appeared, replaced] {
        let refused = hands(&server).record_state("shop", &request()).await;
        assert_eq!(refused.unwrap_err().category(), "Moved");
        assert_eq!(server.writes(), []);
    }
    let gone = Server::default();
    assert_eq!(hands(&gone).record_state("shop", &request()).await, Err(Error::Gone));
}

#[tokio::test]
async fn only_the_named_members_are_read_and_recorded() {
    let server = server();
    let deployment = content::digest_of(MemberKind::Deployment, &json!({"spec": spec()}));
    let digest = content::closure_digest([], [("Deployment", "checkout", deployment.as_str())]);
    let members = vec![(MemberKind::Deployment, "checkout".into())];
    let request = StateRequest { digest, groups: [].into(), members, ..request() };
    assert_eq!(hands(&server).record_state("shop", &request).await.unwrap().len(), 1);
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn what_has_the_name_of_a_record_of_ours_but_is_none_is_not_used() {
    let copy = format!("/api/v1/namespaces/shop/configmaps/homeostat-{}", &digest(&data())[..16]);
    let mut mutable = object("ConfigMap", "homeostat-x", json!({}), data());
    let mut other = object("ConfigMap", "homeostat-x", json!({}), json!({"data": {"url": "http://evil"}}));
    mutable["immutable"] = json!(false);
    other["immutable"] = json!(true);
    for there in [mutable, other] {
        let server = server();
        server.put(&copy, there);
        assert_eq!(hands(&server).record_state("shop", &request()).await.unwrap_err().category(), "Invalid");
    }
    let server = server();
    let state = format!("/apis/homeostat.dev/v1alpha1/namespaces/shop/stablestates/checkout-{}", &closure()[..8]);
    server.put(&state, super::state(vec![]));
    assert_eq!(hands(&server).record_state("shop", &request()).await.unwrap_err().category(), "Invalid");
}

#[tokio::test]
async fn a_closure_that_is_too_large_is_refused_with_a_sentence() {
    let large = server();
    let data = json!({"data": {"x": "x".repeat(LARGEST_MEMBER)}});
    large.put(CONFIG_MAP, object("ConfigMap", "settings", json!({}), data));
    let members = (0..65).map(|i| (MemberKind::ConfigMap, format!("c-{i}"))).collect();
    let many = StateRequest { members, ..request() };
    for (server, request) in [(large, request()), (server(), many)] {
        let refused = hands(&server).record_state("shop", &request).await.unwrap_err();
        assert!(matches!(&refused, Error::Invalid(why) if why.contains("at most")), "{refused}");
        assert_eq!(server.writes(), []);
    }
}

#[tokio::test]
async fn a_long_policy_name_makes_a_valid_name() {
    let server = server();
    let request = StateRequest { policy: format!("{}.{}", "x".repeat(199), "y".repeat(50)), ..request() };
    let answers = hands(&server).record_state("shop", &request).await.unwrap();
    assert_eq!(answers[1]["metadata"]["name"], format!("{}-{}", "x".repeat(199), &closure()[..8]));
}
