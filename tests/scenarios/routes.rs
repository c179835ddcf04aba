//! Traffic moved by the weights of a route: all at once to the standby, home in steps.

use homeostat::api::policy::Failback;
use homeostat::api::{Check, Outcome, Phase, Reason, Remediation};
use homeostat::plan::member::MemberKind;
use homeostat::plan::weights::Backend;

use crate::world::{Crash, World, lasting};

fn down(failback: Failback) -> World {
    let mut world = World::with_route(failback);
    world.dependency_down = true;
    world.run_until_phase(60, Phase::OnStandby);
    world
}

fn weights(world: &World) -> Vec<i64> {
    let route = world.facts.object(MemberKind::HttpRoute, "web").expect("the route");
    route.backends.iter().map(|backend| backend.weight).collect()
}

fn mark(world: &World) -> Option<&String> {
    world.facts.object(MemberKind::HttpRoute, "web").and_then(|route| route.switched_by.as_ref())
}

/// Home is well again, and has this share of the traffic.
fn shared(percent: i64) -> World {
    let mut world = down(Failback::Automatic);
    world.dependency_down = false;
    world.run_until(300, |world| weights(world) == [percent, 100 - percent]);
    world
}

#[test]
fn all_traffic_leaves_at_once_and_returns_in_steps_each_with_a_window() {
    let mut world = down(Failback::Automatic);
    assert_eq!(world.journal().decision.reason, Reason::TrafficMoved);
    assert_eq!((weights(&world), mark(&world).is_some()), (vec![0, 100], true));
    world.run(120);
    assert_eq!(weights(&world), [0, 100], "home is still down");
    world.dependency_down = false;
    let mut seen = vec![];
    while world.phase() == Some(Phase::OnStandby) {
        world.run(1);
        let now = weights(&world);
        if seen.last().is_none_or(|(_, last)| *last != now) {
            seen.push((world.now, now));
        }
    }
    let shares: Vec<_> = seen.iter().map(|(_, weights)| weights.clone()).collect();
    assert_eq!(shares, [[0, 100], [20, 80], [50, 50], [1, 0]], "in the end as it was");
    for pair in seen[1..].windows(2) {
        assert!(pair[1].0 >= pair[0].0 + crate::world::seconds(30), "no window between {pair:?}");
    }
    world.run_until_closed(60);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(mark(&world), None);
    let done = [Remediation::SwitchRoute, Remediation::ShiftRoute, Remediation::ShiftRoute, Remediation::ReturnRoute];
    assert_eq!(world.done(), done);
    assert_eq!(world.facts.states.len(), 2, "what we moved was taken for a stable state");
}

#[test]
fn one_step_is_enough_where_the_policy_says_so() {
    let mut world = down(Failback::Automatic);
    world.via_route().steps = vec![100];
    world.dependency_down = false;
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.done(), [Remediation::SwitchRoute, Remediation::ReturnRoute]);
}

#[test]
fn home_that_fails_under_its_share_is_left_at_once_and_held() {
    for percent in [20, 50] {
        let mut world = shared(percent);
        world.dependency_down = true;
        world.run_until(30, |world| weights(world) == [0, 100]);
        assert_eq!((world.phase(), world.journal().reason), (Some(Phase::OnStandby), Reason::HomeBrokeAgain));
        assert_eq!(world.journal().outcome, Some(Outcome::Escalated));
        for _ in 0..3 {
            world.dependency_down = false;
            world.run(100);
            world.dependency_down = true;
            world.run(100);
        }
        assert_eq!((weights(&world), world.count(Remediation::SwitchRoute)), (vec![0, 100], 2));
        world.dependency_down = false;
        world.run(60);
        world.abort();
        world.run(5);
        world.assert_closed(Outcome::Abandoned, Reason::AbortedByUser);
        assert_eq!((weights(&world), mark(&world)), (vec![1, 0], None));
    }
}

#[test]
fn home_that_fails_after_all_has_returned_is_left_once_more() {
    let mut world = shared(50);
    world.run_until(60, |world| world.count(Remediation::ReturnRoute) == 1);
    world.dependency_down = true;
    world.run_until(30, |world| world.count(Remediation::SwitchRoute) == 2);
    assert_eq!((weights(&world), world.journal().reason), (vec![0, 100], Reason::HomeBrokeAgain));
}

/// Home has a fifth of the traffic, and from now on callers are asked.
fn asked() -> World {
    let mut world = shared(20);
    let (provider, query) = ("main".to_owned(), "errors".to_owned());
    let check = Check { name: "errors".into(), provider, query, max: Some("0.01".into()), min: None, window: None };
    world.spec().stability.checks = vec![check];
    world
}

#[test]
fn without_data_about_home_the_way_stops_where_it_is() {
    let mut world = asked();
    world.metrics = Some(Err("no data".into()));
    world.run(300);
    assert_eq!((weights(&world), world.phase()), (vec![20, 80], Some(Phase::OnStandby)), "{:?}", world.journal());
    world.metrics = Some(Ok(0.0));
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn home_that_answers_badly_under_its_share_gets_no_more() {
    let mut world = asked();
    world.metrics = Some(Ok(0.5));
    world.run(300);
    assert_eq!((weights(&world), world.phase()), (vec![20, 80], Some(Phase::OnStandby)), "{:?}", world.journal());
    world.metrics = Some(Ok(0.0));
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn a_standby_that_fails_under_the_load_is_left_for_a_healthy_home_without_steps() {
    let mut world = down(Failback::Automatic);
    world.spec().verification.window = lasting(600);
    world.dependency_down = false;
    world.run(60);
    assert_eq!(weights(&world), [0, 100]);
    let now = world.now;
    world.facts.standby_pods[0].ready_since = Some(now);
    world.run_until(5, |world| world.count(Remediation::ReturnRoute) == 1);
    assert_eq!((weights(&world), world.count(Remediation::ShiftRoute)), (vec![1, 0], 0));
}

#[test]
fn weights_that_a_person_moved_are_theirs_wherever_they_stood() {
    for percent in [0, 20] {
        let mut world = if percent == 0 { down(Failback::Automatic) } else { shared(percent) };
        world.route().backends[0].weight = 70;
        world.route().backends[1].weight = 30;
        world.dependency_down = false;
        world.run_until_closed(300);
        world.assert_closed(Outcome::Superseded, Reason::Superseded);
        assert_eq!(weights(&world), [70, 30]);
    }
}

#[test]
fn a_place_that_a_person_added_is_theirs_as_well() {
    let mut world = shared(20);
    let added = Backend { rule: 1, place: 0, service: "web".into(), weight: 1 };
    world.route().backends.push(added);
    world.run_until_closed(60);
    world.assert_closed(Outcome::Superseded, Reason::Superseded);
}

#[test]
fn an_abort_on_the_way_home_brings_all_of_it_to_a_healthy_home_and_leaves_it_otherwise() {
    for healthy in [true, false] {
        let mut world = shared(50);
        world.dependency_down = !healthy;
        // The same moment: nothing else is to happen first.
        if !healthy {
            world.facts.pods.iter_mut().for_each(|pod| pod.ready = false);
            world.run(1);
        }
        world.abort();
        world.run(5);
        world.assert_closed(Outcome::Abandoned, Reason::AbortedByUser);
        let said = world.journal().message.contains("stays on the standby");
        assert_eq!((weights(&world)[0] == 1, said), (healthy, !healthy), "{}", world.journal().message);
    }
}

#[test]
fn a_route_that_cannot_move_traffic_is_told_and_left() {
    type Spoil = fn(&mut World);
    let cases: [(Spoil, Reason, &str); 6] = [
        (|world| world.route().backends[1].service = "other".into(), Reason::ServiceNotFound, "rule 0"),
        (|world| world.via_route().name = "other".into(), Reason::ServiceNotFound, "HTTPRoute other does not exist"),
        (|world| world.facts.services.truncate(1), Reason::ServiceNotFound, "Service standby does not exist"),
        (
            |world| world.facts.services[1].selector = world.facts.services[0].selector.clone(),
            Reason::ServiceNotFound,
            "alone",
        ),
        (|world| world.facts.ceiling.gateway_api = false, Reason::RightMissing, "capabilities.gatewayApi"),
        (
            |world| world.route().backends.push(Backend { rule: 0, place: 2, service: String::new(), weight: 5 }),
            Reason::ServiceNotFound,
            "something else",
        ),
    ];
    for (spoil, reason, said) in cases {
        let mut world = World::with_route(Failback::Automatic);
        spoil(&mut world);
        world.dependency_down = true;
        world.run(60);
        let alternatives = &world.journal().decision.alternatives;
        let refused: Vec<_> = alternatives.iter().filter(|a| a.reason == reason).map(|a| a.message.clone()).collect();
        assert!(refused.iter().any(|message| message.contains(said)), "{said}: {:#?}", world.journal().decision);
        assert_eq!(world.count(Remediation::SwitchRoute), 0);
    }
}

#[test]
fn a_route_that_a_tool_keeps_is_left_alone() {
    let mut world = World::with_route(Failback::Automatic);
    world.route().git_ops = Some("Argo CD".into());
    world.dependency_down = true;
    world.run(60);
    assert_eq!(world.refusal(homeostat::api::recovery::Remedy::Failover), Some(Reason::GitOwned));
    assert_eq!(world.count(Remediation::SwitchRoute), 0);
}

#[test]
fn weights_that_are_put_back_at_once_are_not_moved_again() {
    let mut world = down(Failback::Automatic);
    world.route().backends[0].weight = 1;
    world.route().backends[1].weight = 0;
    world.run(120);
    assert_eq!((world.count(Remediation::SwitchRoute), weights(&world)), (1, vec![1, 0]));
    assert_eq!(world.journal().reason, Reason::RevertedByGitOps);
}

#[test]
fn a_crash_at_any_moment_of_over_and_back_changes_nothing() {
    for crash in [Crash::BeforeRecord, Crash::AfterRecord, Crash::AfterEffects] {
        for after in 0..5 {
            let mut world = World::with_route(Failback::Automatic);
            world.dependency_down = true;
            let mut moved = 0;
            for second in 0..400 {
                if moved == after && world.crash.is_none() && second > 0 {
                    world.crash = Some(crash);
                    moved = usize::MAX;
                }
                world.run(1);
                if moved != usize::MAX {
                    moved = world.effects.len();
                }
                if second == 40 {
                    world.dependency_down = false;
                }
            }
            world.assert_closed(Outcome::Recovered, Reason::Verified);
            assert_eq!((weights(&world), mark(&world)), (vec![1, 0], None), "{crash:?} after {after}");
            assert_eq!(world.facts.recoveries.len(), 1, "{crash:?} after {after}");
            assert_eq!(world.count(Remediation::SwitchRoute), 1, "{crash:?} after {after}: {:?}", world.done());
        }
    }
}
