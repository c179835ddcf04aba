//! Counts all targets: who is armed, who is in trouble, who holds a token, who waits for one.
//!
//! Tokens are not kept anywhere of their own: a target holds one while its open Recovery says that it is under action,
//! and from the moment its plan begins to act until that is on record. Pure: time is an argument. Whoever uses it must
//! let nothing come between [`Register::fleet`], the plan and [`Register::note`]; that is the compare-and-swap.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::brake::{Brake, Weather};
use super::drift::{COMPONENTS, hundredths};
use super::facts::Facts;
use super::fleet::{Fleet, Limits, Waiting, Who, under_action};
use super::journal::Record;
use super::{Assessment, Plan, Verdict};
use crate::api::Reason;

/// A write of which nobody knows whether it arrived is seen by then, or else we are blind.
const UNKNOWN_FATE: SignedDuration = SignedDuration::from_secs(60);

/// What came of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// What is observed tells whether the target is under action.
    Known,
    /// A write may have arrived or not.
    Unknown,
}

/// Where one target stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Standing {
    armed: bool,
    in_trouble: bool,
    /// When it last became unstable.
    onset: Option<Timestamp>,
    /// Its open Recovery is under action.
    holds: bool,
    /// It was let begin, and that is not on record yet: until when that counts.
    granted: Option<Timestamp>,
    /// It would act but for a budget: since when its symptom counts.
    waiting: Option<Timestamp>,
    /// Its drift, as [`Totals::drift`].
    drift: [u32; COMPONENTS.len()],
}

impl Standing {
    fn has_token(&self, now: Timestamp) -> bool {
        self.holds || self.granted.is_some_and(|until| now < until)
    }
}

/// All targets.
#[derive(Clone, Debug, Default)]
pub struct Register {
    targets: BTreeMap<Who, Standing>,
    brake: Brake,
}

/// What all targets come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Targets that are armed.
    pub armed: u32,
    /// Of those, the ones that became unstable within the window.
    pub unstable: u32,
    /// How many may be under action.
    pub limit: u32,
    /// Who holds a token.
    pub holders: Vec<Who>,
    /// How many wait for one.
    pub waiting: u32,
    /// The brake.
    pub brake: Brake,
    /// The drift of all targets added up, in hundredths, in the order of [`COMPONENTS`].
    pub drift: [u32; COMPONENTS.len()],
}

impl Register {
    /// The brake as another process left it: on, and not known to have been calm.
    pub fn restore(&mut self, on_since: Timestamp) {
        self.brake = Brake { on_since: Some(on_since), calm_since: None };
    }

    /// The fleet as `who` sees it.
    #[must_use]
    pub fn fleet(&self, who: &Who, limits: &Limits, now: Timestamp) -> Fleet {
        let mut fleet = Fleet { limits: limits.clone(), brake: self.brake, ..Fleet::default() };
        for (other, standing) in &self.targets {
            if other == who {
                fleet.last_onset = standing.onset;
                continue;
            }
            let here = u32::from(other.namespace == who.namespace);
            let armed = u32::from(standing.armed);
            let token = u32::from(standing.has_token(now));
            fleet.armed += armed;
            fleet.armed_here += armed * here;
            fleet.under_action += token;
            fleet.under_action_here += token * here;
            fleet.unstable += u32::from(unstable(standing, limits, now));
            fleet.in_trouble += u32::from(standing.armed && standing.in_trouble);
        }
        fleet.queue = self.queue(Some(who), limits, now);
        fleet
    }

    /// Enters what a step of `who` found out. `acts`: what it plans is carried out, so that it takes a token now.
    /// Returns whether it left the queue without one, so that others may have their turn now.
    pub fn note(&mut self, who: &Who, facts: &Facts, plan: &Plan, acts: bool) -> bool {
        let standing = self.targets.entry(who.clone()).or_default();
        let assessment = &plan.assessment;
        standing.armed = armed(facts, assessment);
        standing.drift =
            plan.status.as_ref().and_then(|status| status.drift.as_ref()).map(hundredths).unwrap_or_default();
        standing.in_trouble = assessment.symptom.is_some() || assessment.reason == Reason::Unavailable;
        standing.onset = plan.onset.or(standing.onset);
        let waited = std::mem::replace(&mut standing.waiting, plan.memory.waiting).is_some();
        standing.holds = facts.open_recovery().is_some_and(|open| under_action(&open.journal));
        let begins = plan.turn.as_ref().and_then(|turn| turn.record.as_ref()).is_some_and(|record| match record {
            Record::Open(journal) | Record::Update(journal) => under_action(journal),
        });
        let granted = acts && begins && !standing.holds;
        if granted {
            standing.granted = Some(Timestamp::MAX);
        }
        self.brake = plan.brake;
        waited && standing.waiting.is_none() && !granted
    }

    /// Enters what is on record after a step was carried out. Returns whether others may have their turn now.
    pub fn settle(&mut self, who: &Who, holds: bool, fate: Fate, now: Timestamp) -> bool {
        let Some(standing) = self.targets.get_mut(who) else { return false };
        let before = standing.has_token(now);
        standing.holds = holds;
        let under_way = standing.granted.take();
        standing.granted = under_way.filter(|_| fate == Fate::Unknown).map(|until| until.min(now + UNKNOWN_FATE));
        before && !standing.has_token(now)
    }

    /// Enters who holds a token by the API server's own word.
    pub fn census(&mut self, holders: &BTreeSet<Who>) {
        for who in holders {
            self.targets.entry(who.clone()).or_default().holds = true;
        }
    }

    /// There is nothing left of this policy. Returns whether others may have their turn now.
    pub fn forget(&mut self, who: &Who, now: Timestamp) -> bool {
        self.targets.remove(who).is_some_and(|standing| standing.has_token(now) || standing.waiting.is_some())
    }

    /// Brings the brake up to date although no target moved.
    pub fn watch(&mut self, limits: &Limits, now: Timestamp) {
        let armed = self.count(|standing| standing.armed);
        let weather = Weather { armed, unstable: self.count(|standing| unstable(standing, limits, now)) };
        self.brake = self.brake.judge(&limits.brake, weather, now);
    }

    /// Those who wait and can have a token now, the oldest symptom first.
    #[must_use]
    pub fn next(&self, limits: &Limits, now: Timestamp) -> Vec<Who> {
        let used = self.count(|standing| standing.has_token(now));
        let free = limits.in_cluster(self.count(|standing| standing.armed)).saturating_sub(used);
        let queue = self.queue(None, limits, now).into_iter().map(|waiting| waiting.who);
        queue.take(usize::try_from(free).unwrap_or(usize::MAX)).collect()
    }

    /// What all targets come to.
    #[must_use]
    pub fn totals(&self, limits: &Limits, now: Timestamp) -> Totals {
        let armed = self.count(|standing| standing.armed);
        let holders = self.targets.iter().filter(|(_, standing)| standing.has_token(now));
        Totals {
            armed,
            unstable: self.count(|standing| unstable(standing, limits, now)),
            limit: limits.in_cluster(armed),
            holders: holders.map(|(who, _)| who.clone()).collect(),
            waiting: self.count(|standing| standing.waiting.is_some()),
            brake: self.brake,
            drift: self.targets.values().fold(Default::default(), |sum: [u32; COMPONENTS.len()], standing| {
                std::array::from_fn(|at| {
                    let part = |of: &[u32; COMPONENTS.len()]| of.get(at).copied().unwrap_or(0);
                    part(&sum).saturating_add(part(&standing.drift))
                })
            }),
        }
    }

    /// Those who wait, as many of each namespace as may have a token there: who cannot have one must not keep one from
    /// others.
    fn queue(&self, but: Option<&Who>, limits: &Limits, now: Timestamp) -> Vec<Waiting> {
        let others = self.targets.iter().filter(|(who, _)| but != Some(who));
        let mut waiting: Vec<Waiting> =
            others.filter_map(|(who, standing)| Some(Waiting { since: standing.waiting?, who: who.clone() })).collect();
        waiting.sort();
        let mut free: BTreeMap<String, u32> = BTreeMap::new();
        waiting.retain(|waiting| {
            let namespace = &waiting.who.namespace;
            let left = free.entry(namespace.clone()).or_insert_with(|| self.free(namespace, limits, now));
            let may = *left > 0;
            *left = left.saturating_sub(1);
            may
        });
        waiting
    }

    fn free(&self, namespace: &str, limits: &Limits, now: Timestamp) -> u32 {
        let here = || self.targets.iter().filter(|(who, _)| who.namespace == namespace).map(|(_, standing)| standing);
        let count = |test: &dyn Fn(&Standing) -> bool| {
            u32::try_from(here().filter(|standing| test(standing)).count()).unwrap_or(u32::MAX)
        };
        limits.in_namespace(count(&|s| s.armed)).saturating_sub(count(&|s| s.has_token(now)))
    }

    fn count(&self, test: impl Fn(&Standing) -> bool) -> u32 {
        u32::try_from(self.targets.values().filter(|standing| test(standing)).count()).unwrap_or(u32::MAX)
    }
}

fn unstable(standing: &Standing, limits: &Limits, now: Timestamp) -> bool {
    standing.armed && standing.onset.is_some_and(|onset| within_window(onset, limits, now))
}

/// Whether a target is armed: in the charge of one policy, and seen.
pub(super) fn armed(facts: &Facts, assessment: &Assessment) -> bool {
    let seen = assessment.verdict != Verdict::Unknown || assessment.only_checks();
    super::journal::in_charge(facts).is_some() && seen
}

/// Whether something that began then counts for the brake.
pub(super) fn within_window(onset: Timestamp, limits: &Limits, now: Timestamp) -> bool {
    now < onset + limits.brake.window.signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::constant(1_767_225_600, 0) + SignedDuration::from_secs(second)
    }

    fn who(namespace: &str, policy: &str) -> Who {
        Who { namespace: namespace.into(), policy: policy.into() }
    }

    fn limits(cluster: u32, namespace: u32) -> Limits {
        let mut limits = Limits::default();
        (limits.cluster.max_targets, limits.cluster.max_percent) = (cluster, 100);
        (limits.namespace.max_targets, limits.namespace.max_percent) = (namespace, 100);
        limits
    }

    fn waiting(since: i64) -> Standing {
        Standing { armed: true, waiting: Some(at(since)), ..Standing::default() }
    }

    fn names(found: &[Who]) -> Vec<&str> {
        found.iter().map(|who| who.policy.as_str()).collect()
    }

    /// Whether a create that was never answered arrived is known after a minute, or else we are blind.
    #[test]
    fn a_write_of_unknown_fate_keeps_its_token_for_a_while() {
        let mut register = Register::default();
        let me = who("shop", "a");
        let granted = Standing { granted: Some(Timestamp::MAX), ..Standing::default() };
        register.targets.insert(me.clone(), granted);
        assert!(!register.settle(&me, false, Fate::Unknown, at(0)));
        let other = who("shop", "b");
        assert_eq!(register.fleet(&other, &limits(9, 9), at(59)).under_action, 1);
        assert_eq!(register.fleet(&other, &limits(9, 9), at(60)).under_action, 0);
    }

    #[test]
    fn a_write_that_was_refused_gives_its_token_back() {
        let mut register = Register::default();
        let me = who("shop", "a");
        let granted = Standing { granted: Some(Timestamp::MAX), ..Standing::default() };
        register.targets.insert(me.clone(), granted);
        assert!(register.settle(&me, false, Fate::Known, at(0)));
        assert!(register.totals(&limits(9, 9), at(0)).holders.is_empty());
    }

    #[test]
    fn a_census_counts_whom_we_never_saw() {
        let mut register = Register::default();
        register.census(&[who("shop", "a"), who("gone", "b")].into());
        let fleet = register.fleet(&who("shop", "c"), &limits(9, 9), at(0));
        assert_eq!((fleet.under_action, fleet.under_action_here, fleet.armed), (2, 1, 0));
    }

    #[test]
    fn the_queue_is_by_age_and_only_of_those_who_can_have_a_token() {
        let mut register = Register::default();
        for (namespace, policy, since) in [("x", "d", 4), ("x", "a", 2), ("x", "c", 3), ("y", "b", 5), ("y", "e", 1)] {
            register.targets.insert(who(namespace, policy), waiting(since));
        }
        register.targets.insert(who("y", "busy"), Standing { armed: true, holds: true, ..Standing::default() });
        assert_eq!(names(&register.next(&limits(9, 2), at(9))), ["e", "a", "c"]);
        assert_eq!(names(&register.next(&limits(3, 2), at(9))), ["e", "a"]);
        let queue = register.fleet(&who("x", "a"), &limits(9, 2), at(9)).queue;
        assert_eq!(queue.iter().map(|other| other.who.policy.as_str()).collect::<Vec<_>>(), ["e", "c", "d"]);
    }

    #[test]
    fn an_onset_counts_for_the_window_and_only_while_armed() {
        let mut register = Register::default();
        let unstable = Standing { armed: true, onset: Some(at(0)), ..Standing::default() };
        register.targets.insert(who("shop", "a"), unstable.clone());
        register.targets.insert(who("shop", "b"), Standing { armed: false, ..unstable });
        let count = |second| register.totals(&limits(9, 9), at(second)).unstable;
        assert_eq!([count(0), count(299), count(300)], [1, 1, 0]);
    }
}
