//! What was isolated counts as isolated only while that is seen to be so.

use homeostat::api::policy::Isolate;
use homeostat::api::recovery::Isolation;
use homeostat::api::{Outcome, Phase, Reason, Remediation};

use crate::world::{Behaviour, Crash, World};

fn proof(world: &World) -> (Reason, &str) {
    let isolation: &Isolation = world.journal().isolation.as_ref().expect("something was isolated");
    (isolation.reason, isolation.message.as_str())
}

/// One pod of five is in quarantine.
fn quarantined() -> World {
    let mut world = World::stable(5);
    world.break_pod(2);
    world.run_until(60, |world| !world.facts.quarantined.is_empty());
    world.run(2);
    world
}

fn frozen() -> World {
    let mut world = World::stable(5).actions(Some(Isolate::default()), None);
    world.release_bad("v2", Behaviour::ImagePull);
    world.run_until(60, |world| world.target().paused);
    world.run(2);
    world
}

#[test]
fn a_pod_is_isolated_when_no_service_reaches_it_and_it_is_said_what_that_leaves_out() {
    let mut world = quarantined();
    let name = world.facts.quarantined[0].name.clone();
    let (reason, message) = proof(&world);
    assert_eq!(reason, Reason::IsolationProven);
    assert!(message.contains(&format!("Pod {name} is in no Service")), "{message}");
    assert!(message.contains("Not covered by this: connections that are open already"), "{message}");
    world.run_until_closed(120);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    world.run_until(900, |world| world.facts.quarantined.is_empty());
    assert_eq!(proof(&world).0, Reason::Released);
}

#[test]
fn a_pod_that_some_service_still_reaches_is_not_isolated_and_nothing_is_recovered() {
    let mut world = quarantined();
    world.facts.quarantined[0].reached_by.insert("admin".into());
    world.run(90);
    assert_eq!(proof(&world).0, Reason::Unproven);
    assert!(proof(&world).1.contains("Service admin"), "{}", proof(&world).1);
    assert_eq!(world.journal().phase, Phase::Verifying, "not recovered: {}", world.journal().message);
    world.facts.quarantined[0].reached_by.clear();
    world.run_until_closed(120);
    assert_eq!((proof(&world).0, world.journal().outcome), (Reason::IsolationProven, Some(Outcome::Recovered)));
}

#[test]
fn a_pod_that_somebody_gave_its_labels_back_is_not_isolated() {
    let mut world = quarantined();
    let mut pod = world.facts.quarantined.remove(0);
    pod.quarantined_by = None;
    world.facts.pods.push(pod);
    world.step();
    assert_eq!(proof(&world).0, Reason::Unproven);
    assert!(proof(&world).1.contains("belongs to the target again"), "{}", proof(&world).1);
}

#[test]
fn a_freeze_is_proven_by_its_controller_and_by_no_further_bad_pod() {
    let mut world = frozen();
    assert_eq!(proof(&world).0, Reason::IsolationProven, "{}", proof(&world).1);
    assert!(proof(&world).1.contains("pods of the bad revision that run already go on"));

    let mut unseen = frozen();
    unseen.tick();
    unseen.target_mut().observed_generation -= 1;
    unseen.step();
    assert_eq!(proof(&unseen).0, Reason::Unproven, "its controller has not seen it");

    // A ReplicaSet makes a pod anew although its Deployment is paused.
    let present: Vec<String> = world.facts.present_revisions().into_iter().map(str::to_owned).collect();
    let mut again = world.facts.pods.iter().find(|pod| present.contains(&pod.revision)).cloned().unwrap();
    again.created = world.now;
    let at = world.facts.pods.iter().position(|pod| pod.uid == again.uid).unwrap();
    world.facts.pods[at] = again;
    world.step();
    assert_eq!(proof(&world).0, Reason::Unproven, "{}", proof(&world).1);
    assert!(proof(&world).1.contains("was made after"), "{}", proof(&world).1);

    world.release("fixed");
    world.operate();
    world.assert_closed(Outcome::Superseded, Reason::Superseded);
    assert_eq!(proof(&world).0, Reason::Released);
}

#[test]
fn a_node_is_isolated_when_nothing_of_the_target_serves_there() {
    let mut world = World::stable(3).with_nodes(3);
    world.set_ready("node-2", false);
    world.run_until(120, |world| world.count(Remediation::CordonNode) == 1);
    world.run(3);
    assert_eq!(proof(&world).0, Reason::IsolationProven, "{}", proof(&world).1);
    assert!(proof(&world).1.contains("Node node-2 takes no new pods"), "{}", proof(&world).1);
    world.run_until_closed(120);
    world.set_ready("node-2", true);
    world.run_until(200, |world| !world.node("node-2").unschedulable);
    world.run(2);
    assert_eq!(proof(&world).0, Reason::Released);
}

// ---- the network of a pod in quarantine

fn with_network() -> World {
    let mut world = World::stable(5);
    world.facts.ceiling.pod_network = true;
    world.break_pod(2);
    world
}

#[test]
fn the_network_is_denied_before_the_quarantine_and_until_the_pod_is_gone() {
    let mut world = with_network();
    world.run_until_closed(120);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.done(), [Remediation::DenyPodNetwork, Remediation::QuarantinePod]);
    assert!(proof(&world).1.contains("NetworkPolicy homeostat-web-uidof-1"), "{}", proof(&world).1);
    world.run_until(900, |world| world.facts.quarantined.is_empty());
    assert!(world.networks.is_empty(), "it goes with its last pod");
    assert_eq!(world.done()[2..], [Remediation::DeletePod, Remediation::AllowPodNetwork]);
    let mut without = World::stable(5);
    without.break_pod(2);
    without.run_until_closed(120);
    assert_eq!(without.done(), [Remediation::QuarantinePod], "only where it may be");
}

#[test]
fn a_fix_in_the_middle_takes_the_network_policy_with_the_pod() {
    let mut world = with_network();
    world.run_until(60, |world| !world.facts.quarantined.is_empty());
    world.release("fixed");
    world.operate();
    world.assert_closed(Outcome::Superseded, Reason::Superseded);
    assert!(world.networks.is_empty() && world.facts.quarantined.is_empty());
    assert_eq!(world.done()[2..], [Remediation::DeletePod, Remediation::AllowPodNetwork], "the pod first");
}

#[test]
fn a_network_policy_is_taken_away_after_a_crash_at_any_moment() {
    for crash in [Crash::BeforeRecord, Crash::AfterRecord, Crash::AfterEffects] {
        for until in 1..8 {
            let mut world = with_network();
            for _ in 0..until {
                world.tick();
                world.crash = Some(crash);
                world.step();
            }
            world.run_until(60, |world| !world.facts.quarantined.is_empty());
            world.spec().suspend = true;
            world.run(5);
            assert!(world.networks.is_empty() && world.facts.quarantined.is_empty(), "{crash:?} {until}");
        }
    }
}

/// The receipt of its making is lost, and then nobody wants the quarantine any more.
#[test]
fn a_network_policy_whose_receipt_was_lost_is_taken_away() {
    let mut world = with_network();
    while world.networks.is_empty() {
        world.tick();
        world.crash = Some(Crash::AfterEffects);
        world.step();
    }
    world.abort();
    world.run_until_closed(10);
    assert!(world.networks.is_empty() && world.facts.quarantined.is_empty());
}

#[test]
fn without_its_network_policy_no_pod_is_taken_out() {
    let mut world = with_network();
    world.refused.insert(Remediation::DenyPodNetwork);
    world.run(30);
    assert_eq!(world.count(Remediation::QuarantinePod), 0);
    world.assert_holds(Reason::WriteRefused);
}

#[test]
fn where_nothing_was_isolated_nothing_is_said_of_it() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::ImagePull);
    world.run_until_closed(300);
    assert_eq!(world.journal().isolation, None);
}

#[test]
fn a_proof_is_written_once() {
    let mut world = quarantined();
    world.run_until_closed(120);
    let said: Vec<_> =
        world.written.iter().map(|journal| journal.isolation.clone().map(|found| found.reason)).collect();
    let changes = said.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(changes, 1, "{said:?}");
}
