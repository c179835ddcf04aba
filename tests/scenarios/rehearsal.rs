//! Is the past still possible? Asked before it is needed, before it is used, and before anything is called recovered.

use homeostat::api::policy::Failback;
use homeostat::api::recovery::Remedy;
use homeostat::api::{Outcome, Phase, Reason, Remediation};
use homeostat::plan::facts::Feasibility;

use crate::world::{Behaviour, World, deployment, lasting, seconds};

fn no_account() -> Feasibility {
    Feasibility::Infeasible {
        reason: Reason::PodRefused,
        message: "error looking up service account shop/web: serviceaccount \"web\" not found".into(),
    }
}

fn feasible() -> Feasibility {
    Feasibility::Feasible { unchecked: vec![] }
}

fn silence() -> Feasibility {
    Feasibility::Unknown { message: "no answer within 5 s".into(), lasting: false }
}

/// Two states: `v1`, and `v2` which is live.
fn two_states() -> World {
    let mut world = World::stable(3);
    world.release("v2");
    world.run(100);
    assert_eq!(world.facts.states.len(), 2);
    world
}

fn message(world: &World) -> String {
    let found = world.status().conditions.iter().find(|condition| condition.type_ == "Recoverable");
    found.map(|found| found.message.clone()).unwrap_or_default()
}

#[test]
fn a_new_state_is_rehearsed_at_once_and_then_now_and_again() {
    let mut world = World::stable(3);
    assert_eq!(world.rehearsed.len(), 1);
    assert!(!world.rehearsed[0].1, "nothing waits for it");
    world.run_until(400, |world| world.rehearsed.len() == 2);
    let pause = world.rehearsed[1].0.at.duration_since(world.rehearsed[0].0.at);
    assert!((seconds(240)..=seconds(300)).contains(&pause), "{pause}");
    assert_eq!(world.condition("Recoverable"), ("True".into(), "StateReady".into()));
}

#[test]
fn a_change_of_the_content_is_asked_about_soon() {
    let mut world = World::stable(3);
    world.run(10);
    world.release("v2");
    world.run(1);
    assert_eq!(world.rehearsed.len(), 2);
    for version in 3..9 {
        world.release(&format!("v{version}"));
        world.run(1);
    }
    assert!(world.rehearsed.len() <= 4, "a busy pipeline costs {} rehearsals", world.rehearsed.len());
}

#[test]
fn recoverable_tells_of_a_past_that_is_gone_while_all_is_well() {
    let mut world = World::stable(3);
    world.rehearsal_says("v1", no_account());
    world.run(310);
    assert_eq!(world.condition("Recoverable"), ("False".into(), "PodRefused".into()));
    assert!(message(&world).contains("serviceaccount \"web\" not found"), "{}", message(&world));
    assert_eq!(world.condition("TargetHealthy"), ("True".into(), "Healthy".into()));
    assert!(world.effects.is_empty() && world.facts.recoveries.is_empty());
    // Who mends it does not wait for the interval.
    world.rehearsal_says("v1", feasible());
    world.run(20);
    assert_eq!(world.condition("Recoverable"), ("True".into(), "StateReady".into()));
}

#[test]
fn what_was_not_checked_is_said_and_blocks_nothing() {
    let mut world = World::new(3);
    let unchecked = vec!["Secret web (no right to read it)".to_owned()];
    world.rehearsal_says("v1", Feasibility::Feasible { unchecked });
    world.run(90);
    assert_eq!(world.condition("Recoverable"), ("True".into(), "StateReady".into()));
    assert!(message(&world).ends_with("not checked: Secret web (no right to read it)"), "{}", message(&world));
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn where_nobody_asks_everything_is_as_without_it_and_said() {
    let mut world = World::new(3);
    world.facts.rehearsals.every = None;
    world.run(90);
    assert!(message(&world).ends_with("whether its pods could be created is not checked"), "{}", message(&world));
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert!(world.rehearsed.is_empty());
}

#[test]
fn a_decision_does_not_wait_for_a_fresh_answer() {
    let mut world = World::stable(3);
    world.run(30);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until(60, |world| world.count(Remediation::RestoreTemplate) == 1);
    assert!(world.rehearsed.iter().all(|(_, urgent)| !urgent), "a fresh answer was there");
}

#[test]
fn without_an_answer_it_is_asked_first_and_decided_in_the_same_second() {
    for forget in [true, false] {
        let mut world = World::stable(3);
        world.run(20);
        world.release_bad("v2", Behaviour::ImagePull);
        world.tick();
        match forget {
            true => world.facts.rehearsals.answers.clear(),
            // Or the answer is to another question: the policy has changed what may be restored.
            false => world.facts.rehearsals.answers[0].inputs = "others".into(),
        }
        world.run_until(60, |world| world.phase().is_some());
        let (answer, urgent) = world.rehearsed.last().unwrap();
        assert_eq!((answer.at, *urgent), (world.now, true));
        assert_eq!(world.phase(), Some(Phase::Verifying), "a round trip later it is decided");
    }
}

#[test]
fn nothing_is_written_before_the_answer_is_there() {
    let mut world = World::stable(3);
    world.release_bad("v2", Behaviour::ImagePull);
    world.tick();
    world.facts.rehearsals.answers.clear();
    while world.last.as_ref().is_none_or(|plan| plan.assessment.symptom.is_none()) {
        world.tick();
        world.facts.rehearsals.answers.clear();
        world.step();
    }
    let plan = world.plan();
    assert!(plan.rehearse.as_ref().is_some_and(|request| request.urgent), "{:#?}", plan.rehearse);
    assert!(world.facts.recoveries.is_empty() && world.effects.is_empty());
}

/// Not the workload alone: what a rollback would write beside it may be refused as well.
#[test]
fn what_differs_beside_the_workload_is_rehearsed() {
    let mut world = World::stable(3);
    world.configure("changed");
    world.tick();
    world.facts.rehearsals.answers.clear();
    world.step();
    let request = world.plan().rehearse.clone().expect("it is asked");
    let steps = request.rollback.expect("a rollback is allowed").steps;
    let written: Vec<_> = steps.iter().map(|step| (step.remediation, step.object.kind.as_str())).collect();
    assert_eq!(written, [(Remediation::RestoreObject, "ConfigMap")]);
}

/// What takes the way back away may come with the release itself.
#[test]
fn an_answer_from_before_the_change_decides_nothing() {
    let mut world = World::stable(3);
    world.run_until(400, |world| world.rehearsed.len() == 2);
    world.rehearsal_says("v1", no_account());
    world.release_bad("v2", Behaviour::ImagePull);
    world.run(60);
    assert_eq!(world.count(Remediation::RestoreTemplate), 0);
    assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::PodRefused));
}

#[test]
fn an_old_answer_decides_nothing() {
    let mut world = World::stable(3);
    world.facts.rehearsals.answers[0].at = world.now - seconds(601);
    world.facts.rehearsals.every = Some(lasting(300));
    world.release_bad("v2", Behaviour::ImagePull);
    world.run_until(60, |world| world.phase().is_some());
    assert!(world.rehearsed.last().unwrap().0.at > world.now - seconds(10));
}

#[test]
fn a_past_that_is_gone_is_not_gone_back_to() {
    let mut world = World::stable(3);
    world.rehearsal_says("v1", no_account());
    world.run(310);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(60);
    assert_eq!(world.count(Remediation::RestoreTemplate), 0);
    assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::PodRefused));
    assert!(world.target().paused, "contained all the same");
    // Healed: the same incident goes on.
    world.rehearsal_says("v1", feasible());
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.facts.recoveries.len(), 1);
}

#[test]
fn without_leave_to_freeze_it_is_held_for_that_reason() {
    let mut world = World::stable(3);
    world.spec().actions.isolate = None;
    world.rehearsal_says("v1", no_account());
    world.run(310);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(60);
    world.assert_holds(Reason::PodRefused);
    assert!(world.effects.is_empty());
}

#[test]
fn an_older_state_that_is_still_possible_is_gone_back_to() {
    let mut world = two_states();
    world.rehearsal_says("v2", no_account());
    world.run(310);
    assert_eq!(world.condition("Recoverable"), ("False".into(), "PodRefused".into()));
    world.release_bad("v3", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.target().digest, deployment("v1"));
    let older: Vec<_> = world.facts.states.iter().filter(|state| state.name == world.journal().stable_state).collect();
    assert_eq!(older[0].members.last().unwrap().digest, deployment("v1"));
}

#[test]
fn an_older_state_is_rehearsed_before_it_is_used() {
    let mut world = two_states();
    for version in ["v1", "v2"] {
        world.rehearsal_says(version, no_account());
    }
    // Until what was said of the older one is too old.
    world.run(700);
    world.release_bad("v3", Behaviour::CrashLoop);
    world.run(60);
    assert_eq!(world.count(Remediation::RestoreTemplate), 0);
    let first = &world.facts.states[0].name;
    assert!(world.rehearsed.iter().any(|(answer, urgent)| answer.state == *first && *urgent));
    assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::PodRefused));
    // Only the older one is healed.
    world.rehearsal_says("v1", feasible());
    world.run_until_closed(300);
    assert_eq!(world.target().digest, deployment("v1"));
}

#[test]
fn with_the_past_gone_and_the_target_down_traffic_moves_to_the_standby() {
    for older in [false, true] {
        let mut world = World::with_standby(Failback::Automatic);
        if older {
            world.release("v2");
            world.run(100);
        }
        world.rehearsal_says(if older { "v2" } else { "v1" }, no_account());
        world.run(310);
        world.release_bad("v3", Behaviour::CrashLoop);
        world.restart_pods();
        world.bad_pods.extend(world.facts.pods.iter().map(|pod| pod.uid.clone()));
        world.run(60);
        // An older state that is possible comes before the standby.
        assert_eq!(world.count(Remediation::RestoreTemplate), usize::from(older));
        assert_eq!(world.count(Remediation::SwitchService), usize::from(!older));
    }
}

#[test]
fn an_older_state_that_is_too_old_is_not_used() {
    let mut world = two_states();
    world.rehearsal_says("v2", no_account());
    world.run(310);
    world.spec().actions.rollback.as_mut().unwrap().max_age = lasting(120);
    let now = world.now;
    world.facts.states[1].created = now;
    world.release_bad("v3", Behaviour::CrashLoop);
    world.run(60);
    assert_eq!(world.count(Remediation::RestoreTemplate), 0);
    assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::PodRefused));
}

#[test]
fn an_answer_that_was_not_given_refuses_no_rollback_and_proves_none() {
    let mut world = World::stable(3);
    world.rehearsal_says("v1", silence());
    world.run(310);
    assert_eq!(world.condition("Recoverable"), ("Unknown".into(), "NotRehearsed".into()));
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until(60, |world| world.count(Remediation::RestoreTemplate) == 1);
    world.run(300);
    assert_eq!(world.journal().outcome, Some(Outcome::Escalated), "{:#?}", world.journal());
    world.rehearsal_says("v1", feasible());
    world.run_until_closed(60);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn what_can_never_be_asked_is_not_waited_for() {
    let mut world = World::stable(3);
    let message = "admission webhook \"pods.example\" does not support dry run".to_owned();
    world.rehearsal_says("v1", Feasibility::Unknown { message, lasting: true });
    world.run(310);
    assert_eq!(world.condition("Recoverable"), ("Unknown".into(), "NotRehearsed".into()));
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn what_could_not_be_created_again_is_never_called_recovered() {
    let mut world = World::stable(3);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until(60, |world| world.count(Remediation::RestoreTemplate) == 1);
    // The account goes with the rollback: everything is back and runs, and nothing could be made again.
    world.rehearsal_says("v1", no_account());
    world.run(600);
    let journal = world.journal();
    assert_eq!((journal.phase, journal.outcome), (Phase::Holding, Some(Outcome::Escalated)));
    assert_eq!(journal.reason, Reason::VerificationTimedOut);
    assert!(journal.message.contains("its pods could not be created again: error looking up"), "{}", journal.message);
    assert_eq!(world.condition("TargetHealthy"), ("True".into(), "Healthy".into()));
    assert_eq!(world.condition("Recoverable"), ("False".into(), "PodRefused".into()));
    world.rehearsal_says("v1", feasible());
    world.run_until_closed(60);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn proof_is_asked_for_once_after_everything_else_is_back() {
    let mut world = World::stable(3);
    world.run(60);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until(60, |world| world.count(Remediation::RestoreTemplate) == 1);
    let before = world.rehearsed.len();
    world.run_until_closed(300);
    let after = &world.rehearsed[before..];
    assert_eq!(after.len(), 1, "{after:#?}");
    assert!(after[0].0.at >= world.journal().timeline.converged.as_ref().unwrap().0);
}

#[test]
fn a_restart_asks_again_and_changes_no_word_of_the_status() {
    let mut world = World::stable(3);
    let before = world.status().clone();
    world.lose_memory();
    world.step();
    assert_eq!(*world.status(), before, "one write less for each policy at each start");
    assert_eq!(world.rehearsed.len(), 2);
}
