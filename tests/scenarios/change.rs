//! A change broke it: the closure goes back to its stable state, and nothing else is touched.

use homeostat::api::recovery::{Remedy, Suspect};
use homeostat::api::{Mode, Outcome, Phase, Reason, Remediation};

use crate::world::{Behaviour, Crash, World, config, deployment, seconds};

#[track_caller]
fn assert_restored(world: &World) {
    assert_eq!(world.target().digest, deployment("v1"));
    assert!(!world.target().paused);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

/// Breaks it by `behaviour`, and expects it back.
#[track_caller]
fn rolled_back(behaviour: Behaviour, symptom: Reason) -> World {
    let mut world = World::stable(5);
    world.release_bad("v2", behaviour);
    world.run_until_closed(300);
    assert_restored(&world);
    assert_eq!(world.journal().symptom.reason, symptom);
    assert_eq!(world.journal().suspect, Suspect::Change);
    assert_eq!(world.journal().decision.reason, Reason::ChangeReverted);
    assert_eq!(world.count(Remediation::RestoreTemplate), 1);
    world
}

#[test]
fn a_bad_image_is_rolled_back_and_verified_after_the_window() {
    let world = rolled_back(Behaviour::ImagePull, Reason::ImagePull);
    assert_eq!(world.done(), [Remediation::RestoreTemplate, Remediation::HandBackFields]);
    let timeline = &world.journal().timeline;
    let (converged, verified) = (timeline.converged.as_ref().unwrap().0, timeline.verified.as_ref().unwrap().0);
    assert_eq!(verified, converged + seconds(30));
    assert_eq!(timeline.acted.as_ref().unwrap().0, timeline.detected.as_ref().unwrap().0);
    assert_eq!(world.status().active_recovery, "");
}

#[test]
fn the_next_look_is_when_the_window_ends() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::ImagePull);
    world.run_until(120, |world| world.memory.back.is_some());
    let from = world.memory.back.as_ref().unwrap().at;
    assert_eq!(world.plan().wake_at, from + seconds(30));
    assert_eq!(world.journal().phase, Phase::Verifying);
}

#[test]
fn a_crash_loop_during_a_rollout_is_rolled_back() {
    rolled_back(Behaviour::CrashLoop, Reason::CrashLoop);
}

#[test]
fn a_crash_after_ready_is_rolled_back() {
    // Too few are ready for unavailableFor before any of them has ended twice.
    rolled_back(Behaviour::CrashAfterReady(15), Reason::Unavailable);
}

#[test]
fn a_release_that_never_gets_ready_is_rolled_back_when_its_patience_ends() {
    let mut world = World::stable(5);
    let released = world.now;
    world.release_bad("v2", Behaviour::NeverReady);
    world.run_until_phase(300, Phase::Verifying);
    let since = world.journal().symptom.since.0;
    assert!(since >= released + seconds(60), "six times unavailableFor must pass, not {since}");
    assert_eq!(world.journal().symptom.reason, Reason::RolloutStuck);
    world.run_until_closed(300);
    assert_restored(&world);
}

#[test]
fn a_slow_healthy_release_is_never_touched() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::Healthy(30));
    world.run(600);
    assert!(world.facts.recoveries.is_empty() && world.effects.is_empty());
    assert_eq!(world.facts.states.len(), 2, "it must have earned a state of its own");
}

#[test]
fn a_broken_config_map_alone_is_restored() {
    let mut world = World::stable(5);
    world.configure_bad("broken", Behaviour::CrashLoop);
    world.restart_pods();
    world.run_until_closed(600);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.done(), [Remediation::RestoreObject, Remediation::HandBackFields]);
    assert_eq!(world.facts.config_maps["settings"].digest, config("good"));
}

#[test]
fn a_deleted_config_map_is_created_again() {
    let mut world = World::stable(3);
    world.behaviours.insert(String::new(), Behaviour::CrashLoop);
    world.facts.config_maps.remove("settings");
    world.bad_pods = world.facts.pods.iter().map(|pod| pod.uid.clone()).collect();
    world.run_until(60, |world| world.count(Remediation::RestoreObject) == 1);
    world.bad_pods.clear();
    world.run_until_closed(600);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn with_image_and_config_map_in_one_release_the_config_map_goes_first() {
    let mut world = World::stable(5);
    world.configure("for v2");
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(600);
    assert_restored(&world);
    assert_eq!(world.facts.config_maps["settings"].digest, config("good"));
    assert_eq!(world.done()[..2], [Remediation::RestoreObject, Remediation::RestoreTemplate]);
}

#[test]
fn bad_and_bad_again_goes_back_past_both() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::CrashAfterReady(40));
    world.run(5);
    world.release_bad("v3", Behaviour::ImagePull);
    world.run_until_closed(600);
    assert_restored(&world);
}

#[test]
fn a_bad_release_right_after_another_waits_for_the_cooldown_frozen_and_then_goes_back_past_both() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::ImagePull);
    world.run_until_closed(300);
    let closed = world.now;
    world.release_bad("v3", Behaviour::CrashLoop);
    world.run_until(60, |world| world.target().paused);
    world.assert_holds(Reason::RolloutFrozen);
    assert_eq!(world.journal().decision.remedy, Remedy::Freeze);
    assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::Cooldown));
    assert_eq!(world.journal().attempt, 0, "containing is not an attempt");
    world.run(1);
    assert_eq!(world.plan().wake_at.min(closed + seconds(300)), world.plan().wake_at);
    let held = world.written.len();
    world.run(60);
    assert_eq!(world.written.len(), held, "nothing new is written while it holds");
    world.run_until(300, |world| world.count(Remediation::RestoreTemplate) == 2);
    assert!(world.now >= closed + seconds(300), "the cooldown must be over");
    assert!(!world.target().paused, "the restore ends our own freeze");
    world.run_until_closed(300);
    assert_restored(&world);
    assert_eq!(world.count(Remediation::ReleaseFreeze), 0);
}

#[test]
fn a_stuck_release_that_was_frozen_is_still_rolled_back_after_the_cooldown() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::ImagePull);
    world.run_until_closed(300);
    world.release_bad("v3", Behaviour::NeverReady);
    world.run_until(120, |world| world.target().paused);
    world.run_until_closed(600);
    assert_restored(&world);
}

#[test]
fn a_frozen_release_whose_pods_recover_is_let_go() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::ImagePull);
    world.run_until_closed(300);
    world.release_bad("v3", Behaviour::CrashLoop);
    world.run_until(120, |world| world.target().paused);
    world.behaviours.clear();
    world.run_until_closed(250);
    world.assert_closed(Outcome::Held, Reason::HealedItself);
    assert_eq!(world.count(Remediation::ReleaseFreeze), 1);
    world.run(30);
    assert_eq!(world.target().updated_replicas, 5, "the rollout goes on");
}

#[test]
fn a_frozen_config_map_break_is_unfrozen_with_the_restore() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::ImagePull);
    world.run_until_closed(300);
    world.configure_bad("broken", Behaviour::CrashLoop);
    world.target_mut().generation += 1;
    world.scale_to(6);
    world.run_until(120, |world| world.phase() == Some(Phase::Holding));
    world.run_until_closed(900);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert!(!world.target().paused);
}

#[test]
fn a_restart_of_the_operator_at_any_step_of_a_rollback_changes_nothing() {
    let expected = [Remediation::RestoreTemplate, Remediation::HandBackFields];
    for crash in [Crash::BeforeRecord, Crash::AfterRecord, Crash::AfterEffects] {
        let mut story = World::stable(3);
        story.release_bad("v2", Behaviour::ImagePull);
        for after in 0..50 {
            let mut world = story.clone();
            story.run(1);
            world.crash = Some(crash);
            world.run_until_closed(300);
            assert_restored(&world);
            assert_eq!(world.done(), expected, "{crash:?} after {after} s");
            assert_eq!(world.facts.recoveries.len(), 1, "{crash:?} after {after} s");
        }
    }
}

#[test]
fn a_crash_at_every_single_step_still_gets_there() {
    for crash in [Crash::AfterRecord, Crash::AfterEffects] {
        let mut world = World::stable(3);
        world.release_bad("v2", Behaviour::ImagePull);
        for _ in 0..20 {
            world.tick();
            world.crash = Some(crash);
            world.step();
        }
        assert_eq!(world.facts.recoveries.len(), 1);
        world.run_until_closed(300);
        assert_restored(&world);
        assert_eq!(world.count(Remediation::RestoreTemplate), 1);
    }
}

#[test]
fn the_same_facts_and_memory_give_the_same_plan() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::CrashLoop);
    for _ in 0..120 {
        world.tick();
        let plan = || format!("{:?}", homeostat::plan::step(&world.facts, world.memory.clone(), world.now));
        assert_eq!(plan(), plan());
        world.operate();
    }
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn an_irreversible_release_is_frozen_and_held() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.target_mut().irreversible = true;
    world.run(300);
    world.assert_holds(Reason::RolloutFrozen);
    assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::Irreversible));
    assert_eq!(world.done(), [Remediation::FreezeRollout]);
}

#[test]
fn a_rollback_that_does_not_help_is_escalated_and_not_repeated() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until(60, |world| world.count(Remediation::RestoreTemplate) == 1);
    world.dependency_down = true;
    world.run(900);
    world.assert_holds(Reason::VerificationTimedOut);
    assert_eq!(world.journal().outcome, Some(Outcome::Escalated));
    assert_eq!(world.count(Remediation::RestoreTemplate), 1);
    world.dependency_down = false;
    world.run_until_closed(300);
    assert_restored(&world);
}

#[test]
fn a_freeze_before_a_rollback_that_times_out_is_not_taken_for_a_persons_hand() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::ImagePull);
    world.run_until_closed(300);
    world.release_bad("v3", Behaviour::CrashLoop);
    world.run_until(60, |world| world.target().paused);
    world.run_until(400, |world| world.count(Remediation::RestoreTemplate) == 2);
    world.dependency_down = true;
    world.run(600);
    world.assert_holds(Reason::VerificationTimedOut);
}

#[test]
fn a_refused_rollback_is_tried_as_often_as_allowed_and_then_contained() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.refused.insert(Remediation::RestoreTemplate);
    world.run(200);
    assert_eq!(world.journal().attempt, 2);
    assert_eq!(world.journal().phase, Phase::Holding);
    assert_eq!(world.done(), [Remediation::FreezeRollout]);
}

#[test]
fn a_refused_freeze_is_not_tried_for_ever() {
    let mut world = World::stable(5);
    world.spec().actions.rollback = None;
    world.refused.insert(Remediation::FreezeRollout);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(200);
    assert_eq!(world.journal().phase, Phase::Holding);
    assert_eq!(world.effects.len(), 1);
}

#[test]
fn a_change_under_the_ceiling_of_observe_is_left_alone() {
    let mut world = World::stable(5);
    world.facts.ceiling.mode = Mode::Observe;
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(100);
    world.assert_holds(Reason::ObserveOnly);
    assert!(world.effects.is_empty());
    assert_eq!(world.condition("Ready"), ("True".into(), "ModeCeiling".into()));
}

/// The trouble began while nothing had changed; what a person tries against it is not its cause, and stays.
#[test]
fn a_change_in_the_middle_of_trouble_is_not_reverted() {
    let mut world = World::stable(3);
    (0..3).for_each(|index| drop(world.break_pod(index)));
    world.run_until_phase(60, Phase::Holding);
    world.assert_holds(Reason::NoChangeToRevert);
    world.release_bad("v2", Behaviour::NeverReady);
    world.run(300);
    assert!(world.effects.is_empty(), "{:?}", world.effects);
    world.assert_holds(Reason::SymptomBeforeChange);
    assert_eq!(world.target().digest, deployment("v2"));
}

/// Pods that end soon after each start are ready in between: all of them, for a moment, when a release made them at once.
#[test]
fn a_moment_without_trouble_does_not_end_it() {
    let mut world = World::stable(3);
    (0..3).for_each(|index| drop(world.break_pod(index)));
    world.run_until_phase(60, Phase::Holding);
    world.release_bad("v2", Behaviour::CrashAfterReady(3));
    world.run(300);
    assert!(world.effects.is_empty(), "{:?}", world.effects);
    world.assert_holds(Reason::SymptomBeforeChange);
}

/// Nor does one just before the release.
#[test]
fn a_release_in_a_moment_without_trouble_is_not_its_cause() {
    let mut world = World::stable(3);
    world.dependency_down = true;
    world.run_until_phase(60, Phase::Holding);
    world.dependency_down = false;
    world.run_until(60, |world| world.condition("TargetHealthy").0 == "True");
    world.release_bad("v2", Behaviour::NeverReady);
    world.run(300);
    assert!(world.effects.is_empty(), "{:?}", world.effects);
    world.assert_holds(Reason::SymptomBeforeChange);
}

/// Who forgets in the middle of it (a restart, a gap in sight) takes what the journal says of its beginning.
#[test]
fn a_restart_in_the_middle_of_trouble_blames_no_later_change() {
    for before_the_change in [true, false] {
        for forget in [World::lose_memory as fn(&mut World), blink] {
            let mut world = World::stable(3);
            (0..3).for_each(|index| drop(world.break_pod(index)));
            world.run_until_phase(60, Phase::Holding);
            world.assert_holds(Reason::NoChangeToRevert);
            if before_the_change {
                forget(&mut world);
                world.run(2);
            }
            world.release_bad("v2", Behaviour::NeverReady);
            if !before_the_change {
                world.run(2);
                forget(&mut world);
            }
            world.run(300);
            assert!(world.effects.is_empty(), "{:?}", world.effects);
            world.assert_holds(Reason::SymptomBeforeChange);
        }
    }
}

fn blink(world: &mut World) {
    world.blind(true);
    world.run(1);
    world.blind(false);
}

#[test]
fn a_config_map_that_others_serve_with_is_left_alone() {
    let mut world = World::stable(5);
    world.configure_bad("broken", Behaviour::CrashLoop);
    let map = world.facts.config_maps.get_mut("settings").unwrap();
    map.serving_others = ["Deployment cart".to_owned()].into();
    world.restart_pods();
    world.run(120);
    world.assert_holds(Reason::Contested);
    assert!(world.effects.is_empty());
    world.facts.config_maps.get_mut("settings").unwrap().serving_others.clear();
    world.run_until_closed(600);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}
