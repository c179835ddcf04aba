//! What is known of the network between a target and what it can do without, and marks whose Recovery is gone.

use std::net::IpAddr;

use serde_json::json;

use super::*;
use crate::plan::closure;
use crate::plan::member::MemberKind;

const OURS: &str = "checkout-check-1";

fn store(name: &str, version: u64) -> Value {
    let mut store = deployment(name, version);
    store["spec"]["selector"]["matchLabels"] = json!({"app": "store"});
    store["spec"]["template"]["metadata"]["labels"] = json!({"app": "store"});
    store
}

fn store_pod(name: &str, version: u64, set: &str, address: &str) -> Value {
    let mut pod = pod(name, version, set);
    pod["metadata"]["labels"] = json!({"app": "store"});
    pod["status"]["podIPs"] = json!([{"ip": address}]);
    pod
}

/// The checkout can do without the store.
fn world() -> Stores {
    let stores = small_world();
    let reference = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "store"}]);
    let mut policy = policy("checkout", 10, "checkout");
    policy["spec"]["dependsOn"] = reference.clone();
    policy["spec"]["actions"] = json!({"isolate": {"dependencies": reference}});
    put(&stores, Kind::RecoveryPolicy, &policy);
    put(&stores, Kind::Deployment, &store("store", 11));
    put(&stores, Kind::ReplicaSet, &replica_set("store-1", 12, "store"));
    put(&stores, Kind::Pod, &store_pod("s", 13, "store-1", "10.0.0.1"));
    stores
}

fn network_policy(name: &str, version: u64, selector: Value, types: Value) -> Value {
    json!({"metadata": metadata(name, version), "spec": {"podSelector": selector, "policyTypes": types}})
}

#[test]
fn a_dependency_is_known_by_its_labels_and_addresses() {
    let stores = world();
    let network = facts(&stores, "checkout").network;
    let [callee] = network.callees.as_slice() else { panic!("{network:?}") };
    assert_eq!(
        (callee.title.as_str(), callee.selector.get("app").map(String::as_str)),
        ("Deployment store", Some("store"))
    );
    let address: IpAddr = "10.0.0.1".parse().unwrap();
    assert_eq!(callee.pods["s"], [address].into());
    assert!(network.limits.is_empty() && network.namesakes.is_empty() && callee.namesakes.is_empty());
    assert!(!network.on_host && !callee.on_host);
    // Without such a dependency nothing is looked through.
    put(&stores, Kind::RecoveryPolicy, &policy("checkout", 20, "checkout"));
    assert_eq!(facts(&stores, "checkout").network, Default::default());
}

#[test]
fn pods_of_others_and_pods_on_the_host_are_told() {
    let stores = world();
    put(&stores, Kind::Deployment, &store("other", 21));
    put(&stores, Kind::ReplicaSet, &replica_set("other-1", 22, "other"));
    put(&stores, Kind::Pod, &store_pod("x", 23, "other-1", "10.0.0.3"));
    put(&stores, Kind::Pod, &pod("y", 24, "other-1"));
    let mut on_host = store_pod("s", 25, "store-1", "192.168.0.1");
    on_host["spec"] = json!({"hostNetwork": true});
    put(&stores, Kind::Pod, &on_host);
    let network = facts(&stores, "checkout").network;
    assert_eq!(network.callees[0].namesakes, ["x".to_owned()].into());
    assert_eq!(network.namesakes, ["y".to_owned()].into());
    assert!(network.callees[0].on_host && !network.on_host);
}

#[test]
fn only_what_says_whom_the_target_calls_limits_it() {
    let stores = world();
    let ours = json!({"matchLabels": {"app": "checkout"}});
    put(&stores, Kind::NetworkPolicy, &network_policy("in", 30, ours.clone(), json!(["Ingress"])));
    put(
        &stores,
        Kind::NetworkPolicy,
        &network_policy("other", 31, json!({"matchLabels": {"app": "x"}}), json!(["Egress"])),
    );
    assert!(facts(&stores, "checkout").network.limits.is_empty());
    put(&stores, Kind::NetworkPolicy, &network_policy("out", 32, ours, json!(["Ingress", "Egress"])));
    put(&stores, Kind::NetworkPolicy, &network_policy("all", 33, json!({}), json!(["Egress"])));
    assert_eq!(facts(&stores, "checkout").network.limits, ["all".to_owned(), "out".to_owned()].into());
}

/// A cut is no part of what the target is; what only looks like one is.
#[test]
fn a_cut_of_ours_is_no_member() {
    let stores = world();
    put(&stores, Kind::Recovery, &recovery(OURS, 39, "checkout", "Acting"));
    let before = closure::live_digest(&facts(&stores, "checkout"));
    let selector = json!({"matchLabels": {"app": "checkout"}});
    let mut cut = network_policy("homeostat-checkout-check-1-cut", 40, selector, json!(["Egress"]));
    cut["metadata"]["labels"] = json!({"homeostat.dev/cut-by": OURS});
    put(&stores, Kind::NetworkPolicy, &cut);
    let found = facts(&stores, "checkout");
    assert_eq!(closure::live_digest(&found), before);
    assert_eq!((found.network.cuts.len(), found.network.cuts[0].recovery.as_str()), (1, OURS));
    assert!(found.network.limits.contains("homeostat-checkout-check-1-cut"));
    cut["metadata"]["name"] = json!("mine");
    cut["metadata"]["resourceVersion"] = json!("41");
    put(&stores, Kind::NetworkPolicy, &cut);
    let found = facts(&stores, "checkout");
    assert!(found.object(MemberKind::NetworkPolicy, "mine").is_some_and(|object| object.belongs));
    assert_ne!(closure::live_digest(&found), before);
}

#[test]
fn marks_of_a_recovery_that_is_gone_are_found_by_its_name() {
    let stores = world();
    put(&stores, Kind::Pod, &quarantined("q", 50, OURS));
    put(&stores, Kind::Pod, &quarantined("r", 51, "other-check-1"));
    let mut denied =
        network_policy("homeostat-checkout-check-1", 52, json!({"matchLabels": {"a": "b"}}), json!(["Egress"]));
    denied["metadata"]["labels"] = json!({"homeostat.dev/quarantined-by": OURS});
    put(&stores, Kind::NetworkPolicy, &denied);
    let mut stopped = deployment("scanner", 53);
    stopped["spec"]["replicas"] = json!(0);
    stopped["metadata"]["annotations"] = json!({"homeostat.dev/stopped-by": OURS});
    put(&stores, Kind::Deployment, &stopped);
    let mut switched = service("moved", 54, "elsewhere");
    switched["metadata"]["annotations"] = json!({"homeostat.dev/switched-by": OURS});
    put(&stores, Kind::Service, &switched);
    let marks = facts(&stores, "checkout").marks;
    let found: Vec<String> = marks.iter().map(|mark| format!("{} {}", mark.kind, mark.name)).collect();
    let expected = ["Pod q", "NetworkPolicy homeostat-checkout-check-1", "Service moved", "Deployment scanner"];
    assert_eq!(found, expected);
    assert!(marks.iter().all(|mark| mark.recovery == OURS));
}
