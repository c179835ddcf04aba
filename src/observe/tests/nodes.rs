//! Nodes: what is kept of them, what is counted, and what the pods of others say.

use serde_json::json;

use super::*;
use crate::plan::nodes::{NodeFacts, Nodes};

fn node(name: &str, version: u64, ready: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "uid": format!("{name}-uid"), "resourceVersion": version.to_string(),
            "labels": {"topology.kubernetes.io/zone": "z1"}},
        "spec": {},
        "status": {"conditions": [
            {"type": "MemoryPressure", "status": "False"},
            {"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ]},
    })
}

fn on(mut pod: Value, node: &str, ready: bool) -> Value {
    pod["spec"] = json!({"nodeName": node});
    if !ready {
        let at = "2026-01-01T00:10:00Z";
        pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False", "lastTransitionTime": at}]);
    }
    pod
}

fn nodes(stores: &Stores) -> Nodes {
    stores.nodes(&facts(stores, "checkout"))
}

fn known(stores: &Stores, name: &str) -> NodeFacts {
    nodes(stores).known(name).expect("a known node").clone()
}

#[test]
fn all_are_counted_and_only_those_with_pods_of_the_target_are_kept() {
    let stores = small_world();
    let mut cordoned = node("c", 22, "True");
    cordoned["spec"] = json!({"unschedulable": true, "taints": [
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]});
    cordoned["metadata"]["annotations"] = json!({"homeostat.dev/cordoned-by": "other/web-1"});
    let mut tainted = node("d", 23, "True");
    tainted["spec"] = json!({"taints": [{"key": "gpu", "effect": "NoExecute"}]});
    for node in [node("a", 20, "True"), node("b", 21, "Unknown"), cordoned, tainted] {
        put(&stores, Kind::Node, &node);
    }
    put(&stores, Kind::Pod, &on(pod("a", 24, "checkout-1"), "a", true));
    let nodes = nodes(&stores);
    assert_eq!((nodes.all, nodes.ready, nodes.schedulable, nodes.unread), (4, 3, 1, 0));
    assert_eq!(nodes.last_back, Some("2026-01-01T00:00:00Z".parse().unwrap()));
    assert_eq!(nodes.cordoned, ["c".to_owned()].into());
    assert_eq!(nodes.known.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["a"]);
    let a = known(&stores, "a");
    assert_eq!((a.zone.as_str(), a.ready, a.tainted), ("z1", true, false));
}

#[test]
fn a_node_that_our_recovery_cordoned_is_kept_without_pods() {
    let stores = small_world();
    put(&stores, Kind::Recovery, &recovery("checkout-1", 20, "checkout", "Closed"));
    let mut marked = node("a", 21, "Unknown");
    marked["spec"] = json!({"unschedulable": true});
    marked["metadata"]["annotations"] = json!({"homeostat.dev/cordoned-by": "shop/checkout-1"});
    put(&stores, Kind::Node, &marked);
    assert!(known(&stores, "a").unschedulable);
    marked["metadata"]["annotations"] = json!({"homeostat.dev/cordoned-by": "else/checkout-1"});
    marked["metadata"]["resourceVersion"] = json!("22");
    put(&stores, Kind::Node, &marked);
    assert!(nodes(&stores).known.is_empty());
}

#[test]
fn a_heartbeat_wakes_nobody_and_a_change_everybody() {
    let stores = small_world();
    put(&stores, Kind::Node, &node("a", 20, "True"));
    let mut beat = node("a", 21, "True");
    beat["status"]["conditions"][1]["lastHeartbeatTime"] = json!("2026-01-01T00:05:00Z");
    assert_eq!(stores.absorb(Kind::Node, &beat.to_string()), None);
    let change = stores.absorb(Kind::Node, &node("a", 22, "Unknown").to_string()).expect("a change");
    assert_eq!(stores.policies_touched(&change), [key("checkout")]);
}

#[test]
fn a_node_that_cannot_be_read_is_counted_and_blinds_nobody() {
    let stores = small_world();
    put(&stores, Kind::Node, &json!({"metadata": {"name": "odd", "uid": "u", "resourceVersion": "20"}, "spec": 3}));
    assert_eq!(nodes(&stores).unread, 1);
    assert!(facts(&stores, "checkout").sight.malformed.is_empty());
}

/// The other workload lives in another namespace.
#[test]
fn what_makes_others_sick_shows_in_their_pods() {
    let other = |name: &str, version: u64, node: &str, ready: bool| {
        let mut pod = on(pod(name, version, "cart-1"), node, ready);
        pod["metadata"]["namespace"] = json!("elsewhere");
        pod
    };
    let stores = small_world();
    for (version, name) in [(20, "n1"), (21, "n2")] {
        put(&stores, Kind::Node, &node(name, version, "True"));
    }
    put(&stores, Kind::Pod, &on(pod("a", 22, "checkout-1"), "n1", false));
    put(&stores, Kind::Pod, &on(pod("b", 23, "checkout-1"), "n2", true));
    assert_eq!(known(&stores, "n1").sick_others, 0, "its own pods are not others");
    put(&stores, Kind::Pod, &other("x", 24, "n1", false));
    assert_eq!(known(&stores, "n1").sick_others, 0, "it is nowhere well");
    put(&stores, Kind::Pod, &other("y", 25, "n2", true));
    assert_eq!(known(&stores, "n1").sick_others, 1);
    assert_eq!(known(&stores, "n2").sick_others, 0);
    put(&stores, Kind::Pod, &other("z", 26, "n1", true));
    assert_eq!(known(&stores, "n1").sick_others, 0, "one of its copies there is well");
    // One that was only just made may still get ready.
    let mut young = other("x", 27, "n1", false);
    young["status"]["conditions"][0]["lastTransitionTime"] = json!("2026-01-01T00:00:00Z");
    put(&stores, Kind::Pod, &young);
    put(&stores, Kind::Pod, &other("z", 28, "n2", true));
    assert_eq!(known(&stores, "n1").sick_others, 0);
}
