//! Whom a change wakes.

use serde_json::json;

use super::*;

fn woken(stores: &Stores, kind: Kind, object: &Value) -> Vec<String> {
    let change = stores.absorb(kind, &object.to_string());
    let keys = change.map(|change| stores.policies_touched(&change)).unwrap_or_default();
    keys.into_iter().map(|key| key.name).collect()
}

fn gone(stores: &Stores, kind: Kind, object: &Value) -> Vec<String> {
    let identity = stores.read(kind, &object.to_string()).identity;
    let change = stores.remove(kind, &identity).expect("a change");
    stores.policies_touched(&change).into_iter().map(|key| key.name).collect()
}

/// The small world, and a policy for something else that nothing in it concerns.
fn two_policies() -> Stores {
    let stores = small_world();
    put(&stores, Kind::RecoveryPolicy, &policy("bystander", 10, "mail"));
    stores
}

#[test]
fn a_pod_finds_its_policy_by_its_replica_set() {
    let stores = two_policies();
    assert_eq!(woken(&stores, Kind::Pod, &pod("c", 20, "checkout-1")), ["checkout"]);
    assert_eq!(gone(&stores, Kind::Pod, &pod("c", 21, "checkout-1")), ["checkout"]);
    assert!(woken(&stores, Kind::Pod, &pod("d", 22, "unknown")).is_empty());
}

#[test]
fn a_quarantined_pod_finds_its_policy_by_the_recovery() {
    let stores = two_policies();
    put(&stores, Kind::Recovery, &recovery("checkout-1", 20, "checkout", "Closed"));
    assert_eq!(woken(&stores, Kind::Pod, &quarantined("q", 21, "checkout-1")), ["checkout"]);
    assert_eq!(gone(&stores, Kind::Pod, &quarantined("q", 22, "checkout-1")), ["checkout"]);
}

#[test]
fn a_replica_set_and_a_deployment_wake_those_who_name_the_deployment() {
    let stores = two_policies();
    put(&stores, Kind::RecoveryPolicy, &with_failover(policy("spare", 20, "mail"), "checkout", "mail"));
    assert_eq!(woken(&stores, Kind::ReplicaSet, &replica_set("checkout-2", 21, "checkout")), ["checkout", "spare"]);
    let mut changed = deployment("checkout", 22);
    changed["status"]["readyReplicas"] = json!(1);
    assert_eq!(woken(&stores, Kind::Deployment, &changed), ["checkout", "spare"]);
    assert_eq!(gone(&stores, Kind::Deployment, &changed), ["checkout", "spare"]);
}

#[test]
fn a_config_map_wakes_only_those_who_refer_to_it() {
    let stores = two_policies();
    assert!(woken(&stores, Kind::ConfigMap, &config_map("other", 20)).is_empty());
    assert_eq!(gone(&stores, Kind::ConfigMap, &config_map("settings", 21)), ["checkout"]);
    assert_eq!(woken(&stores, Kind::ConfigMap, &config_map("homeostat-0000", 22)), ["checkout"], "a copy of a state");
    put(&stores, Kind::StableState, &state("bystander-0000", 23, "bystander", "former"));
    assert_eq!(woken(&stores, Kind::ConfigMap, &config_map("former", 24)), ["bystander"]);
}

#[test]
fn a_namesake_of_another_kind_takes_no_link_along() {
    let stores = two_policies();
    let named = |uid: &str, version| {
        let mut workload = deployment("mail", version);
        workload["metadata"]["uid"] = json!(uid);
        workload["spec"]["template"] = template("letters");
        workload
    };
    put(&stores, Kind::Deployment, &named("one", 20));
    put(&stores, Kind::StatefulSet, &named("other", 21));
    gone(&stores, Kind::StatefulSet, &named("other", 22));
    assert_eq!(woken(&stores, Kind::ConfigMap, &config_map("letters", 23)), ["bystander"]);
}

#[test]
fn a_service_wakes_those_it_selects_and_those_who_move_traffic_by_it() {
    let stores = two_policies();
    assert!(woken(&stores, Kind::Service, &service("mail", 20, "mail")).is_empty());
    assert_eq!(woken(&stores, Kind::Service, &service("back", 21, "checkout")), ["checkout"]);
    assert_eq!(woken(&stores, Kind::Service, &service("back", 22, "mail")), ["checkout"], "as it was counts as well");
    put(&stores, Kind::RecoveryPolicy, &with_failover(policy("mover", 23, "mail"), "none", "mail"));
    assert_eq!(gone(&stores, Kind::Service, &service("mail", 24, "mail")), ["mover"]);
}

#[test]
fn an_endpoint_slice_wakes_as_its_service_does() {
    let stores = two_policies();
    let changed = slice("front-x", 20, "front", &[("b", true)]);
    assert_eq!(woken(&stores, Kind::EndpointSlice, &changed), ["checkout"]);
    let reordered = slice("front-x", 21, "front", &[("a", false), ("b", true)]);
    assert!(woken(&stores, Kind::EndpointSlice, &reordered).is_empty(), "the same pods are offered");
    assert_eq!(gone(&stores, Kind::EndpointSlice, &reordered), ["checkout"]);
    assert!(woken(&stores, Kind::EndpointSlice, &slice("mail-x", 22, "mail", &[("m", true)])).is_empty());
}

#[test]
fn records_wake_their_policy() {
    let stores = two_policies();
    assert_eq!(woken(&stores, Kind::StableState, &state("new", 20, "checkout", "settings")), ["checkout"]);
    assert_eq!(gone(&stores, Kind::StableState, &state("new", 21, "checkout", "settings")), ["checkout"]);
    assert_eq!(woken(&stores, Kind::Recovery, &recovery("gone-1", 22, "gone", "Acting")), ["gone"]);
    assert_eq!(gone(&stores, Kind::Recovery, &recovery("gone-1", 23, "gone", "Acting")), ["gone"]);
}

#[test]
fn a_policy_wakes_itself_and_its_rivals_also_when_it_goes() {
    let stores = two_policies();
    let rival = policy("rival", 20, "checkout");
    assert_eq!(woken(&stores, Kind::RecoveryPolicy, &rival), ["checkout", "rival"]);
    assert_eq!(woken(&stores, Kind::RecoveryPolicy, &policy("rival", 21, "mail")), ["bystander", "checkout", "rival"]);
    assert_eq!(gone(&stores, Kind::RecoveryPolicy, &policy("rival", 22, "mail")), ["bystander", "rival"]);
}

#[test]
fn an_open_recovery_that_outlived_its_policy_is_woken_by_the_target() {
    let stores = two_policies();
    put(&stores, Kind::Recovery, &recovery("former-1", 20, "former", "Acting"));
    assert_eq!(gone(&stores, Kind::Deployment, &deployment("checkout", 21)), ["checkout", "former"]);
}

#[test]
fn a_malformed_object_wakes_everyone_near_it_once() {
    let stores = two_policies();
    let odd = json!({"metadata": owned("odd", 20, "ReplicaSet", "checkout-1"), "status": 3});
    assert_eq!(woken(&stores, Kind::Pod, &odd), ["bystander", "checkout"]);
    assert!(woken(&stores, Kind::Pod, &odd).is_empty());
    assert_eq!(gone(&stores, Kind::Pod, &odd), ["bystander", "checkout"]);
}

#[tokio::test]
async fn wake_ups_are_merged_and_none_is_lost() {
    let stores = std::sync::Arc::new(two_policies());
    stores.touched().await;
    let waiting = std::sync::Arc::clone(&stores);
    let waiter = tokio::spawn(async move { waiting.touched().await });
    tokio::task::yield_now().await;
    put(&stores, Kind::Pod, &pod("c", 20, "checkout-1"));
    put(&stores, Kind::Pod, &pod("d", 21, "checkout-1"));
    assert_eq!(waiter.await.unwrap(), [key("checkout")].into());
    put(&stores, Kind::RecoveryPolicy, &policy("bystander", 22, "checkout"));
    assert_eq!(stores.touched().await, [key("bystander"), key("checkout")].into());
}

#[test]
fn what_a_policy_includes_wakes_it() {
    let stores = two_policies();
    assert!(woken(&stores, Kind::ConfigMap, &config_map("flags", 20)).is_empty());
    assert!(woken(&stores, Kind::Service, &service("store", 21, "store")).is_empty());
    let mut bystander = policy("bystander", 22, "mail");
    bystander["spec"]["closure"] =
        json!({"include": [{"kind": "ConfigMap", "name": "flags"}, {"kind": "Service", "name": "store"}]});
    put(&stores, Kind::RecoveryPolicy, &bystander);
    assert_eq!(gone(&stores, Kind::ConfigMap, &config_map("flags", 23)), ["bystander"]);
    assert_eq!(gone(&stores, Kind::Service, &service("store", 24, "store")), ["bystander"]);
}
