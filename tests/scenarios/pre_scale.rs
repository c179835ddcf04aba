//! A standby that is too small, and whose replicas an autoscaler owns: it is told to keep more, and then traffic moves.

use homeostat::api::policy::Failback;
use homeostat::api::recovery::Remedy;
use homeostat::api::{Mode, Outcome, Phase, Reason, Remediation};

use crate::world::{Crash, World};

/// With so many pods of the standby ready, of the three that are needed, and an autoscaler with these bounds.
fn small(ready: usize, least: i32, most: i32) -> World {
    let mut world = World::with_standby(Failback::Automatic);
    world.facts.standby_pods.truncate(ready);
    let pods = i32::try_from(ready).unwrap();
    let standby = world.facts.standby.as_mut().unwrap();
    (standby.replicas, standby.available_replicas) = (pods, pods);
    world.autoscaled("standby", least, most);
    world
}

fn down(mut world: World) -> World {
    world.dependency_down = true;
    world
}

#[test]
fn it_is_raised_first_then_traffic_moves_and_it_is_put_back_when_home_is_verified_under_the_load() {
    let mut world = down(small(1, 1, 5));
    world.run_until(60, |world| world.count(Remediation::PreScaleStandby) == 1);
    let decided = world.written.iter().map(|journal| (journal.decision.remedy, journal.decision.reason));
    assert!(decided.into_iter().any(|decided| decided == (Remedy::PreScale, Reason::StandbyPreScaled)));
    assert_eq!(world.autoscaler().least, 3);
    assert_eq!(world.count(Remediation::SwitchService), 0, "before the capacity is there");
    world.run_until_phase(60, Phase::OnStandby);
    assert_eq!(world.facts.standby_pods.len(), 3);
    world.dependency_down = false;
    world.run_until(120, |world| world.count(Remediation::ReturnService) == 1);
    assert_eq!(world.autoscaler().least, 3, "home is not proven under the load");
    world.run_until_closed(120);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    let found = world.autoscaler().clone();
    assert_eq!((found.least, found.scaled_by), (1, None));
    let steps = [Remediation::PreScaleStandby, Remediation::ReleaseStandby].map(|step| world.count(step));
    assert_eq!(steps, [1, 1]);
    assert_eq!(world.journal().attempt, 1, "to prepare is no attempt");
}

#[test]
fn while_pods_are_on_the_way_it_waits_and_if_they_never_come_nothing_moves() {
    let mut world = small(1, 1, 5);
    world.full = true;
    let mut world = down(world);
    world.run(300);
    world.assert_holds(Reason::StandbyNotReady);
    assert_eq!(world.count(Remediation::PreScaleStandby), 1);
    assert_eq!(world.count(Remediation::SwitchService), 0);
    world.full = false;
    world.run_until_phase(60, Phase::OnStandby);
}

#[test]
fn its_own_bounds_hold_and_without_an_autoscaler_its_replicas_are_a_persons() {
    let mut too_few = down(small(1, 1, 2));
    let mut nobody = small(1, 1, 5);
    nobody.facts.standby_autoscalers.clear();
    let mut nobody = down(nobody);
    let mut several = small(1, 1, 5);
    several.autoscaled("other", 1, 9);
    let mut several = down(several);
    for (world, said) in [
        (&mut too_few, "2 at most (maxReplicas)"),
        (&mut nobody, "no autoscaler"),
        (&mut several, "several autoscalers"),
    ] {
        world.run(60);
        world.assert_holds(Reason::StandbyTooSmall);
        assert!(world.journal().message.contains(said), "{}", world.journal().message);
        assert_eq!(world.refusal(Remedy::PreScale), Some(Reason::NotIndicated));
        assert!(world.effects.is_empty());
    }
}

#[test]
fn where_size_is_not_what_is_missing_nothing_is_raised() {
    let mut serving = small(1, 1, 5);
    serving.break_pod(0);
    serving.break_pod(1);
    serving.run(60);
    assert_eq!(serving.refusal(Remedy::Failover), Some(Reason::TargetServing));
    assert!(serving.effects.is_empty());
    let mut enough = down(small(3, 1, 5));
    enough.run_until_phase(60, Phase::OnStandby);
    assert_eq!(enough.count(Remediation::PreScaleStandby), 0);
}

#[test]
fn a_tool_that_keeps_the_autoscaler_is_not_fought_with() {
    let mut world = small(1, 1, 5);
    world.autoscaler().git_ops = Some("Argo CD".into());
    let mut world = down(world);
    world.run(60);
    assert_eq!(world.refusal(Remedy::PreScale), Some(Reason::GitOwned));
    assert!(world.effects.is_empty());
}

#[test]
fn it_waits_for_an_approval_where_the_policy_recommends() {
    let mut world = down(small(1, 1, 5).mode(Mode::Recommend));
    world.run_until_phase(60, Phase::AwaitingApproval);
    assert_eq!(world.journal().decision.remedy, Remedy::PreScale);
    assert!(world.effects.is_empty());
}

#[test]
fn who_heals_meanwhile_needs_no_standby_and_it_is_put_back() {
    let mut world = small(1, 1, 5);
    world.full = true;
    let mut world = down(world);
    world.run_until(60, |world| world.count(Remediation::PreScaleStandby) == 1);
    world.dependency_down = false;
    world.run_until_closed(120);
    world.assert_closed(Outcome::Held, Reason::HealedItself);
    let found = world.autoscaler().clone();
    assert_eq!((found.least, found.scaled_by), (1, None));
}

#[test]
fn what_a_person_sets_meanwhile_stays() {
    let mut world = down(small(1, 1, 9));
    world.run_until_phase(60, Phase::OnStandby);
    world.autoscaler().least = 4;
    world.dependency_down = false;
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    let found = world.autoscaler().clone();
    assert_eq!((found.least, found.scaled_by), (4, None), "only our mark goes");
}

#[test]
fn letting_go_puts_it_back_unless_traffic_stays_where_it_bears_the_load() {
    let mut waiting = small(1, 1, 5);
    waiting.full = true;
    let mut waiting = down(waiting);
    waiting.run_until(60, |world| world.count(Remediation::PreScaleStandby) == 1);
    waiting.abort();
    waiting.run(5);
    waiting.assert_closed(Outcome::Abandoned, Reason::AbortedByUser);
    assert_eq!(waiting.autoscaler().least, 1);

    let mut away = down(small(1, 1, 5));
    away.run_until_phase(60, Phase::OnStandby);
    away.abort();
    away.run(5);
    away.assert_closed(Outcome::Abandoned, Reason::AbortedByUser);
    assert_eq!(away.autoscaler().least, 3);
    let message = &away.journal().message;
    assert!(message.contains("minReplicas of HorizontalPodAutoscaler standby stay"), "{message}");
    let drift = away.status().drift.iter().flat_map(|drift| &drift.components);
    let told = drift.into_iter().any(|part| part.name == "leftovers" && part.message.contains("standby"));
    assert!(told, "{:?}", away.status().drift);
    // A person points the Service elsewhere: then it bears no load any more.
    away.facts.services[0].selector = [("app".to_owned(), "other".to_owned())].into();
    away.run(5);
    assert_eq!((away.autoscaler().least, away.count(Remediation::ReleaseStandby)), (1, 1));

    let mut deleted = small(1, 1, 5);
    deleted.full = true;
    let mut deleted = down(deleted);
    deleted.run_until(60, |world| world.count(Remediation::PreScaleStandby) == 1);
    deleted.facts.policy = None;
    deleted.run(5);
    deleted.assert_closed(Outcome::Abandoned, Reason::PolicyDeleted);
    assert_eq!(deleted.autoscaler().least, 1);
}

#[test]
fn a_crash_at_any_moment_changes_nothing() {
    let whole = down(small(1, 1, 5));
    for crash in [Crash::BeforeRecord, Crash::AfterRecord, Crash::AfterEffects] {
        for at in 0..90 {
            let mut world = whole.clone();
            world.over_and_back(600, at, crash);
            world.assert_closed(Outcome::Recovered, Reason::Verified);
            assert_eq!(world.facts.recoveries.len(), 1);
            let moved = [Remediation::SwitchService, Remediation::ReturnService].map(|step| world.count(step));
            assert_eq!(moved, [1, 1], "{crash:?} after {at} s");
            assert_eq!(world.count(Remediation::PreScaleStandby), 1, "{crash:?} after {at} s");
            assert_eq!((world.autoscaler().least, world.autoscaler().scaled_by.clone()), (1, None));
        }
    }
}
