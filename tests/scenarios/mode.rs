//! What may be done at all: Observe, Recommend, Enforce.

use homeostat::api::recovery::ApprovalDecision::{Approve, Reject};
use homeostat::api::recovery::Remedy;
use homeostat::api::{Mode, Outcome, Phase, Reason, Remediation, StepState};

use crate::world::{Behaviour, World};

#[test]
fn observe_records_what_would_be_done_and_does_nothing() {
    let mut world = World::stable(5).mode(Mode::Observe);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(300);
    world.assert_holds(Reason::ObserveOnly);
    assert_eq!(world.journal().decision.remedy, Remedy::Rollback);
    assert_eq!(world.journal().steps[0].remediation, Remediation::RestoreTemplate);
    assert_eq!(world.journal().steps[0].state, StepState::Planned);
    assert!(world.effects.is_empty());
}

#[test]
fn recommend_waits_ignores_a_wrong_digest_and_acts_on_the_right_one() {
    let mut world = World::stable(5).mode(Mode::Recommend);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_phase(60, Phase::AwaitingApproval);
    let digest = world.journal().decision.plan_digest.clone();
    world.answer(Approve, "0123456789abcdef");
    world.run(120);
    assert_eq!(world.phase(), Some(Phase::AwaitingApproval));
    assert!(world.effects.is_empty());
    assert_eq!(world.journal().decision.plan_digest, digest, "the same plan keeps its digest");
    world.answer(Approve, &digest);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn a_rejected_plan_is_held() {
    let mut world = World::stable(5).mode(Mode::Recommend);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_phase(60, Phase::AwaitingApproval);
    let digest = world.journal().decision.plan_digest.clone();
    world.answer(Reject, &digest);
    world.run(120);
    world.assert_holds(Reason::Rejected);
    assert!(world.effects.is_empty());
}

#[test]
fn the_plan_for_a_bad_pod_keeps_its_digest_while_the_clock_moves() {
    let mut world = World::stable(5).mode(Mode::Recommend);
    world.break_pod(1);
    world.run_until_phase(60, Phase::AwaitingApproval);
    let written = world.written.len();
    let digest = world.journal().decision.plan_digest.clone();
    world.run(5);
    assert_eq!(world.written.len(), written);
    world.answer(Approve, &digest);
    world.run_until_closed(300);
    assert_eq!(world.count(Remediation::QuarantinePod), 1);
}

#[test]
fn a_mode_lowered_to_observe_while_frozen_releases_the_freeze() {
    let mut world = World::stable(5);
    world.spec().actions.rollback = None;
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until(60, |world| world.target().paused);
    world.run(5);
    world.spec().mode = Mode::Observe;
    world.run(5);
    assert!(!world.target().paused);
    assert_eq!(world.facts.recoveries[0].journal.outcome, Some(Outcome::Abandoned));
}

#[test]
fn plans_that_change_again_and_again_do_not_pile_up() {
    let mut world = World::stable(7).mode(Mode::Observe);
    world.spec().actions.isolate.as_mut().unwrap().max_pods = 3;
    for _ in 0..40 {
        let uid = world.break_pod(1);
        world.run(60);
        world.bad_pods.remove(&uid);
        world.break_pod(2);
        world.run(20);
        world.bad_pods.clear();
        world.run(5);
    }
    assert!(world.journal().steps.len() <= 6, "{:#?}", world.journal().steps);
}
