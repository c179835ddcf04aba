//! Secrets: by keyed digests only, where they are asked for.

use serde_json::json;

use super::*;
use crate::plan::facts::Certificate;
use crate::plan::member::MemberKind;

/// From 2025 to 2035, for shop.example.
const CERTIFICATE: &str = concat!(
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJLRENCendJVU5zQVBaUzA3MGZFektzTHlQYnZiTWRpdncxVXdDZ1lJS29a",
    "SXpqMEVBd0l3RnpFVk1CTUcKQTFVRUF3d01jMmh2Y0M1bGVHRnRjR3hsTUI0WERUSTFNREV3TVRBd01EQXdNRm9YRFRNMU1ERXdN",
    "VEF3TURBdwpNRm93RnpFVk1CTUdBMVVFQXd3TWMyaHZjQzVsZUdGdGNHeGxNRmt3RXdZSEtvWkl6ajBDQVFZSUtvWkl6ajBECkFR",
    "Y0RRZ0FFdmJmZW5XYTNwRG5IUTJwby9GQUt5YjZzS3lNekYyVHBCWDkzQjVpRFFFSlhZYXZZUko2SjdDd2sKRE5qdjRSZHpxMVBl",
    "Q1RpVjFZUEZPTmxMODNjQnpqQUtCZ2dxaGtqT1BRUURBZ05JQURCRkFpQnBNVjB5MGRlMwo3VU93VXI2YlhkTmpGQUpyMHVTTlRM",
    "dHJjWW9vWlJsOTR3SWhBSTcwN2lhcWt3NytXT3psaHBrb0FDTDdxaW5uCm9QaUhoRGZrR1g3NnRlOGkKLS0tLS1FTkQgQ0VSVElG",
    "SUNBVEUtLS0tLQo=",
);

fn secret(name: &str, version: u64, type_: &str, data: Value) -> Value {
    json!({"metadata": metadata(name, version), "type": type_, "data": data})
}

/// A digest that anybody can read; `seal` is the Secret with the key.
fn with_secrets() -> Stores {
    let stores = Stores::new(|_| true)
        .with_secrets(Box::new(|_, name, content| (name != "seal").then(|| format!("keyed {content}"))));
    let mut deployment = deployment("checkout", 2);
    let references = ["login", "token", "seal", "missing"].map(|name| json!({"secretRef": {"name": name}}));
    deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!(references);
    let mut policy = policy("checkout", 1, "checkout");
    policy["spec"]["closure"] = json!({"secrets": "Restore"});
    let tls = json!({"metadata": metadata("edge", 3), "spec": {"tls": [{"secretName": "edge-tls"}, {}],
        "defaultBackend": {"service": {"name": "front", "port": {"number": 80}}}}});
    for (kind, object) in [
        (Kind::RecoveryPolicy, policy),
        (Kind::Deployment, deployment),
        (Kind::Service, service("front", 7, "checkout")),
        (Kind::Ingress, tls),
        (Kind::Secret, secret("login", 4, "Opaque", json!({"password": "cGFzcw=="}))),
        (Kind::Secret, secret("token", 5, "kubernetes.io/service-account-token", json!({"token": "eA=="}))),
        (Kind::Secret, secret("seal", 6, "Opaque", json!({"key": "eA=="}))),
        (Kind::Secret, secret("edge-tls", 8, "kubernetes.io/tls", json!({"tls.crt": CERTIFICATE, "tls.key": ""}))),
        (Kind::Secret, secret("somebody-elses", 9, "Opaque", json!({"password": "eA=="}))),
    ] {
        put(&stores, kind, &object);
    }
    stores
}

#[test]
fn those_that_are_named_belong_and_those_of_kubernetes_never_do() {
    let facts = facts(&with_secrets(), "checkout");
    let secrets = facts.objects.iter().filter(|object| object.kind == MemberKind::Secret && object.belongs);
    let found: Vec<_> = secrets.map(|secret| (secret.name.as_str(), secret.digest.as_str())).collect();
    let edge =
        format!("keyed {{\"data\":{{\"tls.crt\":\"{CERTIFICATE}\",\"tls.key\":\"\"}},\"type\":\"kubernetes.io/tls\"}}");
    let login = r#"keyed {"data":{"password":"cGFzcw=="},"type":"Opaque"}"#;
    assert_eq!(found, [("edge-tls", edge.as_str()), ("login", login), ("missing", "")]);
}

#[test]
fn how_long_a_certificate_counts_is_read() {
    let stores = with_secrets();
    let certificate = |stores: &Stores| facts(stores, "checkout").object(MemberKind::Secret, "edge-tls")?.certificate;
    let at = |text: &str| text.parse().unwrap();
    let valid = Certificate::Valid { from: at("2025-01-01T00:00:00Z"), until: at("2035-01-01T00:00:00Z") };
    assert_eq!(certificate(&stores), Some(valid));
    for (version, junk) in [(20, json!({"tls.crt": "ZXhwaXJlZA=="})), (21, json!({"tls.crt": "%%"})), (22, json!({}))] {
        put(&stores, Kind::Secret, &secret("edge-tls", version, "kubernetes.io/tls", junk));
        assert_eq!(certificate(&stores), Some(Certificate::Unreadable));
    }
    put(&stores, Kind::Secret, &secret("edge-tls", 23, "Opaque", json!({"tls.crt": CERTIFICATE})));
    assert_eq!(certificate(&stores), None);
}

#[test]
fn without_the_key_none_is_kept() {
    let stores = small_world();
    put(&stores, Kind::Secret, &secret("login", 30, "Opaque", json!({"password": "cGFzcw=="})));
    assert_eq!(stores.count(Kind::Secret), 0);
}

#[test]
fn copies_are_known_as_long_as_a_state_needs_them() {
    let stores = with_secrets();
    let mut state = state("checkout-0000", 9, "checkout", "settings");
    state["spec"]["record"]["members"][0] =
        json!({"kind": "Secret", "name": "login", "digest": "d", "copy": "homeostat-1"});
    put(&stores, Kind::StableState, &state);
    let mut copy = secret("homeostat-1", 30, "Opaque", json!({"password": "cGFzcw=="}));
    copy["metadata"]["labels"] = json!({"homeostat.dev/copy-of": "Secret"});
    let sealed = |stores: &Stores| facts(stores, "checkout").object(MemberKind::Secret, "homeostat-1")?.sealed_copy;
    put(&stores, Kind::Secret, &copy);
    assert_eq!(sealed(&stores), Some(false));
    (copy["immutable"], copy["metadata"]["resourceVersion"]) = (json!(true), json!("31"));
    put(&stores, Kind::Secret, &copy);
    assert_eq!(sealed(&stores), Some(true));
}

#[test]
fn one_that_cannot_be_read_stops_only_who_asks_for_them_and_is_not_quoted() {
    let stores = with_secrets();
    put(&stores, Kind::RecoveryPolicy, &policy("other", 40, "other"));
    put(&stores, Kind::Secret, &secret("odd", 41, "Opaque", json!("cGFzcw==")));
    stores.absorb(Kind::Secret, r#"{"metadata":{"name":"odder","namespace":"shop","labels":"cGFzcw=="}}"#);
    assert_eq!(facts(&stores, "checkout").sight.malformed, ["Secret shop/odder"]);
    assert!(facts(&stores, "other").sight.malformed.is_empty());
    assert!(stores.minds_secrets(&key("checkout")) && !stores.minds_secrets(&key("other")));
}

#[test]
fn a_secret_that_changes_wakes_who_may_need_it_and_a_token_wakes_nobody() {
    let stores = with_secrets();
    let changed = |version, name, type_| {
        stores.absorb(Kind::Secret, &secret(name, version, type_, json!({"a": "Yg=="})).to_string())
    };
    let change = changed(50, "login", "Opaque").expect("a change");
    assert_eq!(stores.policies_touched(&change), [key("checkout")]);
    assert_eq!(changed(51, "token", "kubernetes.io/service-account-token"), None);
}
