//! How good our eyes are: for each kind and scope, whether it was listed, is connected, and when it was last heard.
//!
//! Time is an argument here. This module must not decide what follows from being blind.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::kind::{Kind, Scope};

/// A kind that was not heard from for so long counts as out of sight, whatever the connection says. A watch ends after
/// 30 s and then has to be opened again, so a healthy one is heard in time.
pub const LONGEST_SILENCE: Duration = Duration::from_secs(45);

/// What is known about one watch.
#[derive(Clone, Debug)]
pub(super) struct Freshness {
    kind: Kind,
    scope: Scope,
    listed: bool,
    /// The API server does not know the kind.
    unknown: bool,
    trouble: Option<&'static str>,
    heard: Option<Instant>,
}

impl Freshness {
    pub(super) fn new(kind: Kind, scope: Scope) -> Self {
        Self { kind, scope, listed: false, unknown: false, trouble: None, heard: None }
    }

    fn settled(&self) -> bool {
        self.listed || (self.kind.optional() && self.trouble.is_some())
    }

    /// A list, an event, a bookmark, or a watch that was opened. Returns whether that ended a trouble.
    fn heard(&mut self, now: Instant) -> bool {
        (self.heard, self.unknown) = (Some(now), false);
        self.trouble.take().is_some()
    }

    /// It could not be listed or watched. Returns whether that is new.
    fn lost(&mut self, trouble: &'static str) -> bool {
        self.trouble.replace(trouble).is_none()
    }

    /// What is the matter, if anything. The same matter is said in the same words, because it ends up in a status.
    fn problem(&self, now: Instant) -> Option<String> {
        let plural = self.kind.plural();
        let place = match &self.scope {
            Scope::All => String::new(),
            Scope::Namespace(namespace) => format!(" in namespace {namespace}"),
        };
        let silent = self.heard.is_none_or(|heard| now.saturating_duration_since(heard) > LONGEST_SILENCE);
        match self.trouble {
            _ if self.unknown => Some(format!("{plural}{place}: the API server does not know them")),
            Some(trouble) => Some(format!("{plural}{place}: {trouble}")),
            None if !self.listed => Some(format!("{plural}{place}: not listed yet")),
            None if silent => {
                Some(format!("{plural}{place}: nothing heard for more than {} s", LONGEST_SILENCE.as_secs()))
            }
            None => None,
        }
    }
}

/// What is known about all watches. Each reflector speaks of its own by index.
#[derive(Debug)]
pub(super) struct Sight(watch::Sender<Vec<Freshness>>);

impl Sight {
    pub(super) fn new(watches: Vec<Freshness>) -> Self {
        Self(watch::Sender::new(watches))
    }

    /// Everything was listed. Returns whether the API server did not know the kind until now.
    pub(super) fn listed(&self, index: usize, now: Instant) -> bool {
        self.change(index, |freshness| {
            (freshness.listed, freshness.heard) = (true, Some(now));
            std::mem::take(&mut freshness.unknown)
        })
    }

    /// The API server does not know the kind, so there is none. Returns whether that is new.
    pub(super) fn unknown(&self, index: usize) -> bool {
        self.change(index, |freshness| {
            (freshness.listed, freshness.trouble) = (true, None);
            !std::mem::replace(&mut freshness.unknown, true)
        })
    }

    /// Something was heard. Returns whether that ended a trouble.
    pub(super) fn heard(&self, index: usize, now: Instant) -> bool {
        self.change(index, |freshness| freshness.heard(now))
    }

    /// It cannot be listed or watched. Returns whether that is new.
    pub(super) fn lost(&self, index: usize, trouble: &'static str) -> bool {
        self.change(index, |freshness| freshness.lost(trouble))
    }

    /// What is the matter with the watches that matter to `namespace`; with all of them if it is `None`. A kind that the
    /// API server does not know is no trouble.
    pub(super) fn blind(&self, namespace: Option<&str>, now: Instant) -> Vec<String> {
        self.blind_to(namespace, now, |kind| !kind.may_be_unknown())
    }

    /// The same, of these kinds only, and of those that the API server knows although it need not.
    pub(super) fn blind_to(
        &self,
        namespace: Option<&str>,
        now: Instant,
        matters: impl Fn(Kind) -> bool,
    ) -> Vec<String> {
        let watches = self.0.borrow();
        let concerned = watches.iter().filter(|watch| namespace.is_none_or(|namespace| watch.scope.covers(namespace)));
        let known = |watch: &Freshness| watch.kind.may_be_unknown() && !watch.unknown;
        concerned.filter(|watch| matters(watch.kind) || known(watch)).filter_map(|watch| watch.problem(now)).collect()
    }

    /// Whether a kind is observed at all, and if so, what is the matter with it.
    pub(super) fn of(&self, kind: Kind, now: Instant) -> Option<Option<String>> {
        let watches = self.0.borrow();
        let found = watches.iter().find(|watch| watch.kind == kind);
        found.map(|watch| watch.problem(now))
    }

    /// Waits until every kind has been listed once. Secrets, nodes and CronJobs that cannot be listed stop only those who
    /// need them.
    pub(super) async fn ready(&self) {
        // The sender is `self`, so the channel cannot close while we wait.
        let _ = self.0.subscribe().wait_for(|watches| watches.iter().all(Freshness::settled)).await;
    }

    fn change<T: Default>(&self, index: usize, change: impl FnOnce(&mut Freshness) -> T) -> T {
        let mut answer = T::default();
        self.0.send_modify(|watches| {
            if let Some(freshness) = watches.get_mut(index) {
                answer = change(freshness);
            }
        });
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn blind_until_listed() {
        let (sight, now) = (Sight::new(vec![Freshness::new(Kind::Pod, Scope::All)]), clock::monotonic());
        assert_eq!(sight.blind(None, now), ["pods: not listed yet"]);
        sight.listed(0, now);
        assert!(sight.blind(None, now).is_empty());
    }

    #[test]
    fn silence_blinds_and_a_bookmark_cures() {
        let (sight, start) = (Sight::new(vec![Freshness::new(Kind::Pod, Scope::All)]), clock::monotonic());
        sight.listed(0, start);
        assert!(sight.blind(None, start + seconds(45)).is_empty());
        assert_eq!(sight.blind(None, start + seconds(46)), ["pods: nothing heard for more than 45 s"]);
        sight.heard(0, start + seconds(46));
        assert!(sight.blind(None, start + seconds(90)).is_empty());
    }

    #[test]
    fn a_lost_connection_blinds_at_once_and_is_told_once() {
        let (sight, now) = (Sight::new(vec![Freshness::new(Kind::Pod, Scope::All)]), clock::monotonic());
        sight.listed(0, now);
        assert!(sight.lost(0, "gone"));
        assert!(!sight.lost(0, "still gone"));
        assert_eq!(sight.blind(None, now), ["pods: still gone"]);
        assert!(sight.heard(0, now));
        assert!(sight.blind(None, now).is_empty());
    }

    #[test]
    fn another_namespace_does_not_blind_us() {
        let scope = |namespace: &str| Scope::Namespace(namespace.into());
        let watches = vec![Freshness::new(Kind::Pod, scope("a")), Freshness::new(Kind::Pod, scope("b"))];
        let (sight, now) = (Sight::new(watches), clock::monotonic());
        sight.listed(0, now);
        assert!(sight.blind(Some("a"), now).is_empty());
        assert_eq!(sight.blind(Some("b"), now), ["pods in namespace b: not listed yet"]);
        assert_eq!(sight.blind(None, now).len(), 1);
    }
}
