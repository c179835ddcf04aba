//! What `homeostat plan` says, for people and for programs.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::api::policy::Drift;
use crate::api::recovery::{Journal, Remedy, Step, Suspect};
use crate::api::{Mode, Phase, Reason};
use crate::plan::facts::Facts;
use crate::plan::journal::Record;
use crate::plan::{Plan, Verdict, decide};

/// The width that text is wrapped to.
const WIDTH: usize = 80;

/// What would be done for a policy, and why.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    policy: String,
    mode: Option<Mode>,
    target: String,
    /// What is so at this moment.
    now: Look,
    /// What would come if no fact changed; absent if nothing would.
    #[serde(skip_serializing_if = "Option::is_none")]
    later: Option<Look>,
    stable_state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    drift: Option<Drift>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Look {
    at: Timestamp,
    verdict: &'static str,
    reason: Reason,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<Incident>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Incident {
    name: String,
    suspect: Suspect,
    #[serde(flatten)]
    decision: crate::api::recovery::Decision,
    phase: Phase,
    outcome_message: String,
    steps: Vec<Step>,
}

impl Report {
    /// A report of the steps as they come from `now` on.
    pub(super) fn of(facts: &Facts, steps: &[(Timestamp, Plan)], now: Timestamp, notes: Vec<String>) -> Self {
        let look = |(at, plan): &(Timestamp, Plan)| Look::of(facts, *at, plan);
        let first = steps.first().map(look);
        let last = steps.last().filter(|_| steps.len() > 1).map(look);
        let status = steps.first().and_then(|(_, plan)| plan.status.clone()).unwrap_or_default();
        let target = facts.policy.as_ref().map(|policy| policy.spec.target_ref.to_string()).unwrap_or_default();
        Self {
            policy: format!("{}/{}", facts.namespace, facts.policy_name),
            mode: decide::mode(facts, Remedy::Rollback),
            target,
            now: first.unwrap_or_else(|| Look::nothing(now)),
            later: last,
            stable_state: status.stable_state,
            drift: status.drift,
            notes,
        }
    }
}

impl Look {
    fn of(facts: &Facts, at: Timestamp, plan: &Plan) -> Self {
        let verdict = match plan.assessment.verdict {
            Verdict::Stable => "Stable",
            Verdict::Unstable => "Unstable",
            Verdict::Unknown => "Unknown",
        };
        let written = plan.turn.as_ref().and_then(|turn| match turn.record.as_ref()? {
            Record::Open(journal) | Record::Update(journal) => Some((turn.recovery.as_str(), journal.as_ref())),
        });
        let open = facts.open_recovery().map(|open| (open.name.as_str(), &open.journal));
        let recovery = written.or(open).map(|(name, journal)| Incident::of(name, journal));
        let (reason, message) = (plan.assessment.reason, plan.assessment.message.clone());
        Self { at, verdict, reason, message, recovery }
    }

    fn nothing(at: Timestamp) -> Self {
        let message = "nothing is known".to_owned();
        Self { at, verdict: "Unknown", reason: Reason::Blind, message, recovery: None }
    }
}

impl Incident {
    fn of(name: &str, journal: &Journal) -> Self {
        Self {
            name: name.to_owned(),
            suspect: journal.suspect,
            decision: journal.decision.clone(),
            phase: journal.phase,
            outcome_message: journal.message.clone(),
            steps: journal.steps.clone(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = self.mode.map(|mode| format!("{mode:?}")).unwrap_or_default();
        entry(f, "policy", &format!("{} ({mode}), for {}", self.policy, self.target))?;
        entry(f, "stable", if self.stable_state.is_empty() { "none" } else { &self.stable_state })?;
        if let Some(drift) = &self.drift {
            entry(f, "drift", &drift.distance)?;
            for component in &drift.components {
                entry(f, "", &format!("{} {}: {}", component.share, component.name, component.message))?;
            }
        }
        self.now.write(f, "now")?;
        if let Some(later) = &self.later {
            let seconds = later.at.duration_since(self.now.at).as_secs_f64();
            writeln!(f)?;
            later.write(f, &format!("+{seconds:.0} s"))?;
            entry(f, "", "(if nothing changes until then)")?;
        } else if self.now.recovery.is_none() {
            entry(f, "", "nothing would be done, now or later, as long as nothing changes")?;
        }
        self.notes.iter().try_for_each(|note| entry(f, "note", note))
    }
}

impl Look {
    fn write(&self, f: &mut fmt::Formatter<'_>, when: &str) -> fmt::Result {
        entry(f, when, &format!("{} ({}): {}", self.verdict, self.reason, self.message))?;
        let Some(incident) = &self.recovery else { return Ok(()) };
        let decision = &incident.decision;
        entry(f, "suspect", &format!("{:?}", incident.suspect))?;
        entry(f, "decision", &format!("{:?} ({}): {}", decision.remedy, decision.reason, decision.message))?;
        for (number, step) in incident.steps.iter().enumerate() {
            entry(f, &format!("  step {}", number + 1), &format!("{:?}: {}", step.state, step.intent))?;
        }
        for other in &decision.alternatives {
            entry(f, "not", &format!("{:?} ({}): {}", other.remedy, other.reason, other.message))?;
        }
        entry(f, "recovery", &format!("{} ({:?}): {}", incident.name, incident.phase, incident.outcome_message))
    }
}

/// A label and its text, wrapped between words.
fn entry(f: &mut fmt::Formatter<'_>, label: &str, text: &str) -> fmt::Result {
    const INDENT: usize = 10;
    let mut line = format!("{label:<INDENT$}");
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{line}")?;
            line = " ".repeat(INDENT);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    writeln!(f, "{}", line.trim_end())
}
