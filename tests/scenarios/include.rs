//! Objects that a policy adds to the closure: treated as others of their kind, and never deleted.

use homeostat::api::policy::{GuardRailPolicy, Included, IncludedKind, MemberPolicy};
use homeostat::api::{Outcome, Reason, Remediation};
use homeostat::plan::facts::{ConfigMapFacts, ServiceFacts};
use homeostat::plan::member::MemberKind;

use crate::world::{Behaviour, World, config};

fn include(world: &mut World, kind: IncludedKind, name: &str) {
    world.spec().closure.include.push(Included { kind, name: name.into() });
}

/// A ConfigMap that no pod refers to.
fn flags(world: &mut World, text: &str) {
    let (name, uid) = ("flags".to_owned(), "uid-of-flags".to_owned());
    let known = ConfigMapFacts { name, uid, digest: config(text), size: 1, ..ConfigMapFacts::default() };
    world.facts.config_maps.insert("flags".into(), known);
}

fn flagged() -> World {
    let mut world = World::new(3);
    flags(&mut world, "good");
    include(&mut world, IncludedKind::ConfigMap, "flags");
    world.run(120);
    assert_eq!(world.facts.states.len(), 1, "not stable");
    world
}

#[test]
fn a_config_map_that_only_the_policy_names_is_put_back() {
    let mut world = flagged();
    flags(&mut world, "bad");
    world.dependency_down = true;
    world.run_until(120, |world| world.facts.config_maps["flags"].digest == config("good"));
    world.dependency_down = false;
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.done(), [Remediation::RestoreObject]);
}

#[test]
fn one_that_is_gone_is_created_again() {
    let mut world = flagged();
    world.facts.config_maps.remove("flags");
    world.dependency_down = true;
    world.run_until(120, |world| world.facts.config_maps.contains_key("flags"));
    world.dependency_down = false;
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn what_is_done_with_it_is_said_by_the_part_its_kind_belongs_to() {
    let mut world = flagged();
    world.spec().closure.config_maps = MemberPolicy::Compare;
    world.run(120);
    flags(&mut world, "bad");
    world.dependency_down = true;
    world.run(120);
    world.assert_holds(Reason::NoChangeToRevert);
    assert!(world.effects.is_empty());
}

#[test]
fn one_that_does_not_exist_is_no_member_and_no_obstacle() {
    let mut world = World::new(3);
    include(&mut world, IncludedKind::ConfigMap, "flags");
    world.run(120);
    assert_eq!(world.facts.states.len(), 1, "nothing was earned");
    flags(&mut world, "new");
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert!(world.facts.config_maps.contains_key("flags"), "it was deleted");
}

#[test]
fn listing_an_object_never_leads_to_its_deletion() {
    let kind = MemberKind::NetworkPolicy;
    for listed in [true, false] {
        let mut world = World::stable(3);
        world.spec().closure.guard_rails = GuardRailPolicy::Restore;
        world.spec().service_account_name = Some("mender".into());
        if listed {
            include(&mut world, IncludedKind::NetworkPolicy, "own");
        }
        world.attach(kind, "own", "was there before");
        world.dependency_down = true;
        world.run(120);
        assert_eq!(world.digest(kind, "own").is_some(), listed);
    }
}

#[test]
fn a_service_of_another_workload_is_no_evidence_that_traffic_is_cut_off() {
    let mut world = World::new(3);
    include(&mut world, IncludedKind::Service, "store");
    world.attach(MemberKind::Service, "store", "good");
    // It offers none of the target's pods, and never did.
    let selector = [("app".to_owned(), "store".to_owned())].into();
    world.facts.services.push(ServiceFacts { name: "store".into(), selector, ..ServiceFacts::default() });
    world.run(120);
    assert_eq!(world.facts.states.len(), 1, "not stable");
    world.edit(MemberKind::Service, "store", "moved");
    world.run(300);
    assert!(world.facts.recoveries.is_empty(), "{:#?}", world.facts.recoveries);
    world.facts.services.pop();
    world.detach(MemberKind::Service, "store");
    world.dependency_down = true;
    world.run(120);
    assert_eq!(world.count(Remediation::RestoreObject), 1);
}
