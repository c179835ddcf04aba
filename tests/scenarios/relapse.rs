//! What comes back was not ended by what was done: exactly the allowed attempts, then silence.

use homeostat::api::policy::Failback;
use homeostat::api::recovery::Remedy;
use homeostat::api::{Outcome, Phase, Reason, Remediation};

use crate::world::{Behaviour, World, lasting, seconds};

/// A pipeline that applies the same bad release again whenever it is gone.
fn stubborn_pipeline(world: &mut World, seconds: i64) {
    for _ in 0..seconds {
        let closed = world.facts.open_recovery().is_none();
        if closed && world.target().digest != crate::world::deployment("bad") {
            world.release_bad("bad", Behaviour::CrashLoop);
        }
        world.run(1);
    }
}

fn restores(world: &World) -> usize {
    world.count(Remediation::RestoreTemplate)
}

#[test]
fn an_endless_relapse_gets_the_allowed_attempts_and_then_silence() {
    for most in [1, 2, 3] {
        let mut world = World::stable(3);
        world.spec().limits.max_attempts = most;
        world.spec().limits.cooldown = lasting(30);
        stubborn_pipeline(&mut world, 2400);
        assert_eq!(restores(&world), most as usize);
        world.assert_holds(Reason::RolloutFrozen);
        assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::AttemptsExhausted));
        let journal = world.journal();
        assert_eq!((journal.attempt, journal.tried_before), (0, most));
        assert!(journal.message.contains("came back") && journal.message.contains("person"), "{}", journal.message);
        let (written, effects) = (world.written.len(), world.effects.len());
        stubborn_pipeline(&mut world, 10_000);
        assert_eq!((written, effects), (world.written.len(), world.effects.len()), "no silence");
    }
}

#[test]
fn what_is_handed_to_a_person_is_escalated() {
    let mut world = World::stable(3);
    world.spec().actions.isolate = None;
    world.spec().limits.max_attempts = 1;
    stubborn_pipeline(&mut world, 900);
    world.assert_holds(Reason::AttemptsExhausted);
    assert_eq!(world.journal().outcome, Some(Outcome::Escalated));
    // A release that is good ends it.
    world.release("good");
    world.run_until_closed(300);
    world.assert_closed(Outcome::Superseded, Reason::Superseded);
}

/// The count is in the incidents themselves: it does not depend on how many of them are kept.
#[test]
fn a_short_history_does_not_forget_attempts() {
    let mut world = World::stable(3);
    world.spec().history.recoveries = 1;
    world.spec().limits.cooldown = lasting(0);
    world.spec().limits.max_attempts = 3;
    stubborn_pipeline(&mut world, 2400);
    assert_eq!(restores(&world), 3);
    assert_eq!(world.journal().tried_before, 3);
}

#[test]
fn another_content_is_another_matter() {
    let mut world = World::stable(3);
    world.spec().limits.cooldown = lasting(0);
    for version in ["v2", "v3", "v4", "v5"] {
        world.release_bad(version, Behaviour::CrashLoop);
        world.run(1);
        world.run_until_closed(300);
        world.assert_closed(Outcome::Recovered, Reason::Verified);
        assert_eq!(world.journal().tried_before, 0);
    }
}

#[test]
fn what_comes_back_much_later_is_another_matter() {
    let mut world = World::stable(3);
    world.spec().limits.relapse = lasting(600);
    for _ in 0..4 {
        world.release_bad("bad", Behaviour::CrashLoop);
        world.run(1);
        world.run_until_closed(300);
        world.assert_closed(Outcome::Recovered, Reason::Verified);
        world.run(700);
    }
    assert_eq!(restores(&world), 4);
}

#[test]
fn content_that_was_proven_bad_is_recognised() {
    let mut world = World::stable(3);
    world.spec().limits.cooldown = lasting(0);
    world.release_bad("bad", Behaviour::CrashLoop);
    world.run(1);
    world.run_until_closed(300);
    let first = world.recovery().name.clone();
    assert!(!world.journal().decision.message.contains("went back"));
    world.release("bad");
    world.run_until(60, |world| world.facts.recoveries.len() == 2);
    let message = &world.journal().decision.message;
    assert!(message.contains(&format!("Recovery {first} went back from the same content before")), "{message}");
}

#[test]
fn each_time_it_is_left_alone_for_longer() {
    let mut world = World::stable(3);
    world.spec().actions.isolate.as_mut().unwrap().freeze = false;
    world.spec().limits.max_attempts = 5;
    world.spec().limits.cooldown = lasting(100);
    let mut pauses = vec![];
    let mut closed = None;
    for _ in 0..4 {
        world.release_bad("bad", Behaviour::CrashLoop);
        let before = restores(&world);
        world.run_until(1500, |world| restores(world) > before);
        pauses.extend(closed.map(|closed| world.now.duration_since(closed)));
        world.run_until_closed(300);
        closed = Some(world.now);
    }
    assert_eq!(pauses, [100, 200, 400].map(seconds));
}

/// Home comes and goes; the traffic does not go with it for ever.
#[test]
fn a_flapping_target_does_not_make_the_traffic_flap() {
    let mut world = World::with_standby(Failback::Automatic);
    world.spec().limits.cooldown = lasting(30);
    for _ in 0..60 {
        world.dependency_down = true;
        world.run(60);
        world.dependency_down = false;
        world.run(90);
    }
    assert_eq!(world.count(Remediation::SwitchService), 2);
    assert_eq!(world.count(Remediation::ReturnService), 2);
    assert_eq!(world.facts.services[0].switched_by, None);
}

/// Comes and goes faster than anything counts: nothing is done, and nothing is told.
#[test]
fn flapping_below_the_threshold_is_nothing() {
    let mut world = World::stable(3);
    for _ in 0..60 {
        world.dependency_down = true;
        world.run(5);
        world.dependency_down = false;
        world.run(5);
    }
    assert!(world.facts.recoveries.is_empty() && world.effects.is_empty());
}

/// A rung that did not help is followed by the next one, once.
#[test]
fn after_a_rung_that_did_not_help_comes_the_next() {
    let mut world = World::with_standby(Failback::Automatic);
    world.break_pod(0);
    world.run_until(60, |world| world.count(Remediation::QuarantinePod) == 1);
    // Its replacement is no better: the cause is not the pod.
    world.dependency_down = true;
    world.run(1200);
    assert_eq!((world.count(Remediation::QuarantinePod), world.count(Remediation::SwitchService)), (1, 1));
    assert_eq!((world.phase(), world.journal().attempt), (Some(Phase::OnStandby), 2));
}

/// And if there is none, everything that was learnt is handed over.
#[test]
fn without_a_next_rung_a_person_is_asked() {
    let mut world = World::stable(3);
    world.spec().limits.max_attempts = 3;
    world.break_pod(0);
    world.run_until(60, |world| world.count(Remediation::QuarantinePod) == 1);
    world.dependency_down = true;
    world.run(1200);
    world.assert_holds(Reason::VerificationTimedOut);
    let journal = world.journal();
    assert_eq!(journal.outcome, Some(Outcome::Escalated));
    assert!(journal.message.contains("of 3 pods ready"), "{}", journal.message);
    assert_eq!(world.count(Remediation::QuarantinePod), 1);
    let (written, effects) = (world.written.len(), world.effects.len());
    world.run(5000);
    assert_eq!((written, effects), (world.written.len(), world.effects.len()));
}

/// Who unpauses our freeze has it so: the same content is not paused again.
#[test]
fn a_freeze_that_somebody_ended_is_not_repeated() {
    let mut world = World::stable(3);
    world.spec().actions.rollback = None;
    world.release_bad("bad", Behaviour::CrashLoop);
    for _ in 0..20 {
        world.run(60);
        let target = world.target_mut();
        if target.paused {
            (target.paused, target.frozen_by) = (false, None);
        }
    }
    assert_eq!(world.count(Remediation::FreezeRollout), 1);
    world.release_bad("worse", Behaviour::CrashLoop);
    world.run_until(120, |world| world.count(Remediation::FreezeRollout) == 2);
}
