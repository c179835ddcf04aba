//! Clusters for stories that have to be alone in theirs: several of these are told at once, each in a cluster of its own.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use cluster::{Cluster, Options};

use crate::story;

/// So many at most. Such a story mostly waits: one after the other, they leave the cores idle.
const MOST: usize = 3;

/// The clusters that nobody uses: all of the run, once every story is told. They are started when they are needed.
#[derive(Default)]
pub struct Clusters(Mutex<Vec<Arc<Cluster>>>);

impl Clusters {
    /// How many stories may be told alone at the same time.
    pub fn at_once() -> usize {
        // All would be the one that was given.
        if std::env::var_os(cluster::KUBECONFIG_VARIABLE).is_some_and(|path| !path.is_empty()) { 1 } else { MOST }
    }

    /// One that nobody else uses until it is given back.
    pub async fn take(&self) -> Result<Arc<Cluster>> {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(cluster) = free {
            return Ok(cluster);
        }
        let cluster = Arc::new(Cluster::start(Options::test("e2e")).await?);
        story::install_kinds(&cluster).await?;
        Ok(cluster)
    }

    /// Ends the use of one.
    pub fn give_back(&self, cluster: Arc<Cluster>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(cluster);
    }

    /// Those that nobody uses.
    pub fn free(&self) -> Vec<Arc<Cluster>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
