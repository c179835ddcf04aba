//! Everything observed, and who has to look again because of it.
//!
//! What a watch says and what the API server answered to our own writes go in by the same rule: older never replaces
//! newer. So a decision after a write never sees the state before it. This module must not judge, and no lock of it is
//! held while anything waits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::Value;
use tokio::sync::Notify;

use super::PolicyKey;
use super::change::{Change, everyone};
use super::gather;
use super::kind::{Kind, Scope};
use super::links::Link;
use super::neighbours;
use super::nodes;
use super::slim::{self, Budget, Identity, SecretDigest, Sighting, Trust};
use super::world::{Moment, Namespace};
use crate::api::StableState;
use crate::plan::facts::{Ceiling, Facts};
use crate::plan::fleet::{Limits, under_action};
use crate::plan::nodes::Nodes;

pub(super) type Worlds = BTreeMap<Box<str>, Namespace>;

/// Everything observed.
pub struct Stores {
    worlds: RwLock<Worlds>,
    trust: Trust,
    /// A set and not a queue: it cannot grow beyond the policies there are, and no wake-up is lost.
    touched: Mutex<BTreeSet<PolicyKey>>,
    notify: Notify,
}

/// The RecoveryBudgets.
#[derive(Clone, Debug, Default)]
pub struct Budgets {
    /// Those that can be read, by name.
    pub known: BTreeMap<String, Budget>,
    /// Names of those that cannot.
    pub unread: BTreeSet<String>,
}

impl Budgets {
    /// What all of them allow together.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits::strictest(self.known.values().map(|budget| &budget.spec), self.unread.clone())
    }
}

/// A whole collection, as it was at one moment.
pub(super) struct Listing {
    pub sightings: Vec<Sighting>,
    pub moment: Moment,
}

impl Stores {
    /// Empty stores. `verify` tells whether the seal of a state is ours; it is asked once for each version of a state.
    #[must_use]
    pub fn new(verify: impl Fn(&StableState) -> bool + Send + Sync + 'static) -> Self {
        let (worlds, touched, notify) = (RwLock::default(), Mutex::default(), Notify::new());
        Self { worlds, trust: Trust::new(verify), touched, notify }
    }

    /// With Secrets, which are left out otherwise.
    #[must_use]
    pub fn with_secrets(self, digest: Box<SecretDigest>) -> Self {
        Self { trust: self.trust.with_secrets(digest), ..self }
    }

    /// Takes in an object as JSON, unless a newer version of it is known. Returns what changed.
    pub fn absorb(&self, kind: Kind, raw: &str) -> Option<Change> {
        self.put(kind, self.read(kind, raw))
    }

    /// Takes in the answer to a write of ours. An object of a kind that is not observed is left out.
    pub fn absorb_answer(&self, object: &Value) -> Option<Change> {
        self.absorb(Kind::of_object(object)?, &object.to_string())
    }

    /// Forgets an object whose deletion the API server confirmed to us, and what is still on its way about it.
    /// Only for one that is gone: a pod that is still ending is answered as an object, to be absorbed.
    pub fn forget(&self, kind: Kind, namespace: &str, name: &str, uid: &str) -> Option<Change> {
        let [namespace, name, uid] = [namespace, name, uid].map(str::to_owned);
        let identity = Identity { namespace, name, uid, ..Identity::default() };
        self.edit(&identity.namespace, |world| world.bury(kind, &identity))
    }

    /// The resourceVersion of an object as we know it, for a write that is conditional on it.
    #[must_use]
    pub fn resource_version(&self, kind: Kind, namespace: &str, name: &str) -> Option<String> {
        let version = self.worlds().get(namespace)?.get(kind, name)?.version;
        (version > 0).then(|| version.to_string())
    }

    /// Every policy, and every one that is gone and has a Recovery.
    #[must_use]
    pub fn policies(&self) -> BTreeSet<PolicyKey> {
        self.policies_in(&Scope::All)
    }

    /// The policies that a change concerns.
    #[must_use]
    pub fn policies_touched(&self, change: &Change) -> Vec<PolicyKey> {
        touched_by(&self.worlds(), change).collect()
    }

    /// Waits until something changed, and returns the policies that have to look again, each once. For one caller:
    /// what is returned is not returned again.
    pub async fn touched(&self) -> BTreeSet<PolicyKey> {
        loop {
            let touched = std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner));
            if !touched.is_empty() {
                return touched;
            }
            // Whoever touches between the look and the wait leaves a permit behind, so nothing is missed.
            self.notify.notified().await;
        }
    }

    /// Everything known about a policy; `None` when neither it nor a Recovery of it exists. `blind` is what is the
    /// matter with our eyes.
    #[must_use]
    pub fn facts(&self, key: &PolicyKey, ceiling: Ceiling, blind: Vec<String>) -> Option<Facts> {
        let worlds = self.worlds();
        let homeless = worlds.get("").into_iter().flat_map(Namespace::malformed);
        let nameless = homeless.filter(|(kind, name, _)| !kind.of_the_cluster() || name.is_empty());
        let nameless = nameless.map(|(kind, ..)| kind);
        let nowhere = Namespace::default();
        let cluster = ceiling.cluster_members.then(|| worlds.get("").unwrap_or(&nowhere));
        gather::facts(worlds.get(key.namespace.as_str())?, cluster, key, ceiling, blind, nameless)
    }

    /// All nodes, seen from one policy.
    pub(super) fn nodes(&self, facts: &Facts) -> Nodes {
        nodes::nodes(&self.worlds(), facts)
    }

    /// The RecoveryBudgets.
    #[must_use]
    pub fn budgets(&self) -> Budgets {
        let worlds = self.worlds();
        let Some(world) = worlds.get("") else { return Budgets::default() };
        let budget = |name: &str| world.budget(name).map(|budget| (name.to_owned(), budget.clone()));
        let unread = world.malformed().filter(|(kind, ..)| *kind == Kind::RecoveryBudget);
        Budgets {
            known: world.all(Kind::RecoveryBudget).filter_map(|(name, _)| budget(name)).collect(),
            unread: unread.map(|(_, name, _)| name.to_owned()).collect(),
        }
    }

    /// Whether an open Recovery of this policy is under action.
    #[must_use]
    pub fn under_action(&self, key: &PolicyKey) -> bool {
        let worlds = self.worlds();
        let Some(world) = worlds.get(key.namespace.as_str()) else { return false };
        let mut incidents = world.linked(Link::Recoveries, &key.name).filter_map(|name| world.recovery(name));
        incidents.any(|incident| under_action(&incident.facts.journal))
    }

    /// Makes these policies look again.
    pub fn wake(&self, keys: impl IntoIterator<Item = PolicyKey>) {
        self.touch(keys.into_iter().collect());
    }

    /// Whether a policy says that Secrets are looked at.
    #[must_use]
    pub fn minds_secrets(&self, key: &PolicyKey) -> bool {
        let worlds = self.worlds();
        worlds.get(key.namespace.as_str()).is_some_and(|world| gather::minds_secrets(world, &key.name))
    }

    /// Whether a policy declares CronJobs that may be stopped, or has stopped one.
    #[must_use]
    pub fn minds_cron_jobs(&self, key: &PolicyKey) -> bool {
        let worlds = self.worlds();
        worlds.get(key.namespace.as_str()).is_some_and(|world| neighbours::minds_cron_jobs(world, &key.name))
    }

    /// Whether a state of this policy has a member of this kind, or its traffic is moved by one.
    pub(super) fn minds(&self, key: &PolicyKey, kind: Kind) -> bool {
        let worlds = self.worlds();
        worlds.get(key.namespace.as_str()).is_some_and(|world| gather::minds(world, &key.name, kind))
    }

    /// How many objects are known of each kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.worlds().values().map(|world| world.all(kind).count()).sum()
    }

    /// How many objects cannot be read.
    #[must_use]
    pub fn count_malformed(&self) -> usize {
        self.worlds().values().map(|world| world.malformed().count()).sum()
    }

    pub(super) fn read(&self, kind: Kind, raw: &str) -> Sighting {
        slim::read(kind, raw, &self.trust)
    }

    pub(super) fn put(&self, kind: Kind, sighting: Sighting) -> Option<Change> {
        let namespace = sighting.identity.namespace.clone();
        self.edit(&namespace, |world| world.put(kind, sighting, false))
    }

    pub(super) fn remove(&self, kind: Kind, identity: &Identity) -> Option<Change> {
        self.edit(&identity.namespace, |world| world.remove(kind, identity))
    }

    /// Replaces what is known of a kind by a list. Returns the difference, deletions included.
    pub(super) fn swap(&self, kind: Kind, scope: &Scope, listing: Listing) -> Vec<Change> {
        let Listing { sightings, moment } = listing;
        let mut named: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut changes = vec![];
        let mut worlds = self.worlds_mut();
        for Sighting { identity, seen } in sightings {
            let names = named.entry(identity.namespace.clone()).or_default();
            names.insert(identity.name.clone(), identity.uid.clone());
            let world = worlds.entry(identity.namespace.as_str().into()).or_default();
            changes.extend(world.put(kind, Sighting { identity, seen }, moment == Moment::Beginning));
        }
        let nothing = BTreeMap::new();
        for (namespace, world) in worlds.iter_mut().filter(|(namespace, _)| scope.covers(namespace)) {
            let listed = named.get(namespace.as_ref()).unwrap_or(&nothing);
            changes.extend(world.keep_only(kind, namespace, listed, moment));
        }
        let touched = changes.iter().flat_map(|change| touched_by(&worlds, change)).collect();
        worlds.retain(|_, world| !world.is_empty());
        drop(worlds);
        self.touch(touched);
        changes
    }

    /// Makes every policy of a scope look again: what we can see of it has changed.
    pub(super) fn touch_all(&self, scope: &Scope) {
        self.touch(self.policies_in(scope));
    }

    fn policies_in(&self, scope: &Scope) -> BTreeSet<PolicyKey> {
        let worlds = self.worlds();
        let covered = worlds.iter().filter(|(namespace, _)| scope.covers(namespace));
        covered.flat_map(|(namespace, world)| everyone(world).map(|name| PolicyKey::new(namespace, &name))).collect()
    }

    fn edit(&self, namespace: &str, edit: impl FnOnce(&mut Namespace) -> Option<Change>) -> Option<Change> {
        let mut worlds = self.worlds_mut();
        let world = worlds.entry(namespace.into()).or_default();
        let change = edit(world);
        if world.is_empty() {
            worlds.remove(namespace);
        }
        let touched = change.iter().flat_map(|change| touched_by(&worlds, change)).collect();
        drop(worlds);
        self.touch(touched);
        change
    }

    fn touch(&self, keys: BTreeSet<PolicyKey>) {
        if keys.is_empty() {
            return;
        }
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).extend(keys);
        self.notify.notify_one();
    }

    // A thread that panicked while it held a lock has ended the process's supervisor as well; what it left is whole.
    fn worlds(&self) -> RwLockReadGuard<'_, Worlds> {
        self.worlds.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn worlds_mut(&self) -> RwLockWriteGuard<'_, Worlds> {
        self.worlds.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("policies", &self.policies().len()).finish_non_exhaustive()
    }
}

/// An object of a namespace that is empty by now still names its own policy; a node is everybody's, and so is a member
/// that belongs to no namespace.
fn touched_by<'a>(worlds: &'a Worlds, change: &'a Change) -> Box<dyn Iterator<Item = PolicyKey> + 'a> {
    if change.kind == Kind::Node || Kind::OUTSIDE.contains(&change.kind) {
        let all = worlds.iter().filter(|(namespace, _)| !namespace.is_empty());
        return Box::new(
            all.flat_map(|(namespace, world)| everyone(world).map(|name| PolicyKey::new(namespace, &name))),
        );
    }
    let empty = Namespace::default();
    let world = worlds.get(change.namespace.as_str()).unwrap_or(&empty);
    Box::new(change.policies(world).into_iter().map(|name| PolicyKey::new(&change.namespace, &name)))
}
