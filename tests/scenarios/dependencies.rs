//! Causes in a dependency: who fails holds, and who changed goes back, under its own policy; never on less evidence.

use std::cell::RefCell;
use std::rc::Rc;

use homeostat::api::policy::{Mode, TargetRef};
use homeostat::api::recovery::{Remedy, Suspect};
use homeostat::api::{Outcome, Phase, Reason, Remediation};

use crate::world::{Behaviour, Crash, Office, World};

pub const CLIENT: usize = 0;
pub const STORE: usize = 1;

/// Targets of one namespace that share an operator; the first ones depend on others.
pub struct Tiers {
    office: Rc<RefCell<Office>>,
    pub worlds: Vec<World>,
}

impl Tiers {
    /// `client` depends on `store`.
    fn new() -> Self {
        Self::of(&[("client", &["store"]), ("store", &[])])
    }

    pub fn of(tiers: &[(&str, &[&str])]) -> Self {
        let office = Rc::new(RefCell::new(Office::default()));
        office.borrow_mut().limits.brake.min_targets = 1000;
        office.borrow_mut().limits.namespace.max_percent = 100;
        let worlds = tiers.iter().map(|(name, depends_on)| {
            let mut world = World::stable_as(name, 2).join(&office, "shop", name);
            world.spec().depends_on = depends_on.iter().map(|name| reference(name)).collect();
            world
        });
        let worlds = worlds.collect();
        let mut tiers = Self { office, worlds };
        tiers.run(5);
        tiers
    }

    pub fn run(&mut self, seconds: usize) {
        for _ in 0..seconds {
            self.second();
        }
    }

    #[track_caller]
    pub fn run_until(&mut self, seconds: usize, when: impl Fn(&Self) -> bool) {
        for _ in 0..seconds {
            if when(self) {
                return;
            }
            self.second();
        }
        let journals: Vec<_> = self.worlds.iter().map(|w| w.facts.recoveries.last().map(|r| &r.journal)).collect();
        assert!(when(self), "it did not happen in {seconds} s: {journals:#?}");
    }

    fn second(&mut self) {
        self.worlds.iter_mut().for_each(World::tick);
        self.worlds.iter_mut().for_each(World::operate);
        for round in 0.. {
            assert!(round < 100, "they wake each other for ever");
            let woken = std::mem::take(&mut self.office.borrow_mut().woken);
            if woken.is_empty() {
                return;
            }
            for world in self.worlds.iter_mut().filter(|world| woken.contains(&world.who())) {
                world.wake();
                world.operate();
            }
        }
    }

    /// The store changes in a way that it bears itself, and its client does not.
    pub fn break_client(&mut self) {
        self.worlds[STORE].release("requires-tls");
        self.worlds[CLIENT].dependency_down = true;
        self.worlds[CLIENT].restart_pods();
    }

    pub fn rolled_back(&self, n: usize) -> bool {
        self.worlds[n].count(Remediation::RestoreTemplate) > 0
    }

    pub fn writes(&self) -> usize {
        self.worlds.iter().map(|world| world.effects.len()).sum()
    }

    #[track_caller]
    fn assert_client_holds(&self, reason: Reason, suspect: Suspect) {
        self.worlds[CLIENT].assert_holds(reason);
        assert_eq!(self.worlds[CLIENT].journal().suspect, suspect);
        assert_eq!(self.writes(), 0, "nothing may be written");
    }
}

pub fn reference(name: &str) -> TargetRef {
    TargetRef { api_version: "apps/v1".into(), kind: "Deployment".into(), name: name.into() }
}

#[test]
fn who_changed_goes_back_and_is_recovered_only_with_its_client() {
    let mut tiers = Tiers::new();
    tiers.break_client();
    tiers.run_until(60, |tiers| tiers.worlds[CLIENT].phase() == Some(Phase::Holding));
    tiers.run_until(60, |tiers| tiers.rolled_back(STORE));
    let client = tiers.worlds[CLIENT].journal();
    assert_eq!((client.reason, client.suspect), (Reason::DependencyChanged, Suspect::Dependency));
    assert!(client.message.contains("Deployment store") && client.message.contains("RecoveryPolicy store"));
    assert_eq!(tiers.worlds[CLIENT].refusal(Remedy::Rollback), Some(Reason::DependencyChanged));
    let store = tiers.worlds[STORE].journal();
    assert_eq!((store.symptom.reason, store.suspect), (Reason::DependentsFailing, Suspect::Change));
    assert!(store.symptom.message.contains("Deployment client, which declares"), "{}", store.symptom.message);
    // The store itself is as it was; that proves nothing as long as its client is down.
    tiers.run(60);
    assert_eq!(tiers.worlds[STORE].phase(), Some(Phase::Verifying));
    tiers.worlds[CLIENT].dependency_down = false;
    tiers.run_until(60, |tiers| tiers.worlds[STORE].phase() == Some(Phase::Closed));
    tiers.worlds[STORE].assert_closed(Outcome::Recovered, Reason::Verified);
    tiers.run_until(60, |tiers| tiers.worlds[CLIENT].phase() == Some(Phase::Closed));
    tiers.worlds[CLIENT].assert_closed(Outcome::Held, Reason::HealedItself);
    assert!(tiers.worlds[CLIENT].effects.is_empty());
}

#[test]
fn a_rollback_that_does_not_help_the_client_is_ineffective() {
    let mut tiers = Tiers::new();
    tiers.break_client();
    tiers.run_until(60, |tiers| tiers.rolled_back(STORE));
    tiers.run(600);
    let store = tiers.worlds[STORE].journal();
    assert_eq!((store.outcome, store.reason), (Some(Outcome::Escalated), Reason::VerificationTimedOut));
    assert_eq!(tiers.worlds[STORE].count(Remediation::RestoreTemplate), 1);
    tiers.worlds[CLIENT].assert_holds(Reason::DependencyChanged);
}

#[test]
fn a_state_is_not_earned_while_a_dependent_fails_since() {
    let mut tiers = Tiers::new();
    tiers.worlds[STORE].spec().mode = Mode::Observe;
    tiers.break_client();
    tiers.run(300);
    assert_eq!(tiers.worlds[STORE].facts.states.len(), 1);
    tiers.worlds[CLIENT].dependency_down = false;
    tiers.run(300);
    assert_eq!(tiers.worlds[STORE].facts.states.len(), 2, "the client lives with it now");
}

#[test]
fn without_a_declaration_nothing_is_tied() {
    let mut tiers = Tiers::of(&[("client", &[]), ("store", &[])]);
    tiers.break_client();
    tiers.run(120);
    tiers.assert_client_holds(Reason::NoChangeToRevert, Suspect::Unknown);
    assert!(tiers.worlds[STORE].facts.recoveries.is_empty());
}

#[test]
fn a_client_that_was_ill_before_says_nothing_about_a_change() {
    let mut tiers = Tiers::new();
    tiers.worlds[CLIENT].dependency_down = true;
    tiers.worlds[CLIENT].restart_pods();
    tiers.run(20);
    tiers.worlds[STORE].release("requires-tls");
    tiers.run(40);
    tiers.assert_client_holds(Reason::SymptomBeforeChange, Suspect::Unknown);
}

/// Its symptom counts only after the change, but it was short of pods before.
#[test]
fn what_began_before_the_change_and_counts_after_it_began_before() {
    let mut tiers = Tiers::new();
    tiers.worlds[CLIENT].dependency_down = true;
    tiers.worlds[CLIENT].restart_pods();
    tiers.run(5);
    assert!(tiers.worlds[CLIENT].facts.recoveries.is_empty());
    tiers.worlds[STORE].release("requires-tls");
    tiers.run(40);
    tiers.assert_client_holds(Reason::SymptomBeforeChange, Suspect::Unknown);
}

#[test]
fn a_change_long_ago_is_no_suspect() {
    let mut tiers = Tiers::new();
    // Watched only, so that the change is not earned as a state meanwhile.
    tiers.worlds[STORE].spec().stability.soak = homeostat::api::Duration::minutes(60);
    tiers.worlds[STORE].release("requires-tls");
    tiers.run(700);
    tiers.worlds[CLIENT].dependency_down = true;
    tiers.worlds[CLIENT].restart_pods();
    tiers.run(120);
    tiers.assert_client_holds(Reason::NoChangeToRevert, Suspect::Unknown);
}

#[test]
fn of_two_that_changed_neither_is_touched() {
    let mut tiers = Tiers::of(&[("client", &["store", "cache"]), ("store", &[]), ("cache", &[])]);
    tiers.worlds[2].release("v2");
    tiers.break_client();
    tiers.run(120);
    tiers.assert_client_holds(Reason::SeveralSuspects, Suspect::Unknown);
    let message = &tiers.worlds[CLIENT].journal().message;
    assert!(message.contains("Deployment store") && message.contains("Deployment cache"), "{message}");
}

#[test]
fn beside_one_that_nobody_looks_after_none_is_named() {
    let mut tiers = Tiers::of(&[("client", &["store", "cache"]), ("store", &[])]);
    tiers.break_client();
    tiers.run(120);
    tiers.assert_client_holds(Reason::SeveralSuspects, Suspect::Unknown);
}

#[test]
fn a_client_that_changed_itself_goes_back_itself() {
    let mut tiers = Tiers::new();
    tiers.worlds[STORE].release("requires-tls");
    tiers.worlds[CLIENT].release_bad("bad", Behaviour::CrashLoop);
    tiers.run_until(120, |tiers| tiers.rolled_back(CLIENT));
    tiers.run(60);
    assert!(tiers.worlds[STORE].facts.recoveries.is_empty());
}

#[test]
fn where_most_dependents_are_fine_the_change_is_not_to_blame() {
    let mut tiers = Tiers::of(&[("client", &["store"]), ("store", &[]), ("other", &["store"])]);
    tiers.break_client();
    tiers.run(120);
    tiers.assert_client_holds(Reason::DependentsFine, Suspect::Unknown);
    assert!(tiers.worlds[STORE].facts.recoveries.is_empty());
    // With the other one it is most of them.
    let mut tiers = Tiers::of(&[("client", &["store"]), ("store", &[]), ("other", &["store"])]);
    tiers.break_client();
    tiers.worlds[2].dependency_down = true;
    tiers.worlds[2].restart_pods();
    tiers.run_until(60, |tiers| tiers.rolled_back(STORE));
    assert!(tiers.worlds[STORE].journal().symptom.message.contains("and 1 more"));
}

/// The dependency's own policy decides: its mode, its actions.
#[test]
fn the_policy_of_the_dependency_decides() {
    let mut tiers = Tiers::new();
    tiers.worlds[STORE].spec().mode = Mode::Recommend;
    tiers.break_client();
    tiers.run(120);
    tiers.assert_client_holds(Reason::DependencyChanged, Suspect::Dependency);
    assert_eq!(tiers.worlds[STORE].phase(), Some(Phase::AwaitingApproval));
    let mut tiers = Tiers::new();
    tiers.worlds[STORE].spec().actions.rollback = None;
    tiers.break_client();
    tiers.run(120);
    tiers.assert_client_holds(Reason::DependencyChanged, Suspect::Dependency);
    tiers.worlds[STORE].assert_holds(Reason::NotAllowed);
}

#[test]
fn a_dependency_that_we_cannot_see_is_not_touched() {
    let mut tiers = Tiers::new();
    tiers.worlds[STORE].blind(true);
    tiers.break_client();
    tiers.run(120);
    tiers.assert_client_holds(Reason::NoChangeToRevert, Suspect::Unknown);
}

#[test]
fn a_client_that_we_cannot_see_proves_nothing() {
    let mut tiers = Tiers::new();
    tiers.break_client();
    tiers.run_until(60, |tiers| tiers.rolled_back(STORE));
    tiers.worlds[CLIENT].dependency_down = false;
    tiers.worlds[CLIENT].blind(true);
    tiers.run(60);
    assert_eq!(tiers.worlds[STORE].phase(), Some(Phase::Verifying));
    tiers.worlds[CLIENT].blind(false);
    tiers.run_until(120, |tiers| tiers.worlds[STORE].phase() == Some(Phase::Closed));
    tiers.worlds[STORE].assert_closed(Outcome::Recovered, Reason::Verified);
}

/// A rollout may be felt by its clients, and is over soon.
#[test]
fn a_rollout_that_is_felt_is_no_reason() {
    let mut tiers = Tiers::new();
    tiers.worlds[STORE].behaviours.insert(crate::world::deployment("slow"), Behaviour::Healthy(9));
    tiers.worlds[STORE].release("slow");
    tiers.worlds[CLIENT].dependency_down = true;
    tiers.worlds[CLIENT].restart_pods();
    tiers.run(18);
    tiers.worlds[CLIENT].dependency_down = false;
    tiers.run(120);
    assert_eq!(tiers.writes(), 0);
    assert_eq!(tiers.worlds[STORE].facts.states.len(), 2, "the release is stable");
}

/// The process dies at each moment: it goes on from what is on record, or from the API server's own times.
#[test]
fn a_crash_at_any_moment_changes_nothing() {
    for crash in [Crash::BeforeRecord, Crash::AfterRecord, Crash::AfterEffects] {
        for dies in [CLIENT, STORE] {
            let mut tiers = Tiers::new();
            tiers.break_client();
            tiers.run_until(60, |tiers| tiers.worlds[CLIENT].phase() == Some(Phase::Holding));
            tiers.worlds[dies].crash = Some(crash);
            tiers.office.borrow_mut().bonds = Default::default();
            tiers.worlds.iter_mut().for_each(World::lose_memory);
            tiers.run_until(120, |tiers| tiers.rolled_back(STORE));
            tiers.worlds[CLIENT].dependency_down = false;
            tiers.run_until(120, |tiers| tiers.worlds[STORE].phase() == Some(Phase::Closed));
            tiers.worlds[STORE].assert_closed(Outcome::Recovered, Reason::Verified);
            assert_eq!(tiers.worlds[STORE].count(Remediation::RestoreTemplate), 1);
        }
    }
}
