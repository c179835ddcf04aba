//! A standby that shares with the target what broke it is not used, and the refusal names what they share.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use homeostat::api::policy::{Failback, TargetRef};
use homeostat::api::recovery::{Remedy, Suspect};
use homeostat::api::{Phase, Reason, Remediation};
use homeostat::plan::facts::Workload;
use homeostat::plan::member::MemberKind;

use crate::world::{Behaviour, Office, World};

/// Home is down by a change that may not be reverted in time: only the standby is left.
fn down_by(standby: impl Fn(&mut Workload), change: impl Fn(&mut World)) -> World {
    let mut world = World::with_standby(Failback::Automatic);
    world.attach(MemberKind::Secret, "login", "right");
    world.target_mut().secrets = set(&["login"]);
    world.attach(MemberKind::ServiceAccount, "web", "right");
    world.spec().closure.secrets = homeostat::api::policy::MemberPolicy::Restore;
    world.release("v1b");
    world.target_mut().images = set(&["web:v1", "proxy:1"]);
    world.run(100);
    standby(world.facts.standby.as_mut().unwrap());
    world.facts.states.iter_mut().for_each(|state| state.time_to_ready = 600);
    world.spec().actions.rollback = None;
    change(&mut world);
    world.restart_pods();
    world.bad_pods.extend(world.facts.pods.iter().map(|pod| pod.uid.clone()));
    world.run(60);
    assert_eq!(world.journal().suspect, Suspect::Change, "{:#?}", world.journal());
    world
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[track_caller]
fn refused(world: &World, name: &str) {
    let alternatives = &world.journal().decision.alternatives;
    let failover = alternatives.iter().find(|other| other.remedy == Remedy::Failover).expect("a refusal");
    assert_eq!(failover.reason, Reason::StandbyNotIndependent, "{failover:?}");
    assert!(failover.message.contains(name), "{failover:?}");
    assert_eq!(world.count(Remediation::SwitchService), 0);
}

#[test]
fn a_changed_config_map_that_both_use() {
    let change = |world: &mut World| world.configure_bad("bad", Behaviour::CrashLoop);
    let shared = |standby: &mut Workload| standby.config_maps = set(&["settings"]);
    refused(&down_by(shared, change), "ConfigMap settings");
    let own = |standby: &mut Workload| standby.config_maps = set(&["other-settings"]);
    assert_eq!(down_by(own, change).phase(), Some(Phase::OnStandby));
}

/// Whether it is the cause cannot be told where the symptom was seen first; what may be is shared all the same.
#[test]
fn what_changed_in_the_middle_of_trouble_and_both_use() {
    let broken = |world: &mut World| {
        world.bad_pods.extend(world.facts.pods.iter().map(|pod| pod.uid.clone()));
        world.spec().actions.failover = None;
        world.run_until_phase(60, Phase::Holding);
        world.configure_bad("bad", Behaviour::CrashLoop);
        world.run(2);
    };
    let mut world = World::with_standby(Failback::Automatic);
    let failover = world.spec().actions.failover.clone();
    world.facts.standby.as_mut().unwrap().config_maps = set(&["settings"]);
    broken(&mut world);
    world.spec().actions.failover = failover;
    world.run(60);
    assert_eq!(world.journal().suspect, Suspect::Unknown);
    refused(&world, "ConfigMap settings");
}

#[test]
fn a_changed_secret_that_both_use() {
    let change = |world: &mut World| world.edit(MemberKind::Secret, "login", "wrong");
    refused(&down_by(|standby| standby.secrets = set(&["login"]), change), "Secret login");
    assert_eq!(down_by(|standby| standby.secrets = set(&["own"]), change).phase(), Some(Phase::OnStandby));
}

#[test]
fn a_changed_service_account_that_both_use() {
    let change = |world: &mut World| world.edit(MemberKind::ServiceAccount, "web", "another");
    let shared = |standby: &mut Workload| standby.service_account = Some("web".into());
    refused(&down_by(shared, change), "ServiceAccount web");
}

#[test]
fn a_new_image_that_both_run() {
    let change = |world: &mut World| {
        world.release_bad("v2", Behaviour::CrashLoop);
        world.target_mut().images = set(&["web:v2", "proxy:1"]);
    };
    refused(&down_by(|standby| standby.images = set(&["web:v2"]), change), "image web:v2");
    // What did not change is not suspected.
    assert_eq!(down_by(|standby| standby.images = set(&["web:v1", "proxy:1"]), change).phase(), Some(Phase::OnStandby));
}

#[test]
fn all_that_is_shared_is_named() {
    let change = |world: &mut World| {
        world.configure_bad("bad", Behaviour::CrashLoop);
        world.edit(MemberKind::Secret, "login", "wrong");
    };
    let shared = |standby: &mut Workload| {
        (standby.config_maps, standby.secrets) = (set(&["settings"]), set(&["login"]));
    };
    let world = down_by(shared, change);
    refused(&world, "ConfigMap settings");
    refused(&world, "Secret login");
}

/// Nothing changed: what nobody can look into may be the cause.
#[test]
fn a_volume_that_both_mount() {
    for shared in [true, false] {
        let mut world = World::with_standby(Failback::Automatic);
        world.target_mut().claims = set(&["data"]);
        world.facts.standby.as_mut().unwrap().claims = set(if shared { &["data"] } else { &["own"] });
        world.dependency_down = true;
        world.run(60);
        match shared {
            true => {
                world.assert_holds(Reason::StandbyNotIndependent);
                refused(&world, "PersistentVolumeClaim data");
            }
            false => assert_eq!(world.phase(), Some(Phase::OnStandby)),
        }
    }
}

/// Three pods on the only node that dies, and a standby with so many of its pods there as well.
fn node_dies(there: usize) -> World {
    let mut world = World::with_standby(Failback::Automatic).with_nodes(4);
    world.facts.pods.iter_mut().for_each(|pod| pod.node = "node-1".into());
    for (index, pod) in world.facts.standby_pods.iter_mut().enumerate() {
        pod.node = if index < there { "node-1".into() } else { "node-2".into() };
    }
    world.facts.fleet.limits.max_cordoned = 0;
    world.set_ready("node-1", false);
    world.run(60);
    assert_eq!(world.journal().suspect, Suspect::Node, "{:#?}", world.journal());
    world
}

#[test]
fn the_node_on_which_all_of_it_is() {
    assert_eq!(node_dies(0).count(Remediation::SwitchService), 1);
    // A dead node leaves no pod of the standby ready, whatever it last said.
    assert_eq!(node_dies(3).count(Remediation::SwitchService), 0);
    let partly = node_dies(1);
    assert_eq!(partly.count(Remediation::SwitchService), 0);
    let reasons: Vec<_> = partly.journal().decision.alternatives.iter().map(|other| other.reason).collect();
    assert!(reasons.contains(&Reason::StandbyTooSmall), "{reasons:?}");
}

/// A client with a standby, and the store that it calls, whose pods fail without a change.
fn store_fails(standby_calls: Option<&[&str]>) -> Vec<World> {
    let office = Rc::new(RefCell::new(Office::default()));
    office.borrow_mut().limits.brake.min_targets = 1000;
    office.borrow_mut().limits.namespace.max_percent = 100;
    let reference =
        |name: &str| TargetRef { api_version: "apps/v1".into(), kind: "Deployment".into(), name: name.into() };
    let mut worlds = vec![World::with_standby(Failback::Automatic), World::stable_as("store", 2)];
    if let Some(calls) = standby_calls {
        let mut standby = World::stable_as("standby", 3);
        standby.spec().depends_on = calls.iter().map(|name| reference(name)).collect();
        worlds.push(standby);
    }
    worlds[0].spec().depends_on = vec![reference("store")];
    let names = ["web", "store", "standby"];
    let mut worlds: Vec<World> =
        worlds.into_iter().zip(names).map(|(world, name)| world.join(&office, "shop", name)).collect();
    let run = |worlds: &mut Vec<World>, seconds: usize| {
        for _ in 0..seconds {
            worlds.iter_mut().for_each(|world| {
                world.tick();
                world.wake();
                world.operate();
            });
        }
    };
    run(&mut worlds, 5);
    worlds[1].dependency_down = true;
    run(&mut worlds, 15);
    worlds[0].dependency_down = true;
    run(&mut worlds, 60);
    worlds
}

#[test]
fn a_dependency_that_fails_and_that_both_call() {
    refused(&store_fails(None)[0], "Deployment store");
    refused(&store_fails(Some(&["store"]))[0], "Deployment store");
    assert_eq!(store_fails(Some(&[]))[0].count(Remediation::SwitchService), 1, "it says that it calls another one");
}
