//! What is kept, and what replaces it.

use serde_json::json;

use super::*;
use crate::observe::Scope;
use crate::observe::stores::Listing;
use crate::observe::world::Moment;

fn listing(stores: &Stores, kind: Kind, objects: &[Value], moment: Moment) -> Listing {
    Listing { sightings: objects.iter().map(|object| stores.read(kind, &object.to_string())).collect(), moment }
}

fn names(changes: &[crate::observe::Change]) -> Vec<&str> {
    changes.iter().map(|change| change.name.as_str()).collect()
}

#[test]
fn a_malformed_object_hides_no_other() {
    let stores = small_world();
    let bad = json!({"metadata": metadata("bad", 20), "spec": {"template": 3}});
    let objects = [deployment("checkout", 21), bad, deployment("other", 22)];
    stores.swap(Kind::Deployment, &Scope::All, listing(&stores, Kind::Deployment, &objects, Moment::Version(30)));
    assert_eq!((stores.count(Kind::Deployment), stores.count_malformed()), (2, 1));
    assert!(facts(&stores, "checkout").sight.malformed.is_empty(), "another Deployment is no concern of ours");
}

#[test]
fn a_malformed_pod_of_the_namespace_is_named_until_it_is_cured() {
    let stores = small_world();
    put(&stores, Kind::Pod, &json!({"metadata": owned("odd", 20, "ReplicaSet", "checkout-1"), "status": {"phase": 1}}));
    assert_eq!(facts(&stores, "checkout").sight.malformed, ["Pod shop/odd"]);
    put(&stores, Kind::Pod, &pod("odd", 21, "checkout-1"));
    assert!(facts(&stores, "checkout").sight.malformed.is_empty());
    assert_eq!(facts(&stores, "checkout").pods.len(), 3);
}

#[test]
fn a_target_that_became_malformed_is_not_gone() {
    let stores = small_world();
    put(&stores, Kind::Deployment, &json!({"metadata": metadata("checkout", 20), "spec": {}}));
    let facts = facts(&stores, "checkout");
    assert!(facts.target.is_some());
    assert_eq!(facts.sight.malformed, ["Deployment shop/checkout"]);
    assert!(facts.sight.blind.is_empty());
}

#[test]
fn a_target_that_was_never_read_blinds() {
    let stores = stores();
    put(&stores, Kind::RecoveryPolicy, &policy("checkout", 1, "checkout"));
    put(&stores, Kind::Deployment, &json!({"metadata": metadata("checkout", 2), "spec": {}}));
    assert_eq!(facts(&stores, "checkout").sight.blind, ["Deployment shop/checkout cannot be read"]);
}

#[test]
fn a_policy_that_was_never_read_is_not_taken_for_a_deleted_one() {
    let stores = stores();
    put(&stores, Kind::RecoveryPolicy, &json!({"metadata": metadata("checkout", 1), "spec": {"mode": "Bold"}}));
    assert!(stores.facts(&key("checkout"), CEILING, vec![]).is_none());
    put(&stores, Kind::Recovery, &recovery("checkout-1", 2, "checkout", "Acting"));
    let facts = facts(&stores, "checkout");
    assert!(facts.policy.is_none());
    assert!(facts.sight.blind.contains(&"RecoveryPolicy shop/checkout cannot be read".to_owned()));
}

#[test]
fn an_object_without_a_name_stays_in_everybodys_way() {
    let stores = small_world();
    put(&stores, Kind::Pod, &json!({"metadata": {"labels": []}}));
    assert_eq!(facts(&stores, "checkout").sight.malformed, ["some Pod without a name"]);
    stores.swap(Kind::Pod, &Scope::All, listing(&stores, Kind::Pod, &[], Moment::Version(30)));
    assert!(facts(&stores, "checkout").sight.malformed.is_empty());
}

#[test]
fn an_older_version_never_overwrites_a_newer_one() {
    let stores = small_world();
    let mut newer = deployment("checkout", 100);
    newer["spec"]["replicas"] = json!(9);
    put(&stores, Kind::Deployment, &newer);
    // As text 99 is greater than 100.
    assert!(stores.absorb(Kind::Deployment, &deployment("checkout", 99).to_string()).is_none());
    assert_eq!(facts(&stores, "checkout").target.map(|target| target.replicas), Some(9));
    assert_eq!(stores.resource_version(Kind::Deployment, "shop", "checkout").as_deref(), Some("100"));
}

#[test]
fn a_version_that_is_not_a_number_is_malformed() {
    let stores = small_world();
    let mut odd = pod("a", 0, "checkout-1");
    odd["metadata"]["resourceVersion"] = json!("new");
    put(&stores, Kind::Pod, &odd);
    assert_eq!(stores.count_malformed(), 0, "what is known is newer than what has no version");
    odd["metadata"]["name"] = json!("fresh");
    put(&stores, Kind::Pod, &odd);
    assert_eq!(facts(&stores, "checkout").sight.malformed, ["Pod shop/fresh"]);
}

#[test]
fn nothing_new_is_no_change_but_a_newer_version() {
    let stores = small_world();
    assert!(stores.absorb(Kind::Deployment, &deployment("checkout", 50).to_string()).is_none());
    assert_eq!(stores.resource_version(Kind::Deployment, "shop", "checkout").as_deref(), Some("50"));
}

#[test]
fn a_relist_tells_deletions() {
    let stores = small_world();
    let left = [pod("b", 5, "checkout-1")];
    let changes = stores.swap(Kind::Pod, &Scope::All, listing(&stores, Kind::Pod, &left, Moment::Version(30)));
    assert_eq!(names(&changes), ["a"]);
    assert_eq!(stores.policies_touched(&changes[0]), [key("checkout")]);
    assert_eq!(facts(&stores, "checkout").pods.len(), 1);
}

#[test]
fn a_relist_does_not_undo_what_we_wrote_meanwhile() {
    let stores = small_world();
    put(&stores, Kind::Recovery, &recovery("checkout-1", 40, "checkout", "Acting"));
    let changes = stores.swap(Kind::Recovery, &Scope::All, listing(&stores, Kind::Recovery, &[], Moment::Version(30)));
    assert!(changes.is_empty());
    assert_eq!(facts(&stores, "checkout").recoveries.len(), 1);
}

#[test]
fn a_restored_cluster_begins_anew() {
    let stores = small_world();
    let mut past = deployment("checkout", 1);
    past["spec"]["replicas"] = json!(7);
    stores.swap(Kind::Deployment, &Scope::All, listing(&stores, Kind::Deployment, &[past], Moment::Beginning));
    assert_eq!(facts(&stores, "checkout").target.map(|target| target.replicas), Some(7));
}

#[test]
fn a_relist_of_one_namespace_leaves_the_others_alone() {
    let stores = small_world();
    let scope = Scope::Namespace("elsewhere".into());
    assert!(stores.swap(Kind::Pod, &scope, listing(&stores, Kind::Pod, &[], Moment::Version(30))).is_empty());
    assert_eq!(facts(&stores, "checkout").pods.len(), 2);
}

#[test]
fn the_deletion_of_a_former_object_does_not_remove_its_successor() {
    let stores = small_world();
    let former = stores.read(Kind::Pod, &pod("a", 4, "checkout-1").to_string()).identity;
    let mut successor = pod("a", 40, "checkout-1");
    successor["metadata"]["uid"] = json!("another");
    put(&stores, Kind::Pod, &successor);
    assert!(stores.remove(Kind::Pod, &former).is_none());
    assert_eq!(facts(&stores, "checkout").pods.len(), 2);
}

#[test]
fn what_we_deleted_is_not_revived_by_old_news() {
    let stores = small_world();
    let change = stores.forget(Kind::Pod, "shop", "a", "a-uid").expect("a change");
    assert_eq!(stores.policies_touched(&change), [key("checkout")]);
    assert!(stores.absorb(Kind::Pod, &pod("a", 60, "checkout-1").to_string()).is_none());
    let identity = stores.read(Kind::Pod, &pod("a", 61, "checkout-1").to_string()).identity;
    stores.remove(Kind::Pod, &identity);
    assert_eq!(facts(&stores, "checkout").pods.len(), 1);
}

#[test]
fn a_pod_that_nobody_needs_is_not_kept() {
    let stores = small_world();
    put(&stores, Kind::Pod, &json!({"metadata": owned("job-1", 20, "Job", "job")}));
    assert_eq!(stores.count(Kind::Pod), 2);
    let mut released = pod("a", 21, "checkout-1");
    released["metadata"]["ownerReferences"] = json!(null);
    put(&stores, Kind::Pod, &released);
    assert_eq!(facts(&stores, "checkout").pods.len(), 1);
}

#[test]
fn an_empty_namespace_is_forgotten() {
    let stores = stores();
    put(&stores, Kind::ConfigMap, &config_map("a", 1));
    stores.swap(Kind::ConfigMap, &Scope::All, listing(&stores, Kind::ConfigMap, &[], Moment::Version(2)));
    assert!(stores.facts(&key("checkout"), CEILING, vec![]).is_none());
    assert_eq!(stores.count(Kind::ConfigMap), 0);
}

#[test]
fn the_answer_to_a_write_says_itself_what_it_is() {
    let stores = small_world();
    let mut answer = pod("c", 30, "checkout-1");
    assert!(stores.absorb_answer(&answer).is_none());
    answer["apiVersion"] = json!("v1");
    answer["kind"] = json!("Pod");
    assert!(stores.absorb_answer(&answer).is_some());
    assert_eq!(facts(&stores, "checkout").pods.len(), 3);
}
