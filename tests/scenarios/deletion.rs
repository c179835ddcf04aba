//! The target itself is deleted: created again if nothing speaks for a purpose, once, and never against anybody.

use homeostat::api::policy::{Mode, RecreatePolicy};
use homeostat::api::recovery::ApprovalDecision::{Approve, Reject};
use homeostat::api::recovery::{Remedy, Suspect};
use homeostat::api::{Outcome, Phase, Reason, Remediation};
use homeostat::plan::facts::Feasibility;
use homeostat::plan::member::MemberKind;

use crate::world::{Behaviour, Crash, World, deployment, lasting};

fn stable(recreate: RecreatePolicy) -> World {
    let mut world = World::new(3);
    world.attach(MemberKind::Service, "web", "good");
    world.spec().actions.rollback.as_mut().unwrap().recreate = recreate;
    world.spec().limits.cooldown = lasting(1);
    world.run(90);
    assert_eq!(world.facts.states.len(), 1);
    world
}

fn restoring() -> World {
    stable(RecreatePolicy::Restore)
}

#[track_caller]
fn assert_created_again(world: &mut World) {
    world.run_until_closed(120);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.count(Remediation::RecreateWorkload), 1);
    let target = world.target();
    assert_eq!((target.digest.as_str(), target.replicas), (deployment("v1").as_str(), 3));
    assert_eq!((&target.recreated_by, &target.uid), (&None, &world.journal().target.uid));
    assert_eq!(world.status().drift.clone().unwrap().distance, "0.00");
}

#[track_caller]
fn assert_left_alone(world: &World, reason: Reason) {
    world.assert_holds(reason);
    assert!(world.facts.target.is_none() && world.effects.is_empty(), "{:#?}", world.effects);
}

#[test]
fn a_deleted_target_is_created_again() {
    let mut world = restoring();
    world.delete_target();
    world.run(9);
    assert!(world.facts.recoveries.is_empty(), "it may be about to come back");
    world.run_until(10, |world| world.facts.target.is_some());
    let journal = world.journal();
    assert_eq!((journal.suspect, journal.decision.remedy), (Suspect::TargetDeleted, Remedy::Recreate));
    assert_eq!((journal.symptom.reason, journal.decision.reason), (Reason::TargetDeleted, Reason::TargetDeleted));
    assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::NoChangeToRevert));
    assert_created_again(&mut world);
    assert_eq!(world.facts.recoveries.len(), 1);
}

#[test]
fn what_belonged_to_it_comes_back_with_it() {
    let mut world = restoring();
    world.facts.config_maps.remove("settings");
    world.detach(MemberKind::Service, "web");
    world.delete_target();
    assert_created_again(&mut world);
    assert_eq!(world.digest(MemberKind::Service, "web").as_deref(), Some("good"));
    let created: Vec<_> = world.effects.iter().map(|effect| effect.step.object.kind.as_str()).collect();
    assert_eq!(created[..3], ["ConfigMap", "Deployment", "Service"], "what is needed first goes first");
}

#[test]
fn it_has_as_many_replicas_as_it_had_last() {
    let mut world = restoring();
    world.scale_to(5);
    world.run(30);
    world.delete_target();
    world.run_until_closed(120);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.target().replicas, 5);
}

#[test]
fn while_it_is_gone_the_policy_says_so() {
    let mut world = stable(RecreatePolicy::Never);
    world.delete_target();
    world.run(5);
    assert_eq!(world.condition("Ready"), ("False".into(), "TargetNotFound".into()));
    world.run(10);
    assert_eq!(world.condition("Ready"), ("False".into(), "TargetDeleted".into()));
    assert_eq!(world.condition("TargetHealthy"), ("False".into(), "TargetDeleted".into()));
    assert_eq!(world.status().drift.clone().unwrap().distance, "0.37");
    assert_left_alone(&world, Reason::NotAllowed);
}

#[test]
fn by_default_the_plan_waits_for_approval_also_across_a_restart() {
    for restarts in [false, true] {
        let mut world = stable(RecreatePolicy::default());
        world.delete_target();
        world.run_until_phase(30, Phase::AwaitingApproval);
        world.run(300);
        assert!(world.effects.is_empty() && world.written.len() == 1, "{:#?}", world.written);
        world.answer(Approve, "0123456789abcdef");
        if restarts {
            world.lose_memory();
        }
        world.run(60);
        assert!(world.effects.is_empty());
        let digest = world.journal().decision.plan_digest.clone();
        world.answer(Approve, &digest);
        assert_created_again(&mut world);
    }
}

#[test]
fn a_rejected_plan_stays_rejected() {
    let mut world = stable(RecreatePolicy::Approve);
    world.delete_target();
    world.run_until_phase(30, Phase::AwaitingApproval);
    let digest = world.journal().decision.plan_digest.clone();
    world.answer(Reject, &digest);
    world.run(600);
    assert_left_alone(&world, Reason::Rejected);
}

#[test]
fn observe_only_says_what_would_be_done() {
    let mut world = restoring();
    world.spec().mode = Mode::Observe;
    world.run(1);
    world.delete_target();
    world.run(60);
    assert_left_alone(&world, Reason::ObserveOnly);
    assert_eq!(world.journal().decision.remedy, Remedy::Recreate);
}

#[test]
fn one_that_comes_back_soon_was_never_missed() {
    let mut world = restoring();
    world.delete_target();
    world.run(5);
    world.create_target(3, "v1");
    world.run(120);
    assert!(world.facts.recoveries.is_empty() && world.effects.is_empty());
}

#[test]
fn one_that_somebody_creates_is_theirs() {
    for approved in [false, true] {
        let mut world = stable(RecreatePolicy::Approve);
        world.delete_target();
        world.run_until_phase(30, Phase::AwaitingApproval);
        if approved {
            let digest = world.journal().decision.plan_digest.clone();
            world.answer(Approve, &digest);
            // They are quicker than our write.
            world.step_with(|world| world.create_target(1, "v2"));
        } else {
            world.create_target(1, "v2");
        }
        world.run_until_closed(30);
        world.assert_closed(Outcome::Superseded, Reason::Superseded);
        world.run(60);
        assert_eq!((world.done(), world.target().replicas), (vec![], 1));
    }
}

#[test]
fn what_was_scaled_to_zero_before_stays_away() {
    let mut world = restoring();
    world.scale_to(0);
    world.run(5);
    world.delete_target();
    world.run(600);
    assert_left_alone(&world, Reason::DeletionIntended);
}

#[test]
fn what_others_serve_in_place_of_stays_away_as_long_as_they_do() {
    let mut world = restoring();
    world.endpoints_lag = Some(["uid-of-a-successor".to_owned()].into());
    world.run(1);
    world.delete_target();
    world.run(600);
    assert_left_alone(&world, Reason::DeletionIntended);
    world.endpoints_lag = None;
    assert_created_again(&mut world);
}

#[test]
fn what_was_deleted_again_stays_away() {
    for wait in [0, 600] {
        let mut world = restoring();
        world.delete_target();
        world.run_until(30, |world| world.facts.target.is_some());
        world.run(1);
        if wait > 0 {
            world.run_until_closed(120);
            world.run(wait);
        }
        world.delete_target();
        world.run(600);
        let first = &world.facts.recoveries[0].journal;
        let expected = if wait > 0 { Outcome::Recovered } else { Outcome::Superseded };
        assert_eq!((first.phase, first.outcome), (Phase::Closed, Some(expected)));
        world.assert_holds(Reason::DeletionIntended);
        assert_eq!((world.count(Remediation::RecreateWorkload), world.facts.target.is_none()), (1, true));
    }
}

#[test]
fn with_its_policy_it_stays_away() {
    for deleting in [false, true] {
        let mut world = restoring();
        match deleting {
            true => world.facts.policy.as_mut().unwrap().deleting = true,
            false => world.facts.policy = None,
        }
        world.run(1);
        world.delete_target();
        world.run(60);
        assert!(world.facts.recoveries.is_empty() && world.effects.is_empty());
    }
}

#[test]
fn a_policy_that_is_deleted_after_it_ends_the_incident() {
    let mut world = stable(RecreatePolicy::Approve);
    world.delete_target();
    world.run_until_phase(30, Phase::AwaitingApproval);
    world.facts.policy = None;
    world.run(5);
    world.assert_closed(Outcome::Abandoned, Reason::PolicyDeleted);
    assert!(world.effects.is_empty());
}

/// Suspended, deleted, and let go on: nobody was to look.
#[test]
fn what_was_deleted_while_suspended_stays_away() {
    let mut world = restoring();
    world.spec().suspend = true;
    world.run(1);
    world.delete_target();
    world.run(20);
    world.spec().suspend = false;
    world.run(60);
    assert!(world.facts.recoveries.is_empty() && world.effects.is_empty());
}

#[test]
fn a_deletion_that_nobody_saw_is_not_undone() {
    for blind in [false, true] {
        let mut world = restoring();
        world.blind(blind);
        world.tick();
        if blind {
            world.operate();
        } else {
            world.lose_memory();
        }
        world.delete_target();
        world.run(30);
        world.blind(false);
        world.run(60);
        assert!(world.facts.recoveries.is_empty() && world.effects.is_empty());
    }
}

#[test]
fn nothing_is_done_while_blind() {
    let mut world = restoring();
    world.delete_target();
    world.run(8);
    world.blind(true);
    world.run(60);
    assert!(world.facts.recoveries.is_empty() && world.effects.is_empty());
}

/// The policy names another target now, which does not exist yet.
#[test]
fn another_name_is_another_target() {
    let mut world = restoring();
    world.delete_target();
    world.spec().target_ref.name = "web-2".into();
    world.run(60);
    assert!(world.facts.recoveries.is_empty() && world.effects.is_empty());
}

#[test]
fn what_others_keep_is_theirs_to_create() {
    for (tool, owner, reason) in
        [(Some("Argo CD"), None, Reason::GitOwned), (None, Some("Rollout/web"), Reason::TargetOwned)]
    {
        let mut world = restoring();
        world.target_mut().git_ops = tool.map(str::to_owned);
        world.target_mut().owner = owner.map(str::to_owned);
        world.run(1);
        world.delete_target();
        world.run(60);
        assert_left_alone(&world, reason);
    }
}

#[test]
fn what_cannot_be_created_is_held_until_it_can() {
    let mut world = restoring();
    let refused = Feasibility::Infeasible { reason: Reason::RestoreRefused, message: "the namespace is going".into() };
    world.rehearsal_says("v1", refused);
    world.delete_target();
    world.run(120);
    assert_left_alone(&world, Reason::RestoreRefused);
    world.feasibilities.clear();
    assert_created_again(&mut world);
}

#[test]
fn a_release_that_must_not_be_gone_back_from_is_not() {
    for (version, reason) in [("v1", None), ("v2", Some(Reason::Irreversible))] {
        let mut world = restoring();
        world.release(version);
        world.target_mut().irreversible = true;
        world.run(20);
        world.delete_target();
        world.run(60);
        match reason {
            Some(reason) => assert_left_alone(&world, reason),
            None => assert_created_again(&mut world),
        }
    }
}

#[test]
fn another_incident_ends_with_its_target_and_a_new_one_begins() {
    let mut world = restoring();
    world.release_bad("v2", Behaviour::ImagePull);
    world.spec().mode = Mode::Recommend;
    world.run_until_phase(60, Phase::AwaitingApproval);
    world.delete_target();
    world.run(1);
    world.assert_closed(Outcome::Abandoned, Reason::TargetGone);
    world.spec().mode = Mode::Enforce;
    world.run_until(60, |world| world.facts.target.is_some());
    world.run_until_closed(120);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!((world.facts.recoveries.len(), world.target().digest.clone()), (2, deployment("v1")));
}

/// The process dies at each moment of creating it again, and of taking the mark off it: each happens once.
#[test]
fn a_crash_at_any_moment_changes_nothing() {
    for crash in [Crash::BeforeRecord, Crash::AfterRecord, Crash::AfterEffects] {
        for second in [false, true] {
            let mut world = restoring();
            world.delete_target();
            world.run(10);
            world.tick();
            // Whether it could be created was asked before it counted; what was created is adopted a step later.
            while second && world.facts.target.is_none() {
                world.step();
            }
            world.crash = Some(crash);
            world.step();
            if crash == Crash::BeforeRecord && !second {
                // Nobody knows of it any more.
                world.run(120);
                assert!(world.facts.recoveries.is_empty() && world.effects.is_empty());
                continue;
            }
            world.run_until_closed(180);
            world.assert_closed(Outcome::Recovered, Reason::Verified);
            assert_eq!(world.count(Remediation::RecreateWorkload), 1, "{crash:?} {second}");
            assert_eq!((world.facts.recoveries.len(), &world.target().recreated_by), (1, &None));
        }
    }
}

#[test]
fn an_abort_leaves_no_mark() {
    let mut world = restoring();
    world.delete_target();
    world.run_until(30, |world| world.facts.target.is_some());
    world.target_mut().recreated_by = Some(world.recovery().name.clone());
    world.abort();
    world.run(5);
    world.assert_closed(Outcome::Abandoned, Reason::AbortedByUser);
    assert_eq!(world.target().recreated_by, None);
    assert_eq!(world.count(Remediation::RecreateWorkload), 1);
}
