//! Not too soon, not too often, not what belongs to others.

use homeostat::api::policy::Failback;
use homeostat::api::recovery::Remedy;
use homeostat::api::{Outcome, Phase, Reason, Remediation};

use crate::world::{Behaviour, World, lasting, seconds};

#[test]
fn a_cooldown_refuses_and_then_allows() {
    let mut world = World::stable(5);
    world.spec().actions.isolate.as_mut().unwrap().freeze = false;
    world.release_bad("v2", Behaviour::ImagePull);
    world.run_until_closed(300);
    let closed = world.now;
    world.release_bad("v3", Behaviour::ImagePull);
    world.run_until(60, |world| world.facts.recoveries.len() == 2);
    world.assert_holds(Reason::Cooldown);
    assert!(world.plan().wake_at <= closed + seconds(300));
    world.run_until(300, |world| world.phase() == Some(Phase::Verifying));
    assert_eq!(world.now, closed + seconds(300));
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn attempts_end_and_a_person_is_asked() {
    let mut world = World::stable(5);
    world.spec().limits.max_attempts = 1;
    world.release_bad("v2", Behaviour::CrashLoop);
    world.refused.insert(Remediation::RestoreTemplate);
    world.run(120);
    assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::AttemptsExhausted));
    assert_eq!(world.journal().attempt, 1);
}

/// A person has to mend it: what it is stays said while it is left alone, and when it is tried no more.
#[test]
fn what_was_refused_stays_said() {
    for freeze in [false, true] {
        let mut world = World::stable(5);
        world.spec().actions.isolate.as_mut().unwrap().freeze = freeze;
        world.spec().limits.max_attempts = 2;
        world.refused.insert(Remediation::RestoreTemplate);
        world.release_bad("v2", Behaviour::CrashLoop);
        world.run_until(60, |world| {
            world.phase().is_some() && world.refusal(Remedy::Rollback) == Some(Reason::WriteRefused)
        });
        let said = "the API server refused to change Deployment web: no right to do so";
        let refused = |world: &World| {
            let alternatives = world.journal().decision.alternatives.clone();
            alternatives.into_iter().find(|other| other.remedy == Remedy::Rollback).unwrap().message
        };
        assert!(refused(&world).contains(said), "{}", refused(&world));
        if !freeze {
            world.run(30);
            assert!(world.journal().message.contains(said), "{}", world.journal().message);
        }
        world.run_until(200, |world| world.refusal(Remedy::Rollback) == Some(Reason::AttemptsExhausted));
        assert!(refused(&world).contains(said), "{}", refused(&world));
    }
}

#[test]
fn the_same_remedy_is_not_repeated_for_the_same_evidence() {
    let mut world = World::stable(5);
    world.spec().limits.max_attempts = 5;
    let bad = world.break_pod(2);
    world.run_until(60, |world| world.count(Remediation::QuarantinePod) == 1);
    // What replaces it is bad as well.
    world.run(1);
    let again = world.facts.pods.last().unwrap().uid.clone();
    assert_ne!(bad, again);
    world.bad_pods.insert(again);
    world.run(400);
    assert_eq!(world.count(Remediation::QuarantinePod), 1);
    assert_eq!(world.journal().phase, Phase::Holding);
    assert_eq!(world.journal().outcome, Some(Outcome::Escalated));
}

#[test]
fn what_somebody_else_paused_is_left_alone() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(3);
    world.target_mut().paused = true;
    world.run(200);
    world.assert_holds(Reason::PausedByOther);
    assert!(world.effects.is_empty());
    world.target_mut().paused = false;
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn a_target_that_another_controller_owns_is_left_alone() {
    let mut world = World::stable(5);
    world.target_mut().owner = Some("Rollout web".into());
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(100);
    world.assert_holds(Reason::TargetOwned);
    assert_eq!(world.condition("Ready"), ("False".into(), "TargetOwned".into()));
    assert!(world.effects.is_empty());
}

#[test]
fn of_two_policies_neither_acts() {
    let mut world = World::stable(5);
    world.facts.policy.as_mut().unwrap().rivals = vec!["other".into()];
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(100);
    assert!(world.facts.recoveries.is_empty() && world.effects.is_empty());
    assert_eq!(world.condition("Conflicted").0, "True");
    assert_eq!(world.condition("Ready"), ("False".into(), "Conflicted".into()));
}

#[test]
fn a_state_that_is_too_old_is_not_used() {
    let mut world = World::stable(5);
    world.spec().actions.rollback.as_mut().unwrap().max_age = lasting(60);
    world.run(120);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(60);
    assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::StateTooOld));
    assert_eq!(world.count(Remediation::RestoreTemplate), 0);
}

#[test]
fn what_the_policy_does_not_list_is_not_done() {
    let mut world = World::stable(5).actions(None, None);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(100);
    world.assert_holds(Reason::NotAllowed);
    assert!(world.effects.is_empty());
}

/// A tool would put the bad release back: only what it does not keep may be touched.
#[test]
fn what_a_gitops_tool_keeps_is_not_rolled_back() {
    let mut world = World::stable(5);
    world.target_mut().git_ops = Some("Flux".into());
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(200);
    world.assert_holds(Reason::GitOwned);
    assert!(world.effects.is_empty(), "{:?}", world.effects);
    assert_eq!(world.condition("Recoverable"), ("False".into(), "GitOwned".into()));
}

// ---- the last copy that serves

/// The pods are ready, but no client can reach them yet: the bad one is all that the Service offers.
#[test]
fn the_last_pod_that_a_service_offers_is_not_taken() {
    let mut world = World::stable(5);
    let bad = world.break_pod(2);
    world.endpoints_lag = Some([bad].into());
    world.run(60);
    assert_eq!(world.refusal(Remedy::IsolatePods), Some(Reason::LastHealthyCopy));
    assert!(world.effects.is_empty());
    world.endpoints_lag = None;
    world.run_until(5, |world| world.count(Remediation::QuarantinePod) == 1);
}

/// The counts of a Deployment may be behind its pods.
#[test]
fn traffic_does_not_move_to_a_standby_without_a_ready_pod() {
    let mut world = World::with_standby(Failback::Automatic);
    world.facts.standby_pods.iter_mut().for_each(|pod| pod.ready = false);
    world.dependency_down = true;
    world.run(60);
    world.assert_holds(Reason::StandbyTooSmall);
    assert!(world.effects.is_empty());
    world.facts.standby_pods.iter_mut().for_each(|pod| pod.ready = true);
    world.run_until(5, |world| world.count(Remediation::SwitchService) == 1);
}
