//! Clusters for stories that have to be alone in theirs: several of these are told at once, each in a cluster of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use cluster::{Cluster, Options};

use crate::story;

/// So many at most. Such a story mostly waits: one after the other, they leave the cores idle.
const MOST: usize = 3;

/// All clusters of the run. They are started when they are needed.
#[derive(Default)]
pub struct Clusters {
    all: Mutex<Vec<Arc<Cluster>>>,
    free: Mutex<Vec<Arc<Cluster>>>,
}

impl Clusters {
    /// How many stories may be told alone at the same time.
    pub fn at_once() -> usize {
        // All would be the one that was given.
        if std::env::var_os(cluster::KUBECONFIG_VARIABLE).is_some_and(|path| !path.is_empty()) { 1 } else { MOST }
    }

    /// One that nobody else uses until it is given back.
    pub async fn take(&self) -> Result<Arc<Cluster>> {
        let free = lock(&self.free).pop();
        match free {
            Some(cluster) => Ok(cluster),
            None => self.start().await,
        }
    }

    /// Ends the use of one.
    pub fn give_back(&self, cluster: Arc<Cluster>) {
        lock(&self.free).push(cluster);
    }

    /// All that were started so far.
    pub fn all(&self) -> Vec<Arc<Cluster>> {
        lock(&self.all).clone()
    }

    async fn start(&self) -> Result<Arc<Cluster>> {
        let cluster = Arc::new(Cluster::start(Options::test("e2e")).await?);
        lock(&self.all).push(Arc::clone(&cluster));
        story::install_kinds(&cluster).await?;
        Ok(cluster)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
