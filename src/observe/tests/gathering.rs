//! Facts of small worlds.

use serde_json::json;

use super::*;
use crate::api::Remediation;
use crate::plan::content;
use crate::plan::member::MemberKind;

/// The namespace controller deletes pods before policies: what is left has nothing to look after any more.
#[test]
fn a_namespace_that_is_being_deleted_takes_its_policies_with_it() {
    let stores = small_world();
    let namespace = |version: &str, deleted: Value| {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "uid": "n-uid",
            "resourceVersion": version, "deletionTimestamp": deleted}})
    };
    put(&stores, Kind::Namespace, &namespace("50", json!(null)));
    assert!(!facts(&stores, "checkout").policy.unwrap().deleting);
    let change = stores.absorb(Kind::Namespace, &namespace("51", json!("2026-01-01T00:00:00Z")).to_string()).unwrap();
    assert!(facts(&stores, "checkout").policy.unwrap().deleting);
    assert_eq!(stores.policies_touched(&change), [key("checkout")]);
}

#[test]
fn a_small_world() {
    let facts = facts(&small_world(), "checkout");
    let target = facts.target.as_ref().expect("a target");
    assert_eq!((target.uid.as_str(), target.replicas, target.ready_replicas), ("checkout-uid", 2, 2));
    assert_eq!(facts.revisions.len(), 1);
    assert_eq!(facts.present_revisions().into_iter().collect::<Vec<_>>(), ["checkout-1"]);
    let pods: Vec<_> = facts.pods.iter().map(|pod| (pod.name.as_str(), pod.revision.as_str(), pod.ready)).collect();
    assert_eq!(pods, [("a", "checkout-1", true), ("b", "checkout-1", true)]);
    assert_eq!(facts.config_maps.keys().collect::<Vec<_>>(), ["settings"]);
    assert_eq!(facts.config_maps["settings"].digest, content::digest(r#"{"data":{"a":"1"}}"#));
    let services: Vec<_> = facts.services.iter().map(|service| (service.name.as_str(), &service.offered)).collect();
    assert_eq!(services, [("front", &["a-uid".to_owned()].into())]);
    assert_eq!(facts.states.len(), 1);
    assert!(facts.states[0].sealed);
    assert_eq!(facts.states[0].time_to_ready, 7);
    assert!(facts.sight.blind.is_empty() && facts.sight.malformed.is_empty());
    assert!(facts.policy.is_some_and(|policy| policy.rivals.is_empty() && policy.uid == "checkout-uid"));
}

#[test]
fn the_same_world_gives_the_same_bytes_whatever_the_order() {
    let text = |stores: &Stores| serde_json::to_string(&facts(stores, "checkout")).unwrap();
    let first = small_world();
    put(&first, Kind::Pod, &pod("c", 20, "checkout-1"));
    let second = stores();
    put(&second, Kind::Pod, &pod("c", 20, "checkout-1"));
    put(&second, Kind::StableState, &state("checkout-0000", 9, "checkout", "settings"));
    put(&second, Kind::EndpointSlice, &slice("front-x", 8, "front", &[("b", false), ("a", true)]));
    put(&second, Kind::Service, &service("front", 7, "checkout"));
    put(&second, Kind::ConfigMap, &config_map("settings", 6));
    put(&second, Kind::Pod, &pod("b", 5, "checkout-1"));
    put(&second, Kind::Pod, &pod("a", 4, "checkout-1"));
    put(&second, Kind::ReplicaSet, &replica_set("checkout-1", 3, "checkout"));
    put(&second, Kind::Deployment, &deployment("checkout", 2));
    put(&second, Kind::RecoveryPolicy, &policy("checkout", 1, "checkout"));
    assert_eq!(text(&first), text(&second));
}

#[test]
fn nobody_is_known_by_a_name_alone() {
    assert!(small_world().facts(&key("other"), CEILING, vec![]).is_none());
    assert!(small_world().facts(&PolicyKey::new("elsewhere", "checkout"), CEILING, vec![]).is_none());
}

#[test]
fn a_deployment_created_anew_does_not_inherit_pods() {
    let stores = small_world();
    let mut anew = deployment("checkout", 20);
    anew["metadata"]["uid"] = json!("another");
    put(&stores, Kind::Deployment, &anew);
    let facts = facts(&stores, "checkout");
    assert!(facts.target.is_some());
    assert!(facts.pods.is_empty() && facts.revisions.is_empty());
}

#[test]
fn a_replica_set_created_anew_does_not_inherit_pods() {
    let stores = small_world();
    let mut anew = replica_set("checkout-1", 20, "checkout");
    anew["metadata"]["uid"] = json!("another");
    put(&stores, Kind::ReplicaSet, &anew);
    assert!(facts(&stores, "checkout").pods.is_empty());
}

#[test]
fn only_our_own_quarantine_takes_a_pod_out() {
    let stores = small_world();
    put(&stores, Kind::Recovery, &recovery("checkout-1", 20, "checkout", "Acting"));
    let mark = |name: &str, version: u64, recovery: &str| {
        let mut pod = pod(name, version, "checkout-1");
        pod["metadata"]["labels"]["homeostat.dev/quarantined-by"] = json!(recovery);
        pod
    };
    put(&stores, Kind::Pod, &mark("a", 21, "checkout-1"));
    put(&stores, Kind::Pod, &mark("b", 22, "forged"));
    put(&stores, Kind::Pod, &quarantined("old", 23, "checkout-1"));
    let facts = facts(&stores, "checkout");
    assert_eq!(facts.pods.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(facts.quarantined.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(), ["a", "old"]);
    assert!(facts.quarantined[1].inspect_until.is_some());
}

#[test]
fn a_route_belongs_if_it_leads_to_a_service_of_the_target() {
    let cases = [
        (json!([{"name": "front", "port": 80}]), Some(vec![])),
        (json!([{"name": "other"}, {"name": "front", "weight": 0}]), Some(vec!["other"])),
        (json!([{"group": "", "kind": "Service", "namespace": "shop", "name": "front"}]), Some(vec![])),
        (json!([{"name": "front", "namespace": "elsewhere"}]), None),
        (json!([{"group": "multicluster.x-k8s.io", "kind": "ServiceImport", "name": "front"}]), None),
        (json!([{"name": "other"}]), None),
        (json!([]), None),
        (json!("odd"), None),
    ];
    for (kind, member) in [(Kind::HttpRoute, MemberKind::HttpRoute), (Kind::GrpcRoute, MemberKind::GrpcRoute)] {
        for (backends, expected) in &cases {
            let stores = small_world();
            stores.absorb_answer(&route("edge", 20, kind.name(), backends)).expect("a change");
            let found = facts(&stores, "checkout").object(member, "edge").map(|route| {
                assert!(route.belongs && !route.digest.is_empty());
                route.dangling.iter().cloned().collect::<Vec<_>>()
            });
            assert_eq!(
                found,
                expected.clone().map(|names| names.into_iter().map(str::to_owned).collect()),
                "{backends}"
            );
        }
    }
}

#[test]
fn a_route_says_its_weights_who_moved_them_and_brings_the_standbys_service_into_view() {
    let stores = small_world();
    let backends = json!([{"name": "front", "weight": 0}, {"name": "entry", "weight": 100}]);
    let mut moved = route("edge", 20, "HTTPRoute", &backends);
    moved["metadata"]["annotations"] = json!({"homeostat.dev/switched-by": "checkout-1"});
    stores.absorb_answer(&moved).expect("a change");
    put(&stores, Kind::Service, &service("entry", 21, "spare"));
    let services = |stores: &Stores| facts(stores, "checkout").services.len();
    assert_eq!(services(&stores), 1);
    let mut policy = with_failover(policy("checkout", 22, "checkout"), "spare", "front");
    policy["spec"]["actions"]["failover"]["via"] = json!({"httpRoute": {"name": "edge", "standbyService": "entry"}});
    put(&stores, Kind::RecoveryPolicy, &policy);
    assert_eq!(services(&stores), 2);
    let facts = facts(&stores, "checkout");
    let found = facts.object(MemberKind::HttpRoute, "edge").expect("the route");
    let weights = found.backends.iter().map(|backend| (backend.service.as_str(), backend.weight));
    assert_eq!(weights.collect::<Vec<_>>(), [("front", 0), ("entry", 100)]);
    assert_eq!(found.switched_by.as_deref(), Some("checkout-1"));
    assert!(stores.minds(&key("checkout"), Kind::HttpRoute) && !stores.minds(&key("checkout"), Kind::GrpcRoute));
}

#[test]
fn rivals_are_named_unless_they_are_going() {
    let stores = small_world();
    put(&stores, Kind::RecoveryPolicy, &policy("rival", 20, "checkout"));
    let rivals = |stores: &Stores| facts(stores, "checkout").policy.map(|policy| policy.rivals).unwrap_or_default();
    assert_eq!(rivals(&stores), ["rival"]);
    let mut going = policy("rival", 21, "checkout");
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    put(&stores, Kind::RecoveryPolicy, &going);
    assert!(rivals(&stores).is_empty());
    put(&stores, Kind::RecoveryPolicy, &with_failover(policy("spare", 22, "mail"), "checkout", "mail"));
    assert!(rivals(&stores).is_empty(), "a standby is not a target");
}

#[test]
fn without_a_policy_the_newest_recovery_names_the_target() {
    let stores = small_world();
    let earlier = recovery("checkout-9", 20, "checkout", "Closed");
    let mut later = recovery("checkout-10", 21, "checkout", "Acting");
    later["metadata"]["creationTimestamp"] = json!("2026-01-02T00:00:00Z");
    put(&stores, Kind::Recovery, &later);
    put(&stores, Kind::Recovery, &earlier);
    let identity = stores.read(Kind::RecoveryPolicy, &policy("checkout", 22, "checkout").to_string()).identity;
    stores.remove(Kind::RecoveryPolicy, &identity);
    let facts = facts(&stores, "checkout");
    assert!(facts.policy.is_none());
    assert_eq!(facts.recoveries.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["checkout-9", "checkout-10"]);
    assert_eq!(facts.target.map(|target| target.name), Some("checkout".to_owned()));
    assert_eq!(facts.pods.len(), 2);
}

#[test]
fn a_failover_shows_standby_and_service() {
    let stores = small_world();
    put(&stores, Kind::RecoveryPolicy, &with_failover(policy("checkout", 20, "checkout"), "spare", "entry"));
    put(&stores, Kind::Deployment, &deployment("spare", 21));
    put(&stores, Kind::ReplicaSet, &replica_set("spare-1", 22, "spare"));
    put(&stores, Kind::Pod, &pod("s", 23, "spare-1"));
    put(&stores, Kind::Service, &service("entry", 24, "spare"));
    let facts = facts(&stores, "checkout");
    assert_eq!(facts.standby.map(|standby| standby.name), Some("spare".to_owned()));
    assert_eq!(facts.standby_pods.len(), 1);
    assert_eq!(facts.services.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["entry", "front"]);
}

#[test]
fn a_service_that_we_switched_stays_in_view() {
    let stores = small_world();
    let mut switched = service("entry", 20, "spare");
    switched["metadata"]["annotations"] = json!({"homeostat.dev/switched-by": "checkout-1"});
    put(&stores, Kind::Service, &switched);
    assert_eq!(facts(&stores, "checkout").services.len(), 1);
    put(&stores, Kind::Recovery, &recovery("checkout-1", 21, "checkout", "OnStandby"));
    assert_eq!(facts(&stores, "checkout").services.len(), 2);
}

#[test]
fn a_closed_recovery_keeps_only_what_later_decisions_need() {
    let stores = small_world();
    put(&stores, Kind::Recovery, &recovery("checkout-1", 20, "checkout", "Closed"));
    put(&stores, Kind::Recovery, &recovery("checkout-2", 21, "checkout", "Verifying"));
    let facts = facts(&stores, "checkout");
    let [closed, open] = facts.recoveries.as_slice() else { panic!("two Recoveries") };
    assert!(closed.journal.steps.is_empty() && closed.spec.opening.steps.is_empty());
    assert_eq!((open.journal.steps.len(), open.journal.decision.alternatives.len()), (1, 1));
}

/// It is the memory of what is not written again.
#[test]
fn a_closed_recovery_whose_write_was_undone_keeps_that_step() {
    let stores = small_world();
    let mut closed = recovery("checkout-1", 20, "checkout", "Closed");
    for place in ["/spec/opening", "/status/journal"] {
        let journal = closed.pointer_mut(place).expect("a journal");
        (journal["reason"], journal["outcome"]) = (json!("RevertedByGitOps"), json!("Escalated"));
        let pod = json!({"kind": "Pod", "name": "a"});
        let other = json!({"remediation": "EvictPod", "state": "Done", "intent": "evict", "object": pod});
        journal["steps"].as_array_mut().expect("steps").push(other);
    }
    put(&stores, Kind::Recovery, &closed);
    let facts = facts(&stores, "checkout");
    let kept: Vec<_> = facts.recoveries[0].journal.steps.iter().map(|step| step.remediation).collect();
    assert_eq!(kept, [Remediation::RestoreTemplate]);
}

/// Every Service of the namespace counts, by its selector and by what its slices still say.
#[test]
fn who_still_reaches_a_pod_in_quarantine_is_seen() {
    let stores = small_world();
    put(&stores, Kind::Recovery, &recovery("checkout-1", 20, "checkout", "Verifying"));
    put(&stores, Kind::Pod, &quarantined("old", 23, "checkout-1"));
    let reached = |stores: &Stores| facts(stores, "checkout").quarantined[0].reached_by.clone();
    assert!(reached(&stores).is_empty());
    put(&stores, Kind::EndpointSlice, &slice("admin-x", 24, "admin", &[("old", true)]));
    put(&stores, Kind::Service, &service("admin", 25, "elsewhere"));
    assert_eq!(reached(&stores), ["admin".to_owned()].into());
    put(&stores, Kind::EndpointSlice, &slice("admin-x", 26, "admin", &[("old", false)]));
    assert!(reached(&stores).is_empty());
}

#[test]
fn blindness_is_passed_on() {
    let facts = small_world().facts(&key("checkout"), CEILING, vec!["pods: not listed yet".into()]).expect("facts");
    assert_eq!(facts.sight.blind, ["pods: not listed yet"]);
}

#[test]
fn records_of_others_that_cannot_be_read_do_not_matter() {
    let stores = small_world();
    let labelled = |name: &str, version: u64, policy: &str| {
        let mut metadata = metadata(name, version);
        metadata["labels"] = json!({"homeostat.dev/policy": policy});
        json!({"metadata": metadata, "spec": {}})
    };
    put(&stores, Kind::StableState, &labelled("theirs", 20, "other"));
    put(&stores, Kind::ConfigMap, &json!({"metadata": metadata("odd", 21), "immutable": 3}));
    assert!(facts(&stores, "checkout").sight.malformed.is_empty());
    put(&stores, Kind::StableState, &labelled("ours", 22, "checkout"));
    assert_eq!(facts(&stores, "checkout").sight.malformed, ["StableState shop/ours"]);
}

fn included(stores: &Stores, objects: &Value) {
    let mut policy = policy("checkout", 40, "checkout");
    policy["spec"]["closure"] = json!({"include": objects});
    put(stores, Kind::RecoveryPolicy, &policy);
}

#[test]
fn what_a_policy_includes_belongs_to_its_closure_if_it_exists() {
    let stores = small_world();
    put(&stores, Kind::ConfigMap, &config_map("flags", 30));
    put(&stores, Kind::Service, &service("store", 31, "store"));
    assert!(!facts(&stores, "checkout").config_maps.contains_key("flags"));
    included(
        &stores,
        &json!([{"kind": "ConfigMap", "name": "flags"}, {"kind": "Service", "name": "store"},
        {"kind": "ServiceAccount", "name": "nobody"}]),
    );
    let facts = facts(&stores, "checkout");
    assert!(facts.config_maps.contains_key("flags"));
    let objects: Vec<_> = facts.objects.iter().map(|object| (object.name.as_str(), object.belongs)).collect();
    assert_eq!(objects, [("front", true), ("store", true)]);
    let live = crate::plan::closure::live_members(&facts).unwrap_or_default();
    let live: Vec<_> = live.into_iter().map(|(_, name, ..)| name).collect();
    assert_eq!(live, ["flags", "settings", "front", "store", "checkout"]);
}

fn autoscaler(version: u64, name: &str, cpu: i32) -> Value {
    json!({"metadata": metadata("scaler", version), "spec": {"maxReplicas": 6, "metrics": [cpu],
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}}})
}

#[test]
fn an_autoscaler_says_how_it_scales_and_whom_instead_of_the_target() {
    use crate::plan::autoscaling::Scaling;

    let stores = small_world();
    let recorded = autoscaler(30, "checkout", 80);
    let content = content::canonical(&content::of(MemberKind::HorizontalPodAutoscaler, &recorded));
    let mut state = state("checkout-0001", 31, "checkout", "settings");
    let member =
        json!({"kind": "HorizontalPodAutoscaler", "name": "scaler", "digest": "0".repeat(64), "content": content});
    state["spec"]["record"]["members"].as_array_mut().unwrap().push(member);
    put(&stores, Kind::StableState, &state);
    let mut green = deployment("green", 32);
    green["status"]["availableReplicas"] = json!(1);
    put(&stores, Kind::Deployment, &green);
    for (version, scales, other) in
        [(40, "checkout", None), (41, "green", Some("Deployment green")), (42, "gone", None)]
    {
        put(&stores, Kind::HorizontalPodAutoscaler, &autoscaler(version, scales, 20));
        let facts = facts(&stores, "checkout");
        let live = facts.objects.iter().find(|object| object.name == "scaler").unwrap();
        assert_eq!((live.belongs, live.scales_other.as_deref()), (scales == "checkout", other), "{scales}");
        assert_eq!(live.scaling, Scaling::of(&autoscaler(1, "", 20)));
        let recorded = facts.states.iter().flat_map(|state| &state.members).find_map(|member| member.scaling.clone());
        assert_eq!(recorded, Scaling::of(&autoscaler(1, "", 80)));
    }
}

#[test]
fn it_is_known_when_a_config_map_and_a_secret_were_written() {
    let stores = small_world();
    let mut map = config_map("settings", 50);
    map["metadata"]["managedFields"] = json!([
        {"manager": "helm", "operation": "Apply", "time": "2026-01-01T00:00:07Z", "fieldsV1": {"f:data": {"f:a": {}}}},
        {"manager": "kubectl", "operation": "Update", "time": "2026-01-01T00:00:09Z", "fieldsV1": {"f:data": {"f:b": {}}}},
        {"manager": "other", "operation": "Update", "subresource": "status", "time": "2026-01-01T00:00:11Z"},
    ]);
    put(&stores, Kind::ConfigMap, &map);
    let written = facts(&stores, "checkout").config_maps["settings"].written;
    assert_eq!(written, "2026-01-01T00:00:09Z".parse().ok());
}
