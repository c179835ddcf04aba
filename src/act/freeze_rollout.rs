//! Pause a Deployment, so that a bad revision spreads no further.

use serde_json::json;

use super::live::{Edit, Live};
use super::{Change, Error, Task};
use crate::api::mark::FROZEN_BY;

/// Paused and marked as ours in one write: a pause without a mark would be taken for somebody else's.
pub(super) fn change(task: &Task<'_>, live: &Live) -> Result<Change, Error> {
    if let Some(why) = paused_by_other(task, live) {
        return Ok(Change::Moved(why));
    }
    if live.paused() {
        return Ok(Change::AlreadyDone);
    }
    if live.annotation(FROZEN_BY) == Some(task.recovery) {
        return Ok(Change::Moved("our pause was ended by someone else".to_owned()));
    }
    let mut edit = Edit::of(live);
    edit.set(&["spec", "paused"], json!(true));
    edit.set(&["metadata", "annotations", FROZEN_BY], json!(task.recovery));
    Ok(Change::Write(edit))
}

/// Who paused the Deployment, if it was not this Recovery.
pub(super) fn paused_by_other(task: &Task<'_>, live: &Live) -> Option<String> {
    if !live.paused() {
        return None;
    }
    match live.annotation(FROZEN_BY) {
        Some(recovery) if recovery == task.recovery => None,
        Some(recovery) => Some(format!("paused by Recovery {recovery}")),
        None => Some("paused by someone else".to_owned()),
    }
}
