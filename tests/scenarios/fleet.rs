//! Many targets at once: the budget holds in every state, the brake stops everything new and nothing else, and nobody
//! is forgotten.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use homeostat::api::policy::Failback;
use homeostat::api::recovery::Remedy;
use homeostat::api::{Mode, Outcome, Phase, Reason, Remediation};
use homeostat::plan::fleet::{Limits, Who, under_action};
use homeostat::plan::register::{Register, Totals};

use crate::world::{Behaviour, Office, World, lasting, seconds};

/// Targets that share an operator.
struct Fleet {
    office: Rc<RefCell<Office>>,
    worlds: Vec<World>,
    /// The most that were under action at any moment.
    most: usize,
    /// How often the brake went on, and off.
    edges: (usize, usize),
    /// Steps are taken in the opposite order.
    backwards: bool,
}

impl Fleet {
    fn new(worlds: Vec<World>, limits: impl FnOnce(&mut Limits)) -> Self {
        let office = Rc::new(RefCell::new(Office::default()));
        limits(&mut office.borrow_mut().limits);
        let named = worlds.into_iter().enumerate();
        let worlds = named.map(|(n, world)| world.join(&office, "shop", &format!("web-{n:02}"))).collect();
        let mut fleet = Self { office, worlds, most: 0, edges: (0, 0), backwards: false };
        fleet.run(5);
        fleet
    }

    /// So many targets of two pods each, at most `budget` of them under action at once, and no brake.
    fn of(many: usize, budget: u32) -> Self {
        let stable = World::stable(2);
        Self::new(vec![stable; many], |limits| {
            limits.cluster.max_targets = budget;
            limits.cluster.max_percent = 100;
            limits.namespace.max_targets = 1000;
            limits.namespace.max_percent = 100;
            limits.brake.min_targets = 1000;
        })
    }

    fn with_brake(mut self) -> Self {
        self.office.borrow_mut().limits.brake.min_targets = 3;
        self.edges = (0, 0);
        self
    }

    fn run(&mut self, seconds: usize) {
        for _ in 0..seconds {
            self.second();
        }
    }

    #[track_caller]
    fn run_until(&mut self, seconds: usize, when: impl Fn(&Self) -> bool) {
        for _ in 0..seconds {
            if when(self) {
                return;
            }
            self.second();
        }
        assert!(when(self), "it did not happen in {seconds} s: {:#?}", self.totals());
    }

    /// One second of the cluster; then the operator, until nobody wakes anybody any more.
    fn second(&mut self) {
        self.worlds.iter_mut().for_each(World::tick);
        self.keep();
        let mut order: Vec<usize> = (0..self.worlds.len()).collect();
        if self.backwards {
            order.reverse();
        }
        for n in order {
            self.operate(n);
        }
        for round in 0.. {
            assert!(round < 100, "they wake each other for ever");
            let woken = std::mem::take(&mut self.office.borrow_mut().woken);
            if woken.is_empty() {
                return;
            }
            for n in 0..self.worlds.len() {
                if woken.contains(&self.worlds[n].who()) {
                    self.worlds[n].wake();
                    self.operate(n);
                }
            }
        }
    }

    /// What the operator's keeper does each second.
    fn keep(&mut self) {
        let (before, now) = (self.brake_on(), self.worlds[0].now);
        let mut office = self.office.borrow_mut();
        let Office { register, limits, .. } = &mut *office;
        register.watch(limits, now);
        drop(office);
        if before && !self.brake_on() {
            self.edges.1 += 1;
            self.worlds.iter_mut().for_each(World::wake);
        }
    }

    fn operate(&mut self, n: usize) {
        let before = self.brake_on();
        self.worlds[n].operate();
        self.edges.0 += usize::from(!before && self.brake_on());
        let busy = self.under_action();
        let limit = self.office.borrow().limits.cluster.max_targets as usize;
        assert!(busy <= limit, "{busy} targets are under action, {limit} may be");
        self.most = self.most.max(busy);
    }

    fn under_action(&self) -> usize {
        let open = self.worlds.iter().filter_map(|world| world.facts.open_recovery());
        open.filter(|open| under_action(&open.journal)).count()
    }

    fn totals(&self) -> Totals {
        let office = self.office.borrow();
        office.register.totals(&office.limits, self.worlds[0].now)
    }

    fn brake_on(&self) -> bool {
        self.totals().brake.is_on()
    }

    /// How many hold or wait for this reason.
    fn held(&self, reason: Reason) -> usize {
        let open = self.worlds.iter().filter_map(|world| world.facts.open_recovery());
        open.filter(|open| open.journal.phase == Phase::Holding && open.journal.reason == reason).count()
    }

    fn recovered(&self) -> usize {
        let last = self.worlds.iter().filter_map(|world| world.facts.recoveries.last());
        last.filter(|last| last.journal.outcome == Some(Outcome::Recovered)).count()
    }

    /// Every target gets the same bad release, at once.
    fn break_all(&mut self) {
        self.worlds.iter_mut().for_each(|world| world.release_bad("bad", Behaviour::CrashLoop));
    }

    /// Another process takes over: it has seen nothing, and asks the API server who is under action.
    fn change_leader(&mut self) {
        let open = self.worlds.iter().filter(|world| world.facts.open_recovery().is_some());
        let busy = open.filter(|world| world.facts.open_recovery().is_some_and(|open| under_action(&open.journal)));
        let holders: BTreeSet<Who> = busy.map(World::who).collect();
        let mut register = Register::default();
        register.census(&holders);
        self.office.borrow_mut().register = register;
        self.worlds.iter_mut().for_each(World::lose_memory);
    }
}

// ---- budget

#[test]
fn the_budget_holds_and_everybody_has_a_turn() {
    let mut fleet = Fleet::of(7, 2);
    fleet.break_all();
    fleet.run_until(20, |fleet| fleet.held(Reason::BudgetExhausted) == 5);
    assert_eq!(fleet.under_action(), 2);
    let waiting = fleet.worlds.iter().find(|world| world.phase() == Some(Phase::Holding)).unwrap();
    let message = &waiting.journal().message;
    assert!(message.contains("2 of 2 targets that may be under action in the cluster"), "{message}");
    assert!(waiting.plan().wake_at <= waiting.now + seconds(10));
    fleet.run_until(600, |fleet| fleet.recovered() == 7);
    assert_eq!(fleet.most, 2);
    assert!(fleet.worlds.iter().all(|world| world.count(Remediation::RestoreTemplate) == 1));
}

/// The next in the queue does not wait for its next look.
#[test]
fn a_token_that_is_given_back_is_taken_at_once() {
    let mut fleet = Fleet::of(2, 1);
    // Nothing of its own changes while it waits.
    fleet.worlds.iter_mut().for_each(|world| world.release_bad("bad", Behaviour::ImagePull));
    fleet.run_until(300, |fleet| fleet.recovered() == 1);
    assert_eq!(fleet.under_action(), 1);
}

/// Who comes just when a token is free does not get it while somebody waits.
#[test]
fn nobody_overtakes() {
    let mut fleet = Fleet::of(3, 1);
    fleet.worlds[0].release_bad("bad", Behaviour::ImagePull);
    fleet.run(1);
    fleet.worlds[2].release_bad("bad", Behaviour::ImagePull);
    fleet.run_until(5, |fleet| fleet.held(Reason::BudgetExhausted) == 1);
    fleet.worlds[0].spec().suspend = true;
    fleet.worlds[1].release_bad("bad", Behaviour::ImagePull);
    fleet.run(1);
    let acted = fleet.worlds.iter().map(|world| world.count(Remediation::RestoreTemplate));
    assert_eq!(acted.collect::<Vec<_>>(), [1, 0, 1]);
    let message = &fleet.worlds[1].journal().message;
    assert!(message.contains("and 1 with an older symptom wait"), "{message}");
}

#[test]
fn the_oldest_symptom_has_its_turn_first() {
    let mut fleet = Fleet::of(5, 1);
    // Whoever is asked first by chance is the youngest.
    fleet.backwards = true;
    for n in 0..5 {
        fleet.worlds[n].release_bad("bad", Behaviour::CrashLoop);
        fleet.run(20);
    }
    fleet.run_until(900, |fleet| fleet.recovered() == 5);
    let acted = |world: &World| world.journal().timeline.contained.as_ref().map(|at| at.0);
    let times: Vec<_> = fleet.worlds.iter().map(acted).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn a_full_namespace_takes_nothing_from_others() {
    let mut fleet = Fleet::of(6, 3);
    fleet.office.borrow_mut().limits.namespace.max_targets = 1;
    fleet.worlds[5].facts.namespace = "elsewhere".into();
    (0..5).for_each(|n| fleet.worlds[n].release_bad("bad", Behaviour::CrashLoop));
    fleet.run_until(20, |fleet| fleet.held(Reason::BudgetExhausted) == 4);
    let message = &fleet.worlds.iter().find(|world| world.phase() == Some(Phase::Holding)).unwrap().journal().message;
    assert!(message.contains("in namespace shop"), "{message}");
    fleet.worlds[5].release_bad("bad", Behaviour::CrashLoop);
    fleet.run_until(20, |fleet| fleet.worlds[5].count(Remediation::RestoreTemplate) == 1);
}

/// Two steps run at once: the second plans when the first has planned, and nothing of it is on record yet.
#[test]
fn two_steps_at_once_do_not_take_the_same_token() {
    let mut fleet = Fleet::of(2, 1);
    fleet.break_all();
    fleet.run_until(20, |fleet| fleet.under_action() == 1);
    let busy = fleet.worlds.iter().position(|world| world.count(Remediation::RestoreTemplate) == 1).unwrap();
    fleet.worlds.swap(0, busy);
    let (first, second) = fleet.worlds.split_at_mut(1);
    // The second is still waiting when the first one lets go, and somebody else is as fast as it is.
    let mut third = World::stable(2).join(&fleet.office, "shop", "third");
    third.now = second[0].now;
    third.release_bad("bad", Behaviour::ImagePull);
    third.tick();
    first[0].spec().suspend = true;
    first[0].operate();
    second[0].step_with(|_| third.operate());
    assert_eq!((second[0].count(Remediation::RestoreTemplate), third.effects.len()), (1, 0));
    assert_eq!(third.journal().reason, Reason::BudgetExhausted);
}

#[test]
fn the_budget_holds_across_a_change_of_leader() {
    let mut fleet = Fleet::of(7, 2);
    fleet.break_all();
    fleet.run_until(20, |fleet| fleet.under_action() == 2);
    // Those who wait are asked first.
    fleet.backwards = true;
    for _ in 0..3 {
        fleet.change_leader();
        fleet.run(15);
    }
    fleet.run_until(900, |fleet| fleet.recovered() == 7);
    assert_eq!(fleet.most, 2);
}

/// A person lets go of a frozen target while no token is left for anybody else.
#[test]
fn letting_go_asks_for_no_token() {
    let mut fleet = Fleet::of(3, 1);
    fleet.worlds[0].spec().actions.rollback = None;
    fleet.worlds[0].release_bad("bad", Behaviour::CrashLoop);
    fleet.run_until(20, |fleet| fleet.worlds[0].target().frozen_by.is_some());
    fleet.worlds[1].release_bad("bad", Behaviour::CrashLoop);
    fleet.run_until(20, |fleet| fleet.held(Reason::BudgetExhausted) == 1);
    fleet.worlds[0].spec().suspend = true;
    fleet.run_until(5, |fleet| fleet.worlds[0].target().frozen_by.is_none());
    // And with it the token is free.
    fleet.run_until(5, |fleet| fleet.worlds[1].count(Remediation::RestoreTemplate) == 1);
}

#[test]
fn who_only_observes_takes_no_token() {
    let mut fleet = Fleet::of(3, 1);
    fleet.worlds[1].spec().mode = Mode::Observe;
    fleet.worlds[2].spec().mode = Mode::Recommend;
    for order in [false, true] {
        fleet.backwards = order;
        fleet.worlds.iter_mut().for_each(|world| world.release_bad("bad", Behaviour::ImagePull));
        fleet.run_until(20, |fleet| fleet.worlds[0].count(Remediation::RestoreTemplate) > 0);
        assert_eq!((fleet.held(Reason::ObserveOnly), fleet.held(Reason::BudgetExhausted)), (1, 0));
        assert_eq!(fleet.worlds[2].phase(), Some(Phase::AwaitingApproval));
        fleet = Fleet::of(3, 1);
        fleet.worlds[1].spec().mode = Mode::Observe;
        fleet.worlds[2].spec().mode = Mode::Recommend;
    }
}

#[test]
fn a_budget_that_cannot_be_read_may_be_the_strictest() {
    let mut fleet = Fleet::of(1, 1);
    fleet.office.borrow_mut().limits.unread.insert("odd".into());
    fleet.break_all();
    fleet.run(30);
    fleet.worlds[0].assert_holds(Reason::Malformed);
    assert!(fleet.worlds[0].effects.is_empty());
    fleet.office.borrow_mut().limits.unread.clear();
    fleet.run_until(15, |fleet| fleet.worlds[0].count(Remediation::RestoreTemplate) == 1);
}

// ---- brake

/// Twenty at once: what the budget let begin before the storm was seen goes on to its end, nothing new begins until the
/// brake goes off, and then everybody is judged anew.
#[test]
fn the_brake_stops_what_is_new_and_goes_off_once() {
    let mut fleet = Fleet::of(20, 4).with_brake();
    fleet.break_all();
    fleet.run_until(20, |fleet| fleet.held(Reason::BrakeOn) == 16);
    assert!(fleet.brake_on());
    let began = |fleet: &Fleet| fleet.worlds.iter().filter(|world| !world.effects.is_empty()).count();
    assert_eq!(began(&fleet), 4);
    let message = &fleet.worlds.iter().rfind(|world| world.phase() == Some(Phase::Holding)).unwrap().journal().message;
    assert!(message.contains("of 20 armed targets became unstable within 5m"), "{message}");
    fleet.run_until(120, |fleet| fleet.recovered() == 4);
    fleet.run(100);
    assert_eq!((began(&fleet), fleet.brake_on(), fleet.totals().waiting), (4, true, 0));
    fleet.run_until(600, |fleet| !fleet.brake_on());
    fleet.run_until(900, |fleet| fleet.recovered() == 20);
    assert_eq!((fleet.edges, fleet.most), ((1, 1), 4));
}

#[test]
fn a_share_below_the_threshold_is_no_storm() {
    let mut fleet = Fleet::of(20, 20).with_brake();
    (0..9).for_each(|n| fleet.worlds[n].release_bad("bad", Behaviour::CrashLoop));
    fleet.run_until(300, |fleet| fleet.recovered() == 9);
    assert_eq!(fleet.edges, (0, 0));
}

/// What heals by itself while the brake is on needs nothing when it goes off: there is no backlog.
#[test]
fn what_healed_under_the_brake_is_left_alone() {
    let mut fleet = Fleet::of(6, 2).with_brake();
    fleet.worlds.iter_mut().for_each(|world| world.dependency_down = true);
    fleet.run_until(60, Fleet::brake_on);
    fleet.run(30);
    fleet.worlds.iter_mut().for_each(|world| world.dependency_down = false);
    fleet.run_until(900, |fleet| !fleet.brake_on());
    fleet.run(120);
    assert!(fleet.worlds.iter().all(|world| world.effects.is_empty() && world.phase() == Some(Phase::Closed)));
    assert_eq!(fleet.edges, (1, 1));
}

#[test]
fn the_brake_lets_go_of_what_we_hold() {
    let mut fleet = Fleet::of(6, 6).with_brake();
    fleet.worlds[0].spec().actions.rollback = None;
    fleet.worlds[0].release_bad("bad", Behaviour::CrashLoop);
    fleet.run_until(20, |fleet| fleet.worlds[0].target().frozen_by.is_some());
    (1..6).for_each(|n| fleet.worlds[n].dependency_down = true);
    fleet.run_until(60, Fleet::brake_on);
    fleet.worlds[0].release("good-again");
    fleet.run_until(5, |fleet| fleet.worlds[0].target().frozen_by.is_none());
    assert!(fleet.brake_on());
}

// ---- is it only me?

/// Three targets, of which the first has a standby; `first` seconds pass between its failure and that of the others.
fn shared_fault(first: usize) -> Fleet {
    let mut worlds = vec![World::with_standby(Failback::Automatic), World::stable(2), World::stable(2)];
    worlds.iter_mut().for_each(|world| world.spec().detection.unavailable_for = lasting(1));
    let mut fleet = Fleet::new(worlds, |_| {});
    fleet.worlds[0].dependency_down = true;
    fleet.run(first);
    (1..3).for_each(|n| fleet.worlds[n].dependency_down = true);
    fleet
}

#[test]
fn traffic_does_not_move_while_everybody_fails() {
    for first in [0, 1] {
        let mut fleet = shared_fault(first);
        fleet.run(60);
        assert_eq!(fleet.worlds[0].count(Remediation::SwitchService), 0, "{first} s ahead");
        fleet.worlds[0].assert_holds(Reason::BrakeOn);
    }
}

/// The brake does not last for ever, but a shared cause does not become an own one by that.
#[test]
fn after_the_brake_a_shared_fault_still_holds_traffic() {
    let mut fleet = shared_fault(0);
    fleet.run_until(60, Fleet::brake_on);
    fleet.run_until(900, |fleet| !fleet.brake_on());
    fleet.run(30);
    fleet.worlds[0].assert_holds(Reason::SharedFault);
    let message = &fleet.worlds[0].journal().message;
    assert!(message.contains("3 of 3 armed targets are in trouble now"), "{message}");
    (1..3).for_each(|n| fleet.worlds[n].dependency_down = false);
    fleet.run_until(30, |fleet| fleet.worlds[0].count(Remediation::SwitchService) == 1);
}

/// Others that are on the way to a symptom of their own count, however long their policies wait.
#[test]
fn who_is_about_to_fail_counts_as_well() {
    let mut fleet = Fleet::new(vec![World::with_standby(Failback::Automatic); 3], |_| {});
    fleet.worlds[0].spec().detection.unavailable_for = lasting(1);
    (1..3).for_each(|n| fleet.worlds[n].spec().detection.unavailable_for = lasting(30));
    fleet.worlds.iter_mut().for_each(|world| world.dependency_down = true);
    fleet.run_until(10, |fleet| fleet.held(Reason::SharedFault) == 1);
    fleet.run(60);
    assert!(fleet.worlds.iter().all(|world| world.effects.is_empty()));
    assert_eq!(fleet.held(Reason::BrakeOn), 3);
}

#[test]
fn alone_the_traffic_moves_after_a_moment() {
    let mut fleet = Fleet::new(vec![World::with_standby(Failback::Automatic); 4], |_| {});
    fleet.worlds[0].spec().detection.unavailable_for = lasting(1);
    fleet.worlds[0].dependency_down = true;
    fleet.run_until(10, |fleet| fleet.worlds[0].phase() == Some(Phase::Holding));
    fleet.worlds[0].assert_holds(Reason::Settling);
    assert_eq!(fleet.worlds[0].refusal(Remedy::Failover), Some(Reason::Settling));
    let settled = fleet.worlds[0].journal().timeline.detected.as_ref().unwrap().0 + seconds(1);
    fleet.run_until(10, |fleet| fleet.worlds[0].count(Remediation::SwitchService) == 1);
    assert_eq!(fleet.worlds[0].now, settled);
}

/// The usual ten seconds of `unavailableFor` are time enough to have seen the others.
#[test]
fn who_waited_long_enough_does_not_wait_again() {
    let mut fleet = Fleet::new(vec![World::with_standby(Failback::Automatic); 4], |_| {});
    fleet.worlds[0].dependency_down = true;
    fleet.run_until(30, |fleet| fleet.worlds[0].count(Remediation::SwitchService) == 1);
    let world = &fleet.worlds[0];
    assert_eq!(Some(world.now), world.journal().timeline.detected.as_ref().map(|at| at.0));
}
