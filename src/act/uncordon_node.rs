//! Make a node schedulable again that this Recovery cordoned. One that anybody else cordoned is left alone.

use super::cordon_node::{cordoned, mark};
use super::live::{Edit, Live};
use super::{Change, Error, Task};
use crate::api::mark::CORDONED_BY;

pub(super) fn change(task: &Task<'_>, live: &Live) -> Result<Change, Error> {
    if live.annotation(CORDONED_BY) != Some(&mark(task)) {
        return Ok(Change::AlreadyDone);
    }
    let mut edit = Edit::of(live);
    // Where somebody uncordoned it, only our mark is left to be taken away.
    if cordoned(live.object()) {
        edit.remove(&["spec", "unschedulable"]);
    }
    edit.remove(&["metadata", "annotations", CORDONED_BY]);
    Ok(Change::Write(edit))
}
