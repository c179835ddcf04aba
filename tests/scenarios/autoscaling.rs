//! Autoscalers: one that was changed and scales the target to its most is put back, and nobody but them writes replicas.

use homeostat::api::Mode;
use homeostat::api::policy::MemberPolicy;
use homeostat::api::recovery::Suspect;
use homeostat::api::{Outcome, Reason, Remediation};
use homeostat::plan::autoscaling::Scaling;
use homeostat::plan::member::MemberKind;

use crate::world::{Behaviour, World, deployment};

const KIND: MemberKind = MemberKind::HorizontalPodAutoscaler;

fn scaling(least: i32, most: i32, aims: &str) -> Scaling {
    Scaling { least, most, aims: aims.into() }
}

/// Three replicas, scaled between three and six.
fn scaled() -> World {
    let mut world = World::new(3);
    world.attach(KIND, "web", "good");
    set(&mut world, "good", scaling(3, 6, "cpu 80"));
    world.run(120);
    assert_eq!(world.facts.states.len(), 1, "not stable");
    world
}

fn set(world: &mut World, digest: &str, scaling: Scaling) {
    world.edit(KIND, "web", digest);
    world.facts.objects.last_mut().unwrap().scaling = Some(scaling);
}

fn nothing_happens(world: &mut World, why: &str) {
    world.run(300);
    assert!(world.facts.recoveries.is_empty(), "{why}: {:#?}", world.facts.recoveries);
    assert!(world.effects.is_empty(), "{why}");
}

#[test]
fn one_that_was_changed_and_scales_to_its_most_is_put_back_and_replicas_are_left_to_it() {
    for delay in [0, 20] {
        let mut world = scaled();
        set(&mut world, "bad", scaling(3, 6, "cpu 20"));
        world.run(delay);
        world.scale_to(6);
        world.run_until_closed(120);
        world.assert_closed(Outcome::Recovered, Reason::Verified);
        assert_eq!(world.journal().symptom.reason, Reason::AtLimit);
        assert_eq!(world.journal().suspect, Suspect::Change);
        assert_eq!(world.done(), [Remediation::RestoreObject], "after {delay} s");
        assert_eq!((world.digest(KIND, "web").as_deref(), world.target().replicas), (Some("good"), 6));
    }
}

#[test]
fn one_watch_may_tell_of_the_replicas_before_the_other_tells_of_the_autoscaler() {
    let mut world = scaled();
    world.scale_to(6);
    world.run(1);
    set(&mut world, "bad", scaling(3, 6, "cpu 20"));
    world.run_until_closed(120);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn what_is_at_its_most_for_another_reason_is_left_alone() {
    let mut world = scaled();
    world.scale_to(6);
    nothing_happens(&mut world, "the autoscaler is as it was");

    let mut world = scaled();
    world.scale_to(6);
    world.run(20);
    set(&mut world, "tuned", scaling(3, 6, "cpu 70"));
    nothing_happens(&mut world, "it was at its most before the change");

    let mut world = scaled();
    set(&mut world, "bounds", scaling(2, 5, "cpu 80"));
    world.scale_to(5);
    nothing_happens(&mut world, "only its bounds were changed");

    let mut world = scaled();
    set(&mut world, "fixed", scaling(6, 6, "cpu 20"));
    world.scale_to(6);
    nothing_happens(&mut world, "a person wants exactly so many");

    let mut world = scaled();
    set(&mut world, "tuned", scaling(3, 6, "cpu 70"));
    world.scale_to(5);
    nothing_happens(&mut world, "there is room left");
}

#[test]
fn a_rise_long_after_the_change_is_not_put_down_to_it() {
    let mut world = scaled().mode(Mode::Observe);
    world.spec().stability.soak = crate::world::lasting(3600);
    set(&mut world, "tuned", scaling(3, 6, "cpu 70"));
    world.run(660);
    world.scale_to(6);
    nothing_happens(&mut world, "eleven minutes later");
}

#[test]
fn what_was_not_seen_to_change_is_no_symptom() {
    let mut world = scaled();
    set(&mut world, "bad", scaling(3, 6, "cpu 20"));
    world.lose_memory();
    world.scale_to(6);
    nothing_happens(&mut world, "it happened while nobody looked");
}

#[test]
fn while_it_is_at_its_most_nothing_is_earned_and_only_compared_it_is_only_shown() {
    let mut world = scaled();
    world.spec().closure.scaling = MemberPolicy::Compare;
    set(&mut world, "bad", scaling(3, 6, "cpu 20"));
    world.scale_to(6);
    world.run(300);
    world.assert_holds(Reason::NoChangeToRevert);
    assert_eq!(world.facts.states.len(), 1, "a state was earned");
    assert!(world.effects.is_empty());
}

/// It scales something else now; `other`: which is there and serves.
fn point_elsewhere(world: &mut World, other: Option<&str>) {
    set(world, "elsewhere", scaling(3, 6, "cpu 80"));
    let object = world.facts.objects.last_mut().unwrap();
    (object.belongs, object.scales_other) = (false, other.map(str::to_owned));
}

#[test]
fn one_that_scales_nothing_any_more_is_put_back_and_replicas_are_not_written() {
    let mut world = scaled();
    point_elsewhere(&mut world, None);
    world.scale_to(2);
    world.dependency_down = true;
    world.run_until(120, |world| world.digest(KIND, "web").as_deref() == Some("good"));
    world.facts.objects.last_mut().unwrap().belongs = true;
    world.dependency_down = false;
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!((world.done(), world.target().replicas), (vec![Remediation::RestoreObject], 2));
}

#[test]
fn one_that_serves_another_workload_by_now_is_left_to_it() {
    let mut world = scaled();
    point_elsewhere(&mut world, Some("Deployment green"));
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.done(), [Remediation::RestoreTemplate, Remediation::HandBackFields]);
    assert_eq!(
        (world.target().digest.clone(), world.digest(KIND, "web").as_deref()),
        (deployment("v1"), Some("elsewhere"))
    );
    assert!(world.journal().message.contains("HorizontalPodAutoscaler web"), "{}", world.journal().message);
}
