//! Members that belong to no namespace: recorded and compared, named where they differ, and never written.

use homeostat::api::policy::{Failback, GuardRailPolicy};
use homeostat::api::recovery::{Remedy, Suspect};
use homeostat::api::{Outcome, Phase, Reason, Remediation};
use homeostat::plan::member::MemberKind;

use crate::world::{Behaviour, World, deployment};

const KINDS: [MemberKind; 3] = [MemberKind::ClusterRole, MemberKind::ClusterRoleBinding, MemberKind::PriorityClass];

fn with(kind: MemberKind) -> World {
    let mut world = World::new(5);
    world.attach(kind, "own", "good");
    world.run(120);
    assert!(!world.facts.states.is_empty(), "not stable");
    world.spec().closure.guard_rails = GuardRailPolicy::Restore;
    world.spec().service_account_name = Some("mender".into());
    world
}

#[test]
fn where_nothing_else_differs_it_is_the_suspect_and_left_to_an_administrator() {
    for kind in KINDS {
        let mut world = with(kind);
        world.edit(kind, "own", "bad");
        world.dependency_down = true;
        world.run(300);
        world.assert_holds(Reason::NotAllowed);
        assert_eq!(world.journal().suspect, Suspect::Change);
        let message = &world.journal().message;
        assert!(message.contains(&format!("for an administrator: {kind} own")), "{message}");
        assert!(world.effects.is_empty(), "{kind}: {:?}", world.done());
        assert_eq!(world.refusal(Remedy::RestoreGuardRails), Some(Reason::NoChangeToRevert));
    }
}

#[test]
fn it_refuses_no_rollback_of_the_rest_and_is_named_when_that_is_recovered() {
    for kind in KINDS {
        let mut world = with(kind);
        world.edit(kind, "own", "other");
        world.release_bad("v2", Behaviour::CrashLoop);
        world.run_until_closed(300);
        world.assert_closed(Outcome::Recovered, Reason::Verified);
        assert_eq!(world.target().digest, deployment("v1"));
        assert_eq!(world.count(Remediation::RestoreObject), 0);
        let message = &world.journal().message;
        assert!(message.contains(&format!("outside of the namespace, for an administrator: {kind} own")), "{message}");
        let drift = world.status().drift.iter().flat_map(|drift| &drift.components);
        let named =
            drift.into_iter().any(|part| part.name == "closure" && part.message.contains(&format!("{kind} own")));
        assert!(named, "{:?}", world.status().drift);
    }
}

#[test]
fn one_that_is_gone_is_not_created_again_and_one_that_was_added_explains_nothing() {
    for kind in KINDS {
        let mut world = with(kind);
        world.detach(kind, "own");
        world.dependency_down = true;
        world.run(300);
        world.assert_holds(Reason::NotAllowed);
        assert!(world.effects.is_empty(), "{kind}");
    }
    let mut world = World::stable(5);
    world.attach(MemberKind::ClusterRoleBinding, "added", "new");
    world.break_pod(1);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.journal().suspect, Suspect::Pod);
}

/// What nobody here can put back is no reason to let a target stay down.
#[test]
fn traffic_moves_to_a_standby_that_does_not_share_it() {
    let run = |account: Option<&str>| {
        let mut world = World::with_standby(Failback::Automatic);
        world.target_mut().service_account = Some("web".into());
        world.facts.standby.as_mut().unwrap().service_account = account.map(str::to_owned);
        world.attach(MemberKind::ClusterRole, "own", "good");
        world.run(120);
        world.edit(MemberKind::ClusterRole, "own", "bad");
        world.dependency_down = true;
        world.run(60);
        world
    };
    let world = run(None);
    assert_eq!((world.phase(), world.count(Remediation::SwitchService)), (Some(Phase::OnStandby), 1));
    let world = run(Some("web"));
    assert_eq!(world.count(Remediation::SwitchService), 0);
    assert_eq!(world.refusal(Remedy::Failover), Some(Reason::StandbyNotIndependent));
}

#[test]
fn without_the_right_to_look_nothing_of_it_is_compared() {
    let mut world = with(MemberKind::ClusterRole);
    world.facts.ceiling.cluster_members = false;
    world.edit(MemberKind::ClusterRole, "own", "bad");
    world.dependency_down = true;
    world.run(120);
    world.assert_holds(Reason::NoChangeToRevert);
    assert_eq!(world.journal().suspect, Suspect::Unknown);
}
