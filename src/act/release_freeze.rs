//! End our own pause of a Deployment. A pause by anybody else is left alone.

use super::live::{Edit, Live};
use super::{Change, Error, Task};
use crate::api::mark::FROZEN_BY;

pub(super) fn change(task: &Task<'_>, live: &Live) -> Result<Change, Error> {
    if live.annotation(FROZEN_BY) != Some(task.recovery) {
        return Ok(Change::AlreadyDone);
    }
    let mut edit = Edit::of(live);
    release(&mut edit, live);
    Ok(Change::Write(edit))
}

/// Ends the pause if it still stands, and takes our mark away.
pub(super) fn release(edit: &mut Edit, live: &Live) {
    if live.paused() {
        edit.remove(&["spec", "paused"]);
    }
    edit.remove(&["metadata", "annotations", FROZEN_BY]);
}
