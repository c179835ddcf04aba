//! How a stable state is earned.

use homeostat::api::policy::State;
use homeostat::api::{Outcome, Reason};
use homeostat::plan::member::MemberKind;

use crate::world::{Behaviour, World, config, seconds};

/// Soaks for 50 of 60 seconds, lets `happen` happen, and says how much later a state was earned.
fn earned_after(happen: impl Fn(&mut World)) -> i64 {
    let mut world = World::new(3);
    world.run_until(30, |world| world.memory.soak.is_some());
    world.run(50);
    happen(&mut world);
    let from = world.now;
    world.run_until(200, |world| !world.facts.states.is_empty());
    world.now.duration_since(from).as_secs()
}

#[test]
fn without_a_break_it_takes_the_soak() {
    assert_eq!(earned_after(|_| {}), 10);
}

#[test]
fn the_end_of_the_soak_is_a_wake_up_time() {
    let mut world = World::new(3);
    world.run_until(30, |world| world.memory.soak.is_some());
    assert_eq!(world.plan().wake_at, world.memory.soak.as_ref().unwrap().at + seconds(60));
    assert!(matches!(world.condition("Recoverable").1.as_str(), "Soaking"));
}

#[test]
fn a_restart_begins_the_soak_anew() {
    let after = earned_after(|world| world.facts.pods[0].restarts += 1);
    assert!(after >= 60, "{after}");
}

#[test]
fn a_pod_that_stops_being_ready_begins_the_soak_anew() {
    let after = earned_after(|world| {
        world.dependency_down = true;
        world.run(1);
        world.dependency_down = false;
    });
    assert!(after >= 60, "{after}");
}

#[test]
fn a_change_of_the_spec_begins_the_soak_anew() {
    let after = earned_after(|world| world.release("v2"));
    assert!(after >= 60, "{after}");
}

#[test]
fn a_change_of_the_configuration_begins_the_soak_anew() {
    let after = earned_after(|world| world.configure("other"));
    assert!(after >= 60, "{after}");
}

#[test]
fn a_gap_in_sight_begins_the_soak_anew() {
    let after = earned_after(|world| {
        world.blind(true);
        world.run(1);
        world.blind(false);
    });
    assert!(after >= 60, "{after}");
}

#[test]
fn a_pod_that_is_added_does_not_reset_the_soak() {
    let after = earned_after(|world| {
        world.facts.pods.remove(0);
    });
    assert!(after <= 15, "{after}");
}

#[test]
fn a_soak_that_waits_for_a_pod_does_not_spin() {
    let mut world = World::new(3);
    world.run_until(30, |world| world.memory.soak.is_some());
    world.run(58);
    // Seen through the eyes of a controller that reports late: the pod is gone, its count is not.
    world.behaviours.insert(world.target().digest.clone(), Behaviour::Healthy(20));
    world.facts.pods.remove(0);
    for _ in 0..10 {
        let counts = world.target().clone();
        world.tick();
        let target = world.target_mut();
        (target.total_replicas, target.updated_replicas) = (counts.replicas, counts.replicas);
        (target.ready_replicas, target.available_replicas) = (counts.replicas, counts.replicas);
        world.operate();
    }
    assert!(world.facts.states.is_empty());
}

#[test]
fn a_recorded_state_is_not_recorded_again() {
    let mut world = World::stable(3);
    world.run(300);
    assert_eq!(world.facts.states.len(), 1);
    assert_eq!(world.condition("Recoverable"), ("True".into(), Reason::StateReady.as_str().into()));
}

#[test]
fn without_its_service_account_nothing_is_earned() {
    let mut world = World::new(3);
    world.attach(MemberKind::ServiceAccount, "own", "");
    world.facts.objects[0].uid.clear();
    world.run(300);
    assert!(world.facts.states.is_empty());
    world.facts.objects[0].uid = "uid-of-own".into();
    world.edit(MemberKind::ServiceAccount, "own", "there");
    world.run(120);
    assert_eq!(world.facts.states.len(), 1);
}

/// Configuration is changed in calm, and all pods run on with what they read before.
fn changed_in_calm(behaviour: Behaviour) -> World {
    let mut world = World::stable(3);
    world.configure_bad("other", behaviour);
    world.run(300);
    assert!(world.facts.recoveries.is_empty());
    world
}

#[test]
fn what_no_pod_has_read_is_not_earned() {
    let mut world = changed_in_calm(Behaviour::Healthy(3));
    assert_eq!((world.facts.states.len(), world.status().state), (1, State::Soaking));
    let conditions = &world.status().conditions;
    let healthy = conditions.iter().find(|condition| condition.type_ == "TargetHealthy").unwrap();
    assert!(healthy.message.contains("3 pods started before ConfigMap settings"), "{}", healthy.message);
    world.restart_pods();
    let from = world.now;
    world.run_until(200, |world| world.facts.states.len() == 2);
    assert!(world.now.duration_since(from) >= seconds(60), "the soak begins when it is read");
}

#[test]
fn one_pod_that_has_not_read_it_is_enough() {
    let mut world = changed_in_calm(Behaviour::Healthy(3));
    world.restart_first(2);
    world.run(300);
    assert_eq!((world.facts.states.len(), world.status().state), (1, State::Soaking));
}

/// It would be earned as good, and there would be nothing to go back to when it shows.
#[test]
fn what_shows_at_the_next_start_is_put_back() {
    for forget in [false, true] {
        let mut world = changed_in_calm(Behaviour::CrashLoop);
        if forget {
            world.lose_memory();
            world.run(300);
        }
        assert_eq!(world.facts.states.len(), 1, "forgotten: {forget}");
        world.restart_pods();
        world.run_until_closed(600);
        world.assert_closed(Outcome::Recovered, Reason::Verified);
        assert_eq!(world.facts.config_maps["settings"].digest, config("good"));
    }
}

#[test]
fn after_a_restart_of_ours_pods_that_started_since_the_last_state_have_read_it() {
    let mut world = changed_in_calm(Behaviour::Healthy(3));
    world.restart_pods();
    world.lose_memory();
    world.run(90);
    assert_eq!(world.facts.states.len(), 2);
}
