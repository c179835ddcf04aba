//! Checks of metrics: a release that is ready and ill, and what is believed of a provider that says nothing.

use std::collections::VecDeque;

use homeostat::api::policy::Failback;
use homeostat::api::recovery::{Remedy, Suspect};
use homeostat::api::{Check, Outcome, Phase, Reason, Remediation};
use homeostat::plan::Verdict;

use crate::world::{Behaviour, World, deployment, lasting, seconds};

const BAD: f64 = 0.37;
/// How far the query looks back.
const WINDOW: usize = 10;

fn check(name: &str) -> Check {
    let (provider, query) = ("main".to_owned(), format!("sum(rate({name}_total[10s]))"));
    Check { name: name.into(), provider, query, max: Some("0.01".into()), min: None, window: None }
}

/// Checked from the start; nothing is earned yet.
fn checked() -> World {
    let mut world = World::new(3);
    world.spec().stability.checks = vec![check("errors")];
    world
}

fn stable() -> World {
    let mut world = checked();
    world.run(90);
    assert_eq!(world.facts.states.len(), 1);
    world
}

/// Lets time pass with a provider that measures the live version: ill are those named, for as long as the query looks
/// back.
fn measure(world: &mut World, seconds: i64, ill: &[&str], until: impl Fn(&World) -> bool) {
    let mut past = VecDeque::from([false; WINDOW]);
    for _ in 0..seconds {
        if until(world) {
            return;
        }
        let live = &world.target().digest;
        past.pop_front();
        past.push_back(ill.iter().any(|version| deployment(version) == *live));
        world.metrics = Some(Ok(if past.contains(&true) { BAD } else { 0.0 }));
        world.run(1);
    }
}

fn never(_: &World) -> bool {
    false
}

fn closed(world: &World) -> bool {
    world.phase() == Some(Phase::Closed)
}

fn nothing() -> Option<Result<f64, String>> {
    Some(Err("no data: there is no such series".into()))
}

fn health(world: &World) -> (String, String, String) {
    let found = world.status().conditions.iter().find(|condition| condition.type_ == "TargetHealthy").unwrap();
    (found.status.clone(), found.reason.clone(), found.message.clone())
}

#[test]
fn a_release_that_is_ready_and_ill_is_rolled_back() {
    let mut world = stable();
    world.release("v2");
    measure(&mut world, 120, &["v2"], closed);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    let journal = world.journal();
    assert_eq!((journal.symptom.reason, journal.suspect), (Reason::CheckFailing, Suspect::Change));
    assert_eq!(journal.symptom.message, "check errors fails: provider main gives 0.37, above 0.01");
    assert_eq!(world.target().digest, deployment("v1"));
    // What proved it was measured after the way back, all of it.
    let timeline = &journal.timeline;
    let (acted, verified) = (timeline.acted.as_ref().unwrap().0, timeline.verified.as_ref().unwrap().0);
    assert!(verified >= acted + seconds(10), "{timeline:#?}");
}

#[test]
fn a_blip_is_no_symptom() {
    let mut world = stable();
    world.release("v2");
    world.metrics = Some(Ok(BAD));
    world.run(9);
    assert_eq!(health(&world).1, "CheckFailing");
    world.metrics = Some(Ok(0.0));
    world.run(60);
    assert!(world.facts.recoveries.is_empty() && world.effects.is_empty());
    assert_eq!(health(&world).0, "True");
}

#[test]
fn a_check_that_fails_without_a_change_holds() {
    let mut world = stable();
    world.metrics = Some(Ok(BAD));
    world.run(60);
    world.assert_holds(Reason::NoChangeToRevert);
    assert!(world.effects.is_empty());
    let (status, reason, message) = health(&world);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "CheckFailing"));
    assert!(message.contains("check errors") && message.contains("provider main"), "{message}");
}

#[test]
fn with_a_standby_a_check_alone_moves_no_traffic() {
    let mut world = World::with_standby(Failback::Automatic);
    world.spec().stability.checks = vec![check("errors")];
    world.run(5);
    world.metrics = Some(Ok(BAD));
    world.run(60);
    world.assert_holds(Reason::TargetServing);
    assert_eq!(world.refusal(Remedy::Failover), Some(Reason::TargetServing));
    assert!(world.effects.is_empty());
}

#[test]
fn a_change_while_it_fails_already_is_not_the_cause() {
    // It fails for a moment, and does not count yet; or counts; or nobody knows.
    for (before, lasts) in [(Some(Ok(BAD)), 5), (Some(Ok(BAD)), 20), (nothing(), 20), (None, 30)] {
        let mut world = stable();
        world.metrics = before.clone();
        world.run(lasts);
        world.release("v2");
        world.run(3);
        world.metrics = Some(Ok(BAD));
        world.run(400);
        assert!(world.effects.is_empty(), "{before:?} for {lasts} s: {:#?}", world.journal());
        assert_ne!(world.journal().decision.remedy, Remedy::Rollback);
    }
}

#[test]
fn without_data_nothing_is_begun_and_it_is_said() {
    for none in [nothing(), None] {
        let mut world = stable();
        world.release("v2");
        world.metrics = none;
        world.run(300);
        assert!(world.facts.recoveries.is_empty() && world.effects.is_empty());
        let (status, reason, message) = health(&world);
        assert_eq!((status.as_str(), reason.as_str()), ("Unknown", "CheckUnknown"));
        assert!(message.contains("check errors") && message.contains("provider main"), "{message}");
        assert_eq!(world.facts.states.len(), 1, "nothing is earned without data");
    }
}

#[test]
fn nothing_is_earned_before_the_first_answer() {
    for metrics in [None, nothing(), Some(Ok(BAD))] {
        let mut world = checked();
        world.metrics = metrics;
        world.run(300);
        assert!(world.facts.states.is_empty());
        world.metrics = Some(Ok(0.0));
        world.run_until(200, |world| world.facts.states.len() == 1);
    }
}

#[test]
fn a_gap_in_the_answers_begins_the_soak_anew() {
    let mut world = checked();
    world.run(55);
    world.metrics = nothing();
    world.run(10);
    world.metrics = Some(Ok(0.0));
    world.run(50);
    assert!(world.facts.states.is_empty());
    world.run(20);
    assert_eq!(world.facts.states.len(), 1);
}

#[test]
fn an_old_answer_says_nothing() {
    let mut world = stable();
    world.metrics = None;
    world.run(9);
    assert_eq!(health(&world).1, "Healthy");
    world.run(12);
    assert_eq!(health(&world).1, "CheckUnknown");
    assert_eq!(world.plan().assessment.verdict, Verdict::Unknown);
}

#[test]
fn an_answer_to_another_query_says_nothing() {
    let mut world = stable();
    world.metrics = None;
    world.spec().stability.checks[0].query.push_str(" * 2");
    world.run(1);
    assert_eq!(health(&world).1, "CheckUnknown");
}

#[test]
fn one_failing_check_of_several_counts_and_one_without_data_does_not_hide_it() {
    let mut world = stable();
    world.spec().stability.checks.push(check("late"));
    world.run(10);
    world.release("v2");
    world.metrics = None;
    for _ in 0..20 {
        let now = world.now;
        for answer in &mut world.facts.checks {
            (answer.at, answer.found) = (now, if answer.query.contains("late") { Ok(BAD) } else { Err("none".into()) });
        }
        world.wake();
        world.run(1);
    }
    assert_eq!(world.count(Remediation::RestoreTemplate), 1);
    assert!(world.journal().symptom.message.contains("check late"));
}

#[test]
fn a_crash_loop_is_rolled_back_without_data_and_never_called_recovered() {
    let mut world = stable();
    world.metrics = nothing();
    world.run(10);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until(60, |world| world.count(Remediation::RestoreTemplate) == 1);
    world.run(600);
    let journal = world.journal();
    assert_eq!((journal.outcome, journal.reason), (Some(Outcome::Escalated), Reason::VerificationTimedOut));
    assert!(journal.message.contains("check errors: provider main gives no value"), "{}", journal.message);
    // As soon as there are good answers it is proven.
    world.metrics = Some(Ok(0.0));
    world.run_until_closed(60);
    assert_eq!(world.journal().outcome, Some(Outcome::Recovered));
}

#[test]
fn a_recovery_is_not_verified_while_a_check_fails() {
    let mut world = stable();
    world.release_bad("v2", Behaviour::CrashLoop);
    world.metrics = Some(Ok(BAD));
    world.run_until(60, |world| world.count(Remediation::RestoreTemplate) == 1);
    world.run(600);
    let journal = world.journal();
    assert_eq!((journal.phase, journal.outcome), (Phase::Holding, Some(Outcome::Escalated)), "{journal:#?}");
    assert_eq!(world.count(Remediation::RestoreTemplate), 1, "nothing that did not help is done again");
}

#[test]
fn a_good_answer_from_before_the_rest_was_back_proves_nothing() {
    let mut world = stable();
    world.spec().verification.window = lasting(5);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until(60, |world| world.count(Remediation::RestoreTemplate) == 1);
    world.run_until(60, |world| world.memory.rest_back.is_some());
    let rest = world.memory.rest_back.as_ref().unwrap().at;
    world.run_until_closed(60);
    let verified = world.journal().timeline.verified.as_ref().unwrap().0;
    assert!(verified >= rest + seconds(10), "the query looks back 10 s: {rest} {verified}");
    assert!(verified <= rest + seconds(13), "{rest} {verified}");
}

#[test]
fn a_long_window_is_waited_for_and_not_escalated() {
    let mut world = stable();
    world.spec().stability.checks[0].window = Some(lasting(300));
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(600);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert!(world.written.iter().all(|journal| journal.outcome != Some(Outcome::Escalated)));
}

#[test]
fn a_second_release_after_an_ill_one_is_judged_by_what_was_measured_of_it() {
    let mut world = stable();
    world.release("v2");
    measure(&mut world, 8, &["v2"], never);
    world.release("v3");
    measure(&mut world, 200, &["v2"], never);
    assert!(world.effects.is_empty(), "v3 is good: {:#?}", world.effects);
    assert_eq!(world.facts.states.len(), 2);
}

#[test]
fn questions_are_modest_and_come_sooner_while_it_matters() {
    let mut world = World::stable(3);
    world.run(100);
    assert_eq!(world.asked, 0, "without checks nobody is asked");
    let mut world = stable();
    let before = world.asked;
    world.run(100);
    assert!((18..=22).contains(&(world.asked - before)), "{}", world.asked - before);
    world.metrics = Some(Ok(BAD));
    world.run(6);
    let before = world.asked;
    world.run(5);
    assert_eq!(world.asked - before, 5);
    world.run(20);
    assert_eq!(world.phase(), Some(Phase::Holding));
    let before = world.asked;
    world.run(100);
    assert!(world.asked - before <= 22, "a hold may last for days");
}

#[test]
fn a_state_says_what_its_checks_said() {
    let mut world = checked();
    world.metrics = Some(Ok(0.0042));
    world.run(90);
    let checks = world.earned[0].checks.iter().map(|check| (check.name.as_str(), check.value.as_str()));
    assert_eq!(checks.collect::<Vec<_>>(), [("errors", "0.0042")]);
}

#[test]
fn a_value_that_moves_costs_no_writes() {
    let mut world = stable();
    world.spec().suspend = true;
    world.metrics = Some(Ok(BAD));
    world.run(30);
    let before = world.status().clone();
    for n in 0..20 {
        world.metrics = Some(Ok(BAD + f64::from(n)));
        world.run(3);
        assert_eq!(*world.status(), before);
    }
}
