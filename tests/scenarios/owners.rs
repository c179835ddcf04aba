//! What a GitOps tool, or any other loop, keeps as it wants it: respected, or written once and never fought about.

use homeostat::api::policy::{Failback, GitOps};
use homeostat::api::recovery::{Remedy, Suspect};
use homeostat::api::{Outcome, Phase, Reason, Remediation};

use crate::world::{Behaviour, World, deployment, lasting, template};

/// Kept by a tool, and the policy says so about it.
fn kept(git_ops: GitOps) -> World {
    let mut world = World::stable(5);
    world.target_mut().git_ops = Some("Argo CD".into());
    world.spec().git_ops = git_ops;
    world
}

/// Somebody applies `version` again, if it is not there.
fn apply(world: &mut World, version: &str) {
    if world.target().body != deployment(version) {
        let digest = deployment(version);
        let target = world.target_mut();
        (target.template, target.body, target.digest) = (template(&digest), digest.clone(), digest);
        target.generation += 1;
    }
}

/// Lets time pass while somebody applies `version` every two seconds.
fn run_against(world: &mut World, version: &str, seconds: i64) {
    for _ in 0..seconds / 2 {
        world.run(2);
        apply(world, version);
    }
}

// ---- respected

#[test]
fn a_configuration_that_a_tool_keeps_is_not_put_back() {
    let mut world = World::stable(5);
    world.facts.config_maps.get_mut("settings").unwrap().git_ops = Some("Flux".into());
    world.run(5);
    assert_eq!(world.condition("Recoverable"), ("False".into(), "GitOwned".into()), "said before it matters");
    world.configure_bad("bad", Behaviour::CrashLoop);
    world.facts.config_maps.get_mut("settings").unwrap().git_ops = Some("Flux".into());
    world.restart_pods();
    world.run(120);
    world.assert_holds(Reason::GitOwned);
    assert!(world.effects.is_empty(), "{:?}", world.effects);
}

#[test]
fn what_no_tool_keeps_is_put_back_beside_what_one_keeps() {
    let mut world = kept(GitOps::Respect);
    world.configure_bad("bad", Behaviour::CrashLoop);
    world.restart_pods();
    world.run_until(60, |world| world.count(Remediation::RestoreObject) == 1);
    assert_eq!(world.count(Remediation::RestoreTemplate), 0);
}

#[test]
fn a_pod_of_a_kept_target_is_isolated_all_the_same() {
    let mut world = kept(GitOps::Respect);
    world.break_pod(2);
    world.run_until(60, |world| world.count(Remediation::QuarantinePod) == 1);
    world.run_until_closed(120);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn traffic_of_a_kept_target_moves_if_its_service_is_not_kept() {
    for tool in [None, Some("Argo CD")] {
        let mut world = World::with_standby(Failback::Automatic);
        world.target_mut().git_ops = Some("Argo CD".into());
        world.facts.services[0].git_ops = tool.map(str::to_owned);
        world.dependency_down = true;
        match tool {
            None => world.run_until(60, |world| world.count(Remediation::SwitchService) == 1),
            Some(_) => {
                world.run(60);
                assert_eq!(world.refusal(Remedy::Failover), Some(Reason::GitOwned));
                assert!(world.effects.is_empty());
            }
        }
    }
}

// ---- written all the same

#[test]
fn an_override_rolls_back_what_a_tool_keeps() {
    let mut world = kept(GitOps::Override);
    world.run(10);
    assert_eq!(world.condition("Recoverable"), ("True".into(), "StateReady".into()));
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.target().digest, deployment("v1"));
}

/// One write, one reversion, the words for the person, and silence: also after a restart, and also if no tool is known.
#[test]
fn a_loop_that_applies_the_bad_release_again_meets_one_write_and_then_silence() {
    for known in [true, false] {
        let mut world = if known { kept(GitOps::Override) } else { World::stable(5) };
        world.spec().limits.cooldown = lasting(0);
        world.release_bad("v2", Behaviour::CrashLoop);
        run_against(&mut world, "v2", 120);
        world.assert_closed(Outcome::Escalated, Reason::RevertedByGitOps);
        let message = &world.journal().message;
        assert!(message.contains("Deployment web") && message.contains("homeostat states diff web-"), "{message}");
        assert_eq!(message.starts_with("Argo CD put"), known, "{message}");
        let said = world.condition("Recoverable");
        assert_eq!(said, ("False".into(), "RevertedByGitOps".into()), "while it is as it is");
        for _ in 0..3 {
            world.lose_memory();
            run_against(&mut world, "v2", 400);
        }
        assert_eq!(world.facts.recoveries.len(), 1, "silence: {:#?}", world.journal());
        assert_eq!(world.count(Remediation::RestoreTemplate), 1);
        assert_eq!(world.count(Remediation::FreezeRollout), 0);
    }
}

#[test]
fn what_was_changed_at_the_source_is_not_the_reverted_thing_any_more() {
    let mut world = kept(GitOps::Override);
    world.spec().limits.cooldown = lasting(0);
    world.release_bad("v2", Behaviour::CrashLoop);
    run_against(&mut world, "v2", 120);
    world.assert_closed(Outcome::Escalated, Reason::RevertedByGitOps);
    world.release("v1");
    world.run(200);
    assert_eq!(world.condition("Recoverable"), ("True".into(), "StateReady".into()));
    // Another bad release is another write.
    world.release_bad("v3", Behaviour::CrashLoop);
    world.run_until(60, |world| world.facts.recoveries.len() == 2);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.count(Remediation::RestoreTemplate), 2);
}

/// Tools look every few minutes: the incident may be long over when its repair is undone.
#[test]
fn a_tool_that_brings_it_back_after_the_recovery_meets_no_second_write() {
    let mut world = kept(GitOps::Override);
    world.spec().limits.cooldown = lasting(0);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    world.run(180);
    world.release("v2");
    world.run(600);
    world.assert_holds(Reason::RevertedByGitOps);
    assert_eq!(world.journal().outcome, Some(Outcome::Escalated));
    assert_eq!(world.count(Remediation::RestoreTemplate), 1);
    // The fix at the source ends it.
    world.release("v4");
    world.run_until_closed(60);
    assert_eq!(world.journal().outcome, Some(Outcome::Superseded));
}

#[test]
fn a_configuration_that_is_put_back_ends_the_incident() {
    let mut world = kept(GitOps::Override);
    world.configure("for v2");
    world.release_bad("v2", Behaviour::CrashLoop);
    while world.phase().is_none() {
        world.tick();
        world.step();
    }
    let written = world.count(Remediation::RestoreObject);
    assert_eq!(written, 1);
    world.configure("for v2");
    world.run(3);
    world.assert_closed(Outcome::Escalated, Reason::RevertedByGitOps);
    assert!(world.journal().message.contains("ConfigMap settings"), "{}", world.journal().message);
    world.run(600);
    assert_eq!(world.count(Remediation::RestoreObject), 1);
}

#[test]
fn a_selector_that_is_put_back_is_not_switched_again() {
    let mut world = World::with_standby(Failback::Automatic);
    world.spec().limits.cooldown = lasting(0);
    world.dependency_down = true;
    world.run_until_phase(60, Phase::OnStandby);
    let home = world.target().labels.clone();
    world.facts.services[0].selector = home;
    world.run(2);
    world.assert_closed(Outcome::Escalated, Reason::RevertedByGitOps);
    assert!(world.journal().message.contains("spec.selector"), "{}", world.journal().message);
    world.run(1200);
    assert_eq!(world.count(Remediation::SwitchService), 1);
    assert_eq!(world.journal().suspect, Suspect::Unknown);
}
