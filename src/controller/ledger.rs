//! The one register that all steps share. To see the fleet, to plan and to enter what came of it is one thing here, so
//! that two steps that run at once cannot both take the last token.
//!
//! What a predecessor began is asked of the API server itself before the first step of a term: its last writes may not
//! have been heard of yet. This module must not judge, and holds no lock while anything waits.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::time::Instant;

use crate::leader::Permit;
use crate::observe::{Budgets, PolicyKey};
use crate::plan::bonds::Bonds;
use crate::plan::facts::Facts;
use crate::plan::fleet::{Limits, Who};
use crate::plan::register::{Fate, Register, Totals};
use crate::plan::{self, Memory, Plan};

#[derive(Default)]
struct Inner {
    register: Register,
    /// Who depends on whom.
    bonds: Bonds,
    /// Policies that were there at the start and were not looked at yet.
    unseen: BTreeSet<PolicyKey>,
    /// Until when no other process can have led since the last census.
    term: Option<Instant>,
}

/// The register of all targets.
#[derive(Default)]
pub(super) struct Ledger(Mutex<Inner>);

/// Who has to look again.
pub(super) enum Others {
    /// Everybody: only now is it known how much fails.
    All,
    /// These.
    These(Vec<PolicyKey>),
}

/// What one look at all targets found.
pub(super) struct Watched {
    pub totals: Totals,
    /// Those who wait and can have a token now.
    pub next: Vec<PolicyKey>,
}

impl Ledger {
    /// Begins with the policies there are, and with the brake as it was written last.
    pub(super) fn begin(&self, policies: BTreeSet<PolicyKey>, budgets: &Budgets) {
        let mut inner = self.inner();
        inner.unseen = policies;
        let written = budgets.known.values().filter_map(|budget| budget.status.brake.since.as_ref());
        if let Some(since) = written.map(|since| since.0).min() {
            inner.register.restore(since);
        }
    }

    /// Whether every policy was looked at once. Before that nobody knows how much fails.
    pub(super) fn is_complete(&self) -> bool {
        self.inner().unseen.is_empty()
    }

    /// Whether nobody else can have led since the last census; then this permit prolongs that.
    pub(super) fn covered(&self, permit: Permit, now: Instant) -> bool {
        let mut inner = self.inner();
        let covered = inner.term.is_some_and(|until| now < until);
        if covered {
            inner.term = Some(permit.until);
        }
        covered
    }

    /// Enters who holds a token by the API server's word, asked under this permit.
    pub(super) fn census(&self, holders: &BTreeSet<Who>, permit: Permit) {
        let mut inner = self.inner();
        inner.register.census(holders);
        inner.term = Some(permit.until);
    }

    /// Plans the step of one policy among all others. `acts`: what it plans is carried out. Tells as well who else has
    /// to look again because of what was found.
    pub(super) fn plan(
        &self,
        key: &PolicyKey,
        facts: &mut Facts,
        limits: &Limits,
        memory: Memory,
        acts: bool,
        now: Timestamp,
    ) -> (Plan, Others) {
        let who = who(key);
        let mut inner = self.inner();
        facts.fleet = inner.register.fleet(&who, limits, now);
        facts.fleet.ties = inner.bonds.ties(&who, facts);
        let plan = plan::step(facts, memory, now);
        let left_the_queue = inner.register.note(&who, facts, &plan, acts);
        let mut others = inner.bonds.note(&who, facts, &plan);
        let last_of_all = inner.unseen.remove(key) && inner.unseen.is_empty();
        let others = match (last_of_all, left_the_queue) {
            (true, _) => Others::All,
            (false, true) => {
                others.extend(inner.register.next(limits, now));
                Others::These(keys(others))
            }
            (false, false) => Others::These(keys(others)),
        };
        (plan, others)
    }

    /// Enters what is on record after a step. Returns who has to look again because of that.
    pub(super) fn settle(
        &self,
        key: &PolicyKey,
        under_action: bool,
        fate: Fate,
        limits: &Limits,
        now: Timestamp,
    ) -> Vec<PolicyKey> {
        let mut inner = self.inner();
        let freed = inner.register.settle(&who(key), under_action, fate, now);
        if freed { keys(inner.register.next(limits, now)) } else { vec![] }
    }

    /// There is nothing left of this policy.
    /// Returns who has to look again because of that.
    pub(super) fn forget(&self, key: &PolicyKey, now: Timestamp) -> Vec<PolicyKey> {
        let mut inner = self.inner();
        inner.unseen.remove(key);
        inner.register.forget(&who(key), now);
        keys(inner.bonds.forget(&who(key)))
    }

    /// Brings the brake up to date, and counts.
    pub(super) fn watch(&self, limits: &Limits, now: Timestamp) -> Watched {
        let mut inner = self.inner();
        inner.register.watch(limits, now);
        Watched { totals: inner.register.totals(limits, now), next: keys(inner.register.next(limits, now)) }
    }

    // A thread that panicked while it held the lock has ended the process's supervisor as well.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn who(key: &PolicyKey) -> Who {
    Who { namespace: key.namespace.clone(), policy: key.name.clone() }
}

fn keys(who: Vec<Who>) -> Vec<PolicyKey> {
    who.into_iter().map(|who| PolicyKey { namespace: who.namespace, name: who.policy }).collect()
}
