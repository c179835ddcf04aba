//! Single pods are bad, or all are while nothing changed.

use homeostat::api::recovery::{Remedy, Suspect};
use homeostat::api::{Outcome, Phase, Reason, Remediation};

use crate::world::{World, lasting, seconds};

#[test]
fn one_bad_pod_of_five_is_isolated_and_deleted_after_its_inspection() {
    let mut world = World::stable(5);
    let bad = world.break_pod(2);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.journal().suspect, Suspect::Pod);
    assert_eq!(world.journal().decision.reason, Reason::PodIsolated);
    assert_eq!(world.done(), [Remediation::QuarantinePod]);
    assert_eq!(world.facts.quarantined[0].uid, bad);
    let due = world.facts.quarantined[0].inspect_until.unwrap();
    world.run_until(700, |world| world.facts.quarantined.is_empty());
    assert_eq!(world.now, due);
    assert_eq!(world.count(Remediation::DeletePod), 1);
    assert_eq!(world.target().ready_replicas, 5);
}

#[test]
fn the_end_of_the_inspection_is_a_wake_up_time() {
    let mut world = World::stable(5);
    world.facts.rehearsals.every = None;
    world.break_pod(2);
    world.run_until_closed(300);
    let due = world.facts.quarantined[0].inspect_until.unwrap();
    world.run_until(700, |world| world.now + seconds(200) > due);
    assert_eq!(world.plan().wake_at, due);
}

#[test]
fn a_bad_pod_is_deleted_after_its_inspection_although_the_incident_is_still_open() {
    let mut world = World::stable(5);
    world.break_pod(2);
    world.run_until(60, |world| world.count(Remediation::QuarantinePod) == 1);
    world.dependency_down = true;
    world.run(700);
    assert_ne!(world.phase(), Some(Phase::Closed));
    assert_eq!(world.count(Remediation::DeletePod), 1);
}

#[test]
fn a_bad_pod_is_deleted_after_its_inspection_although_another_incident_is_open() {
    let mut world = World::stable(5);
    world.break_pod(2);
    world.run_until_closed(300);
    world.dependency_down = true;
    world.run(700);
    assert_eq!(world.facts.recoveries.len(), 2);
    assert_eq!(world.count(Remediation::DeletePod), 1);
}

#[test]
fn more_bad_pods_than_may_be_isolated_are_held() {
    let mut world = World::stable(7);
    world.break_pod(1);
    world.break_pod(2);
    world.run(60);
    assert_eq!(world.refusal(Remedy::IsolatePods), Some(Reason::TooManyPods));
    world.assert_holds(Reason::TooManyPods);
    assert!(world.effects.is_empty());
}

#[test]
fn a_pod_that_cannot_be_quarantined_does_not_keep_the_other_from_being_deleted() {
    let mut world = World::stable(7);
    world.spec().actions.isolate.as_mut().unwrap().max_pods = 2;
    world.spec().actions.isolate.as_mut().unwrap().inspection = lasting(60);
    world.break_pod(1);
    world.break_pod(2);
    world.run_until(120, |world| world.count(Remediation::QuarantinePod) == 2);
    world.run_until_closed(600);
    world.run(100);
    assert!(world.facts.quarantined.is_empty());
}

#[test]
fn with_nothing_changed_and_no_standby_there_is_nothing_to_revert() {
    let mut world = World::stable(5);
    world.dependency_down = true;
    world.run(100);
    world.assert_holds(Reason::NoChangeToRevert);
    assert_eq!(world.journal().suspect, Suspect::Unknown);
    assert_eq!(world.refusal(Remedy::Failover), Some(Reason::NoStandby));
    assert!(world.effects.is_empty());
    let written = world.written.len();
    world.run(600);
    assert_eq!(world.written.len(), written, "a hold is written once");
}

#[test]
fn what_heals_itself_is_closed_without_a_hand() {
    let mut world = World::stable(5);
    world.dependency_down = true;
    world.run(100);
    world.dependency_down = false;
    world.run_until_closed(120);
    world.assert_closed(Outcome::Held, Reason::HealedItself);
    assert!(world.effects.is_empty());
}

#[test]
fn the_symptom_counts_after_unavailable_for_and_not_before() {
    let mut world = World::stable(5);
    world.dependency_down = true;
    world.run(1);
    let short = world.now;
    assert_eq!(world.plan().wake_at, short + seconds(10));
    world.run(9);
    assert!(world.facts.recoveries.is_empty());
    world.run(1);
    assert_eq!(world.journal().symptom.reason, Reason::Unavailable);
}

#[test]
fn a_rescheduled_pod_that_never_gets_ready_is_looked_at_when_its_patience_ends() {
    let mut world = World::stable(5);
    world.facts.pods.remove(0);
    world.run(1);
    let added = world.facts.pods.last().unwrap().clone();
    world.stall_pod(&added.uid);
    world.run(3);
    assert!(world.plan().wake_at <= added.created + seconds(60), "it must be looked at when its patience ends");
    world.run(90);
    assert_eq!(world.journal().symptom.reason, Reason::Unavailable);
}

#[test]
fn scaled_to_zero_is_unknown_and_nothing_is_done() {
    let mut world = World::stable(3);
    world.scale_to(0);
    world.run(60);
    assert_eq!(world.condition("TargetHealthy"), ("Unknown".into(), "ScaledToZero".into()));
    assert_eq!(world.condition("Ready").0, "True");
    assert!(world.facts.recoveries.is_empty());
    world.scale_to(3);
    world.run(120);
    assert!(world.facts.recoveries.is_empty());
    assert_eq!(world.condition("TargetHealthy").0, "True");
}

/// The registry is down: another pod in its place would fare no better.
#[test]
fn a_pod_whose_image_cannot_be_pulled_is_left_where_it_is() {
    let mut world = World::stable(5);
    let uid = world.facts.pods[1].uid.clone();
    world.unpulled_pods.insert(uid);
    world.run(60);
    world.assert_holds(Reason::NoChangeToRevert);
    assert!(world.effects.is_empty(), "{:?}", world.effects);
}

#[test]
fn a_pod_without_a_place_is_not_taken_out() {
    let mut world = World::stable(5);
    let bad = world.break_pod(1);
    world.facts.pods.iter_mut().find(|pod| pod.uid == bad).unwrap().node.clear();
    world.run(120);
    assert_eq!(world.count(Remediation::QuarantinePod), 0);
    assert_eq!(world.journal().suspect, Suspect::Unknown);
}
