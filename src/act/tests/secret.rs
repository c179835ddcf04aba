//! Secrets: recorded in copies only, restored from them, and quoted nowhere.

use http::Method;

use super::server::Answer;
use super::*;
use crate::act::StateRequest;
use crate::api::stable_state::Group;
use crate::plan::member::MemberKind;

const SECRET: &str = "/api/v1/namespaces/shop/secrets/login";
const COPY: &str = "/api/v1/namespaces/shop/secrets/homeostat-1";
/// `password1`, as it stands in a Secret.
const VALUE: &str = "cGFzc3dvcmQx";

fn good() -> Value {
    json!({"data": {"password": VALUE}, "type": "Opaque"})
}

fn bad() -> Value {
    json!({"data": {"password": "d3Jvbmc="}, "type": "Opaque"})
}

fn keyed(content: &Value) -> String {
    sealer().secret_digest("shop", "login", &content::canonical(content)).unwrap()
}

fn secret(content: Value) -> Value {
    object("Secret", "login", json!({}), content)
}

fn server(live: Option<Value>) -> Server {
    let mut copy = object("Secret", "homeostat-1", json!({}), good());
    copy["immutable"] = json!(true);
    let member = Member { digest: keyed(&good()), ..member("Secret", "login", &good(), "homeostat-1") };
    let server = Server::with([(STATE, state(vec![member])), (COPY, copy)]);
    if let Some(live) = live {
        server.put(SECRET, live);
    }
    server
}

fn restore(from: &Value) -> Step {
    step(Remediation::RestoreObject, "Secret", "login", &keyed(from), &keyed(&good()))
}

fn request(digest: &str) -> StateRequest {
    let closure = content::closure_digest([Group::Secrets], [("Secret", "login", digest)]);
    StateRequest {
        policy: "checkout".into(),
        target: target(),
        target_uid: "u-1".into(),
        digest: closure,
        groups: [Group::Secrets].into(),
        members: vec![(MemberKind::Secret, "login".into())],
        evidence: evidence(),
    }
}

#[test]
fn a_digest_says_nothing_without_the_key_and_nothing_elsewhere() {
    let content = content::canonical(&good());
    let here = sealer().secret_digest("shop", "login", &content).unwrap();
    assert_eq!(here.len(), 64);
    assert_ne!(here, content::digest(&content));
    assert_ne!(Some(&here), sealer().secret_digest("other", "login", &content).as_ref());
    assert_ne!(Some(&here), Sealer::new(&[8; 32], "key-1").unwrap().secret_digest("shop", "login", &content).as_ref());
    assert_eq!(Some(&here), sealer().secret_digest("shop", "homeostat-1", &content).as_ref(), "copies are compared");
}

#[tokio::test]
async fn the_secret_with_the_key_is_never_looked_at() {
    let key = json!({"data": {"key": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="}});
    let server = Server::with([("/api/v1/namespaces/home/secrets/seal", object("Secret", "seal", json!({}), key))]);
    let sealer = Sealer::load(&server.client(), "home", "seal").await.unwrap();
    assert_eq!(sealer.secret_digest("home", "seal", "{}"), None);
    assert!(sealer.secret_digest("shop", "seal", "{}").is_some() && sealer.secret_digest("home", "x", "{}").is_some());
}

#[tokio::test]
async fn what_a_secret_holds_goes_into_its_copy_and_nowhere_else() {
    let mut live = secret(good());
    live["metadata"]["labels"] = json!({"app": "shop"});
    live["metadata"]["annotations"] = json!({
        "kubectl.kubernetes.io/last-applied-configuration": format!("{{\"data\":{{\"password\":\"{VALUE}\"}}}}"),
        "example.com/original": "password1",
        "meta.helm.sh/release-name": "shop",
    });
    let server = Server::with([(SECRET, live)]);
    let digest = keyed(&good());
    let answers = hands(&server).record_state("shop", &request(&digest)).await.unwrap();
    let writes = server.writes();
    assert_eq!(writes.len(), 2);
    assert!(writes[0].path.starts_with("/api/v1/namespaces/shop/secrets"), "{}", writes[0].path);
    let copy = format!("homeostat-{}", &digest[..16]);
    let expected = json!({"apiVersion": "v1", "kind": "Secret", "immutable": true, "type": "Opaque",
        "data": {"password": VALUE}, "metadata": {"name": copy, "namespace": "shop",
            "labels": {"homeostat.dev/copy-of": "Secret", "app.kubernetes.io/managed-by": "homeostat"}}});
    assert_eq!(writes[0].body, expected);
    let record = writes[1].body.to_string();
    for hint in [VALUE, "password1", &content::digest(&content::canonical(&good()))] {
        assert!(!record.contains(hint), "{hint} is in {record}");
    }
    let state: StableState = serde_json::from_value(answers[1].clone()).unwrap();
    let member = &state.spec.record.members[0];
    assert_eq!((member.copy.as_str(), member.digest.as_str(), member.content.as_str()), (&*copy, &*digest, ""));
    assert!(member.creation.contains("meta.helm.sh/release-name") && member.creation.contains("\"app\""));
}

#[tokio::test]
async fn what_belongs_to_kubernetes_is_neither_recorded_nor_written() {
    let token = json!({"data": {"password": VALUE}, "type": "kubernetes.io/service-account-token"});
    let server = server(Some(secret(token.clone())));
    assert_eq!(hands(&server).record_state("shop", &request(&keyed(&token))).await.unwrap_err().category(), "Moved");
    assert_eq!(perform(&server, &restore(&token)).await.unwrap_err().category(), "Invalid");
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn its_data_is_put_back_in_one_patch() {
    let server = server(Some(secret(bad())));
    let effect = perform(&server, &restore(&bad())).await.unwrap();
    assert_eq!((effect.receipt, effect.change.as_str()), (Receipt::Done, ""), "nothing of it is told");
    let replaced = json!({"op": "replace", "path": "/data", "value": good()["data"]});
    assert_eq!(server.only_write().body, guarded([replaced]));
    assert_eq!(receipt(&server, &restore(&bad())).await, Receipt::AlreadyDone);
}

#[tokio::test]
async fn one_of_another_type_is_deleted_and_created_again() {
    let other = json!({"data": {"x": "AA=="}, "type": "example.com/other"});
    let server = server(Some(secret(other.clone())));
    assert_eq!(receipt(&server, &restore(&other)).await, Receipt::Done);
    let writes = server.writes();
    assert_eq!(writes.iter().map(|write| write.method.as_str()).collect::<Vec<_>>(), ["DELETE", "POST"]);
    assert_eq!((&writes[1].body["type"], &writes[1].body["data"]), (&json!("Opaque"), &good()["data"]));
}

#[tokio::test]
async fn a_copy_that_is_missing_or_changed_is_never_used() {
    let server = server(Some(secret(bad())));
    server.put(COPY, object("Secret", "homeostat-1", json!({}), bad()));
    assert_eq!(perform(&server, &restore(&bad())).await.unwrap_err().category(), "Invalid");
    server.delete(COPY);
    assert_eq!(perform(&server, &restore(&bad())).await.unwrap_err().category(), "Invalid");
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn a_refusal_that_quotes_it_is_not_repeated() {
    const QUOTING: &str = "password1 is too short";
    for code in [400, 403, 422, 500] {
        let patched = server(Some(secret(bad())));
        patched.next(Method::PATCH, Answer::Refuse(code, QUOTING));
        let created = server(None);
        created.next(Method::POST, Answer::Refuse(code, QUOTING));
        for server in [patched, created] {
            let said = perform(&server, &restore(&bad())).await.unwrap_err().to_string();
            assert!(!said.contains("password1"), "{said}");
        }
    }
}
