//! Checks of metrics: what their answers say, when they are asked, and what an answer is good for.
//!
//! Asking is `observe`'s part; answers are facts, and grow old. Some bad releases stay ready, and only what their callers
//! get tells that they are ill. No data is neither good nor bad.

use jiff::{SignedDuration, Timestamp};

use super::assess::{Symptom, Verdict};
use super::facts::{CheckAnswer, Facts};
use super::memory::Memory;
use crate::api::check::CheckEvidence;
use crate::api::policy::RecoveryPolicySpec;
use crate::api::{Check, Phase, Reason};

/// How often a check is asked for.
const EVERY: SignedDuration = SignedDuration::from_secs(5);
/// While it fails and does not count yet, and while a recovery is under way.
const SOONER: SignedDuration = SignedDuration::from_secs(1);
/// An answer that is older says nothing any more.
const LIFE: SignedDuration = SignedDuration::from_secs(15);
/// How far a query without a range looks back, unless its check says it: the usual pause between two scrapes.
const USUAL_WINDOW: SignedDuration = SignedDuration::from_secs(60);
/// Longer ones are taken for this: a year.
const LONGEST_WINDOW: SignedDuration = SignedDuration::from_hours(366 * 24);

/// What the answers to all checks of a policy come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// There are none, or all are good.
    Passing,
    /// One at least is bad.
    Failing {
        /// Which, without the value, so that it stays the same as long as it fails.
        said: String,
        /// Which, with the value.
        seen: String,
    },
    /// None is bad, and one at least has no answer that counts: which, and what to do.
    Unknown(String),
}

impl Judged {
    /// Nothing speaks against the target.
    #[must_use]
    pub const fn pass(&self) -> bool {
        matches!(self, Self::Passing)
    }

    /// What is the matter, for people.
    #[must_use]
    pub fn said(&self) -> String {
        match self {
            Self::Passing => String::new(),
            Self::Failing { said, .. } | Self::Unknown(said) => said.clone(),
        }
    }

    pub(super) const fn verdict(&self) -> Verdict {
        match self {
            Self::Passing => Verdict::Stable,
            Self::Failing { .. } => Verdict::Unstable,
            Self::Unknown(_) => Verdict::Unknown,
        }
    }

    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::Passing => Reason::Healthy,
            Self::Failing { .. } => Reason::CheckFailing,
            Self::Unknown(_) => Reason::CheckUnknown,
        }
    }

    /// What the status says of a symptom: a value that moves all the time would cost a write each time.
    pub(super) fn of(&self, symptom: &Symptom) -> String {
        match symptom.reason {
            Reason::CheckFailing => self.said(),
            _ => symptom.message.clone(),
        }
    }
}

/// Judges the answers that are fresh.
#[must_use]
pub fn judge(facts: &Facts, now: Timestamp) -> Judged {
    let (mut failing, mut unknown) = (None, None);
    for check in checks(facts) {
        match value(facts, check, now) {
            Ok(value) => failing = failing.or_else(|| beyond(check, value)),
            Err(why) => drop(unknown.get_or_insert(why)),
        }
    }
    match (failing, unknown) {
        (Some((said, seen)), _) => Judged::Failing { said, seen },
        (None, Some(why)) => Judged::Unknown(why),
        (None, None) => Judged::Passing,
    }
}

/// The last values, as evidence of a stable state.
#[must_use]
pub fn evidence(facts: &Facts) -> Vec<CheckEvidence> {
    let value = |check: &Check| answer(facts, check).and_then(|answer| answer.found.as_ref().ok().copied());
    let found = checks(facts).iter().filter_map(|check| Some((check, value(check)?)));
    found.map(|(check, value)| CheckEvidence { name: check.name.clone(), value: shown(value) }).collect()
}

/// When the next answer stops counting.
pub(super) fn stale_at(facts: &Facts, now: Timestamp) -> Option<Timestamp> {
    let ends = checks(facts).iter().filter_map(|check| Some(answer(facts, check)?.at + LIFE));
    ends.filter(|end| *end > now).min()
}

/// The checks to be asked for now, and when to think of the others.
pub(super) fn due(facts: &Facts, memory: &Memory, now: Timestamp) -> (Vec<Check>, Option<Timestamp>) {
    let wanted = facts.target.as_ref().is_some_and(|target| target.replicas > 0 && !target.deleting);
    let checks = if wanted { checks(facts) } else { &[] };
    let pause = match facts.open_recovery().map(|open| open.journal.phase) {
        Some(Phase::Acting | Phase::Verifying | Phase::OnStandby) => SOONER,
        None if memory.failing.is_some() => SOONER,
        _ => EVERY,
    };
    let due = |check: &&Check| answer(facts, check).is_none_or(|answer| answer.at + pause <= now);
    let (ask, others): (Vec<&Check>, Vec<&Check>) = checks.iter().partition(due);
    let again = others.into_iter().filter_map(|check| Some(answer(facts, check)?.at + pause)).min();
    (ask.into_iter().cloned().collect(), again)
}

/// How far back a check looks; of several, the furthest.
#[must_use]
pub fn longest_window(spec: &RecoveryPolicySpec) -> SignedDuration {
    spec.stability.checks.iter().map(window).max().unwrap_or_default()
}

/// Until when to wait for answers that were measured after `from` only; `None` if all of them were.
pub(super) fn unmeasured_until(facts: &Facts, from: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let needed = checks(facts).iter().filter_map(|check| {
        let needed = from + window(check);
        answer(facts, check).is_none_or(|answer| answer.at < needed).then_some(needed)
    });
    // The answer that is on its way wakes us sooner.
    needed.max().map(|needed| needed.max(now + EVERY))
}

fn checks(facts: &Facts) -> &[Check] {
    facts.policy.as_ref().map_or(&[], |policy| &policy.spec.stability.checks)
}

fn answer<'a>(facts: &'a Facts, check: &Check) -> Option<&'a CheckAnswer> {
    facts.checks.iter().find(|answer| answer.provider == check.provider && answer.query == check.query)
}

/// The value that counts now, or what is in the way of one.
fn value(facts: &Facts, check: &Check, now: Timestamp) -> Result<f64, String> {
    let who = format!("check {}: provider {}", check.name, check.provider);
    let answer = answer(facts, check).ok_or_else(|| format!("{who} has not answered yet"))?;
    if now >= answer.at + LIFE {
        return Err(format!("{who} was last asked more than {} s ago", LIFE.as_secs()));
    }
    answer.found.clone().map_err(|why| format!("{who} gives no value: {why}"))
}

/// What is bad about a value, without it and with it.
fn beyond(check: &Check, value: f64) -> Option<(String, String)> {
    let limit = |text: &Option<String>| text.as_ref()?.parse::<f64>().ok();
    let what = match (limit(&check.max), limit(&check.min)) {
        (Some(max), _) if value > max => format!("above {}", shown(max)),
        (_, Some(min)) if value < min => format!("below {}", shown(min)),
        _ => return None,
    };
    let Check { name, provider, .. } = check;
    let said = format!("check {name} fails: provider {provider} gives a value {what}");
    Some((said, format!("check {name} fails: provider {provider} gives {}, {what}", shown(value))))
}

/// A value for people: short, whatever it is.
fn shown(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e12).contains(&size) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

fn window(check: &Check) -> SignedDuration {
    let written = || longest_range(&check.query).unwrap_or(USUAL_WINDOW);
    check.window.map_or_else(written, crate::api::Duration::signed).min(LONGEST_WINDOW)
}

/// The longest range in square brackets, as in `[5m]` or `[1h:1m]`. What only looks like one makes us wait longer.
fn longest_range(query: &str) -> Option<SignedDuration> {
    let brackets = query.split('[').skip(1).filter_map(|rest| rest.split([']', ':']).next());
    brackets.filter_map(range).max()
}

/// A range of PromQL: numbers, each with a unit, as in `1h30m`; a number alone is in seconds.
fn range(text: &str) -> Option<SignedDuration> {
    let (mut rest, mut sum) = (text.trim(), 0_i64);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at_checked(digits)?;
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_lowercase()).len();
        let (unit, after) = after.split_at_checked(letters)?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" | "" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        sum = sum.saturating_add(number.parse::<i64>().ok()?.saturating_mul(milliseconds));
        rest = after;
    }
    (!text.trim().is_empty()).then(|| SignedDuration::from_millis(sum).min(LONGEST_WINDOW))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Duration;

    fn check(query: &str) -> Check {
        let query = query.to_owned();
        Check { name: "errors".into(), provider: "main".into(), query, max: None, min: None, window: None }
    }

    #[test]
    fn a_query_tells_how_far_it_looks_back() {
        for (query, seconds) in [
            ("sum(rate(a_total[30s])) / sum(rate(b_total[5m]))", 300),
            ("max_over_time(up[1h30m:10s])", 5400),
            ("rate(a[ 90 ])", 90),
            ("a_gauge", 60),
            (r#"sum(rate(a_total{path=~"[a-z]+"}[2s]))"#, 2),
            ("rate(a[99999999999999999999y])", 60),
            ("rate(a[9999999999y])", 366 * 86_400),
            ("a[", 60),
        ] {
            assert_eq!(window(&check(query)).as_secs(), seconds, "{query}");
        }
        let said = Check { window: Some(Duration::minutes(10)), ..check("job:errors:rate5m") };
        assert_eq!(window(&said).as_secs(), 600);
    }

    #[test]
    fn a_value_is_compared_with_both_limits() {
        let limits = |max: Option<&str>, min: Option<&str>| Check {
            max: max.map(str::to_owned),
            min: min.map(str::to_owned),
            ..check("q")
        };
        let bad = |check: &Check, value| {
            beyond(check, value).map(|(said, seen)| {
                assert!(said.contains("errors") && said.contains("main"), "{said}");
                seen.rsplit_once("gives ").map(|(_, rest)| rest.to_owned()).unwrap_or_default()
            })
        };
        assert_eq!(bad(&limits(Some("0.01"), None), 0.01), None);
        assert_eq!(bad(&limits(Some("0.01"), None), 0.37).as_deref(), Some("0.37, above 0.01"));
        assert_eq!(bad(&limits(None, Some("-2")), -3.5).as_deref(), Some("-3.5, below -2"));
        assert_eq!(bad(&limits(Some("5"), Some("1")), 1e300).as_deref(), Some("1.000e300, above 5"));
        assert_eq!(bad(&limits(Some("5"), Some("1")), 0.0).as_deref(), Some("0, below 1"));
    }
}
