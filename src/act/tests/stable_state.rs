//! Recording a stable state.

use super::*;
use crate::act::StateRequest;
use crate::api::stable_state::{FieldOwner, LARGEST_MEMBER};

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
    let (deployment, settings) = (digest(&content::deployment(&spec())), digest(&data()));
    content::closure_digest([
        ("Deployment", "checkout", deployment.as_str()),
        ("ConfigMap", "settings", settings.as_str()),
        ("ConfigMap", "missing", ""),
    ])
}

fn request() -> StateRequest {
    StateRequest {
        policy: "checkout".into(),
        target: target(),
        target_uid: "u-1".into(),
        digest: closure(),
        with_config_maps: true,
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
    assert_eq!(state.spec.record.members[2].content, content::canonical(&content::deployment(&spec())));
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
async fn without_config_maps_only_the_target_is_read_and_recorded() {
    let server = server();
    let deployment = digest(&content::deployment(&spec()));
    let digest = content::closure_digest([("Deployment", "checkout", deployment.as_str())]);
    let request = StateRequest { digest, with_config_maps: false, ..request() };
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
    let many = server();
    let sources: Vec<_> = (0..64).map(|i| json!({"configMapRef": {"name": format!("c-{i}")}})).collect();
    let spec = json!({"template": {"spec": {"containers": [{"envFrom": sources}]}}});
    many.put(DEPLOYMENT, object("Deployment", "checkout", json!({}), json!({"spec": spec})));
    for server in [large, many] {
        let refused = hands(&server).record_state("shop", &request()).await.unwrap_err();
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
