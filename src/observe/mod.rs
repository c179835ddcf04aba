//! The eyes: everything known about the cluster, how old it is, and whom a change concerns.
//!
//! Each kind has a reflector of its own that feeds [`Stores`]; [`Observer::facts`] puts together what one policy needs.
//! Kubernetes' own types end here: what leaves is [`Facts`]. This module must not judge what it sees and must not write
//! to a cluster. It keeps digests and never the content of a ConfigMap, a Secret or a stable state.
//!
//! Rights: `list`, `watch` on every [`Kind`]; on Secrets, nodes, CronJobs, routes of the Gateway API, namespaces and members
//! outside of these only where they are asked for.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod autoscalers;
mod change;
pub mod folder;
mod gather;
mod kind;
mod links;
mod marks;
mod members;
mod neighbours;
mod network;
mod nodes;
mod providers;
mod reflector;
mod sight;
mod slim;
mod stores;
#[cfg(test)]
mod tests;
mod wire;
mod world;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use kube::Client;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use change::Change;
pub use kind::{Kind, Scope};
pub use providers::Providers;
pub use sight::LONGEST_SILENCE;
pub use slim::{Budget, SecretDigest};
pub use stores::{Budgets, Stores};

use crate::api::StableState;
use crate::plan::facts::{Ceiling, Facts};
use crate::plan::nodes::NodeSight;
use reflector::Reflector;
use sight::{Freshness, Sight};

/// Names a policy, whether or not it still exists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl PolicyKey {
    /// The policy of this name.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for PolicyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Everything observed, kept up to date.
#[derive(Clone, Debug)]
pub struct Observer {
    stores: Arc<Stores>,
    sight: Arc<Sight>,
}

impl Observer {
    /// Begins to observe these namespaces, or all if none is named. `verify` tells whether the seal of a state is ours;
    /// `secrets` makes the digests of Secrets, and without it they are not observed; of nodes, CronJobs, routes of the
    /// Gateway API, namespaces and members outside of these, those in `also`.
    /// The client must not retry by itself. The tasks do not end: the end of any of them is the end of sight and must
    /// end the process.
    #[must_use]
    pub fn start(
        client: &Client,
        namespaces: &[String],
        verify: impl Fn(&StableState) -> bool + Send + Sync + 'static,
        secrets: Option<Box<SecretDigest>>,
        also: &[Kind],
    ) -> (Self, JoinSet<()>) {
        let named: BTreeSet<&String> = namespaces.iter().collect();
        let scopes = match named.is_empty() {
            true => vec![Scope::All],
            false => named.into_iter().map(|namespace| Scope::Namespace(namespace.clone())).collect(),
        };
        let kinds = Kind::ALL.into_iter().filter(|kind| match kind {
            Kind::Secret => secrets.is_some(),
            Kind::Node | Kind::CronJob | Kind::Namespace | Kind::HttpRoute | Kind::GrpcRoute => also.contains(kind),
            kind if Kind::OUTSIDE.contains(kind) => also.contains(kind),
            _ => true,
        });
        let (of_all, of_each): (Vec<Kind>, Vec<Kind>) = kinds.partition(|kind| kind.of_the_cluster());
        let sources = scopes.iter().flat_map(|scope| of_each.iter().map(|kind| (*kind, scope.clone())));
        let sources: Vec<(Kind, Scope)> = sources.chain(of_all.into_iter().map(|kind| (kind, Scope::All))).collect();
        let watches = sources.iter().map(|(kind, scope)| Freshness::new(*kind, scope.clone())).collect();
        let stores = match secrets {
            Some(digest) => Stores::new(verify).with_secrets(digest),
            None => Stores::new(verify),
        };
        let (stores, sight) = (Arc::new(stores), Arc::new(Sight::new(watches)));
        let mut tasks = JoinSet::new();
        for (index, (kind, scope)) in sources.into_iter().enumerate() {
            let (client, stores, sight) = (client.clone(), Arc::clone(&stores), Arc::clone(&sight));
            tasks.spawn(Reflector { client, kind, scope, stores, sight, index, newest: 0 }.run());
        }
        (Self { stores, sight }, tasks)
    }

    /// Waits until every kind has been listed once.
    pub async fn ready(&self) {
        self.sight.ready().await;
    }

    /// Everything known about a policy; `None` when neither it nor a Recovery of it exists. `now` is
    /// [`crate::clock::monotonic`].
    #[must_use]
    pub fn facts(&self, key: &PolicyKey, ceiling: Ceiling, now: Instant) -> Option<Facts> {
        let secrets = self.stores.minds_secrets(key);
        let cron_jobs = self.stores.minds_cron_jobs(key);
        let matters = |kind: Kind| match kind {
            Kind::Secret => secrets,
            Kind::CronJob => cron_jobs,
            // Those that are needed are not gone because nobody can ask for them any more.
            Kind::HttpRoute | Kind::GrpcRoute => self.stores.minds(key, kind),
            _ => !kind.optional(),
        };
        let blind = self.sight.blind_to(Some(&key.namespace), now, matters);
        let mut facts = self.stores.facts(key, ceiling, blind)?;
        facts.nodes = match self.sight.of(Kind::Node, now) {
            None => NodeSight::Off,
            Some(Some(_)) => NodeSight::Blind,
            Some(None) => NodeSight::Seen(self.stores.nodes(&facts)),
        };
        Some(facts)
    }

    /// What is the matter with our eyes anywhere, in sentences; empty when all is fresh.
    #[must_use]
    pub fn blind(&self, now: Instant) -> Vec<String> {
        self.sight.blind(None, now)
    }

    /// Everything observed.
    #[must_use]
    pub fn stores(&self) -> &Stores {
        &self.stores
    }
}
