//! The NetworkPolicy of a cut: made where it is exact, recognised, and taken away.

use super::*;

const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies";
const CUT: &str = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/homeostat-checkout-r1-cut";
const OTHER: &str = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies/other";
const TARGET_POD: &str = "/api/v1/namespaces/shop/pods/checkout-1";
const STORE_POD: &str = "/api/v1/namespaces/shop/pods/store-1";

fn cut() -> Step {
    let to = json!({
        "dependency": "Deployment store",
        "caller": {"app": "checkout"},
        "callee": {"app": "store", "tier": "data"},
        "addresses": ["10.0.0.1", "fd00::1"],
    });
    network(Remediation::CutDependency, &to.to_string())
}

fn end() -> Step {
    network(Remediation::ReleaseDependency, "")
}

fn network(remediation: Remediation, to: &str) -> Step {
    let from = json!({"labels": {"app": "checkout", "version": "1"}}).to_string();
    let mut step = step(remediation, "NetworkPolicy", "homeostat-checkout-r1-cut", &from, to);
    step.object.uid = String::new();
    step
}

fn spec() -> Value {
    let but =
        |key: &str, value: &str| json!({"matchExpressions": [{"key": key, "operator": "NotIn", "values": [value]}]});
    json!({
        "podSelector": {"matchLabels": {"app": "checkout"}},
        "policyTypes": ["Egress"],
        "egress": [{"to": [
            {"namespaceSelector": but("kubernetes.io/metadata.name", "shop")},
            {"podSelector": but("app", "store")},
            {"podSelector": but("tier", "data")},
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.1/32"]}},
            {"ipBlock": {"cidr": "::/0", "except": ["fd00::1/128"]}},
        ]}],
    })
}

fn ours() -> Value {
    let labels = json!({"homeostat.dev/cut-by": RECOVERY});
    object("NetworkPolicy", "homeostat-checkout-r1-cut", json!({"labels": labels}), json!({"spec": spec()}))
}

fn other(spec: Value) -> Value {
    object("NetworkPolicy", "other", json!({}), json!({"spec": spec}))
}

fn pod(name: &str, labels: Value, controller: &str, address: &str) -> Value {
    let owner = json!({"kind": controller, "name": "x", "controller": true});
    let metadata = json!({"labels": labels, "ownerReferences": [owner]});
    object("Pod", name, metadata, json!({"status": {"phase": "Running", "podIPs": [{"ip": address}]}}))
}

fn pods() -> [(&'static str, Value); 2] {
    [
        (TARGET_POD, pod("checkout-1", json!({"app": "checkout"}), "ReplicaSet", "10.0.0.7")),
        (STORE_POD, pod("store-1", json!({"app": "store", "tier": "data"}), "StatefulSet", "10.0.0.1")),
    ]
}

#[tokio::test]
async fn it_lets_everything_but_the_dependency_through() {
    let server = Server::with(pods());
    assert_eq!(receipt(&server, &cut()).await, Receipt::Done);
    let write = server.only_write();
    assert_eq!((write.method.as_str(), &write.body["spec"]), ("POST", &spec()));
    assert!(write.path.starts_with(POLICIES), "{}", write.path);
    assert_eq!(write.body["metadata"]["labels"]["homeostat.dev/cut-by"], json!(RECOVERY));
    assert_eq!(receipt(&server, &cut()).await, Receipt::AlreadyDone);
    server.only_write();
}

/// What NetworkPolicies allow adds up; one about whom the target hears, or about others, is none of this.
#[tokio::test]
async fn beside_one_that_limits_what_the_target_calls_it_is_not_made() {
    let everything = json!({});
    let by_version = json!({"matchLabels": {"version": "1"}});
    for selector in [everything, by_version.clone()] {
        for types in [json!(["Egress"]), json!(["Ingress", "Egress"])] {
            let server = Server::with(pods());
            server.put(OTHER, other(json!({"podSelector": selector, "policyTypes": types})));
            let error = perform(&server, &cut()).await.unwrap_err();
            assert!(error.to_string().contains("NetworkPolicy other limits"), "{error}");
            assert_eq!(server.writes(), []);
        }
    }
    let harmless = [
        json!({"podSelector": by_version, "policyTypes": ["Ingress"]}),
        json!({"podSelector": {"matchLabels": {"app": "store"}}, "policyTypes": ["Egress"]}),
    ];
    for spec in harmless {
        let server = Server::with(pods());
        server.put(OTHER, other(spec));
        assert_eq!(receipt(&server, &cut()).await, Receipt::Done);
    }
}

#[tokio::test]
async fn where_pods_of_others_carry_the_labels_it_is_not_made() {
    let strangers = [
        ("/api/v1/namespaces/shop/pods/job", pod("job", json!({"app": "checkout"}), "Job", "10.0.0.8")),
        ("/api/v1/namespaces/shop/pods/job", pod("job", json!({"app": "store", "tier": "data"}), "Job", "10.0.0.1")),
        (
            "/api/v1/namespaces/shop/pods/new",
            pod("new", json!({"app": "store", "tier": "data"}), "ReplicaSet", "10.0.0.9"),
        ),
    ];
    for (path, stranger) in strangers {
        let server = Server::with(pods());
        server.put(path, stranger.clone());
        assert_eq!(perform(&server, &cut()).await.unwrap_err().category(), "Invalid", "{stranger}");
        assert_eq!(server.writes(), []);
    }
    // One label of the dependency is not all of them, and what has ended calls nobody.
    let server = Server::with(pods());
    server.put("/api/v1/namespaces/shop/pods/half", pod("half", json!({"app": "store"}), "Job", "10.0.0.8"));
    let mut ended = pod("ended", json!({"app": "checkout"}), "Job", "10.0.0.8");
    ended["status"]["phase"] = json!("Succeeded");
    server.put("/api/v1/namespaces/shop/pods/ended", ended);
    assert_eq!(receipt(&server, &cut()).await, Receipt::Done);
}

#[tokio::test]
async fn one_that_is_not_as_we_make_it_is_neither_trusted_nor_made_ours() {
    let mut opened = ours();
    opened["spec"]["egress"] = json!([{}]);
    let mut theirs = ours();
    theirs["metadata"]["labels"] = json!({});
    for live in [opened, theirs.clone()] {
        let server = Server::with([(CUT, live)]);
        assert_eq!(perform(&server, &cut()).await.unwrap_err().category(), "Invalid");
        assert_eq!(server.writes(), []);
    }
    let server = Server::with([(CUT, theirs)]);
    assert!(matches!(receipt(&server, &end()).await, Receipt::Moved(_)));
    assert_eq!(server.writes(), []);
}

#[tokio::test]
async fn it_is_deleted_once() {
    let server = Server::with([(CUT, ours())]);
    assert_eq!(receipt(&server, &end()).await, Receipt::Done);
    assert_eq!(server.only_write().method.as_str(), "DELETE");
    assert_eq!(receipt(&server, &end()).await, Receipt::AlreadyDone);
    server.only_write();
}

#[tokio::test]
async fn a_record_that_does_not_say_what_is_cut_off_makes_nothing() {
    let whole = cut().to;
    let broken = [
        ("{}", cut().from),
        ("everything", cut().from),
        (r#"{"dependency":"x","caller":{},"callee":{"a":"b"},"addresses":[]}"#, cut().from),
        (r#"{"dependency":"x","caller":{"a":"b"},"callee":{},"addresses":[]}"#, cut().from),
        (r#"{"dependency":"x","caller":{"a":"b&limit=1"},"callee":{"a":"b"},"addresses":[]}"#, cut().from),
        (whole.as_str(), "nothing".to_owned()),
    ];
    for (to, from) in broken {
        let server = Server::with(pods());
        let step = Step { from, ..network(Remediation::CutDependency, to) };
        assert_eq!(perform(&server, &step).await.unwrap_err().category(), "Invalid", "{to}");
        assert_eq!(server.writes(), []);
    }
    for remediation in [Remediation::CutDependency, Remediation::ReleaseDependency] {
        let object = ObjectRef { kind: "ConfigMap".into(), ..cut().object };
        let other = Step { remediation, object, ..cut() };
        assert_eq!(perform(&Server::default(), &other).await.unwrap_err().category(), "Invalid");
    }
}
