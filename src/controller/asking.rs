//! Questions to metrics providers, beside the steps: they never hold up a step of their policy.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

use super::operator::Operator;
use crate::api::Check;
use crate::observe::PolicyKey;
use crate::plan::facts::CheckAnswer;

/// Questions that are under way; of each policy one set at most.
#[derive(Default)]
pub(super) struct Questions {
    under_way: BTreeSet<PolicyKey>,
    running: JoinSet<(PolicyKey, Vec<CheckAnswer>)>,
}

impl Questions {
    /// Asks, unless an answer is under way already: that one wakes the policy, which then says what else is due.
    pub(super) fn ask(&mut self, key: &PolicyKey, checks: Vec<Check>, operator: &Arc<Operator>) {
        if checks.is_empty() || !self.under_way.insert(key.clone()) {
            return;
        }
        let (operator, key) = (Arc::clone(operator), key.clone());
        self.running.spawn(async move {
            let answers = operator.measure(&key, &checks).await;
            (key, answers)
        });
    }

    /// Waits for the next answers; `None` at once if nothing is under way.
    pub(super) async fn join_next(&mut self) -> Option<Result<(PolicyKey, Vec<CheckAnswer>), JoinError>> {
        let joined = self.running.join_next().await?;
        if let Ok((key, _)) = &joined {
            self.under_way.remove(key);
        }
        Some(joined)
    }
}

/// Takes in new answers. Those to questions that are asked no more are kept for a while, never more than `most` in all.
pub(super) fn learn(known: &mut Vec<CheckAnswer>, answers: Vec<CheckAnswer>, most: usize) {
    known.retain(|old| !answers.iter().any(|new| new.provider == old.provider && new.query == old.query));
    known.extend(answers);
    let surplus = known.len().saturating_sub(most);
    known.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn the_newest_answer_to_each_question_is_kept() {
        let answer = |query: &str, value: f64| CheckAnswer {
            provider: "main".into(),
            query: query.into(),
            at: clock::now(),
            found: Ok(value),
        };
        let mut known = vec![];
        for round in [1.0, 2.0] {
            learn(&mut known, vec![answer("a", round), answer("b", round)], 2);
        }
        assert_eq!(known.iter().map(|answer| answer.found.clone()).collect::<Vec<_>>(), [Ok(2.0), Ok(2.0)]);
        learn(&mut known, vec![answer("c", 3.0)], 2);
        assert_eq!(known.iter().map(|answer| answer.query.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    }
}
