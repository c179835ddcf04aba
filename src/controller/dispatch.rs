//! Which policy is looked at next: bounded, never two steps of one policy at once, and nothing forgotten.
//!
//! Level-triggered: whatever woke a policy, its step is the same. This module must not know what a step does.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::asking::{self, Questions};
use super::operator::{Answers, Operator, Stepped};
use super::rehearsing::Rehearsals;
use super::schedule::Schedule;
use crate::clock;
use crate::leader::Permit;
use crate::observe::{Kind, PolicyKey};
use crate::plan::Memory;
use crate::plan::facts::{CheckAnswer, Rehearsal};

/// Steps that may be under way at once. Each waits for the API server most of its time.
const MOST_AT_ONCE: usize = 64;
/// How often we ask ourselves whether we still see and lead.
const SELF_CHECK: Duration = Duration::from_secs(1);
/// Answers about states, and to checks, that are kept for a policy; the oldest go first.
const MOST_ANSWERS: usize = 16;
const SHORTEST_BACKOFF: Duration = Duration::from_millis(20);
const LONGEST_BACKOFF: Duration = Duration::from_secs(15);

/// What is kept of a policy between two steps.
#[derive(Default)]
struct Subject {
    /// `None` while a step has it.
    memory: Option<Memory>,
    failures: u32,
    /// Woken while a step was under way.
    again: bool,
    answers: Answers,
}

/// Hands out steps.
pub(super) struct Dispatcher {
    operator: Arc<Operator>,
    permit: watch::Receiver<Permit>,
    schedule: Schedule,
    subjects: BTreeMap<PolicyKey, Subject>,
    running: JoinSet<(PolicyKey, Stepped)>,
    rehearsals: Rehearsals,
    questions: Questions,
    leading: bool,
    blind: Vec<String>,
}

impl Dispatcher {
    pub(super) fn new(operator: Arc<Operator>, permit: watch::Receiver<Permit>) -> Self {
        Self {
            operator,
            permit,
            schedule: Schedule::default(),
            subjects: BTreeMap::new(),
            running: JoinSet::new(),
            rehearsals: Rehearsals::default(),
            questions: Questions::default(),
            leading: false,
            blind: vec![],
        }
    }

    /// Works until `stop` resolves; then waits for the steps that are under way.
    pub(super) async fn run(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let operator = Arc::clone(&self.operator);
        let mut self_check = interval(SELF_CHECK);
        self_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(stop);
        loop {
            self.begin_due();
            self.rehearsals.begin_due(&self.operator);
            let full = self.running.len() >= MOST_AT_ONCE;
            let next = self.schedule.next().filter(|_| !full);
            let rehearsal = self.rehearsals.next();
            tokio::select! {
                () = &mut stop => break,
                touched = operator.observer.stores().touched() => self.wake(touched),
                Some(stepped) = self.running.join_next() => {
                    let (key, stepped) = stepped.context("a step panicked")?;
                    self.settle(key, stepped);
                }
                Some(answered) = self.rehearsals.join_next() => {
                    let (key, answer) = answered.context("a rehearsal panicked")?;
                    self.learn(key, answer);
                }
                Some(answered) = self.questions.join_next() => {
                    let (key, answers) = answered.context("a question to a metrics provider panicked")?;
                    self.learn_checks(key, answers);
                }
                () = sleep_until(next.unwrap_or_else(clock::monotonic)), if next.is_some() => {}
                () = sleep_until(rehearsal.unwrap_or_else(clock::monotonic)), if rehearsal.is_some() => {}
                changed = self.permit.changed() => {
                    changed.context("the election has ended")?;
                    self.check_ourselves();
                }
                _ = self_check.tick() => self.check_ourselves(),
            }
        }
        while let Some(stepped) = self.running.join_next().await {
            stepped.context("a step panicked")?;
        }
        Ok(())
    }

    fn wake(&mut self, keys: impl IntoIterator<Item = PolicyKey>) {
        let now = clock::monotonic();
        for key in keys {
            match self.subjects.get_mut(&key).filter(|subject| subject.memory.is_none()) {
                Some(busy) => busy.again = true,
                None => self.schedule.ask(key, now),
            }
        }
    }

    fn begin_due(&mut self) {
        let now = clock::monotonic();
        while self.running.len() < MOST_AT_ONCE
            && let Some(key) = self.schedule.take_due(now)
        {
            let subject = self
                .subjects
                .entry(key.clone())
                .or_insert_with(|| Subject { memory: Some(Memory::default()), ..Subject::default() });
            let Some(memory) = subject.memory.take() else {
                subject.again = true;
                continue;
            };
            let (operator, answers) = (Arc::clone(&self.operator), subject.answers.clone());
            self.running.spawn(async move {
                let stepped = operator.step(&key, memory, answers).await;
                (key, stepped)
            });
        }
    }

    fn settle(&mut self, key: PolicyKey, stepped: Stepped) {
        let now = clock::monotonic();
        let Some(subject) = self.subjects.get_mut(&key) else { return };
        let again = std::mem::take(&mut subject.again);
        let Stepped { memory, wake_in, failed, rehearse, ask } = stepped;
        subject.failures = if failed { subject.failures.saturating_add(1) } else { 0 };
        let Some(memory) = memory else {
            self.subjects.remove(&key);
            if again {
                self.schedule.ask(key, now);
            }
            return;
        };
        subject.memory = Some(memory);
        if let Some(request) = rehearse {
            self.rehearsals.ask(key.clone(), request);
        }
        self.questions.ask(&key, ask, &self.operator);
        let at = match (failed, again) {
            // What woke it meanwhile may be the cure, but a failing step must not spin.
            (true, _) => now + backoff(subject.failures),
            (false, true) => now,
            (false, false) => now + wake_in,
        };
        self.schedule.ask(key, at);
    }

    /// An answer is a fact: the policy looks again.
    fn learn(&mut self, key: PolicyKey, answer: Rehearsal) {
        let Some(subject) = self.subjects.get_mut(&key) else { return };
        let known = &mut subject.answers.rehearsals;
        known.retain(|known| known.state != answer.state);
        known.push(answer);
        let surplus = known.len().saturating_sub(MOST_ANSWERS);
        known.drain(..surplus);
        self.wake([key]);
    }

    /// So are those of a metrics provider.
    fn learn_checks(&mut self, key: PolicyKey, answers: Vec<CheckAnswer>) {
        let Some(subject) = self.subjects.get_mut(&key) else { return };
        asking::learn(&mut subject.answers.checks, answers, MOST_ANSWERS);
        self.wake([key]);
    }

    /// Everybody looks again when we begin to lead, and when what we can see changes.
    fn check_ourselves(&mut self) {
        let now = clock::monotonic();
        let permit = *self.permit.borrow_and_update();
        let leading = permit.valid(now);
        if leading {
            self.operator.ledger.covered(permit, now);
        }
        let blind = self.operator.observer.blind(now);
        self.operator.metrics.leading.set(i64::from(leading));
        let policies = self.operator.observer.stores().count(Kind::RecoveryPolicy);
        self.operator.metrics.policies.set(i64::try_from(policies).unwrap_or(i64::MAX));
        self.operator.metrics.blind_kinds.set(i64::try_from(blind.len()).unwrap_or(i64::MAX));
        let begins = leading && !self.leading;
        if leading != self.leading {
            tracing::info!(leading, "leadership changed");
        }
        if begins || blind != self.blind {
            self.wake(self.operator.observer.stores().policies());
        }
        self.leading = leading;
        self.blind = blind;
    }
}

/// Doubled with each failure in a row.
fn backoff(failures: u32) -> Duration {
    SHORTEST_BACKOFF.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST_BACKOFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_is_repeated_ever_later() {
        assert_eq!([1, 2, 3].map(backoff).map(|pause| pause.as_millis()), [20, 40, 80]);
        assert_eq!(backoff(u32::MAX), LONGEST_BACKOFF);
    }
}
