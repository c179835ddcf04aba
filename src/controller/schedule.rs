//! Who is due when. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::observe::PolicyKey;

/// At most one due time for each policy; the earliest one asked for wins.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    at: BTreeMap<PolicyKey, Instant>,
    order: BTreeSet<(Instant, PolicyKey)>,
}

impl Schedule {
    /// Asks for a policy to be looked at, at `at` or earlier.
    pub(super) fn ask(&mut self, key: PolicyKey, at: Instant) {
        if self.at.get(&key).is_some_and(|due| *due <= at) {
            return;
        }
        self.cancel(&key);
        self.order.insert((at, key.clone()));
        self.at.insert(key, at);
    }

    /// Forgets what was asked for a policy.
    pub(super) fn cancel(&mut self, key: &PolicyKey) {
        if let Some(due) = self.at.remove(key) {
            self.order.remove(&(due, key.clone()));
        }
    }

    /// Takes the next policy that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<PolicyKey> {
        let (_, key) = self.order.first().filter(|(due, _)| *due <= now)?;
        let key = key.clone();
        self.cancel(&key);
        Some(key)
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    fn key(name: &str) -> PolicyKey {
        PolicyKey::new("shop", name)
    }

    #[test]
    fn the_earliest_time_asked_for_wins_and_is_told_once() {
        let (mut schedule, now) = (Schedule::default(), clock::monotonic());
        let later = now + Duration::from_secs(5);
        schedule.ask(key("a"), later);
        schedule.ask(key("a"), now);
        schedule.ask(key("a"), later);
        schedule.ask(key("b"), later);
        assert_eq!(schedule.take_due(now), Some(key("a")));
        assert_eq!(schedule.take_due(now), None);
        assert_eq!(schedule.next(), Some(later));
        schedule.cancel(&key("b"));
        assert_eq!(schedule.next(), None);
    }
}
