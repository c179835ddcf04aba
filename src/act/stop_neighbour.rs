//! Stop a workload beside the target: a Deployment is scaled to 0, a CronJob suspended.

use serde_json::{Value, json};

use super::live::{Edit, Live, at};
use super::{Change, Error, Task};
use crate::api::mark::STOPPED_BY;

/// Where in an object it is said whether it runs, under the name that a step has for it.
fn place(task: &Task<'_>) -> [&'static str; 2] {
    match task.step.object.kind.as_str() {
        "CronJob" => ["spec", "suspend"],
        _ => ["spec", "replicas"],
    }
}

/// The value that a step records as `from` or `to`.
fn value(task: &Task<'_>, recorded: &str) -> Result<Value, Error> {
    let [_, key] = place(task);
    let recorded: Option<Value> = serde_json::from_str(recorded).ok();
    let value = recorded.and_then(|recorded| recorded.get(key).cloned());
    value.ok_or_else(|| Error::Invalid(format!("{:?} does not say what {key} was", task.step.remediation)))
}

/// Stopped and marked as ours in one write: a stop without a mark would be taken for somebody else's.
pub(super) fn change(task: &Task<'_>, live: &Live) -> Result<Change, Error> {
    let (from, to) = (value(task, &task.step.from)?, value(task, &task.step.to)?);
    let now = at(live.object(), &place(task));
    let stopped = now == Some(&to);
    match live.annotation(STOPPED_BY) {
        Some(recovery) if recovery == task.recovery && stopped => return Ok(Change::AlreadyDone),
        Some(recovery) if recovery == task.recovery => {
            return Ok(Change::Moved("somebody let it go on, which we had stopped".to_owned()));
        }
        Some(recovery) if stopped => return Ok(Change::Moved(format!("stopped by Recovery {recovery}"))),
        _ => {}
    }
    if now != Some(&from) {
        return Ok(Change::Moved("how much of it runs was changed meanwhile".to_owned()));
    }
    let mut edit = Edit::of(live);
    edit.set(&place(task), to);
    edit.set(&["metadata", "annotations", STOPPED_BY], json!(task.recovery));
    Ok(Change::Write(edit))
}

/// As it was before, if it still stands still because of us; our mark goes in any case.
pub(super) fn release(task: &Task<'_>, live: &Live) -> Result<Change, Error> {
    if live.annotation(STOPPED_BY) != Some(task.recovery) {
        return Ok(Change::AlreadyDone);
    }
    let (stopped, before) = (value(task, &task.step.from)?, value(task, &task.step.to)?);
    let mut edit = Edit::of(live);
    if at(live.object(), &place(task)) == Some(&stopped) {
        edit.set(&place(task), before);
    }
    edit.remove(&["metadata", "annotations", STOPPED_BY]);
    Ok(Change::Write(edit))
}
