//! Which stable states can be gone back to.

use homeostat::api::recovery::Remedy;
use homeostat::api::stable_state::Review;
use homeostat::api::{Outcome, Reason, Remediation};

use crate::world::{Behaviour, World, deployment};

/// Two states: `v1`, and `v2` which is live.
fn two_states() -> World {
    let mut world = World::stable(3);
    world.release("v2");
    world.run(100);
    assert_eq!(world.facts.states.len(), 2);
    world
}

#[test]
fn what_was_never_stable_is_held() {
    let mut world = World::new(3);
    world.behaviours.insert(deployment("v1"), Behaviour::CrashLoop);
    world.run(100);
    world.assert_holds(Reason::NoStableState);
    assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::NoStableState));
    assert!(world.effects.is_empty());
    assert_eq!(world.condition("Recoverable"), ("False".into(), "NoStableState".into()));
}

#[test]
fn the_newest_state_is_restored() {
    let mut world = two_states();
    world.release_bad("v3", Behaviour::ImagePull);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.target().digest, deployment("v2"));
}

#[test]
fn a_rejected_state_is_never_used() {
    let mut world = two_states();
    world.review("v2", Some(Review::Reject));
    world.release_bad("v3", Behaviour::ImagePull);
    world.run_until_closed(300);
    assert_eq!(world.target().digest, deployment("v1"));
}

#[test]
fn a_rejected_state_that_is_live_is_gone_back_from_when_it_breaks() {
    let mut world = two_states();
    world.review("v2", Some(Review::Reject));
    world.behaviours.insert(deployment("v2"), Behaviour::CrashLoop);
    world.restart_pods();
    world.run_until_closed(300);
    assert_eq!(world.target().digest, deployment("v1"));
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn a_state_that_was_proven_bad_is_not_used_again() {
    let mut world = two_states();
    world.review("v2", Some(Review::Reject));
    world.behaviours.insert(deployment("v2"), Behaviour::CrashLoop);
    world.restart_pods();
    world.run_until_closed(300);
    world.review("v2", None);
    world.spec().limits.cooldown = crate::world::lasting(0);
    world.release_bad("v3", Behaviour::ImagePull);
    world.run_until(60, |world| world.facts.recoveries.len() == 2);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.target().digest, deployment("v1"), "v2 was rolled away from");
}

#[test]
fn a_state_with_a_bad_seal_is_never_used() {
    let mut world = World::stable(3);
    world.facts.states[0].sealed = false;
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(60);
    world.assert_holds(Reason::SealInvalid);
    assert_eq!(world.condition("Recoverable"), ("False".into(), "SealInvalid".into()));
    assert!(world.effects.is_empty());
}

#[test]
fn a_state_with_a_missing_or_changed_copy_is_never_used() {
    for change in [0, 1, 2] {
        let mut world = World::stable(3);
        let copy = world.facts.states[0].members[0].copy.clone();
        match change {
            0 => drop(world.facts.config_maps.remove(&copy)),
            1 => world.facts.config_maps.get_mut(&copy).unwrap().digest = "edited".into(),
            _ => world.facts.config_maps.get_mut(&copy).unwrap().sealed_copy = Some(false),
        }
        world.release_bad("v2", Behaviour::CrashLoop);
        world.run(60);
        world.assert_holds(Reason::CopyMissing);
        assert!(world.effects.is_empty());
    }
}

#[test]
fn a_state_that_becomes_unusable_while_verifying_is_not_called_recovered() {
    let mut world = World::stable(3);
    world.release_bad("v2", Behaviour::ImagePull);
    world.run_until(60, |world| world.count(Remediation::RestoreTemplate) == 1);
    world.facts.states[0].sealed = false;
    world.run(60);
    assert_ne!(world.journal().outcome, Some(Outcome::Recovered));
}

#[test]
fn the_oldest_states_beyond_the_limit_go_and_pinned_ones_stay() {
    let mut world = World::stable(3);
    world.spec().history.stable_states = 2;
    world.review("v1", Some(Review::Pin));
    for version in ["v2", "v3", "v4", "v5"] {
        world.release(version);
        world.run(100);
    }
    let kept: Vec<_> = world.facts.states.iter().map(|state| state.members.last().unwrap().digest.clone()).collect();
    assert_eq!(kept, [deployment("v1"), deployment("v4"), deployment("v5")]);
}

#[test]
fn the_state_in_use_does_not_expire_while_it_is_restored() {
    let mut world = World::stable(3);
    world.release_bad("v2", Behaviour::ImagePull);
    world.run_until(60, |world| world.count(Remediation::RestoreTemplate) == 1);
    world.spec().history.stable_states = 0;
    world.run_until_closed(200);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.facts.states.len(), 1);
}
