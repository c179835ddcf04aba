//! What a target can do without is cut off while it is bad: only that, only where it is declared, and never beside others.

use std::collections::{BTreeMap, BTreeSet};

use homeostat::api::policy::Mode;
use homeostat::api::recovery::{ApprovalDecision, Remedy, Suspect};
use homeostat::api::{Outcome, Phase, Reason, Remediation, StepState};
use homeostat::plan::cuts::{Callee, Cut};
use serde_json::json;

use crate::dependencies::{CLIENT, STORE, Tiers, reference};
use crate::world::{Crash, World};

const SOAK: usize = 60;

/// `client` calls `store` and `cache`, and can do without the store.
fn tiers() -> Tiers {
    let mut tiers = Tiers::of(&[("client", &["store", "cache"]), ("store", &[]), ("cache", &[])]);
    let client = &mut tiers.worlds[CLIENT];
    client.facts.ceiling.pod_network = true;
    client.spec().actions.isolate.as_mut().unwrap().dependencies = vec![reference("store")];
    client.facts.network.callees = vec![callee("store")];
    tiers
}

fn callee(name: &str) -> Callee {
    let pods = BTreeMap::from([
        (format!("{name}-1"), BTreeSet::from(["10.0.0.1".parse().unwrap()])),
        (format!("{name}-2"), BTreeSet::from(["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()])),
    ]);
    let selector = BTreeMap::from([("app".to_owned(), name.to_owned())]);
    Callee { title: format!("Deployment {name}"), selector, pods, ..Callee::default() }
}

/// Nothing changed; the store does not answer, and its client fails with it.
fn fail(tiers: &mut Tiers, which: usize) {
    for at in [which, CLIENT] {
        tiers.worlds[at].dependency_down = true;
        tiers.worlds[at].restart_pods();
    }
}

fn heal(tiers: &mut Tiers, which: usize) {
    tiers.worlds[which].dependency_down = false;
    tiers.worlds[CLIENT].dependency_down = false;
}

fn client(tiers: &Tiers) -> &World {
    &tiers.worlds[CLIENT]
}

fn cuts(tiers: &Tiers) -> usize {
    client(tiers).facts.network.cuts.len()
}

/// Cut off, well without it, and closed so.
fn cut_off() -> Tiers {
    let mut tiers = tiers();
    fail(&mut tiers, STORE);
    tiers.run_until(60, |tiers| cuts(tiers) == 1);
    tiers.run_until(120, |tiers| client(tiers).phase() == Some(Phase::Closed));
    tiers
}

#[track_caller]
fn assert_uncut(tiers: &Tiers, reason: Reason) {
    client(tiers).assert_holds(reason);
    assert_eq!((cuts(tiers), tiers.writes()), (0, 0), "nothing may be written");
}

#[test]
fn what_it_can_do_without_is_cut_off_until_that_is_well_for_the_soak() {
    let mut tiers = cut_off();
    let journal = client(&tiers).journal();
    assert_eq!((journal.suspect, journal.decision.remedy), (Suspect::Dependency, Remedy::CutDependency));
    assert_eq!(journal.decision.reason, Reason::DependencyCut);
    client(&tiers).assert_closed(Outcome::PartiallyRecovered, Reason::Verified);
    assert!(journal.message.contains("cut off from Deployment store until"), "{}", journal.message);
    let isolation = journal.isolation.as_ref().unwrap();
    assert_eq!(isolation.reason, Reason::Unproven, "whether it is enforced is not seen");
    assert!(isolation.message.contains("connections that are open already"), "{}", isolation.message);
    let drift = client(&tiers).status().drift.clone().unwrap_or_default();
    assert!(drift.components.iter().any(|component| component.name == "leftovers"), "{drift:?}");
    tiers.run(600);
    assert_eq!(cuts(&tiers), 1, "as long as it is bad");
    heal(&mut tiers, STORE);
    // It counts as well when its own incident is over.
    tiers.run_until(600, |tiers| tiers.worlds[STORE].phase() == Some(Phase::Closed));
    tiers.run(SOAK - 5);
    assert_eq!(cuts(&tiers), 1, "not before the soak");
    tiers.run(30);
    assert_eq!(cuts(&tiers), 0);
    assert_eq!(client(&tiers).done(), [Remediation::CutDependency, Remediation::ReleaseDependency]);
    let isolation = client(&tiers).journal().isolation.as_ref().unwrap();
    assert_eq!(isolation.reason, Reason::Released);
    assert_eq!(client(&tiers).facts.recoveries.len(), 1);
}

/// Everything else is let through: other namespaces, the other pods of this one, and every other address.
#[test]
fn the_network_policy_lets_everything_but_the_dependency_through() {
    let tiers = cut_off();
    let step = &client(&tiers).effects[0].step;
    let not =
        |key: &str, value: &str| json!({"matchExpressions": [{"key": key, "operator": "NotIn", "values": [value]}]});
    let expected = json!({
        "podSelector": {"matchLabels": {"app": "web"}},
        "policyTypes": ["Egress"],
        "egress": [{"to": [
            {"namespaceSelector": not("kubernetes.io/metadata.name", "shop")},
            {"podSelector": not("app", "store")},
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.1/32", "10.0.0.2/32"]}},
            {"ipBlock": {"cidr": "::/0", "except": ["fd00::2/128"]}},
        ]}],
    });
    assert_eq!(Cut::of(step).unwrap().spec("shop"), Some(expected));
    let all = Cut { callee: BTreeMap::new(), ..Cut::of(step).unwrap() };
    assert_eq!(all.spec("shop"), None, "no label is every pod");
}

/// Its own policy goes by what the client shows: as long as it is at work, nothing is taken away from that.
#[test]
fn a_dependency_that_changed_is_cut_off_only_when_its_own_policy_holds() {
    let mut tiers = tiers();
    tiers.break_client();
    tiers.run_until(60, |tiers| tiers.rolled_back(STORE));
    assert_eq!(client(&tiers).refusal(Remedy::CutDependency), Some(Reason::DependencyChanged));
    assert_eq!(cuts(&tiers), 0);

    let mut tiers = self::tiers();
    tiers.worlds[STORE].spec().mode = Mode::Observe;
    tiers.break_client();
    tiers.run_until(60, |tiers| cuts(tiers) == 1);
    tiers.run_until(120, |tiers| client(tiers).phase() == Some(Phase::Closed));
    // Who is cut off would still fail with it: the bad state is not earned by that.
    tiers.run(400);
    assert_eq!((tiers.worlds[STORE].facts.states.len(), cuts(&tiers)), (1, 1));
    assert_eq!(tiers.worlds[STORE].phase(), Some(Phase::Holding));
    tiers.worlds[STORE].release("v1");
    heal(&mut tiers, STORE);
    tiers.run(200);
    assert_eq!(cuts(&tiers), 0);
}

/// A rollback of the dependency is not waited for by who is cut off from it: it would be proven by what is not there.
#[test]
fn who_is_cut_off_neither_proves_nor_refutes_the_dependency() {
    let mut tiers = tiers();
    tiers.worlds[STORE].spec().mode = Mode::Recommend;
    tiers.break_client();
    tiers.run_until(120, |tiers| client(tiers).phase() == Some(Phase::Closed));
    assert_eq!(tiers.worlds[STORE].phase(), Some(Phase::AwaitingApproval));
    let digest = tiers.worlds[STORE].journal().decision.plan_digest.clone();
    tiers.worlds[STORE].answer(ApprovalDecision::Approve, &digest);
    tiers.run_until(120, |tiers| tiers.worlds[STORE].phase() == Some(Phase::Closed));
    tiers.worlds[STORE].assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(cuts(&tiers), 1);
    heal(&mut tiers, STORE);
    tiers.run(200);
    assert_eq!(cuts(&tiers), 0);
}

#[test]
fn of_two_bad_dependencies_neither_is_cut_off() {
    let mut tiers = tiers();
    fail(&mut tiers, STORE);
    fail(&mut tiers, 2);
    tiers.run(120);
    assert_uncut(&tiers, Reason::NoChangeToRevert);
    // One fails, the other one changed.
    let mut tiers = self::tiers();
    tiers.worlds[CLIENT].spec().actions.isolate.as_mut().unwrap().dependencies.push(reference("cache"));
    tiers.worlds[CLIENT].facts.network.callees.push(callee("cache"));
    tiers.worlds[2].spec().mode = Mode::Observe;
    tiers.worlds[2].release("v2");
    tiers.run(8);
    fail(&mut tiers, STORE);
    tiers.run(120);
    assert_uncut(&tiers, Reason::SeveralSuspects);
}

#[test]
fn beside_one_that_nobody_looks_after_none_is_cut_off() {
    let mut tiers = Tiers::of(&[("client", &["store", "cache"]), ("store", &[])]);
    let client = &mut tiers.worlds[CLIENT];
    client.facts.ceiling.pod_network = true;
    client.spec().actions.isolate.as_mut().unwrap().dependencies = vec![reference("store")];
    client.facts.network.callees = vec![callee("store")];
    fail(&mut tiers, STORE);
    tiers.run(120);
    assert_uncut(&tiers, Reason::NoChangeToRevert);
}

#[test]
fn only_what_is_declared_and_allowed_is_cut_off() {
    let mut none = tiers();
    none.worlds[CLIENT].spec().actions.isolate.as_mut().unwrap().dependencies.clear();
    let mut another = tiers();
    another.worlds[CLIENT].spec().actions.isolate.as_mut().unwrap().dependencies = vec![reference("cache")];
    let mut unable = tiers();
    unable.worlds[CLIENT].facts.ceiling.pod_network = false;
    let cases = [(none, Reason::DependencyFailing), (another, Reason::NotAllowed), (unable, Reason::RightMissing)];
    for (mut tiers, reason) in cases {
        fail(&mut tiers, STORE);
        tiers.run(120);
        assert_uncut(&tiers, reason);
        assert_eq!(client(&tiers).journal().suspect, Suspect::Dependency);
    }
}

/// What NetworkPolicies allow adds up, and one that selects by too few labels keeps others away.
#[test]
fn what_cannot_be_exact_is_not_done() {
    type Spoil = fn(&mut World);
    let spoils: [(Spoil, &str); 7] = [
        (|client| client.facts.network.limits.extend(["default-deny".to_owned()]), "default-deny"),
        (|client| client.facts.network.namesakes.extend(["other-1".to_owned()]), "other-1"),
        (|client| client.facts.network.callees[0].namesakes.extend(["job-1".to_owned()]), "job-1"),
        (|client| client.facts.network.on_host = true, "network of their node"),
        (|client| client.facts.network.callees[0].on_host = true, "network of their node"),
        (|client| client.facts.network.callees[0].pods.extend([("store-3".to_owned(), BTreeSet::new())]), "store-3"),
        (|client| client.facts.network.callees[0].pods.clear(), "0 addresses"),
    ];
    for (spoil, named) in spoils {
        let mut tiers = tiers();
        spoil(&mut tiers.worlds[CLIENT]);
        fail(&mut tiers, STORE);
        tiers.run(120);
        assert_uncut(&tiers, Reason::CutNotExact);
        let message = &client(&tiers).journal().message;
        assert!(message.contains(named), "{message}");
    }
}

/// A list of somebody else that is made later would be undone by ours.
#[test]
fn a_network_policy_of_somebody_else_ends_the_cut() {
    let mut tiers = cut_off();
    tiers.worlds[CLIENT].facts.network.limits.insert("default-deny".into());
    tiers.run(5);
    assert_eq!(cuts(&tiers), 0);
}

#[test]
fn a_person_who_deletes_the_cut_is_heard() {
    let mut tiers = cut_off();
    let network = &mut tiers.worlds[CLIENT].facts.network;
    network.cuts.clear();
    network.limits.clear();
    tiers.run(900);
    assert_eq!((cuts(&tiers), client(&tiers).count(Remediation::CutDependency)), (0, 1));
    client(&tiers).assert_holds(Reason::AlreadyTried);
    // In the middle of it.
    let mut tiers = self::tiers();
    fail(&mut tiers, STORE);
    tiers.run_until(60, |tiers| cuts(tiers) == 1);
    tiers.worlds[CLIENT].facts.network.cuts.clear();
    tiers.worlds[CLIENT].facts.network.limits.clear();
    tiers.run(2);
    let first = &client(&tiers).facts.recoveries[0].journal;
    assert_eq!((first.phase, first.outcome), (Phase::Closed, Some(Outcome::Superseded)), "{first:#?}");
    tiers.run(900);
    assert_eq!((cuts(&tiers), client(&tiers).count(Remediation::CutDependency)), (0, 1));
}

#[test]
fn whatever_makes_us_let_go_ends_the_cut() {
    type Word = fn(&mut World);
    let words: [(Word, &str); 6] = [
        (|client| client.facts.recoveries.last_mut().unwrap().spec.release = true, "release"),
        (|client| client.facts.recoveries.last_mut().unwrap().spec.abort = true, "abort"),
        (|client| client.spec().suspend = true, "suspended"),
        (|client| client.facts.ceiling.suspended = true, "all suspended"),
        (|client| client.facts.policy = None, "policy deleted"),
        (|client| client.spec().actions.isolate.as_mut().unwrap().dependencies.clear(), "not declared any more"),
    ];
    for (word, what) in words {
        let mut tiers = cut_off();
        word(&mut tiers.worlds[CLIENT]);
        tiers.run(5);
        assert_eq!(cuts(&tiers), 0, "{what}");
        if what == "release" {
            tiers.run(900);
            assert_eq!(client(&tiers).count(Remediation::CutDependency), 1, "not begun again");
        }
    }
    // In the middle of it, with a fix and an abort.
    for fix in [true, false] {
        let mut tiers = tiers();
        fail(&mut tiers, STORE);
        tiers.run_until(60, |tiers| cuts(tiers) == 1);
        match fix {
            true => tiers.worlds[CLIENT].release("fixed"),
            false => tiers.worlds[CLIENT].abort(),
        }
        tiers.run(2);
        assert_eq!(cuts(&tiers), 0);
    }
}

#[test]
fn a_cut_that_does_not_help_is_ended_and_not_made_again() {
    let mut tiers = tiers();
    fail(&mut tiers, STORE);
    tiers.run_until(60, |tiers| cuts(tiers) == 1);
    for index in 0..2 {
        tiers.worlds[CLIENT].break_pod(index);
    }
    tiers.run(600);
    let journal = client(&tiers).journal();
    assert_eq!((journal.phase, journal.outcome), (Phase::Holding, Some(Outcome::Escalated)), "{journal:#?}");
    assert_eq!((cuts(&tiers), client(&tiers).count(Remediation::CutDependency)), (0, 1));
}

#[test]
fn while_something_is_cut_off_no_state_is_earned() {
    let mut tiers = cut_off();
    tiers.worlds[CLIENT].release("v2");
    tiers.run(300);
    assert_eq!((client(&tiers).facts.states.len(), cuts(&tiers)), (1, 1));
    heal(&mut tiers, STORE);
    tiers.run(300);
    assert_eq!((client(&tiers).facts.states.len(), cuts(&tiers)), (2, 0));
}

#[test]
fn blind_nothing_is_ended() {
    let mut tiers = cut_off();
    tiers.worlds[STORE].blind(true);
    heal(&mut tiers, STORE);
    tiers.run(300);
    assert_eq!(cuts(&tiers), 1, "nobody knows that it is well");
    tiers.worlds[STORE].blind(false);
    tiers.run(200);
    assert_eq!(cuts(&tiers), 0);
}

#[test]
fn a_cut_is_ended_after_a_crash_at_any_moment() {
    for crash in [Crash::BeforeRecord, Crash::AfterRecord, Crash::AfterEffects] {
        let mut tiers = tiers();
        fail(&mut tiers, STORE);
        // The process dies once in each half, when something is to be written next.
        tiers.worlds[CLIENT].crash = Some(crash);
        tiers.run_until(200, |tiers| cuts(tiers) == 1);
        tiers.worlds[CLIENT].crash = Some(crash);
        tiers.run_until(200, |tiers| client(tiers).phase() == Some(Phase::Closed));
        heal(&mut tiers, STORE);
        tiers.worlds[CLIENT].lose_memory();
        tiers.run(SOAK);
        tiers.worlds[CLIENT].crash = Some(crash);
        tiers.run(SOAK);
        assert_eq!(cuts(&tiers), 0, "{crash:?}");
    }
}

/// The receipt of its making is lost, and then nobody wants it any more.
#[test]
fn a_cut_whose_receipt_was_lost_is_taken_away() {
    let mut tiers = tiers();
    fail(&mut tiers, STORE);
    let seconds = (0..60).take_while(|_| {
        tiers.run(1);
        cuts(&tiers) == 0
    });
    let seconds = seconds.count();
    let mut tiers = self::tiers();
    fail(&mut tiers, STORE);
    tiers.run(seconds);
    tiers.worlds.iter_mut().for_each(World::tick);
    let (client, others) = tiers.worlds.split_first_mut().unwrap();
    others.iter_mut().for_each(World::operate);
    client.crash = Some(Crash::AfterEffects);
    client.step();
    assert_eq!(client.facts.network.cuts.len(), 1);
    assert_eq!(client.journal().steps[0].state, StepState::Planned, "its receipt is lost");
    client.abort();
    tiers.run(5);
    assert_eq!(cuts(&tiers), 0);
}

#[test]
fn what_is_newer_than_the_cut_is_said() {
    let mut tiers = tiers();
    fail(&mut tiers, STORE);
    tiers.run_until(60, |tiers| cuts(tiers) == 1);
    let fresh = BTreeSet::from(["10.0.0.9".parse().unwrap()]);
    tiers.worlds[CLIENT].facts.network.callees[0].pods.insert("store-3".into(), fresh);
    tiers.run(2);
    let said = &client(&tiers).journal().isolation.as_ref().unwrap().message;
    assert!(said.contains("does not name the address of Pod store-3"), "{said}");
}
