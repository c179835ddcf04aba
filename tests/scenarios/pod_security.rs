//! What Pod Security admits into the namespace: compared like other guard rails, and never loosened without a person.

use homeostat::api::policy::GuardRailPolicy;
use homeostat::api::recovery::ApprovalDecision::Approve;
use homeostat::api::recovery::{Remedy, Suspect};
use homeostat::api::{Outcome, Phase, Reason, Remediation};
use homeostat::plan::member::MemberKind;
use homeostat::plan::posture;
use serde_json::json;

use crate::world::{Behaviour, World, deployment};

const KIND: MemberKind = MemberKind::Namespace;

/// Stable in a namespace with these labels, each without what all of them begin with.
fn labelled(labels: &[(&str, &str)]) -> World {
    let mut world = World::new(5);
    world.attach(KIND, "shop", "");
    label(&mut world, labels);
    world.run(120);
    assert!(!world.facts.states.is_empty(), "not stable");
    world
}

/// An administrator sets exactly these labels.
fn label(world: &mut World, labels: &[(&str, &str)]) {
    let named = |(label, value): &(&str, &str)| (format!("pod-security.kubernetes.io/{label}"), json!(value));
    let labels: serde_json::Map<_, _> = labels.iter().map(named).collect();
    let object = world.facts.objects.iter_mut().find(|object| object.kind == KIND).unwrap();
    object.posture = posture::of(KIND, &json!({"metadata": {"labels": labels}}));
    object.digest = json!(labels).to_string();
}

fn mending(world: &mut World, guard_rails: GuardRailPolicy) {
    world.spec().closure.guard_rails = guard_rails;
    world.spec().service_account_name = Some("mender".into());
}

fn parity(world: &World) -> Option<String> {
    let components = world.status().drift.iter().flat_map(|drift| &drift.components);
    components.filter(|component| component.name == "parity").map(|component| component.message.clone()).next()
}

#[test]
fn a_namespace_that_admits_more_than_it_did_is_a_difference_and_goes_back_where_the_policy_says_so() {
    let mut world = labelled(&[("enforce", "baseline")]);
    mending(&mut world, GuardRailPolicy::Restore);
    label(&mut world, &[]);
    world.run(2);
    assert!(parity(&world).is_some_and(|said| said.contains("Namespace shop: enforce: more than baseline")));
    world.dependency_down = true;
    world.run_until(300, |world| world.count(Remediation::RestoreObject) == 1);
    world.dependency_down = false;
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.done(), [Remediation::RestoreObject]);
    assert_eq!(parity(&world), None);
}

#[test]
fn it_waits_for_an_approval_by_default() {
    let mut world = labelled(&[("enforce", "baseline")]);
    mending(&mut world, GuardRailPolicy::Approve);
    label(&mut world, &[]);
    world.dependency_down = true;
    world.run_until_phase(120, Phase::AwaitingApproval);
    assert_eq!(world.journal().decision.remedy, Remedy::RestoreGuardRails);
    assert!(world.effects.is_empty());
}

/// Whatever the policy says of guard rails.
#[test]
fn what_was_tightened_is_loosened_only_by_a_person() {
    for guard_rails in [GuardRailPolicy::Approve, GuardRailPolicy::Restore] {
        let mut world = labelled(&[]);
        mending(&mut world, guard_rails);
        label(&mut world, &[("enforce", "restricted")]);
        world.dependency_down = true;
        world.run_until_phase(120, Phase::AwaitingApproval);
        world.run(60);
        assert!(world.effects.is_empty(), "{guard_rails:?}");
        let decision = world.journal().decision.clone();
        assert_eq!((world.journal().suspect, decision.remedy), (Suspect::Change, Remedy::RestoreGuardRails));
        assert!(decision.message.contains("allowed again by it: Namespace shop: enforce"), "{}", decision.message);
        world.answer(Approve, &decision.plan_digest);
        world.run_until(60, |world| world.count(Remediation::RestoreObject) == 1);
        world.dependency_down = false;
        world.run_until_closed(300);
        world.assert_closed(Outcome::Recovered, Reason::Verified);
    }
}

#[test]
fn without_an_account_what_was_tightened_is_nothing_to_revert() {
    let mut world = labelled(&[]);
    label(&mut world, &[("enforce", "restricted")]);
    world.dependency_down = true;
    world.run(120);
    world.assert_holds(Reason::NoChangeToRevert);
    assert_eq!(world.refusal(Remedy::RestoreGuardRails), Some(Reason::NotAllowed));
    assert!(world.journal().message.contains("Namespace shop"), "{}", world.journal().message);
    assert!(world.effects.is_empty());
}

/// A pod that may not come back looks like a rollout that does not end. There is none that could be held still.
#[test]
fn a_pod_that_is_not_admitted_any_more_is_no_rollout_to_freeze() {
    let mut world = labelled(&[]);
    label(&mut world, &[("enforce", "restricted")]);
    world.pods_refused = Some("violates PodSecurity".into());
    world.facts.pods.pop();
    world.run(120);
    world.assert_holds(Reason::NoChangeToRevert);
    assert_eq!(world.journal().symptom.reason, Reason::PodCreation);
    assert_eq!(world.refusal(Remedy::Freeze), Some(Reason::NotIndicated));
    assert!(world.effects.is_empty());
}

#[test]
fn tightening_survives_a_rollback_and_what_else_was_done_to_guard_rails() {
    let mut world = labelled(&[]);
    mending(&mut world, GuardRailPolicy::Restore);
    label(&mut world, &[("enforce", "restricted")]);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.target().digest, deployment("v1"));
    assert!(world.journal().message.contains("stricter than recorded, and left so: Namespace shop"));

    let mut world = labelled(&[]);
    mending(&mut world, GuardRailPolicy::Restore);
    label(&mut world, &[("enforce", "restricted")]);
    world.attach(MemberKind::NetworkPolicy, "added", "bad");
    world.dependency_down = true;
    world.run_until(300, |world| world.count(Remediation::RemoveObject) == 1);
    world.dependency_down = false;
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.done(), [Remediation::RemoveObject]);
    assert!(world.digest(KIND, "shop").is_some_and(|digest| digest.contains("restricted")));
}

/// What nobody is refused for is no cause, and keeps nothing else from being found.
#[test]
fn what_is_only_told_of_explains_nothing() {
    let mut world = labelled(&[]);
    mending(&mut world, GuardRailPolicy::Restore);
    label(&mut world, &[("warn", "restricted"), ("audit", "restricted")]);
    world.dependency_down = true;
    world.run(120);
    world.assert_holds(Reason::NoChangeToRevert);
    assert_eq!(world.journal().suspect, Suspect::Unknown);
    assert!(world.effects.is_empty());
}

/// Who may not look at the namespace does not take it for gone, or for another one.
#[test]
fn a_namespace_that_is_not_seen_is_not_compared() {
    let mut world = labelled(&[("enforce", "baseline")]);
    world.detach(KIND, "shop");
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert!(!world.journal().message.contains("Namespace"), "{}", world.journal().message);
}
