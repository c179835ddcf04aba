//! The seal, and the one Secret that keeps its key.

use http::Method;

use super::server::Answer;
use super::*;

const SECRET: &str = "/api/v1/namespaces/home/secrets/seal";
const KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

fn secret(rest: Value) -> Server {
    Server::with([(SECRET, object("Secret", "seal", json!({}), rest))])
}

async fn load(server: &Server) -> Result<Sealer, Error> {
    Sealer::load(&server.client(), "home", "seal").await
}

fn sealed_state() -> StableState {
    serde_json::from_value(state(vec![])).unwrap()
}

#[test]
fn a_seal_holds_for_exactly_one_record_place_and_key() {
    assert!(sealer().verify(&sealed_state()));
    let mut reviewed = sealed_state();
    reviewed.spec.review = Some(crate::api::stable_state::Review::Pin);
    assert!(sealer().verify(&reviewed), "a person's word is not sealed");
    let edits: [fn(&mut StableState); 8] = [
        |state| state.spec.record.evidence.replicas = 4,
        |state| state.spec.record.members.push(member("ConfigMap", "a", &json!({}), "b")),
        |state| state.metadata.name = Some("other".into()),
        |state| state.metadata.namespace = Some("other".into()),
        |state| state.metadata.namespace = None,
        |state| state.spec.seal.key_id = "key-2".into(),
        |state| state.spec.seal.mac.truncate(62),
        |state| state.spec.seal.mac = "zz".repeat(32),
    ];
    for edit in edits {
        let mut state = sealed_state();
        edit(&mut state);
        assert!(!sealer().verify(&state), "{state:?}");
    }
    assert!(!Sealer::new(&[8; 32], "key-1").unwrap().verify(&sealed_state()));
    assert!(!format!("{:?}", sealer()).contains('7'));
}

#[tokio::test]
async fn a_filled_secret_is_only_read() {
    let server = secret(json!({"data": {"key": KEY}}));
    let sealer = load(&server).await.unwrap();
    assert_eq!(sealer.seal("shop", "a", &sealed_state().spec.record).unwrap().key_id, "u-1");
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn an_empty_secret_is_filled_once() {
    for empty in [json!({}), json!({"data": {}}), json!({"data": {"key": ""}}), json!({"data": {"other": "eA=="}})] {
        let server = secret(empty);
        load(&server).await.unwrap();
        let write = server.only_write();
        assert_eq!((write.method.as_str(), write.path), ("PATCH", format!("{SECRET}?fieldManager=homeostat")));
        assert_eq!(write.body.as_array().unwrap()[..2], tests());
        let key = server.object(SECRET).unwrap()["data"]["key"].clone();
        load(&server).await.unwrap();
        assert_eq!(server.object(SECRET).unwrap()["data"]["key"], key);
        server.only_write();
    }
}

#[tokio::test]
async fn of_two_that_fill_it_the_first_has_its_way() {
    let server = secret(json!({}));
    let first = |objects: &mut server::Objects| {
        let secret = objects.get_mut(SECRET).unwrap();
        secret["data"] = json!({"key": KEY});
        secret["metadata"]["resourceVersion"] = json!("8");
    };
    server.next(Method::PATCH, Answer::After(Box::new(first)));
    let ours = load(&server).await.unwrap();
    let theirs = Sealer::new(&[7; 32], "u-1").unwrap();
    let record = sealed_state().spec.record;
    assert_eq!(ours.seal("shop", "a", &record), theirs.seal("shop", "a", &record));
}

#[tokio::test]
async fn a_missing_or_damaged_secret_is_said_and_never_replaced() {
    let missing = load(&Server::default()).await.unwrap_err().to_string();
    assert!(missing.contains("Secret home/seal") && missing.contains("chart"), "{missing}");
    for damaged in [json!({"data": {"key": "AAAA"}}), json!({"data": {"key": "%"}}), json!({"data": {"key": 3}})] {
        let server = secret(damaged);
        assert_eq!(load(&server).await.unwrap_err().category(), "Invalid");
        assert_eq!(server.writes(), []);
    }
    let server = secret(json!({}));
    server.next(Method::PATCH, Answer::Refuse(403, "no"));
    assert_eq!(load(&server).await.unwrap_err().category(), "Forbidden");
}
