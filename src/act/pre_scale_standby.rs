//! Let an autoscaler keep more pods of the standby, and as few as before.

use serde_json::{Value, json};

use super::live::{Edit, Live, at};
use super::{Change, Error, Task};
use crate::api::mark::SCALED_BY;

const LEAST: [&str; 2] = ["spec", "minReplicas"];
const MOST: [&str; 2] = ["spec", "maxReplicas"];

/// The number that a step records as `from` or `to`.
fn least(task: &Task<'_>, recorded: &str) -> Result<Value, Error> {
    let recorded: Option<Value> = serde_json::from_str(recorded).ok();
    let least = recorded.and_then(|recorded| recorded.get("minReplicas").cloned()).filter(Value::is_i64);
    least.ok_or_else(|| Error::Invalid(format!("{:?} does not say what minReplicas was", task.step.remediation)))
}

/// Raised and marked as ours in one write: without a mark it would be taken for somebody else's.
pub(super) fn change(task: &Task<'_>, live: &Live) -> Result<Change, Error> {
    let (from, to) = (least(task, &task.step.from)?, least(task, &task.step.to)?);
    let now = at(live.object(), &LEAST).cloned().unwrap_or(json!(1));
    match live.annotation(SCALED_BY) {
        Some(recovery) if recovery == task.recovery && now == to => return Ok(Change::AlreadyDone),
        Some(recovery) => return Ok(Change::Moved(format!("it was raised by Recovery {recovery}, or changed since"))),
        None => {}
    }
    if now != from {
        return Ok(Change::Moved("its minReplicas were changed meanwhile".to_owned()));
    }
    if at(live.object(), &MOST).and_then(Value::as_i64) < to.as_i64() {
        return Ok(Change::Moved("its maxReplicas were lowered meanwhile".to_owned()));
    }
    let mut edit = Edit::of(live);
    edit.set(&LEAST, to);
    edit.set(&["metadata", "annotations", SCALED_BY], json!(task.recovery));
    Ok(Change::Write(edit))
}

/// As before, if it is still what we made it; our mark goes in any case.
pub(super) fn release(task: &Task<'_>, live: &Live) -> Result<Change, Error> {
    if live.annotation(SCALED_BY) != Some(task.recovery) {
        return Ok(Change::AlreadyDone);
    }
    let (raised, before) = (least(task, &task.step.from)?, least(task, &task.step.to)?);
    let mut edit = Edit::of(live);
    if at(live.object(), &LEAST) == Some(&raised) {
        edit.set(&LEAST, before);
    }
    edit.remove(&["metadata", "annotations", SCALED_BY]);
    Ok(Change::Write(edit))
}
