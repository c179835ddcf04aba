//! RecoveryBudgets: they belong to no namespace, and their own status wakes nobody.

use serde_json::json;

use super::*;
use crate::observe::Scope;
use crate::observe::stores::Listing;
use crate::observe::world::Moment;

fn budget(name: &str, version: u64, spec: Value) -> Value {
    json!({"apiVersion": "homeostat.dev/v1alpha1", "kind": "RecoveryBudget", "spec": spec,
        "metadata": {"name": name, "uid": format!("{name}-uid"), "resourceVersion": version.to_string()}})
}

#[test]
fn of_all_budgets_the_strictest_counts() {
    let stores = small_world();
    assert_eq!(stores.budgets().limits(), Default::default());
    put(&stores, Kind::RecoveryBudget, &budget("a", 20, json!({"cluster": {"maxTargets": 3}})));
    put(&stores, Kind::RecoveryBudget, &budget("b", 21, json!({"cluster": {"maxTargets": 7, "maxPercent": 5}})));
    let limits = stores.budgets().limits();
    assert_eq!((limits.cluster.max_targets, limits.cluster.max_percent), (3, 5));
    let gone = stores.read(Kind::RecoveryBudget, &budget("a", 22, json!({})).to_string()).identity;
    stores.remove(Kind::RecoveryBudget, &gone);
    assert_eq!(stores.budgets().limits().cluster.max_targets, 7);
}

/// It is told by its name, and blinds nobody: what is observed and judged stays so.
#[test]
fn a_budget_that_cannot_be_read_is_named() {
    let stores = small_world();
    put(&stores, Kind::RecoveryBudget, &budget("odd", 20, json!({"cluster": 3})));
    assert_eq!(stores.budgets().limits().unread, ["odd".to_owned()].into());
    assert!(facts(&stores, "checkout").sight.malformed.is_empty());
    put(&stores, Kind::RecoveryBudget, &budget("odd", 21, json!({})));
    assert!(stores.budgets().limits().unread.is_empty());
}

#[test]
fn a_list_of_budgets_replaces_those_that_are_gone() {
    let stores = small_world();
    put(&stores, Kind::RecoveryBudget, &budget("a", 20, json!({})));
    let sightings = vec![stores.read(Kind::RecoveryBudget, &budget("b", 21, json!({})).to_string())];
    stores.swap(Kind::RecoveryBudget, &Scope::All, Listing { sightings, moment: Moment::Version(30) });
    assert_eq!(stores.budgets().known.keys().collect::<Vec<_>>(), ["b"]);
    assert_eq!(stores.count(Kind::RecoveryPolicy), 1);
}

#[test]
fn a_status_wakes_nobody_and_can_be_read_back() {
    let stores = small_world();
    put(&stores, Kind::RecoveryBudget, &budget("a", 20, json!({})));
    let mut written = budget("a", 21, json!({}));
    written["status"] = json!({"brake": {"on": true, "since": "2026-01-01T00:00:00.000000Z"}});
    assert_eq!(stores.absorb(Kind::RecoveryBudget, &written.to_string()), None);
    assert!(stores.budgets().known["a"].status.brake.on);
}

#[test]
fn whether_a_target_is_under_action_is_read_from_its_open_recovery() {
    let stores = small_world();
    assert!(!stores.under_action(&key("checkout")));
    for (version, phase, expected) in [
        (20, "Acting", true),
        (21, "Verifying", true),
        (22, "Holding", false),
        (23, "Releasing", true),
        (24, "Closed", false),
    ] {
        put(&stores, Kind::Recovery, &recovery("checkout-1", version, "checkout", phase));
        assert_eq!(stores.under_action(&key("checkout")), expected, "{phase}");
    }
}
