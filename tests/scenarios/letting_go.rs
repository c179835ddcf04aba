//! Whenever it is no longer ours: release what we hold, and write nothing more.

use homeostat::api::policy::Isolate;
use homeostat::api::{Mode, Outcome, Phase, Reason, Remediation};

use crate::world::{Behaviour, Crash, World, deployment};

/// Where in an incident something happens.
#[derive(Clone, Copy, Debug, PartialEq)]
enum At {
    /// The intent is recorded, nothing is done yet.
    Recorded,
    /// Frozen, and waiting for a cooldown.
    Frozen,
    /// Restored, and verifying.
    Verifying,
    /// Waiting for a person's approval.
    Awaiting,
    /// A pod is in quarantine.
    Quarantined,
}

const ALL: [At; 5] = [At::Recorded, At::Frozen, At::Verifying, At::Awaiting, At::Quarantined];

fn world_at(at: At) -> World {
    let mut world = World::stable(5);
    match at {
        At::Recorded => {
            world.release_bad("v2", Behaviour::ImagePull);
            while world.phase().is_none() {
                world.tick();
                world.crash = Some(Crash::AfterRecord);
                world.step();
            }
            // Pods are told from those of a later change by their second of creation.
            world.tick();
            world.tick();
        }
        At::Frozen => {
            world.release_bad("v2", Behaviour::ImagePull);
            world.run_until_closed(300);
            world.release_bad("v3", Behaviour::CrashLoop);
            world.run_until(60, |world| world.target().paused);
        }
        At::Verifying => {
            world.release_bad("v2", Behaviour::ImagePull);
            world.run_until_phase(60, Phase::Verifying);
        }
        At::Awaiting => {
            world.spec().mode = Mode::Recommend;
            world.release_bad("v2", Behaviour::ImagePull);
            world.run_until_phase(60, Phase::AwaitingApproval);
        }
        At::Quarantined => {
            world.break_pod(1);
            world.run_until(60, |world| !world.facts.quarantined.is_empty());
        }
    }
    world
}

/// Lets `happen` happen everywhere; the incident must end like this, with nothing but releases after it.
#[track_caller]
fn ends(happen: impl Fn(&mut World), outcome: Outcome, reason: Reason) {
    for at in ALL {
        let mut world = world_at(at);
        let number = world.facts.recoveries.len() - 1;
        let before = world.done().len();
        happen(&mut world);
        world.operate();
        let journal = &world.facts.recoveries[number].journal;
        assert_eq!((journal.phase, journal.outcome, journal.reason), (Phase::Closed, Some(outcome), reason), "{at:?}");
        let expected: &[Remediation] = match at {
            At::Frozen if reason != Reason::TargetGone => &[Remediation::ReleaseFreeze],
            At::Quarantined => &[Remediation::DeletePod],
            _ => &[],
        };
        assert_eq!(&world.done()[before..], expected, "{at:?}");
    }
}

#[test]
fn a_suspended_policy_lets_go_at_every_phase() {
    ends(|world| world.spec().suspend = true, Outcome::Abandoned, Reason::Suspended);
}

#[test]
fn a_suspended_operator_lets_go_at_every_phase() {
    ends(|world| world.facts.ceiling.suspended = true, Outcome::Abandoned, Reason::Suspended);
}

#[test]
fn a_deleted_policy_lets_go_at_every_phase() {
    ends(|world| world.facts.policy = None, Outcome::Abandoned, Reason::PolicyDeleted);
    ends(|world| world.facts.policy.as_mut().unwrap().deleting = true, Outcome::Abandoned, Reason::PolicyDeleted);
}

#[test]
fn an_abort_lets_go_at_every_phase() {
    for at in ALL {
        let mut world = world_at(at);
        let number = world.facts.recoveries.len() - 1;
        world.abort();
        // The symptom is still there: a new incident may follow, but only after this one let go.
        world.step();
        let journal = &world.facts.recoveries[number].journal;
        assert_eq!((journal.outcome, journal.reason), (Some(Outcome::Abandoned), Reason::AbortedByUser), "{at:?}");
        assert!(matches!(journal.phase, Phase::Releasing | Phase::Closed), "{at:?}");
        assert!(!world.target().paused && world.facts.quarantined.is_empty(), "{at:?}");
    }
}

#[test]
fn a_replaced_target_is_not_touched_at_any_phase() {
    ends(|world| world.replace_target("v9"), Outcome::Abandoned, Reason::TargetGone);
}

#[test]
fn a_deleted_target_is_not_touched_at_any_phase() {
    let delete = |world: &mut World| {
        world.facts.target = None;
        world.facts.pods.clear();
    };
    ends(delete, Outcome::Abandoned, Reason::TargetGone);
}

#[test]
fn a_second_policy_makes_us_let_go_at_every_phase() {
    ends(
        |world| world.facts.policy.as_mut().unwrap().rivals = vec!["other".into()],
        Outcome::Abandoned,
        Reason::Conflicted,
    );
}

#[test]
fn a_persons_change_supersedes_at_every_phase() {
    ends(|world| world.release("fixed"), Outcome::Superseded, Reason::Superseded);
}

/// Nothing of ours is in its way: no pause, no pod that we keep.
#[test]
fn a_persons_fix_takes_effect_at_every_phase() {
    for at in ALL {
        let mut world = world_at(at);
        world.release("fixed");
        world.run(120);
        let fixed = world.facts.present_revisions().into_iter().map(str::to_owned).collect::<Vec<_>>();
        let serving = world.facts.live_pods().filter(|pod| pod.ready && fixed.contains(&pod.revision)).count();
        assert_eq!((serving, world.target().digest.clone()), (5, deployment("fixed")), "{at:?}");
        assert!(world.facts.quarantined.is_empty() && !world.target().paused, "{at:?}");
    }
}

#[test]
fn a_persons_change_of_the_config_map_supersedes_at_every_phase() {
    ends(|world| world.configure("fixed"), Outcome::Superseded, Reason::Superseded);
}

#[test]
fn a_person_who_unpauses_what_we_froze_has_taken_over() {
    let mut world = world_at(At::Frozen);
    world.run(5);
    let before = world.done().len();
    world.target_mut().paused = false;
    world.step();
    assert_eq!(world.journal().outcome, Some(Outcome::Superseded));
    world.step();
    assert!(world.facts.target.as_ref().unwrap().frozen_by.is_none());
    assert_eq!(world.done()[before..], [Remediation::ReleaseFreeze], "only our mark is taken away");
}

#[test]
fn somebody_elses_change_met_at_the_write_ends_the_plan_there() {
    let mut world = World::stable(5);
    world.configure("for v2");
    world.release_bad("v2", Behaviour::ImagePull);
    while world.phase().is_none() {
        world.tick();
        world.crash = Some(Crash::AfterRecord);
        world.step();
    }
    world.tick();
    world.tick();
    // Between the facts of this step and its writes: the plan is made from what was true before.
    let before = world.facts.clone();
    world.configure("fixed");
    let fixed = std::mem::replace(&mut world.facts, before);
    world.step_with(|world| world.facts.config_maps = fixed.config_maps);
    world.operate();
    world.assert_closed(Outcome::Superseded, Reason::Superseded);
    assert_eq!(world.done(), [], "nothing may be written after it");
    assert_eq!(world.target().digest, deployment("v2"));
}

#[test]
fn a_freeze_whose_receipt_was_lost_is_released() {
    let mut world = World::stable(5);
    world.spec().actions.rollback = None;
    world.release_bad("v2", Behaviour::ImagePull);
    while !world.target().paused {
        world.tick();
        world.crash = Some(Crash::AfterEffects);
        world.step();
    }
    world.abort();
    world.step();
    assert!(!world.target().paused);
}

#[test]
fn letting_go_waits_while_we_are_blind_and_then_goes_on() {
    for at in [At::Frozen, At::Quarantined] {
        let mut world = world_at(at);
        world.blind(true);
        world.spec().suspend = true;
        let before = world.done().len();
        world.run(10);
        assert_eq!(world.done().len(), before);
        world.blind(false);
        world.operate();
        world.assert_closed(Outcome::Abandoned, Reason::Suspended);
    }
}

#[test]
fn a_release_that_went_blind_half_way_is_finished_later() {
    let mut world = world_at(At::Frozen);
    world.spec().suspend = true;
    world.crash = Some(Crash::AfterRecord);
    world.step();
    assert_eq!(world.phase(), Some(Phase::Releasing));
    world.blind(true);
    world.run(10);
    assert_eq!(world.phase(), Some(Phase::Releasing));
    assert!(world.target().paused);
    world.blind(false);
    world.operate();
    world.assert_closed(Outcome::Abandoned, Reason::Suspended);
    assert!(!world.target().paused);
}

#[test]
fn a_refused_release_says_so_and_does_not_spin() {
    let mut world = world_at(At::Frozen);
    world.refused.insert(Remediation::ReleaseFreeze);
    world.spec().suspend = true;
    world.step_unchecked();
    world.step_unchecked();
    assert_eq!(world.journal().phase, Phase::Closed);
    assert_eq!(world.journal().outcome, Some(Outcome::Abandoned));
    assert!(world.journal().message.contains("refused"), "{}", world.journal().message);
}

#[test]
fn a_refused_deletion_does_not_open_a_closed_incident_again() {
    let mut world = World::stable(5);
    world.break_pod(2);
    world.run_until_closed(300);
    world.refused.insert(Remediation::DeletePod);
    let due = world.facts.quarantined[0].inspect_until.unwrap();
    while world.now <= due {
        world.tick();
        world.step_unchecked();
    }
    assert_eq!(world.journal().phase, Phase::Closed);
    assert_eq!(world.journal().outcome, Some(Outcome::Recovered));
}

#[test]
fn after_an_abort_the_same_trouble_is_left_to_the_person() {
    let mut world = World::stable(5).actions(Some(Isolate::default()), None);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until(120, |world| world.target().paused);
    world.abort();
    world.run_until_closed(60);
    world.run(120);
    world.lose_memory();
    world.run(120);
    assert_eq!(world.facts.recoveries.len(), 1, "{:#?}", world.journal());
    assert_eq!((world.count(Remediation::FreezeRollout), world.target().paused), (1, false));
    // Another change is other trouble.
    world.release_bad("v3", Behaviour::CrashLoop);
    world.run_until(300, |world| world.facts.recoveries.len() == 2);
}
