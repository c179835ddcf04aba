//! The target is down and nothing changed: traffic moves to the standby, and home again when home is verified.

use homeostat::api::policy::Failback;
use homeostat::api::recovery::Remedy;
use homeostat::api::{Outcome, Phase, Reason, Remediation};

use crate::world::{Behaviour, World};

fn down(failback: Failback) -> World {
    let mut world = World::with_standby(failback);
    world.dependency_down = true;
    world.run_until_phase(60, Phase::OnStandby);
    world
}

#[test]
fn traffic_moves_to_a_ready_standby_and_returns_when_home_is_healthy_for_the_window() {
    let mut world = down(Failback::Automatic);
    assert_eq!(world.journal().decision.reason, Reason::TrafficMoved);
    assert_eq!(world.facts.services[0].selector["app"], "standby");
    world.run(120);
    assert_eq!(world.phase(), Some(Phase::OnStandby), "home is still down");
    world.dependency_down = false;
    world.run_until(60, |world| world.count(Remediation::ReturnService) == 1);
    assert_eq!(world.facts.services[0].selector["app"], "web");
    world.run_until_closed(60);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.facts.services[0].switched_by, None);
}

#[test]
fn a_standby_that_is_not_ready_is_not_used() {
    let mut world = World::with_standby(Failback::Automatic);
    world.facts.standby.as_mut().unwrap().available_replicas = 1;
    world.dependency_down = true;
    world.run(60);
    world.assert_holds(Reason::StandbyNotReady);
    assert!(world.effects.is_empty());
    world.facts.standby.as_mut().unwrap().available_replicas = 2;
    world.run_until_phase(5, Phase::OnStandby);
}

#[test]
fn a_target_that_still_serves_keeps_its_traffic() {
    let mut world = World::with_standby(Failback::Automatic);
    world.break_pod(0);
    world.break_pod(1);
    world.run(60);
    assert_eq!(world.refusal(Remedy::Failover), Some(Reason::TargetServing));
    assert!(world.effects.is_empty());
}

#[test]
fn a_bad_change_is_reverted_and_not_escaped_from() {
    let mut world = World::with_standby(Failback::Automatic);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(300);
    assert_eq!(world.journal().decision.remedy, Remedy::Rollback);
    assert_eq!(world.count(Remediation::SwitchService), 0);
}

#[test]
fn a_manual_failback_waits_for_a_person() {
    let mut world = down(Failback::Manual);
    world.dependency_down = false;
    world.run(900);
    assert_eq!(world.phase(), Some(Phase::OnStandby));
    assert!(world.journal().message.contains("spec.failback"), "{}", world.journal().message);
    world.facts.recoveries.last_mut().unwrap().spec.failback = true;
    world.run_until_closed(120);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn traffic_that_a_person_moved_is_theirs() {
    let mut world = down(Failback::Automatic);
    world.facts.services[0].selector = [("app".to_owned(), "other".to_owned())].into();
    world.dependency_down = false;
    world.run_until_closed(300);
    world.assert_closed(Outcome::Superseded, Reason::Superseded);
    assert_eq!(world.facts.services[0].selector["app"], "other");
}

#[test]
fn home_repaired_by_a_new_release_takes_the_traffic_but_is_not_called_recovered() {
    let mut world = down(Failback::Automatic);
    world.release("v2");
    world.dependency_down = false;
    world.run_until_closed(300);
    world.assert_closed(Outcome::PartiallyRecovered, Reason::Verified);
    assert_eq!(world.facts.services[0].selector["app"], "web");
}

#[test]
fn an_abort_on_the_standby_leaves_the_traffic_where_it_is_served() {
    let mut world = down(Failback::Automatic);
    world.abort();
    world.step();
    world.assert_closed(Outcome::Abandoned, Reason::AbortedByUser);
    assert!(world.journal().message.contains("stays on the standby"), "{}", world.journal().message);
    world.run(60);
    assert_eq!(world.facts.services[0].selector["app"], "standby");
}

#[test]
fn an_abort_with_home_healthy_brings_the_traffic_home() {
    let mut world = down(Failback::Manual);
    world.dependency_down = false;
    world.run(60);
    world.abort();
    world.run(5);
    world.assert_closed(Outcome::Abandoned, Reason::AbortedByUser);
    assert_eq!(world.facts.services[0].selector["app"], "web");
}

#[test]
fn a_policy_deleted_with_home_healthy_brings_the_traffic_home() {
    let mut world = down(Failback::Manual);
    world.dependency_down = false;
    world.run(60);
    world.facts.policy = None;
    world.run(5);
    world.assert_closed(Outcome::Abandoned, Reason::PolicyDeleted);
    assert_eq!(world.facts.services[0].selector["app"], "web");
}

#[test]
fn a_switch_whose_receipt_was_lost_is_let_go_of_as_well() {
    let mut world = World::with_standby(Failback::Automatic);
    world.dependency_down = true;
    world.run(10);
    world.tick();
    world.crash = Some(crate::world::Crash::AfterEffects);
    world.step();
    assert_eq!(world.count(Remediation::SwitchService), 1);
    world.dependency_down = false;
    for _ in 0..10 {
        world.tick();
    }
    world.abort();
    world.run(5);
    world.assert_closed(Outcome::Abandoned, Reason::AbortedByUser);
    assert_eq!(world.facts.services[0].switched_by.is_some(), world.journal().message.contains("stays on the standby"));
}
