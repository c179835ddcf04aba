//! Make the pods of a workload anew by its own rollout, as `kubectl rollout restart` does.

use serde_json::json;

use super::live::{Edit, Live, at};
use super::{Change, Error, Task, freeze_rollout};
use crate::api::mark::RESTARTED_AT;
use crate::plan::content;

/// An annotation of the pod template, which is no part of its content, and stays ours: whoever inherited it would take it
/// away with the next apply, and by that replace every pod once more.
const PLACE: [&str; 5] = ["spec", "template", "metadata", "annotations", RESTARTED_AT];

pub(super) fn change(task: &Task<'_>, live: &Live) -> Result<Change, Error> {
    let kind = task.member()?;
    if task.step.to.is_empty() {
        return Err(Error::Invalid(format!("{:?} does not say when", task.step.remediation)));
    }
    if at(live.object(), &PLACE) == Some(&json!(task.step.to)) {
        return Ok(Change::AlreadyDone);
    }
    if let Some(why) = freeze_rollout::held_by_other(task, kind, live) {
        return Ok(Change::Moved(why));
    }
    if content::digest_of(kind, live.object()) != task.step.from {
        return Ok(Change::Moved("its template or strategy was changed meanwhile".to_owned()));
    }
    let mut edit = Edit::of(live);
    edit.set(&PLACE, json!(task.step.to));
    Ok(Change::Write(edit))
}
