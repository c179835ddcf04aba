//! End our own freeze of a rollout. One by anybody else is left alone.

use super::live::{Edit, Live};
use super::{Change, Error, Task, freeze_rollout};
use crate::api::mark::FROZEN_BY;

pub(super) fn change(task: &Task<'_>, live: &Live) -> Result<Change, Error> {
    if live.annotation(FROZEN_BY) != Some(task.recovery) {
        return Ok(Change::AlreadyDone);
    }
    let mut edit = Edit::of(live);
    freeze_rollout::release(&mut edit, task.member()?, live);
    Ok(Change::Write(edit))
}
