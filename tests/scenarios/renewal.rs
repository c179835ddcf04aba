//! Pods that run with configuration as it was: made anew once, where nothing else is left to be done about it.

use homeostat::api::policy::{GitOps, Isolate, MemberPolicy, Rollback};
use homeostat::api::recovery::{ApprovalDecision, Remedy, Suspect};
use homeostat::api::{Check, Mode, Outcome, Phase, Reason, Remediation};
use homeostat::plan::member::MemberKind;

use crate::world::{Behaviour, Crash, World, config};

/// A stable world whose policy does not write configuration.
fn comparing() -> World {
    comparing_with(|_| {})
}

fn comparing_with(prepare: impl FnOnce(&mut World)) -> World {
    let mut world = World::new(3);
    world.spec().closure.config_maps = MemberPolicy::Compare;
    prepare(&mut world);
    world.run(90);
    assert_eq!(world.facts.states.len(), 1);
    world
}

/// One with a password in its environment.
fn with_login(secrets: MemberPolicy) -> World {
    comparing_with(|world| {
        world.spec().closure.secrets = secrets;
        world.attach(MemberKind::Secret, "login", "old");
        world.target_mut().read_at_start.insert((MemberKind::Secret, "login".to_owned()));
    })
}

/// A password is changed on both sides: whoever read the old one cannot go on.
fn rotate(world: &mut World) {
    world.behaviours.insert(config("good"), Behaviour::NeverReady);
    world.configure("new");
}

/// The same where nobody may look: those that are there get no further.
fn rotate_secret(world: &mut World) {
    world.edit(MemberKind::Secret, "login", "new");
    stall(world, 3);
}

fn stall(world: &mut World, pods: usize) {
    let uids: Vec<String> = world.facts.pods.iter().take(pods).map(|pod| pod.uid.clone()).collect();
    uids.iter().for_each(|uid| world.stall_pod(uid));
}

#[track_caller]
fn assert_renewed(world: &mut World) {
    world.run_until_closed(400);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.count(Remediation::RenewPods), 1);
    let decision = &world.journal().decision;
    assert_eq!((decision.remedy, decision.reason), (Remedy::RenewPods, Reason::PodsRenewed));
}

#[track_caller]
fn assert_left_alone(world: &World, renewal: Reason) {
    assert_eq!(world.refusal(Remedy::RenewPods), Some(renewal), "{:#?}", world.journal());
    assert_eq!((world.phase(), world.count(Remediation::RenewPods)), (Some(Phase::Holding), 0));
}

#[test]
fn pods_that_hold_what_was_changed_are_made_anew() {
    let mut world = comparing();
    rotate(&mut world);
    assert_renewed(&mut world);
    assert_eq!(world.journal().suspect, Suspect::Change);
    assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::NoChangeToRevert));
    assert_eq!(world.facts.config_maps["settings"].digest, config("new"));
    let message = &world.journal().message;
    assert!(message.contains("left as it is: ConfigMap settings"), "{message}");
    // What they run with now earns a state of its own.
    world.run(90);
    assert_eq!(world.facts.states.len(), 2);
}

#[test]
fn pods_that_hold_a_rotated_password_are_made_anew() {
    let mut world = with_login(MemberPolicy::Compare);
    rotate_secret(&mut world);
    assert_renewed(&mut world);
    assert_eq!(world.done(), [Remediation::RenewPods]);
    assert_eq!(world.digest(MemberKind::Secret, "login").as_deref(), Some("new"));
}

#[test]
fn what_may_not_be_looked_at_is_no_reason() {
    let mut world = with_login(MemberPolicy::Ignore);
    rotate_secret(&mut world);
    world.run(300);
    world.assert_holds(Reason::NoChangeToRevert);
    assert_left_alone(&world, Reason::NotIndicated);

    let mut world = with_login(MemberPolicy::Compare);
    world.facts.ceiling.secrets = false;
    rotate_secret(&mut world);
    world.run(300);
    assert_left_alone(&world, Reason::NotIndicated);
}

/// They read what was bad, do not end by themselves, and would never read what was put back.
#[test]
fn pods_that_keep_what_was_put_back_are_made_anew() {
    for forget in [false, true] {
        let mut world = World::stable(3);
        world.configure_bad("bad", Behaviour::NeverReady);
        world.run(2);
        world.restart_pods();
        world.run_until(120, |world| world.count(Remediation::RestoreObject) == 1);
        if forget {
            world.run(1);
            world.lose_memory();
        }
        assert_renewed(&mut world);
        assert_eq!(world.facts.config_maps["settings"].digest, config("good"));
        assert_eq!((world.facts.recoveries.len(), world.journal().attempt), (1, 2));
    }
}

/// They end, start again, and read it.
#[test]
fn pods_that_restart_by_themselves_are_not() {
    let mut world = World::stable(3);
    world.configure_bad("bad", Behaviour::CrashLoop);
    world.run(2);
    world.restart_pods();
    world.run_until_closed(600);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!((world.count(Remediation::RestoreObject), world.count(Remediation::RenewPods)), (1, 0));
}

#[test]
fn pods_that_read_it_live_are_not() {
    let mut world = comparing_with(|world| world.target_mut().read_at_start.clear());
    rotate(&mut world);
    world.run(300);
    assert_left_alone(&world, Reason::NotIndicated);
}

#[test]
fn pods_younger_than_the_change_are_not() {
    let mut world = comparing();
    world.configure("new");
    world.run(2);
    world.restart_pods();
    world.run(10);
    world.dependency_down = true;
    world.run(300);
    assert_left_alone(&world, Reason::NotIndicated);
}

/// It was changed, and changed back: what they hold is what is there.
#[test]
fn pods_that_hold_what_is_there_again_are_not() {
    let mut world = comparing();
    world.configure("new");
    world.run(5);
    world.configure("good");
    world.run(5);
    world.dependency_down = true;
    world.run(300);
    assert_left_alone(&world, Reason::NotIndicated);
}

#[test]
fn what_is_gone_is_no_reason() {
    let mut world = with_login(MemberPolicy::Compare);
    world.detach(MemberKind::Secret, "login");
    stall(&mut world, 3);
    world.run(300);
    assert_left_alone(&world, Reason::NotIndicated);
}

#[test]
fn what_can_be_put_back_is_put_back_first() {
    let mut world = World::stable(3);
    rotate(&mut world);
    world.run_until(60, |world| world.count(Remediation::RestoreObject) == 1);
    assert_eq!((world.count(Remediation::RenewPods), world.journal().decision.remedy), (0, Remedy::Rollback));
}

#[test]
fn another_change_beside_it_is_not_left_out_of_account() {
    let mut world = comparing();
    world.attach(MemberKind::NetworkPolicy, "deny", "added");
    rotate(&mut world);
    world.run(300);
    assert_eq!(
        (world.refusal(Remedy::RenewPods), world.count(Remediation::RenewPods)),
        (Some(Reason::NotIndicated), 0)
    );
}

/// The other side was changed first: a change in the middle of trouble gets the time that any gets.
#[test]
fn who_begins_with_the_other_side_is_waited_for() {
    let mut world = comparing();
    world.dependency_down = true;
    world.run(15);
    world.configure("new");
    world.dependency_down = false;
    world.behaviours.insert(config("good"), Behaviour::NeverReady);
    world.run_until(300, |world| world.count(Remediation::RenewPods) == 1);
    assert_renewed(&mut world);
}

#[test]
fn a_good_one_that_holds_the_same_says_that_it_is_something_else() {
    let mut world = comparing();
    world.configure("new");
    stall(&mut world, 2);
    world.run(120);
    assert_left_alone(&world, Reason::NotIndicated);
}

/// One was deleted by hand, and its successor is well: the rest follows, if the rollout keeps that one meanwhile.
#[test]
fn good_ones_with_what_is_there_now_speak_for_it_and_are_kept() {
    let half_done = |keeps| {
        let mut world = comparing_with(|world| world.target_mut().rollout_keeps = keeps);
        rotate(&mut world);
        world.run(2);
        world.facts.pods.remove(0);
        world
    };
    assert_renewed(&mut half_done(1));
    let mut world = half_done(0);
    world.run(120);
    assert_left_alone(&world, Reason::LastHealthyCopy);
}

#[test]
fn a_change_that_nobody_saw_or_that_is_long_ago_is_not_the_reason() {
    for ago in [0, 700] {
        let mut world = comparing();
        world.configure("new");
        world.run(2 + ago);
        if ago == 0 {
            world.lose_memory();
            world.facts.config_maps.get_mut("settings").unwrap().written = None;
        }
        world.dependency_down = true;
        world.run(120);
        assert_eq!(world.count(Remediation::RenewPods), 0);
        assert_eq!(world.refusal(Remedy::RenewPods), Some(Reason::NotIndicated));
    }
}

/// What it was before is in the last state, and the API server says when it was written.
#[test]
fn a_change_is_known_after_a_restart_of_ours_as_well() {
    let mut world = comparing();
    rotate(&mut world);
    world.lose_memory();
    assert_renewed(&mut world);
}

#[test]
fn it_is_done_only_where_it_is_allowed() {
    let refused = |reason, prepare: fn(&mut World)| {
        let mut world = comparing();
        prepare(&mut world);
        rotate(&mut world);
        world.run(120);
        assert_left_alone(&world, reason);
        assert_eq!(world.journal().reason, reason, "what it holds for is said");
    };
    refused(Reason::NotAllowed, |world| {
        world.spec().actions.isolate = Some(Isolate { renew: false, ..Isolate::default() });
    });
    refused(Reason::NotAllowed, |world| {
        (world.spec().actions.isolate, world.spec().actions.rollback) = (None, Some(Rollback::default()));
    });
    refused(Reason::GitOwned, |world| world.target_mut().git_ops = Some("Flux".into()));
    refused(Reason::PausedByOther, |world| world.target_mut().paused = true);
    refused(Reason::TargetOwned, |world| world.target_mut().owner = Some("Thing/web".into()));

    let mut world = comparing();
    world.spec().git_ops = GitOps::Override;
    world.target_mut().git_ops = Some("Flux".into());
    rotate(&mut world);
    assert_renewed(&mut world);
}

#[test]
fn the_plan_that_is_approved_stays_the_same_as_time_goes_by() {
    let mut world = comparing().mode(Mode::Recommend);
    rotate(&mut world);
    world.run(120);
    assert_eq!((world.phase(), world.effects.len()), (Some(Phase::AwaitingApproval), 0));
    let written = world.written.len();
    world.run(900);
    assert_eq!(world.written.len(), written);
    let digest = world.journal().decision.plan_digest.clone();
    world.answer(ApprovalDecision::Approve, &digest);
    assert_renewed(&mut world);
}

#[test]
fn what_does_not_help_is_not_done_again() {
    let mut world = comparing();
    rotate(&mut world);
    world.dependency_down = true;
    world.run(1500);
    assert_eq!(world.done(), [Remediation::RenewPods], "its own rollout is no bad one either");
    assert_eq!(world.phase(), Some(Phase::Holding));
}

/// Who keeps changing it does not get a restart for each time.
#[test]
fn the_next_change_has_to_wait_for_the_cooldown() {
    let mut world = comparing();
    rotate(&mut world);
    assert_renewed(&mut world);
    world.behaviours.insert(config("new"), Behaviour::NeverReady);
    world.configure("newer");
    world.run(60);
    assert_eq!(world.refusal(Remedy::RenewPods), Some(Reason::Cooldown));
    assert_eq!(world.count(Remediation::RenewPods), 1);
}

#[test]
fn a_crash_at_any_moment_changes_nothing() {
    for crash in [Crash::AfterRecord, Crash::AfterEffects] {
        let mut world = comparing();
        rotate(&mut world);
        let due = |world: &World| {
            let mut later = world.clone();
            later.run(1);
            later.count(Remediation::RenewPods) == 1
        };
        world.run_until(60, due);
        world.crash = Some(crash);
        assert_renewed(&mut world);
        assert_eq!(world.facts.recoveries.len(), 1, "{crash:?}");
    }
}

#[test]
fn letting_go_leaves_the_rollout_to_its_controller_and_writes_nothing_more() {
    let mut world = comparing();
    rotate(&mut world);
    world.run_until(60, |world| world.count(Remediation::RenewPods) == 1);
    world.abort();
    world.run_until_closed(10);
    world.assert_closed(Outcome::Abandoned, Reason::AbortedByUser);
    world.run(300);
    assert_eq!((world.done(), world.facts.recoveries.len()), (vec![Remediation::RenewPods], 1));
}

#[test]
fn a_release_in_the_last_moment_is_left_to_its_owner() {
    let mut world = comparing();
    rotate(&mut world);
    let planned = |world: &World| world.plan().turn.as_ref().is_some_and(|turn| !turn.effects.is_empty());
    while world.phase().is_none() {
        world.tick();
        world.step_with(|world| {
            if planned(world) {
                world.release("v2");
            }
        });
    }
    world.run(5);
    world.assert_closed(Outcome::Superseded, Reason::Superseded);
    assert_eq!(world.count(Remediation::RenewPods), 0);
}

/// Pods are ready, and what they do fails since the change.
#[test]
fn where_only_a_check_fails_all_pods_may_be_the_bad_ones() {
    let (provider, query) = ("main".to_owned(), "errors".to_owned());
    let check = Check { name: "errors".into(), provider, query, max: Some("0.01".into()), min: None, window: None };
    let mut world = comparing_with(|world| world.spec().stability.checks = vec![check]);
    world.configure("new");
    world.run(1);
    world.metrics = Some(Ok(0.5));
    world.run_until(120, |world| world.count(Remediation::RenewPods) == 1);
    world.metrics = Some(Ok(0.0));
    assert_renewed(&mut world);
}

/// Its controller would wait for the bad ones before it replaces them.
#[test]
fn stale_pods_of_a_stateful_set_are_evicted_as_well() {
    let mut world = comparing_with(|world| {
        world.target_mut().kind = MemberKind::StatefulSet;
        world.spec().target_ref.kind = "StatefulSet".into();
    });
    rotate(&mut world);
    assert_renewed(&mut world);
    let steps: Vec<_> = world.journal().steps.iter().map(|step| step.remediation).collect();
    let evict = Remediation::EvictPod;
    assert_eq!(steps, [Remediation::RenewPods, evict, evict, evict]);
}
