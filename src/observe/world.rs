//! One namespace as it is known: its objects, and the links by which one finds the other.
//!
//! Everything observed is namespaced and refers to its own namespace only, so each namespace is a small world. The
//! order of resourceVersions decides what is newer, never the order of arrival. This module must not judge.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Change, Wake, wakes};
use super::kind::Kind;
use super::links::{Link, links};
use super::slim::{
    Budget, EndpointSlice, Identity, Incident, Member, Object, Pod, Policy, Revision, Seen, Sighting, State, Tie,
};
use crate::plan::facts::{ConfigMapFacts, ServiceFacts, Workload};
use crate::plan::neighbours::NeighbourFacts;
use crate::plan::nodes::NodeFacts;

/// An object and how new it is.
#[derive(Debug)]
pub(super) struct Stored {
    pub uid: Box<str>,
    pub version: u64,
    pub object: Object,
}

/// An object that exists and cannot be read.
#[derive(Debug)]
pub(super) struct Malformed {
    version: u64,
    /// The policy it is labelled with.
    pub policy: Option<Box<str>>,
}

/// What a list says about objects that it does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Those known from before this version do not exist any more; newer ones may.
    Version(u64),
    /// None exists: history begins anew with this list.
    Beginning,
}

/// Names of what is linked, each with how many objects have it: those of several kinds may be namesakes.
type Linked = BTreeMap<Box<str>, u32>;

#[derive(Debug, Default)]
pub(super) struct Namespace {
    objects: BTreeMap<Kind, BTreeMap<Box<str>, Stored>>,
    malformed: BTreeMap<(Kind, Box<str>), Malformed>,
    /// Uids that we deleted and whose deletion was not heard of yet: what is still on its way must not revive them.
    buried: BTreeMap<Kind, BTreeSet<Box<str>>>,
    links: BTreeMap<Link, BTreeMap<Box<str>, Linked>>,
}

impl Namespace {
    pub(super) fn is_empty(&self) -> bool {
        let nothing_left =
            self.objects.values().all(BTreeMap::is_empty) && self.buried.values().all(BTreeSet::is_empty);
        nothing_left && self.malformed.is_empty()
    }

    pub(super) fn get(&self, kind: Kind, name: &str) -> Option<&Stored> {
        self.objects.get(&kind)?.get(name)
    }

    /// Names of the objects linked to `to`.
    pub(super) fn linked(&self, link: Link, to: &str) -> impl Iterator<Item = &str> {
        self.links.get(&link).and_then(|links| links.get(to)).into_iter().flat_map(BTreeMap::keys).map(Box::as_ref)
    }

    /// Everything that has a link of this sort to it, and what is linked.
    pub(super) fn all_linked(&self, link: Link) -> impl Iterator<Item = (&str, impl Iterator<Item = &str>)> {
        let links = self.links.get(&link).into_iter().flatten();
        links.map(|(to, from)| (to.as_ref(), from.keys().map(Box::as_ref)))
    }

    pub(super) fn all(&self, kind: Kind) -> impl Iterator<Item = (&str, &Stored)> {
        self.objects.get(&kind).into_iter().flatten().map(|(name, stored)| (name.as_ref(), stored))
    }

    pub(super) fn malformed(&self) -> impl Iterator<Item = (Kind, &str, &Malformed)> {
        self.malformed.iter().map(|((kind, name), malformed)| (*kind, name.as_ref(), malformed))
    }

    /// Takes in what was seen of an object, unless something newer is known.
    pub(super) fn put(&mut self, kind: Kind, sighting: Sighting, whatever_was: bool) -> Option<Change> {
        let Sighting { identity, seen } = sighting;
        let dead = self.buried.get(&kind).is_some_and(|uids| uids.contains(identity.uid.as_str()));
        let stored = self.get(kind, &identity.name).map(|stored| stored.version);
        let unread = self.malformed.get(&(kind, identity.name.as_str().into())).map(|malformed| malformed.version);
        let known = stored.max(unread).unwrap_or(0);
        if !whatever_was && (dead || identity.version < known) {
            return None;
        }
        match seen {
            Seen::Malformed(why) => self.mark_malformed(kind, &identity, &why),
            Seen::Unneeded => {
                let cured = self.malformed.remove(&(kind, identity.name.as_str().into())).is_some();
                let gone = self.take(kind, &identity.name).map(|stored| wakes(&identity.name, &stored.object));
                change(kind, &identity.namespace, &identity.name, gone, cured)
            }
            Seen::Object(object) => self.store(kind, identity, object),
        }
    }

    fn store(&mut self, kind: Kind, identity: Identity, object: Object) -> Option<Change> {
        let Identity { namespace, name, uid, version, .. } = identity;
        let cured = self.malformed.remove(&(kind, name.as_str().into())).is_some();
        let stored = self.objects.entry(kind).or_default().get_mut(name.as_str());
        if let Some(stored) = stored.filter(|stored| *stored.uid == *uid && stored.object == object) {
            stored.version = version;
            return change(kind, &namespace, &name, None, cured);
        }
        let mut woken = wakes(&name, &object);
        if let Some(before) = self.take(kind, &name) {
            woken.extend(wakes(&name, &before.object));
        }
        for (link, to) in links(&object) {
            let names = self.links.entry(link).or_default().entry(to.into()).or_default();
            *names.entry(name.as_str().into()).or_default() += 1;
        }
        let stored = Stored { uid: uid.into(), version, object };
        self.objects.entry(kind).or_default().insert(name.as_str().into(), stored);
        change(kind, &namespace, &name, Some(woken), cured)
    }

    /// What was known of it stays: it is not gone, and a policy or target that cannot be read must not look deleted.
    fn mark_malformed(&mut self, kind: Kind, identity: &Identity, why: &str) -> Option<Change> {
        let Identity { namespace, name, version, policy, .. } = identity;
        let policy = policy.as_deref().map(Into::into);
        let known = self.malformed.insert((kind, name.as_str().into()), Malformed { version: *version, policy });
        if known.is_some_and(|known| known.version == *version) {
            return None;
        }
        tracing::warn!(%kind, namespace, name, version, why, "an object cannot be read; nothing near it is touched");
        change(kind, namespace, name, None, true)
    }

    /// Forgets an object that was deleted. Another one of the same name stays.
    pub(super) fn remove(&mut self, kind: Kind, identity: &Identity) -> Option<Change> {
        let Identity { namespace, name, uid, .. } = identity;
        if let Some(uids) = self.buried.get_mut(&kind) {
            uids.remove(uid.as_str());
        }
        let cured = self.malformed.remove(&(kind, name.as_str().into())).is_some();
        if self.get(kind, name).is_none_or(|stored| *stored.uid != **uid) {
            return change(kind, namespace, name, None, cured);
        }
        let gone = self.take(kind, name).map(|stored| wakes(name, &stored.object));
        change(kind, namespace, name, gone, cured)
    }

    /// Forgets an object that we deleted ourselves, before its deletion is heard of.
    pub(super) fn bury(&mut self, kind: Kind, identity: &Identity) -> Option<Change> {
        let change = self.remove(kind, identity);
        if !identity.uid.is_empty() {
            self.buried.entry(kind).or_default().insert(identity.uid.as_str().into());
        }
        change
    }

    /// Forgets everything of this kind that a list made at `moment` does not name.
    pub(super) fn keep_only(
        &mut self,
        kind: Kind,
        namespace: &str,
        listed: &BTreeMap<String, String>,
        moment: Moment,
    ) -> Vec<Change> {
        let older = |version: u64| match moment {
            Moment::Version(at) => version <= at,
            Moment::Beginning => true,
        };
        if let Some(uids) = self.buried.get_mut(&kind) {
            uids.retain(|uid| listed.values().any(|listed| **listed == **uid));
        }
        let known = self.all(kind).filter(|(name, stored)| !listed.contains_key(*name) && older(stored.version));
        let gone: Vec<_> = known.map(|(name, stored)| (name.to_owned(), stored.uid.to_string())).collect();
        let unread = self.malformed.iter().filter(|((of, name), malformed)| {
            *of == kind && !listed.contains_key(name.as_ref()) && older(malformed.version)
        });
        let unread: Vec<_> = unread.map(|((_, name), _)| (name.to_string(), String::new())).collect();
        let identity = |(name, uid)| Identity { namespace: namespace.to_owned(), name, uid, ..Identity::default() };
        gone.into_iter().chain(unread).filter_map(|gone| self.remove(kind, &identity(gone))).collect()
    }

    /// Takes an object out, and its links.
    fn take(&mut self, kind: Kind, name: &str) -> Option<Stored> {
        let stored = self.objects.get_mut(&kind)?.remove(name)?;
        for (link, to) in links(&stored.object) {
            let Some(ends) = self.links.get_mut(&link) else { continue };
            let Some(names) = ends.get_mut(to) else { continue };
            let Some(count) = names.get_mut(name) else { continue };
            *count -= 1;
            if *count == 0 {
                names.remove(name);
            }
            if names.is_empty() {
                ends.remove(to);
            }
        }
        Some(stored)
    }
}

/// The objects of one kind, each by name.
macro_rules! typed {
    ($name:ident, $kind:ident, $type:ty) => {
        pub(super) fn $name(&self, name: &str) -> Option<&$type> {
            match &self.get(Kind::$kind, name)?.object {
                Object::$kind(object) => Some(object),
                _ => None,
            }
        }
    };
}

impl Namespace {
    typed!(pod, Pod, Pod);
    typed!(config_map, ConfigMap, ConfigMapFacts);
    typed!(service, Service, ServiceFacts);
    typed!(endpoint_slice, EndpointSlice, EndpointSlice);
    typed!(policy, RecoveryPolicy, Policy);
    typed!(state, StableState, State);
    typed!(recovery, Recovery, Incident);
    typed!(budget, RecoveryBudget, Budget);
    typed!(node, Node, NodeFacts);
    typed!(cron_job, CronJob, NeighbourFacts);
}

impl Namespace {
    /// Whether it is being deleted, and everything in it.
    pub(super) fn is_ending(&self) -> bool {
        self.all(Kind::Namespace).any(|(_, stored)| match &stored.object {
            Object::Member(namespace) => namespace.tie == Tie::Surrounds { ending: true },
            _ => false,
        })
    }

    /// The Deployment, StatefulSet or DaemonSet of this name.
    pub(super) fn workload(&self, kind: Kind, name: &str) -> Option<&Workload> {
        match &self.get(kind, name)?.object {
            Object::Workload(workload) => Some(workload),
            _ => None,
        }
    }

    /// Every workload of this name, of whatever kind.
    pub(super) fn workloads(&self, name: &str) -> impl Iterator<Item = &Workload> {
        [Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet]
            .into_iter()
            .filter_map(move |kind| self.workload(kind, name))
    }

    /// The ReplicaSet or ControllerRevision of this name.
    pub(super) fn revision(&self, kind: Kind, name: &str) -> Option<&Revision> {
        match &self.get(kind, name)?.object {
            Object::Revision(revision) => Some(revision),
            _ => None,
        }
    }

    /// The member of this kind and name, other than the target, its ConfigMaps and Services.
    pub(super) fn member(&self, kind: Kind, name: &str) -> Option<&Member> {
        match &self.get(kind, name)?.object {
            Object::Member(member) => Some(member),
            _ => None,
        }
    }
}

/// A change, if anything changed that may wake somebody.
fn change(kind: Kind, namespace: &str, name: &str, woken: Option<BTreeSet<Wake>>, everyone: bool) -> Option<Change> {
    let mut woken = woken.unwrap_or_default();
    if everyone {
        woken.insert(Wake::Everyone);
    }
    (!woken.is_empty()).then(|| Change::new(kind, namespace, name, woken))
}
