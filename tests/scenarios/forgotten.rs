//! A fence that nobody remembers is named, with what to do, and left alone.

use homeostat::api::policy::Failback;
use homeostat::api::{Reason, mark};
use homeostat::plan::cuts::CutFacts;
use homeostat::plan::facts::PodFacts;
use homeostat::plan::forgotten::Mark;
use homeostat::plan::neighbours::NeighbourFacts;

use crate::world::World;

/// Of a policy `web`, and of nobody else; no such Recovery exists.
const GONE: &str = "web-uidof-7";

fn said(world: &World) -> Option<String> {
    let found = world.status().conditions.iter().find(|condition| condition.type_ == "LeftBehind");
    found.map(|found| {
        assert_eq!((found.status.as_str(), found.reason.as_str()), ("True", Reason::FenceForgotten.as_str()));
        found.message.clone()
    })
}

/// Something is there that the mark of a Recovery says is its work.
#[track_caller]
fn is_named(mut world: World, left: impl FnOnce(&mut World), names: &str, what: &str) {
    assert_eq!(said(&world), None);
    left(&mut world);
    let before = world.effects.len();
    world.run(30);
    let message = said(&world).expect("it is said");
    assert!(message.contains(names) && message.contains(what) && message.contains(GONE), "{message}");
    let drift = world.status().drift.clone().unwrap_or_default();
    let leftovers = drift.components.iter().find(|component| component.name == "leftovers");
    assert!(leftovers.is_some_and(|component| component.message.contains(names)), "{drift:?}");
    assert_eq!(world.effects.len(), before, "it is left alone");
}

fn mark(kind: &str, name: &str, mark: &str) -> Mark {
    Mark { kind: kind.into(), name: name.into(), mark: mark.into(), recovery: GONE.into() }
}

#[test]
fn a_pod_in_quarantine_is_named() {
    let left = |world: &mut World| world.facts.marks.push(mark("Pod", "web-x", mark::QUARANTINED_BY));
    is_named(World::stable(3), left, "Pod web-x", "delete it");
}

#[test]
fn the_network_policy_of_a_quarantine_is_named() {
    let left = |world: &mut World| world.facts.marks.push(mark("NetworkPolicy", "homeostat-x", mark::QUARANTINED_BY));
    is_named(World::stable(3), left, "NetworkPolicy homeostat-x", "delete it");
}

#[test]
fn a_cut_is_named() {
    let name = "homeostat-web-uidof-7-cut";
    let left = |world: &mut World| {
        world.facts.network.cuts.push(CutFacts { name: name.into(), recovery: GONE.into(), digest: "x".into() });
    };
    is_named(unchecked(World::stable(3)), left, name, "delete it");
}

#[test]
fn a_cordon_is_named() {
    let left = |world: &mut World| {
        world.change_node("node-1", |node| {
            (node.unschedulable, node.cordoned_by) = (true, Some(format!("shop/{GONE}")));
        });
    };
    is_named(unchecked(World::stable(3).with_nodes(3)), left, "Node node-1", "uncordon it");
    // One of another policy is that one's to tell.
    let mut world = unchecked(World::stable(3).with_nodes(3));
    world.change_node("node-1", |node| {
        (node.unschedulable, node.cordoned_by) = (true, Some("shop/other-uidof-7".into()));
    });
    world.run(30);
    assert_eq!(said(&world), None);
}

#[test]
fn a_freeze_is_named() {
    let left = |world: &mut World| {
        world.target_mut().paused = true;
        world.target_mut().frozen_by = Some(GONE.into());
    };
    is_named(unchecked(World::stable(3)), left, "Deployment web", "let its rollout go on");
}

#[test]
fn a_switched_service_is_named() {
    let left = |world: &mut World| world.facts.services[0].switched_by = Some(GONE.into());
    is_named(unchecked(World::with_standby(Failback::Manual)), left, "Service web", "give it its selector back");
}

#[test]
fn a_stopped_neighbour_is_named() {
    let left = |world: &mut World| world.facts.marks.push(mark("CronJob", "tuner", mark::STOPPED_BY));
    is_named(World::stable(3), left, "CronJob tuner", "resume it");
    let left = |world: &mut World| {
        world.facts.neighbours.push(NeighbourFacts {
            kind: "Deployment".into(),
            name: "scanner".into(),
            uid: "uid-of-scanner".into(),
            stopped_by: Some(GONE.into()),
            ..NeighbourFacts::default()
        });
    };
    is_named(World::stable(3), left, "Deployment scanner", "scale it up");
}

#[test]
fn a_raised_autoscaler_is_named() {
    let left = |world: &mut World| {
        world.facts.marks.push(mark("HorizontalPodAutoscaler", "web-standby", mark::SCALED_BY));
    };
    is_named(World::stable(3), left, "HorizontalPodAutoscaler web-standby", "put its minReplicas back");
}

/// What a Recovery has planned to end is not forgotten, and what it could not end is.
#[test]
fn what_is_planned_is_remembered_and_what_was_given_up_is_not() {
    let mut world = World::stable(5);
    world.break_pod(2);
    world.run_until_closed(120);
    assert!(!world.facts.quarantined.is_empty());
    assert_eq!(said(&world), None, "its end is planned");
    world.run(900);
    assert_eq!(said(&world), None, "it is over");
    // It is there again, with the mark of the closed one.
    let name = world.recovery().name.clone();
    let pod = PodFacts {
        name: "web-y".into(),
        uid: "uid-of-web-y".into(),
        quarantined_by: Some(name.clone()),
        ..PodFacts::default()
    };
    let mut world = unchecked(world);
    world.facts.quarantined.push(pod);
    world.run(5);
    let message = said(&world).expect("it is said");
    assert!(message.contains("Pod web-y") && message.contains(&name), "{message}");
}

#[test]
fn blind_nothing_is_called_forgotten() {
    let mut world = World::stable(3);
    world.blind(true);
    world.facts.marks.push(mark("Pod", "web-x", mark::QUARANTINED_BY));
    world.run(30);
    assert_eq!(said(&world), None, "its Recovery may only be out of sight");
    world.blind(false);
    world.run(30);
    assert!(said(&world).is_some());
}

/// What is left behind here is put there by the story.
fn unchecked(mut world: World) -> World {
    world.left_behind = true;
    world
}
