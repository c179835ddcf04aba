//! Rehearsals beside the steps: they never hold up a step of their policy, and many at once never flood the API server.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::operator::Operator;
use crate::clock;
use crate::observe::PolicyKey;
use crate::plan::Rehearse;
use crate::plan::facts::Rehearsal;

/// Rehearsals that may be under way at once.
const MOST_AT_ONCE: usize = 64;
/// Of those, rehearsals that no decision waits for.
const MOST_WITHOUT_HURRY: usize = 4;
/// The pause between two that no decision waits for: after a start, thousands are due.
const PAUSE: Duration = Duration::from_millis(20);

/// Rehearsals that wait or are under way; at most one of each for a policy.
#[derive(Default)]
pub(super) struct Rehearsals {
    waiting: BTreeMap<PolicyKey, Rehearse>,
    /// In the order in which they were asked for. A key without anything waiting was served by the other queue.
    urgent: VecDeque<PolicyKey>,
    others: VecDeque<PolicyKey>,
    under_way: BTreeSet<PolicyKey>,
    running: JoinSet<(PolicyKey, Rehearsal)>,
    /// When the next without hurry may begin.
    not_before: Option<Instant>,
}

impl Rehearsals {
    /// Asks for one. The last word of a policy counts. One that is under way ends first; its answer wakes the policy.
    pub(super) fn ask(&mut self, key: PolicyKey, request: Rehearse) {
        if self.under_way.contains(&key) {
            return;
        }
        let urgent = request.urgent;
        match (self.waiting.insert(key.clone(), request), urgent) {
            (Some(before), true) if before.urgent => {}
            (_, true) => self.urgent.push_back(key),
            (None, false) => self.others.push_back(key),
            (Some(_), false) => {}
        }
    }

    /// Begins those that may begin.
    pub(super) fn begin_due(&mut self, operator: &Arc<Operator>) {
        while let Some((key, request)) = self.take_due(clock::monotonic()) {
            self.under_way.insert(key.clone());
            let operator = Arc::clone(operator);
            self.running.spawn(async move {
                let answer = operator.rehearse(&key, request).await;
                (key, answer)
            });
        }
    }

    fn take_due(&mut self, now: Instant) -> Option<(PolicyKey, Rehearse)> {
        let running = self.running.len();
        while running < MOST_AT_ONCE
            && let Some(key) = self.urgent.pop_front()
        {
            if let Some(request) = self.waiting.remove(&key) {
                return Some((key, request));
            }
        }
        while running < MOST_WITHOUT_HURRY
            && self.not_before.is_none_or(|at| now >= at)
            && let Some(key) = self.others.pop_front()
        {
            if let Some(request) = self.waiting.remove(&key) {
                self.not_before = Some(now + PAUSE);
                return Some((key, request));
            }
        }
        None
    }

    /// When to think of those that wait, unless one ends before.
    pub(super) fn next(&self) -> Option<Instant> {
        let may_begin = !self.others.is_empty() && self.running.len() < MOST_WITHOUT_HURRY;
        self.not_before.filter(|_| may_begin)
    }

    /// Waits for the next answer; `None` at once if none is under way.
    pub(super) async fn join_next(&mut self) -> Option<Result<(PolicyKey, Rehearsal), JoinError>> {
        let joined = self.running.join_next().await?;
        if let Ok((key, _)) = &joined {
            self.under_way.remove(key);
        }
        Some(joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::recovery::{ObjectRef, Remediation, Step, StepState};

    fn request(urgent: bool) -> Rehearse {
        let object = ObjectRef { kind: "Deployment".into(), name: "web".into(), uid: "u".into() };
        let workload = Step {
            remediation: Remediation::RestoreTemplate,
            object,
            intent: String::new(),
            from: String::new(),
            to: String::new(),
            keeps: vec![],
            leftovers: vec![],
            state: StepState::Planned,
            change: String::new(),
            refused: String::new(),
            acknowledged: None,
        };
        let (state, inputs, live) = (String::new(), String::new(), String::new());
        Rehearse { state, inputs, live, urgent, pods: 1, workload, rollback: None }
    }

    fn key(name: &str) -> PolicyKey {
        PolicyKey::new("shop", name)
    }

    #[test]
    fn what_a_decision_waits_for_goes_first_and_the_others_one_after_the_other() {
        let (mut rehearsals, now) = (Rehearsals::default(), clock::monotonic());
        for (name, urgent) in [("a", false), ("b", false), ("c", true), ("b", true), ("b", true)] {
            rehearsals.ask(key(name), request(urgent));
        }
        let mut taken = |at| rehearsals.take_due(at).map(|(key, _)| key.name);
        assert_eq!([taken(now), taken(now), taken(now)].map(Option::unwrap), ["c", "b", "a"]);
        rehearsals.ask(key("d"), request(false));
        assert!(rehearsals.take_due(now).is_none(), "too soon after the one before");
        assert_eq!(rehearsals.next(), Some(now + PAUSE));
        assert!(rehearsals.take_due(now + PAUSE).is_some());
        assert_eq!(rehearsals.next(), None);
    }

    #[test]
    fn one_that_is_under_way_is_not_begun_again() {
        let mut rehearsals = Rehearsals::default();
        rehearsals.under_way.insert(key("a"));
        rehearsals.ask(key("a"), request(true));
        assert!(rehearsals.take_due(clock::monotonic()).is_none());
    }
}
