//! What belongs to a Deployment beside its template and ConfigMaps: what attaches itself to it, and who may put it back.

use homeostat::api::policy::{Failback, GuardRailPolicy, MemberPolicy};
use homeostat::api::recovery::ApprovalDecision::Approve;
use homeostat::api::recovery::{Remedy, Suspect};
use homeostat::api::{Outcome, Phase, Reason, Remediation};
use homeostat::plan::member::MemberKind;

use crate::world::{Behaviour, World, deployment};

/// A stable world with an object of this kind in its closure.
fn with(kind: MemberKind, name: &str) -> World {
    let mut world = World::new(5);
    world.attach(kind, name, "good");
    world.run(120);
    assert!(!world.facts.states.is_empty(), "not stable");
    world
}

fn mending(mut world: World) -> World {
    world.spec().closure.guard_rails = GuardRailPolicy::Restore;
    world.spec().service_account_name = Some("mender".into());
    world
}

/// The pods fail as long as the object is not what it was.
fn break_by(world: &mut World, kind: MemberKind, name: &str) {
    world.edit(kind, name, "bad");
    world.dependency_down = true;
}

fn heal_once(world: &mut World, kind: MemberKind, name: &str) {
    let is_good = |world: &World| world.digest(kind, name).as_deref() == Some("good");
    world.run_until(300, is_good);
    world.dependency_down = false;
    world.run_until_closed(300);
}

#[test]
fn each_kind_that_is_restored_alone_is_put_back() {
    let kinds = [
        MemberKind::ServiceAccount,
        MemberKind::Ingress,
        MemberKind::HttpRoute,
        MemberKind::GrpcRoute,
        MemberKind::HorizontalPodAutoscaler,
    ];
    for kind in kinds {
        let mut world = with(kind, "own");
        break_by(&mut world, kind, "own");
        heal_once(&mut world, kind, "own");
        world.assert_closed(Outcome::Recovered, Reason::Verified);
        assert_eq!(world.journal().suspect, Suspect::Change);
        assert_eq!(world.done(), [Remediation::RestoreObject], "{kind}");
    }
}

#[test]
fn what_is_only_compared_or_ignored_is_never_written() {
    for policy in [MemberPolicy::Compare, MemberPolicy::Ignore] {
        let mut world = World::new(5);
        world.spec().closure.exposure = policy;
        world.attach(MemberKind::Ingress, "own", "good");
        world.run(120);
        break_by(&mut world, MemberKind::Ingress, "own");
        world.run(120);
        world.assert_holds(Reason::NoChangeToRevert);
        assert!(world.effects.is_empty(), "{policy:?}");
    }
}

#[test]
fn routes_that_may_not_be_looked_at_any_more_are_neither_missed_nor_written() {
    let mut world = with(MemberKind::HttpRoute, "own");
    world.facts.ceiling.gateway_api = false;
    world.facts.objects.clear();
    world.run(120);
    assert!(world.facts.recoveries.is_empty(), "{:?}", world.facts.recoveries);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(900);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!((world.count(Remediation::RestoreTemplate), world.count(Remediation::RestoreObject)), (1, 0));
}

#[test]
fn guard_rails_wait_for_the_approval_of_exactly_that_plan() {
    let kind = MemberKind::NetworkPolicy;
    let mut world = with(kind, "own");
    world.spec().service_account_name = Some("mender".into());
    break_by(&mut world, kind, "own");
    world.run_until_phase(120, Phase::AwaitingApproval);
    assert_eq!(world.journal().decision.remedy, Remedy::RestoreGuardRails);
    world.answer(Approve, "0123456789abcdef");
    world.run(60);
    assert!(world.effects.is_empty());
    let digest = world.journal().decision.plan_digest.clone();
    world.answer(Approve, &digest);
    heal_once(&mut world, kind, "own");
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.done(), [Remediation::RestoreObject]);
}

#[test]
fn guard_rails_are_put_back_where_the_policy_says_so() {
    for kind in [MemberKind::NetworkPolicy, MemberKind::RoleBinding, MemberKind::ResourceQuota, MemberKind::LimitRange]
    {
        let mut world = mending(with(kind, "own"));
        break_by(&mut world, kind, "own");
        heal_once(&mut world, kind, "own");
        world.assert_closed(Outcome::Recovered, Reason::Verified);
        assert_eq!(world.done(), [Remediation::RestoreObject], "{kind}");
    }
}

#[test]
fn guard_rails_are_never_written_without_an_account_to_write_them_with() {
    let mut world = mending(with(MemberKind::NetworkPolicy, "own"));
    world.spec().service_account_name = None;
    break_by(&mut world, MemberKind::NetworkPolicy, "own");
    world.run(120);
    world.assert_holds(Reason::NotAllowed);
    assert!(world.effects.is_empty());
}

#[test]
fn one_that_was_added_since_is_deleted() {
    for kind in [MemberKind::NetworkPolicy, MemberKind::ResourceQuota] {
        let mut world = mending(World::stable(5));
        world.attach(kind, "added", "bad");
        world.dependency_down = true;
        world.run_until(300, |world| world.digest(kind, "added").is_none());
        world.dependency_down = false;
        world.run_until_closed(300);
        world.assert_closed(Outcome::Recovered, Reason::Verified);
        assert_eq!(world.done(), [Remediation::RemoveObject], "{kind}");
    }
}

#[test]
fn a_service_that_was_added_explains_nothing_and_stays() {
    let mut world = World::stable(5);
    world.attach(MemberKind::Service, "metrics", "new");
    let bad = world.break_pod(1);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.journal().suspect, Suspect::Pod, "{bad}");
    assert!(world.digest(MemberKind::Service, "metrics").is_some());
}

#[test]
fn hardening_since_survives_the_rollback_of_a_template() {
    let kind = MemberKind::NetworkPolicy;
    let mut world = mending(with(kind, "own"));
    world.edit(kind, "own", "stricter");
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.target().digest, deployment("v1"));
    assert_eq!(world.digest(kind, "own").as_deref(), Some("stricter"));
    assert_eq!(world.count(Remediation::RestoreObject), 0);
}

#[test]
fn guard_rails_come_second_when_the_rest_did_not_help() {
    let kind = MemberKind::NetworkPolicy;
    let mut world = mending(with(kind, "own"));
    world.release("v2");
    break_by(&mut world, kind, "own");
    heal_once(&mut world, kind, "own");
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.done()[0], Remediation::RestoreTemplate);
    assert_eq!(world.count(Remediation::RestoreObject), 1);
    assert_eq!(world.target().digest, deployment("v1"));
}

#[test]
fn a_service_that_is_gone_is_a_symptom_and_is_created_again() {
    let mut world = World::new(5);
    world.attach(MemberKind::Service, "web", "good");
    world.run(120);
    let service = world.facts.services.pop().unwrap();
    world.detach(MemberKind::Service, "web");
    world.run_until(60, |world| world.count(Remediation::RestoreObject) == 1);
    assert_eq!(world.journal().symptom.reason, Reason::CutOff);
    world.facts.services.push(service);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn traffic_that_was_moved_on_purpose_is_left_alone() {
    let mut world = World::with_standby(Failback::Automatic);
    world.attach(MemberKind::Service, "web", "good");
    world.run(300);
    let before = world.facts.states.len();
    world.edit(MemberKind::Service, "web", "to green");
    world.facts.services[0].selector = world.facts.standby.as_ref().unwrap().selector.clone();
    world.run(300);
    assert!(world.facts.recoveries.is_empty());
    assert!(world.facts.states.len() > before, "what the owner chose is stable by now");
}
