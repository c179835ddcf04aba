//! What went through a proxy, and where a request is to be held.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use http::{Method, StatusCode, Uri};
use serde_json::Value;
use tokio::sync::{oneshot, watch};

/// One request that came through a proxy.
#[derive(Clone, Debug)]
pub struct ProxiedRequest {
    /// Counts from 1 in the order of arrival.
    pub number: usize,
    /// The HTTP method.
    pub method: Method,
    /// Path without query.
    pub path: String,
    /// Query, empty if there is none.
    pub query: String,
    /// What was sent, if it was JSON; for writes only.
    pub body: Option<Value>,
    /// The answer's status; none yet, or none ever.
    pub status: Option<u16>,
    /// Leases, events and reviews: written all the time, with no effect on workloads.
    pub background: bool,
    /// The API server is asked to store nothing.
    pub dry_run: bool,
}

impl ProxiedRequest {
    /// Whether its method is POST, PUT, PATCH or DELETE.
    pub fn is_write(&self) -> bool {
        [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&self.method)
    }

    /// Whether it can have an effect on a workload: a write that is neither background nor a dry run. These are the
    /// ones that a hold counts.
    pub fn is_effective_write(&self) -> bool {
        self.is_write() && !self.background && !self.dry_run
    }

    /// Whether it is a watch.
    pub fn is_watch(&self) -> bool {
        self.query.split('&').any(|parameter| matches!(parameter, "watch=true" | "watch=1"))
    }

    fn new(number: usize, method: &Method, uri: &Uri, body: &[u8]) -> Self {
        let query = uri.query().unwrap_or_default();
        let mut request = Self {
            number,
            method: method.clone(),
            path: uri.path().to_owned(),
            query: query.to_owned(),
            body: None,
            status: None,
            background: is_background(uri.path()),
            dry_run: query.split('&').any(|parameter| parameter.starts_with("dryRun=")),
        };
        if request.is_write() {
            request.body = serde_json::from_slice(body).ok();
        }
        request
    }
}

fn is_background(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["apis", group, ..] => {
            matches!(*group, "coordination.k8s.io" | "events.k8s.io" | "authentication.k8s.io" | "authorization.k8s.io")
        }
        ["api", _, "namespaces", _, resource, ..] | ["api", _, resource, ..] => *resource == "events",
        _ => false,
    }
}

/// A request that is to be held, reached or not yet.
pub struct Hold {
    reached: oneshot::Receiver<ProxiedRequest>,
}

impl Hold {
    /// Waits until the request is held, at most until the deadline. With [`hold_after_write`] the API server has
    /// answered by then, and the answer's status is in the description.
    ///
    /// [`hold_after_write`]: super::Proxy::hold_after_write
    pub async fn reached(self, deadline: Duration) -> Result<ProxiedRequest> {
        let reached = tokio::time::timeout(deadline, self.reached).await;
        let reached = reached.with_context(|| format!("no write to hold within {} s", deadline.as_secs_f32()))?;
        reached.context("the hold was replaced by another, or the request was broken off")
    }
}

/// On which side of the API server a request is held.
#[derive(Clone, Copy)]
pub(super) enum Point {
    Before,
    After,
}

pub(super) type Reached = oneshot::Sender<ProxiedRequest>;

struct Waiting {
    writes: usize,
    /// Writes before the first one whose path ends like this do not count.
    path_end: String,
    point: Point,
    reached: Reached,
}

#[derive(Default)]
struct Entries {
    requests: Vec<ProxiedRequest>,
    waiting: Option<Waiting>,
}

/// All requests of one proxy; it lives as long as one test.
pub(super) struct Journal {
    entries: Arc<Mutex<Entries>>,
    changes: watch::Sender<u64>,
}

impl Default for Journal {
    fn default() -> Self {
        Self { entries: Arc::default(), changes: watch::Sender::new(0) }
    }
}

impl Journal {
    /// Notes a request before it is forwarded; gives its number, and where to hold it if it is the one.
    pub(super) fn arrived(&self, method: &Method, uri: &Uri, body: &[u8]) -> (usize, Option<(Point, Reached)>) {
        let mut entries = self.entries();
        let number = entries.requests.len() + 1;
        let request = ProxiedRequest::new(number, method, uri, body);
        let counts = request.is_effective_write();
        entries.requests.push(request);
        let hold = match entries.waiting.take() {
            Some(mut waiting) if counts && uri.path().ends_with(&waiting.path_end) => {
                waiting.path_end.clear();
                waiting.writes = waiting.writes.saturating_sub(1);
                if waiting.writes == 0 {
                    Some((waiting.point, waiting.reached))
                } else {
                    entries.waiting = Some(waiting);
                    None
                }
            }
            waiting => {
                entries.waiting = waiting;
                None
            }
        };
        drop(entries);
        self.changed();
        (number, hold)
    }

    pub(super) fn answered(&self, number: usize, status: StatusCode) {
        if let Some(request) = self.entries().requests.get_mut(number - 1) {
            request.status = Some(status.as_u16());
        }
        self.changed();
    }

    pub(super) fn reached(&self, reached: Reached, number: usize) {
        if let Some(request) = self.entries().requests.get(number - 1) {
            // Nobody waits for it any more, which is their choice.
            let _ = reached.send(request.clone());
        }
    }

    pub(super) fn hold(&self, writes: usize, point: Point) -> Hold {
        self.wait(writes, String::new(), point)
    }

    pub(super) fn hold_from(&self, path_end: &str, writes: usize, point: Point) -> Hold {
        self.wait(writes, path_end.to_owned(), point)
    }

    fn wait(&self, writes: usize, path_end: String, point: Point) -> Hold {
        let (sender, reached) = oneshot::channel();
        self.entries().waiting = Some(Waiting { writes, path_end, point, reached: sender });
        Hold { reached }
    }

    pub(super) fn select(&self, predicate: impl Fn(&ProxiedRequest) -> bool) -> Vec<ProxiedRequest> {
        self.entries().requests.iter().filter(|request| predicate(request)).cloned().collect()
    }

    pub(super) async fn wait_for(
        &self,
        what: &str,
        deadline: Duration,
        predicate: impl Fn(&ProxiedRequest) -> bool,
    ) -> Result<ProxiedRequest> {
        let mut changes = self.changes.subscribe();
        let looking = async {
            loop {
                // Marked as seen before looking, so that a change meanwhile is not missed.
                changes.borrow_and_update();
                if let Some(found) = self.entries().requests.iter().find(|request| predicate(request)) {
                    return Ok(found.clone());
                }
                changes.changed().await.context("the proxy has ended")?;
            }
        };
        let found = tokio::time::timeout(deadline, looking).await;
        found.with_context(|| format!("waited {} s for a request: {what}", deadline.as_secs_f32()))?
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// A lock that a panicking test held is still good: each change under it is complete.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Journal, Point};
    use http::{Method, Uri};

    fn arrive(journal: &Journal, method: Method, uri: &'static str) -> bool {
        journal.arrived(&method, &Uri::from_static(uri), b"{}").1.is_some()
    }

    #[test]
    fn a_hold_counts_effective_writes_only() {
        let journal = Journal::default();
        let _hold = journal.hold(2, Point::After);
        assert!(!arrive(&journal, Method::PATCH, "/apis/apps/v1/namespaces/a/deployments/b"));
        assert!(!arrive(&journal, Method::GET, "/apis/apps/v1/namespaces/a/deployments/b"));
        assert!(!arrive(&journal, Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/a/leases/b"));
        assert!(!arrive(&journal, Method::POST, "/api/v1/namespaces/a/events"));
        assert!(!arrive(&journal, Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews"));
        assert!(!arrive(&journal, Method::POST, "/api/v1/namespaces/a/pods?dryRun=All"));
        assert!(arrive(&journal, Method::POST, "/api/v1/namespaces/events/pods"));
        assert!(!arrive(&journal, Method::DELETE, "/api/v1/namespaces/a/pods/b"));
    }
}
