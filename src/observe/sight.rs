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
    trouble: Option<&'static str>,
    heard: Option<Instant>,
}

impl Freshness {
    pub(super) fn new(kind: Kind, scope: Scope) -> Self {
        Self { kind, scope, listed: false, trouble: None, heard: None }
    }

    fn settled(&self) -> bool {
        self.listed || (self.kind == Kind::Secret && self.trouble.is_some())
    }

    /// A list, an event, a bookmark, or a watch that was opened. Returns whether that ended a trouble.
    fn heard(&mut self, now: Instant) -> bool {
        self.heard = Some(now);
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

    /// Everything was listed.
    pub(super) fn listed(&self, index: usize, now: Instant) {
        self.change(index, |freshness| {
            freshness.listed = true;
            freshness.heard = Some(now);
        });
    }

    /// Something was heard. Returns whether that ended a trouble.
    pub(super) fn heard(&self, index: usize, now: Instant) -> bool {
        self.change(index, |freshness| freshness.heard(now))
    }

    /// It cannot be listed or watched. Returns whether that is new.
    pub(super) fn lost(&self, index: usize, trouble: &'static str) -> bool {
        self.change(index, |freshness| freshness.lost(trouble))
    }

    /// What is the matter with the watches that matter to `namespace`; with all of them if it is `None`.
    pub(super) fn blind(&self, namespace: Option<&str>, now: Instant) -> Vec<String> {
        self.blind_to(namespace, now, |_| true)
    }

    /// The same, of these kinds only.
    pub(super) fn blind_to(
        &self,
        namespace: Option<&str>,
        now: Instant,
        matters: impl Fn(Kind) -> bool,
    ) -> Vec<String> {
        let watches = self.0.borrow();
        let concerned = watches.iter().filter(|watch| namespace.is_none_or(|namespace| watch.scope.covers(namespace)));
        concerned.filter(|watch| matters(watch.kind)).filter_map(|watch| watch.problem(now)).collect()
    }

    /// Waits until every kind has been listed once. Secrets that cannot be listed stop only those who ask for them.
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
