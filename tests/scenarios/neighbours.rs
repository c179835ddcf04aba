//! Causes beside the target: a declared neighbour is stopped, and let go on by people or when we let go; never on less
//! evidence, and never one that is not declared.

use std::cell::RefCell;
use std::rc::Rc;

use homeostat::api::policy::{Isolate, Mode, Rollback, TargetRef};
use homeostat::api::recovery::{Remedy, Suspect};
use homeostat::api::{Journal, Outcome, Phase, Reason, Remediation};
use homeostat::plan::neighbours::NeighbourFacts;

use crate::world::{Behaviour, Crash, Office, World, lasting};

/// One target, as its operator's ledger sees it.
struct Beside {
    office: Rc<RefCell<Office>>,
    world: World,
}

impl Beside {
    /// `web` is stable; `scanner` and the CronJob `tuner` may be stopped for it.
    fn new() -> Self {
        let office = Rc::new(RefCell::new(Office::default()));
        let mut world = World::stable(3).join(&office, "shop", "web");
        let reference = |api_version: &str, kind: &str, name: &str| TargetRef {
            api_version: api_version.into(),
            kind: kind.into(),
            name: name.into(),
        };
        let neighbours = vec![
            reference("apps/v1", "Deployment", "scanner"),
            reference("apps/v1", "Deployment", "indexer"),
            reference("batch/v1", "CronJob", "tuner"),
        ];
        let isolate = Isolate { neighbours, ..Isolate::default() };
        world = world.actions(Some(isolate), Some(Rollback::default()));
        world.spec().limits.cooldown = lasting(1);
        let mut beside = Self { office, world };
        beside.run(5);
        beside
    }

    fn add(&mut self, kind: &str, name: &str) {
        self.world.facts.neighbours.push(NeighbourFacts {
            kind: kind.into(),
            name: name.into(),
            uid: format!("uid-of-{name}"),
            declared: true,
            load: if kind == "CronJob" { 1 } else { 2 },
            digest: "v1".into(),
            began: self.world.now,
            ..NeighbourFacts::default()
        });
    }

    fn fail(&mut self) {
        self.world.dependency_down = true;
        self.world.restart_pods();
    }

    fn neighbour(&mut self, name: &str) -> &mut NeighbourFacts {
        self.world.facts.neighbours.iter_mut().find(|neighbour| neighbour.name == name).unwrap()
    }

    fn load(&self, name: &str) -> i32 {
        self.world.facts.neighbours.iter().find(|neighbour| neighbour.name == name).unwrap().load
    }

    fn journal(&self) -> &Journal {
        self.world.journal()
    }

    fn second(&mut self) {
        self.world.tick();
        self.operate();
    }

    fn operate(&mut self) {
        self.world.operate();
        while std::mem::take(&mut self.office.borrow_mut().woken).contains(&self.world.who()) {
            self.world.wake();
            self.world.operate();
        }
    }

    fn run(&mut self, seconds: usize) {
        (0..seconds).for_each(|_| self.second());
    }

    #[track_caller]
    fn run_until(&mut self, seconds: usize, when: impl Fn(&Self) -> bool) {
        for _ in 0..seconds {
            if when(self) {
                return;
            }
            self.second();
        }
        assert!(when(self), "it did not happen in {seconds} s: {:#?}", self.world.facts.recoveries.last());
    }

    /// The scanner was added, the target failed, the scanner was stopped, and all is well.
    fn stopped() -> Self {
        let mut beside = Self::new();
        beside.add("Deployment", "scanner");
        beside.fail();
        beside.run_until(60, |beside| beside.load("scanner") == 0);
        beside.world.dependency_down = false;
        beside.run_until(120, |beside| beside.world.phase() == Some(Phase::Closed));
        beside.world.assert_closed(Outcome::Recovered, Reason::Verified);
        beside
    }

    #[track_caller]
    fn assert_held(&self, reason: Reason) {
        self.world.assert_holds(reason);
        assert!(self.world.effects.is_empty(), "nothing may be written");
    }
}

#[test]
fn one_that_was_added_is_stopped_until_a_person_lets_it_go_on() {
    let mut beside = Beside::stopped();
    let journal = beside.journal();
    assert_eq!((journal.suspect, journal.decision.remedy), (Suspect::Neighbour, Remedy::StopNeighbour));
    assert_eq!(journal.decision.reason, Reason::NeighbourStopped);
    assert!(journal.message.contains("Deployment scanner stays stopped"), "{}", journal.message);
    assert_eq!(beside.world.refusal(Remedy::Rollback), Some(Reason::NoChangeToRevert));
    // Time does not end it, and it is shown as a leftover.
    beside.run(4000);
    assert_eq!(beside.load("scanner"), 0);
    let drift = beside.world.status().drift.clone().unwrap();
    assert!(drift.components.iter().any(|part| part.name == "leftovers"), "{drift:?}");
    beside.world.facts.recoveries.last_mut().unwrap().spec.release = true;
    beside.run(5);
    assert_eq!((beside.load("scanner"), beside.neighbour("scanner").stopped_by.clone()), (2, None));
    assert_eq!(beside.world.count(Remediation::ReleaseNeighbour), 1);
    assert_eq!(beside.world.status().drift.clone().unwrap().distance, "0.00");
}

#[test]
fn where_a_person_let_it_go_on_only_our_mark_is_taken_away() {
    let mut beside = Beside::stopped();
    beside.neighbour("scanner").load = 5;
    beside.run(5);
    assert_eq!((beside.load("scanner"), beside.neighbour("scanner").stopped_by.clone()), (5, None));
    // What is scaled to 0 later is nobody's but theirs.
    beside.neighbour("scanner").load = 0;
    beside.world.facts.policy = None;
    beside.run(20);
    assert_eq!(beside.load("scanner"), 0);
}

#[test]
fn it_goes_on_when_we_let_go_after_the_incident() {
    for way in ["suspended", "deleted", "operator", "aborted"] {
        let mut beside = Beside::stopped();
        match way {
            "suspended" => beside.world.spec().suspend = true,
            "deleted" => beside.world.facts.policy = None,
            "aborted" => beside.world.abort(),
            _ => beside.world.facts.ceiling.suspended = true,
        }
        beside.run(20);
        assert_eq!(beside.load("scanner"), 2, "{way}");
        assert_eq!(beside.world.count(Remediation::ReleaseNeighbour), 1, "{way}");
    }
}

#[test]
fn it_goes_on_when_we_let_go_in_the_middle() {
    for way in ["suspended", "deleted", "aborted", "target"] {
        let mut beside = Beside::new();
        beside.add("Deployment", "scanner");
        beside.fail();
        beside.run_until(60, |beside| beside.load("scanner") == 0);
        match way {
            "suspended" => beside.world.spec().suspend = true,
            "deleted" => beside.world.facts.policy = None,
            "target" => beside.world.replace_target("v1"),
            _ => beside.world.abort(),
        }
        beside.run_until(60, |beside| beside.world.facts.recoveries[0].journal.phase == Phase::Closed);
        assert_eq!(beside.load("scanner"), 2, "{way}");
        assert_eq!(beside.world.facts.recoveries[0].journal.outcome, Some(Outcome::Abandoned), "{way}");
    }
}

#[test]
fn a_person_who_lets_it_go_on_in_the_middle_has_taken_over() {
    let mut beside = Beside::new();
    beside.add("Deployment", "scanner");
    beside.fail();
    beside.run_until(60, |beside| beside.load("scanner") == 0);
    beside.run(1);
    beside.neighbour("scanner").load = 1;
    beside.run_until(30, |beside| beside.world.facts.recoveries[0].journal.phase == Phase::Closed);
    assert_eq!(beside.world.facts.recoveries[0].journal.reason, Reason::Superseded);
    assert_eq!((beside.load("scanner"), beside.neighbour("scanner").stopped_by.clone()), (1, None));
}

#[test]
fn a_persons_fix_of_the_target_lets_it_go_on() {
    let mut beside = Beside::new();
    beside.add("Deployment", "scanner");
    beside.fail();
    beside.run_until(60, |beside| beside.load("scanner") == 0);
    beside.world.dependency_down = false;
    beside.world.release("fixed");
    beside.run_until(30, |beside| beside.world.facts.recoveries[0].journal.phase == Phase::Closed);
    assert_eq!(beside.world.facts.recoveries[0].journal.outcome, Some(Outcome::Superseded));
    assert_eq!((beside.load("scanner"), beside.neighbour("scanner").stopped_by.clone()), (2, None));
    beside.run(120);
    assert_eq!(beside.world.facts.pods.iter().filter(|pod| pod.ready).count(), 3, "the fix takes effect");
}

#[test]
fn what_does_not_help_is_not_done_again() {
    let mut beside = Beside::new();
    beside.add("Deployment", "scanner");
    beside.fail();
    beside.run(900);
    let journal = beside.journal();
    assert_eq!((journal.outcome, journal.reason), (Some(Outcome::Escalated), Reason::VerificationTimedOut));
    assert_eq!((beside.load("scanner"), beside.world.count(Remediation::StopNeighbour)), (0, 1));
}

#[test]
fn one_that_took_more_is_the_suspect_as_well() {
    for change in ["replicas", "template"] {
        let mut beside = Beside::new();
        beside.add("Deployment", "scanner");
        beside.neighbour("scanner").began = "2025-01-01T00:00:00Z".parse().unwrap();
        beside.run(5);
        match change {
            "replicas" => beside.neighbour("scanner").load = 9,
            _ => beside.neighbour("scanner").digest = "v2".into(),
        }
        beside.run(1);
        beside.fail();
        beside.run_until(60, |beside| beside.load("scanner") == 0);
    }
}

#[test]
fn one_that_was_there_before_is_not_touched() {
    let mut beside = Beside::new();
    beside.add("Deployment", "scanner");
    beside.neighbour("scanner").began = "2025-01-01T00:00:00Z".parse().unwrap();
    beside.run(5);
    // Less than before is no reason either.
    beside.neighbour("scanner").load = 1;
    beside.run(1);
    beside.fail();
    beside.run(60);
    beside.assert_held(Reason::NoChangeToRevert);
}

/// The target was stable beside it.
#[test]
fn one_that_was_there_when_the_state_was_earned_is_not_touched() {
    let mut beside = Beside::new();
    beside.add("Deployment", "scanner");
    beside.neighbour("scanner").began = beside.world.facts.states[0].created - crate::world::seconds(5);
    beside.fail();
    beside.run(60);
    beside.assert_held(Reason::NoChangeToRevert);
}

#[test]
fn one_that_was_added_long_before_or_after_is_not_touched() {
    let mut beside = Beside::new();
    beside.add("Deployment", "scanner");
    beside.run(700);
    beside.fail();
    beside.run(60);
    beside.assert_held(Reason::NoChangeToRevert);
    let mut beside = Beside::new();
    beside.fail();
    beside.run(5);
    beside.add("Deployment", "scanner");
    beside.run(60);
    beside.assert_held(Reason::NoChangeToRevert);
}

#[test]
fn of_two_neither_is_touched() {
    let mut beside = Beside::new();
    beside.add("Deployment", "scanner");
    beside.add("Deployment", "indexer");
    beside.fail();
    beside.run(60);
    beside.assert_held(Reason::SeveralSuspects);
    let message = &beside.journal().message;
    assert!(message.contains("Deployment scanner") && message.contains("Deployment indexer"), "{message}");
}

#[test]
fn beside_a_dependency_that_nobody_looks_after_none_is_touched() {
    let mut beside = Beside::new();
    let store = TargetRef { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "store".into() };
    beside.world.spec().depends_on = vec![store];
    beside.add("Deployment", "scanner");
    beside.fail();
    beside.run(60);
    beside.assert_held(Reason::SeveralSuspects);
}

#[test]
fn what_is_not_declared_or_not_granted_is_not_touched() {
    let mut beside = Beside::new();
    beside.add("Deployment", "scanner");
    beside.neighbour("scanner").declared = false;
    beside.fail();
    beside.run(60);
    beside.assert_held(Reason::NoChangeToRevert);
    let mut beside = Beside::new();
    beside.world.facts.ceiling.neighbours = false;
    beside.add("Deployment", "scanner");
    beside.fail();
    beside.run(60);
    beside.assert_held(Reason::RightMissing);
}

#[test]
fn one_that_others_keep_is_not_touched() {
    for (tool, owner, reason) in
        [(Some("Flux"), None, Reason::GitOwned), (None, Some("Rollout/scanner"), Reason::TargetOwned)]
    {
        let mut beside = Beside::new();
        beside.add("Deployment", "scanner");
        beside.neighbour("scanner").git_ops = tool.map(str::to_owned);
        beside.neighbour("scanner").owner = owner.map(str::to_owned);
        beside.fail();
        beside.run(60);
        beside.assert_held(reason);
    }
}

#[test]
fn the_mode_holds_for_it_as_well() {
    let mut beside = Beside::new();
    beside.world.spec().mode = Mode::Recommend;
    beside.add("Deployment", "scanner");
    beside.fail();
    beside.run(60);
    assert_eq!(beside.world.phase(), Some(Phase::AwaitingApproval));
    assert!(beside.world.effects.is_empty());
}

#[test]
fn its_own_change_explains_it_better() {
    let mut beside = Beside::new();
    beside.add("Deployment", "scanner");
    beside.world.release_bad("bad", Behaviour::CrashLoop);
    beside.run_until(60, |beside| beside.world.count(Remediation::RestoreTemplate) == 1);
    assert_eq!(beside.load("scanner"), 2);
}

/// Breaks the target in the name of `writer`, twice, and waits for the end each time.
fn twice(beside: &mut Beside, writer: &str) {
    for round in 1..=2 {
        beside.world.release_bad("bad", Behaviour::CrashLoop);
        beside.world.target_mut().last_writer = Some(writer.to_owned());
        beside.run_until(300, |beside| beside.world.count(Remediation::RestoreTemplate) == round);
        beside.run_until(300, |beside| beside.world.phase() == Some(Phase::Closed));
        beside.world.assert_closed(Outcome::Recovered, Reason::Verified);
    }
}

#[test]
fn a_job_that_breaks_it_again_is_suspended_with_the_rollback() {
    let mut beside = Beside::new();
    beside.add("CronJob", "tuner");
    beside.run(5);
    twice(&mut beside, "tuner");
    let (first, second) = (&beside.world.facts.recoveries[0].journal, beside.journal());
    let of_neighbours =
        |journal: &Journal| journal.steps.iter().filter(|step| step.remediation == Remediation::StopNeighbour).count();
    assert_eq!((of_neighbours(first), of_neighbours(second)), (0, 1));
    assert_eq!(second.decision.remedy, Remedy::Rollback);
    assert!(second.decision.message.contains("CronJob tuner wrote it"), "{}", second.decision.message);
    assert!(second.message.contains("CronJob tuner stays stopped"), "{}", second.message);
    assert_eq!(beside.load("tuner"), 0);
}

#[test]
fn a_job_that_did_not_write_it_or_is_not_declared_goes_on() {
    let mut beside = Beside::new();
    beside.add("CronJob", "tuner");
    beside.run(5);
    twice(&mut beside, "helm");
    assert_eq!(beside.load("tuner"), 1);
    let mut beside = Beside::new();
    beside.add("CronJob", "tuner");
    beside.neighbour("tuner").declared = false;
    beside.run(5);
    twice(&mut beside, "tuner");
    assert_eq!(beside.load("tuner"), 1);
}

/// The process dies at each moment of stopping and of releasing: each happens once.
#[test]
fn a_crash_at_any_moment_changes_nothing() {
    for crash in [Crash::BeforeRecord, Crash::AfterRecord, Crash::AfterEffects] {
        let mut beside = Beside::new();
        beside.add("Deployment", "scanner");
        beside.fail();
        beside.run_until(60, |beside| beside.world.now >= beside.neighbour_due());
        beside.world.crash = Some(crash);
        beside.run_until(90, |beside| beside.load("scanner") == 0);
        beside.world.dependency_down = false;
        beside.run_until(120, |beside| beside.world.phase() == Some(Phase::Closed));
        beside.world.assert_closed(Outcome::Recovered, Reason::Verified);
        assert_eq!(beside.world.count(Remediation::StopNeighbour), 1, "{crash:?}");
        beside.world.facts.recoveries.last_mut().unwrap().spec.release = true;
        beside.world.crash = Some(crash);
        beside.run(400);
        assert_eq!(beside.load("scanner"), 2, "{crash:?}");
        assert_eq!(beside.world.count(Remediation::ReleaseNeighbour), 1, "{crash:?}");
    }
}

impl Beside {
    /// Just before its symptom counts.
    fn neighbour_due(&self) -> jiff::Timestamp {
        let short = self.world.memory.short.as_ref().map_or(jiff::Timestamp::MAX, |short| short.at);
        if short == jiff::Timestamp::MAX { short } else { short + crate::world::seconds(9) }
    }
}
