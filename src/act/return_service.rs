//! Point a Service back home.

use super::live::{Edit, Live};
use super::switch_service::{present, selector, unmark};
use super::{Change, Error, Task};
use crate::api::mark::SWITCHED_BY;
use serde_json::json;

pub(super) fn change(task: &Task<'_>, live: &Live) -> Result<Change, Error> {
    let (from, to) = (selector(task, &task.step.from)?, selector(task, &task.step.to)?);
    let mut edit = Edit::of(live);
    if present(live).as_ref() == Some(&to) {
        return Ok(if unmark(task, live, &mut edit) { Change::Write(edit) } else { Change::AlreadyDone });
    }
    if present(live).as_ref() != Some(&from) {
        return Ok(Change::Moved("its selector was changed meanwhile".to_owned()));
    }
    if let Some(other) = live.annotation(SWITCHED_BY).filter(|recovery| *recovery != task.recovery) {
        return Ok(Change::Moved(format!("switched by Recovery {other}")));
    }
    edit.set(&["spec", "selector"], json!(to));
    unmark(task, live, &mut edit);
    Ok(Change::Write(edit))
}
