//! What is announced: one notice per change that a person would want to hear of, never more.

use super::journal::{Record, Turn};
use crate::api::recovery::{Journal, Phase};
use crate::api::{Outcome, Reason};

/// Something to tell, as an Event on the policy and on its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The reason of the Event.
    pub reason: Reason,
    /// Whether it needs attention.
    pub warning: bool,
    /// One sentence.
    pub message: String,
}

/// What the change of a journal means for people. Repeating a write tells nothing new.
pub(super) fn of_turn(turn: &Turn, before: Option<&Journal>) -> Vec<Notice> {
    let journal = match &turn.record {
        Some(Record::Open(journal) | Record::Update(journal)) => journal,
        None => return vec![],
    };
    of_change(&turn.recovery, before, journal).into_iter().collect()
}

/// The notice for a journal that was `before` and is now `journal`.
#[must_use]
pub fn of_change(recovery: &str, before: Option<&Journal>, journal: &Journal) -> Option<Notice> {
    let same =
        before.is_some_and(|b| b.phase == journal.phase && b.reason == journal.reason && b.outcome == journal.outcome);
    let silent = matches!(journal.phase, Phase::Verifying | Phase::Releasing);
    if same || silent {
        return None;
    }
    let good = matches!(journal.outcome, Some(Outcome::Recovered));
    let message = match journal.phase {
        Phase::Closed => format!("Recovery {recovery} ended {:?}: {}", journal.outcome, journal.message),
        Phase::Acting => format!("Recovery {recovery}: {:?} because {}", journal.decision.remedy, journal.message),
        _ => format!("Recovery {recovery}: {}", journal.message),
    };
    let message = message.replace("Some(", "").replace("):", ":");
    let reason = if journal.phase == Phase::Acting { journal.decision.reason } else { journal.reason };
    Some(Notice { reason, warning: !good, message })
}
