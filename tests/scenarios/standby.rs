//! The target is down and nothing changed: traffic moves to the standby, and home again when home is verified.

use homeostat::api::policy::Failback;
use homeostat::api::recovery::Remedy;
use homeostat::api::{Outcome, Phase, Reason, Remediation};
use homeostat::plan::member::MemberKind;

use crate::world::{Behaviour, Crash, World, lasting};

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
    assert!(world.journal().message.contains("1 of 3 pods available"), "{}", world.journal().message);
    assert!(world.effects.is_empty());
    world.facts.standby.as_mut().unwrap().available_replicas = 3;
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
    world.crash = Some(Crash::AfterEffects);
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

#[test]
fn a_recovery_that_gets_worse_does_not_wait_for_its_deadline() {
    let mut world = World::with_standby(Failback::Automatic);
    world.spec().limits.max_attempts = 3;
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_phase(60, Phase::Verifying);
    let acted = world.now;
    for pod in 0..3 {
        world.run(5);
        world.break_pod(pod);
    }
    world.run_until(60, |world| world.count(Remediation::SwitchService) == 1);
    assert!(world.now < acted + crate::world::seconds(60), "it waited for its deadline");
    // Failover first waits for two seconds of being down; meanwhile it is said what went wrong.
    let diverging = world.written.iter().find(|journal| journal.reason == Reason::Diverging);
    assert!(diverging.is_some(), "nothing says that it diverged");
    let next = world.written.iter().find(|journal| journal.attempt > 1).expect("a second attempt");
    assert_eq!(next.timeline.detected, world.journal().timeline.detected, "the same incident");
    assert_eq!(next.decision.remedy, Remedy::Failover, "{next:#?}");
}

#[test]
fn a_recovery_that_is_only_slow_is_waited_for() {
    let mut world = World::with_standby(Failback::Automatic);
    world.behaviours.insert(crate::world::deployment("v1"), Behaviour::Healthy(25));
    world.release_bad("v2", Behaviour::NeverReady);
    world.run_until_closed(900);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert!(world.written.iter().all(|journal| journal.reason != Reason::Diverging && journal.attempt <= 1));
}

/// Keeps so many pods of the standby.
fn shrink(world: &mut World, pods: usize) {
    world.facts.standby_pods.truncate(pods);
    let standby = world.facts.standby.as_mut().unwrap();
    let pods = i32::try_from(pods).unwrap();
    (standby.replicas, standby.available_replicas) = (pods, pods);
}

#[test]
fn a_standby_that_has_only_just_become_ready_is_waited_for() {
    let mut world = World::with_standby(Failback::Automatic);
    world.dependency_down = true;
    world.run(8);
    let now = world.now;
    world.facts.standby_pods.iter_mut().for_each(|pod| pod.ready_since = Some(now));
    world.run(9);
    world.assert_holds(Reason::StandbyNotReady);
    assert!(world.journal().message.contains("0 of the 3 pods"), "{}", world.journal().message);
    assert_eq!(world.count(Remediation::SwitchService), 0);
    world.run(1);
    assert_eq!(world.count(Remediation::SwitchService), 1, "ten seconds are over: {:#?}", world.journal());
}

#[test]
fn a_pod_of_the_standby_that_keeps_failing_never_counts() {
    let mut world = World::with_standby(Failback::Automatic);
    world.dependency_down = true;
    for second in 0..120 {
        if second % 8 == 0 {
            world.facts.standby_pods[2].ready_since = Some(world.now);
        }
        world.run(1);
    }
    assert!(world.effects.is_empty());
    world.assert_holds(Reason::StandbyNotReady);
}

#[test]
fn a_standby_that_is_too_small_is_refused_with_both_numbers() {
    let mut world = World::with_standby(Failback::Automatic);
    shrink(&mut world, 2);
    world.dependency_down = true;
    world.run(60);
    world.assert_holds(Reason::StandbyTooSmall);
    let message = &world.journal().message;
    assert!(message.contains("2 ready pods") && message.contains("served with 3: 3 are needed"), "{message}");
    assert!(world.effects.is_empty());
}

#[test]
fn a_standby_that_is_smaller_takes_over_in_part_if_the_policy_says_so() {
    let mut world = World::with_standby(Failback::Automatic);
    world.spec().actions.failover.as_mut().unwrap().min_capacity = "50%".into();
    shrink(&mut world, 2);
    world.dependency_down = true;
    world.run_until_phase(60, Phase::OnStandby);
    let message = &world.journal().decision.message;
    assert!(message.contains("in part, with 2 pods for 3"), "{message}");
    let mut world = World::with_standby(Failback::Automatic);
    world.spec().actions.failover.as_mut().unwrap().min_capacity = "67%".into();
    shrink(&mut world, 2);
    world.dependency_down = true;
    world.run(60);
    world.assert_holds(Reason::StandbyTooSmall);
}

#[test]
fn a_target_scaled_down_in_its_need_is_weighed_as_it_served() {
    let mut world = World::with_standby(Failback::Automatic);
    shrink(&mut world, 1);
    world.dependency_down = true;
    world.run(5);
    world.scale_to(1);
    world.run(60);
    world.assert_holds(Reason::StandbyTooSmall);
}

#[test]
fn where_an_autoscaler_decides_its_number_counts() {
    let mut world = World::with_standby(Failback::Automatic);
    world.attach(MemberKind::HorizontalPodAutoscaler, "web", "hpa");
    world.run(90);
    world.scale_to(2);
    world.run(90);
    shrink(&mut world, 2);
    world.dependency_down = true;
    world.run_until_phase(60, Phase::OnStandby);
}

// ---- the way home

/// On the standby, with home repaired and traffic just returned to it.
fn returned() -> World {
    let mut world = down(Failback::Automatic);
    world.dependency_down = false;
    world.run_until(60, |world| world.count(Remediation::ReturnService) == 1);
    assert_eq!(world.phase(), Some(Phase::Verifying));
    world
}

fn serves(world: &World, app: &str) {
    assert_eq!(world.facts.services[0].selector["app"], app, "{:#?}", world.journal());
}

#[test]
fn home_that_fails_again_after_the_return_goes_once_back_to_the_standby_and_is_held() {
    let mut world = returned();
    world.dependency_down = true;
    world.run_until(30, |world| world.count(Remediation::SwitchService) == 2);
    serves(&world, "standby");
    assert_eq!((world.phase(), world.journal().reason), (Some(Phase::OnStandby), Reason::HomeBrokeAgain));
    assert_eq!(world.journal().outcome, Some(Outcome::Escalated));
    assert!(world.journal().message.contains("3 of the standby"), "{}", world.journal().message);
    // However often home comes and goes.
    for _ in 0..5 {
        world.dependency_down = false;
        world.run(100);
        world.dependency_down = true;
        world.run(100);
    }
    serves(&world, "standby");
    assert_eq!((world.count(Remediation::SwitchService), world.count(Remediation::ReturnService)), (2, 1));
}

#[test]
fn after_the_second_switch_an_abort_brings_traffic_to_a_healthy_home() {
    let mut world = returned();
    world.dependency_down = true;
    world.run_until(30, |world| world.count(Remediation::SwitchService) == 2);
    world.dependency_down = false;
    world.run(60);
    serves(&world, "standby");
    world.abort();
    world.run(5);
    world.assert_closed(Outcome::Abandoned, Reason::AbortedByUser);
    serves(&world, "web");
}

#[test]
fn home_that_fails_again_keeps_its_traffic_if_the_standby_is_no_better() {
    let mut world = returned();
    world.facts.standby_pods.iter_mut().for_each(|pod| pod.ready = false);
    world.dependency_down = true;
    world.run(300);
    assert_eq!(world.count(Remediation::SwitchService), 1);
    serves(&world, "web");
}

#[test]
fn a_part_of_home_that_fails_again_counts_against_the_whole_standby() {
    let mut world = returned();
    let pod = world.facts.pods[0].uid.clone();
    world.stall_pod(&pod);
    world.run_until(60, |world| world.count(Remediation::SwitchService) == 2);
    serves(&world, "standby");
}

#[test]
fn traffic_does_not_return_to_fewer_pods_than_serve() {
    let mut world = down(Failback::Automatic);
    world.scale_to(2);
    world.dependency_down = false;
    world.run(120);
    assert_eq!(world.phase(), Some(Phase::OnStandby));
    assert!(world.journal().message.contains("2 ready pods, and 3 serve"), "{}", world.journal().message);
    world.scale_to(3);
    world.run_until_closed(120);
    serves(&world, "web");
}

#[test]
fn a_return_that_is_refused_is_tried_again() {
    let mut world = down(Failback::Automatic);
    world.refused.insert(Remediation::ReturnService);
    world.dependency_down = false;
    world.run_until(60, |world| world.journal().reason == Reason::WriteRefused);
    assert_eq!(world.phase(), Some(Phase::OnStandby));
    world.run(30);
    world.refused.clear();
    world.run_until_closed(120);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn a_crash_at_any_moment_of_over_and_back_leads_to_the_same_end() {
    let mut whole = World::with_standby(Failback::Automatic);
    whole.dependency_down = true;
    for crash in [Crash::BeforeRecord, Crash::AfterRecord, Crash::AfterEffects] {
        for at in 0..80 {
            let mut world = whole.clone();
            world.over_and_back(300, at, crash);
            world.assert_closed(Outcome::Recovered, Reason::Verified);
            serves(&world, "web");
            assert_eq!(world.facts.recoveries.len(), 1);
        }
    }
}

// ---- the standby under load

#[test]
fn a_standby_that_fails_under_the_load_is_left_for_a_healthy_home_before_its_window() {
    let mut world = down(Failback::Automatic);
    world.spec().verification.window = lasting(600);
    world.dependency_down = false;
    world.run(60);
    serves(&world, "standby");
    let now = world.now;
    world.facts.standby_pods[0].ready_since = Some(now);
    world.run_until(5, |world| world.count(Remediation::ReturnService) == 1);
    serves(&world, "web");
}

#[test]
fn a_standby_that_fails_under_the_load_is_held_while_home_is_down() {
    let mut world = down(Failback::Automatic);
    world.facts.standby_pods[0].ready = false;
    world.run(5);
    assert_eq!((world.phase(), world.journal().reason), (Some(Phase::OnStandby), Reason::StandbyOverloaded));
    assert!(world.journal().message.contains("2 pods"), "{}", world.journal().message);
    let written = world.written.len();
    // It flaps, and nothing else does.
    for second in 0..60 {
        let now = world.now;
        let pod = &mut world.facts.standby_pods[second % 3];
        (pod.ready, pod.ready_since) = (second % 2 == 0, Some(now));
        world.run(1);
    }
    serves(&world, "standby");
    assert!(world.written.len() <= written + 1, "{}", world.written.len() - written);
    world.facts.standby_pods.iter_mut().for_each(|pod| pod.ready = true);
    world.run(20);
    assert_eq!(world.journal().reason, Reason::OnStandby);
    world.dependency_down = false;
    world.run_until_closed(120);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn with_a_manual_failback_an_overloaded_standby_waits_for_the_word() {
    let mut world = down(Failback::Manual);
    world.dependency_down = false;
    world.run(60);
    world.facts.standby_pods[0].ready = false;
    world.run(60);
    serves(&world, "standby");
    world.facts.recoveries.last_mut().unwrap().spec.failback = true;
    world.run(2);
    serves(&world, "web");
}

// ---- first away, then repaired

/// A change takes every copy down at once; restored pods take a minute, and the objective is shorter.
fn slow(objective: u64) -> World {
    let mut world = World::with_standby(Failback::Automatic);
    for state in &mut world.facts.states {
        state.time_to_ready = 60;
    }
    world.spec().objective = lasting(objective);
    world.configure_bad("bad", Behaviour::CrashLoop);
    world.restart_pods();
    world
}

#[test]
fn a_target_whose_rollback_would_take_too_long_is_failed_over_first_and_repaired_behind_it() {
    let mut world = slow(30);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    let moves = [
        Remediation::SwitchService,
        Remediation::RestoreObject,
        Remediation::HandBackFields,
        Remediation::ReturnService,
        Remediation::HandBackFields,
    ];
    let done: Vec<_> = world.done().into_iter().filter(|done| moves.contains(done)).collect();
    assert_eq!(done.first(), Some(&Remediation::SwitchService), "{done:?}");
    let at = |remediation| done.iter().position(|done| *done == remediation);
    assert!(at(Remediation::RestoreObject) < at(Remediation::ReturnService), "{done:?}");
    assert_eq!(world.facts.recoveries.len(), 1);
    serves(&world, "web");
}

#[test]
fn a_rollback_within_the_objective_moves_no_traffic() {
    let mut world = slow(120);
    world.run_until_closed(300);
    assert_eq!(world.count(Remediation::SwitchService), 0);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn a_slow_rollback_is_not_waited_with_for_a_standby_that_is_none() {
    let mut world = slow(30);
    world.facts.standby.as_mut().unwrap().config_maps = ["settings".to_owned()].into();
    world.run_until_closed(300);
    assert_eq!(world.count(Remediation::SwitchService), 0);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    world = slow(30);
    shrink(&mut world, 1);
    world.run_until_closed(300);
    assert_eq!(world.count(Remediation::SwitchService), 0);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn a_person_who_repairs_home_behind_a_failover_is_not_contradicted() {
    let mut world = slow(30);
    while world.count(Remediation::SwitchService) == 0 {
        world.tick();
        for _ in 0..3 {
            if world.count(Remediation::SwitchService) == 0 {
                world.step();
            }
        }
    }
    world.step_with(|world| world.configure("mended"));
    world.restart_pods();
    world.run_until_closed(300);
    assert_eq!(world.count(Remediation::RestoreObject), 0, "{:#?}", world.effects);
    serves(&world, "web");
    assert_eq!(world.facts.config_maps["settings"].digest, crate::world::config("mended"));
}

#[test]
fn a_repair_behind_a_failover_that_is_refused_leaves_the_traffic_where_it_is_served() {
    let mut world = slow(30);
    world.refused.insert(Remediation::RestoreObject);
    world.run(120);
    serves(&world, "standby");
    assert_eq!(world.phase(), Some(Phase::OnStandby));
    world.configure("good");
    world.restart_pods();
    world.run_until_closed(300);
    serves(&world, "web");
}
