//! Point a Service at the standby.

use std::collections::BTreeMap;

use serde_json::json;

use super::live::{Edit, Live, at};
use super::{Change, Error, Task};
use crate::api::mark::SWITCHED_BY;

type Selector = BTreeMap<String, String>;

pub(super) fn change(task: &Task<'_>, live: &Live) -> Result<Change, Error> {
    let (from, to) = (selector(task, &task.step.from)?, selector(task, &task.step.to)?);
    let present = present(live);
    if present.as_ref() == Some(&to) && live.annotation(SWITCHED_BY) == Some(task.recovery) {
        return Ok(Change::AlreadyDone);
    }
    if present.as_ref() != Some(&from) {
        return Ok(Change::Moved("its selector was changed meanwhile".to_owned()));
    }
    let mut edit = Edit::of(live);
    edit.set(&["spec", "selector"], json!(to));
    edit.set(&["metadata", "annotations", SWITCHED_BY], json!(task.recovery));
    Ok(Change::Write(edit))
}

/// The selector that the step names. An empty one is refused: such a Service leads nowhere.
pub(super) fn selector(task: &Task<'_>, text: &str) -> Result<Selector, Error> {
    let selector: Selector = serde_json::from_str(text).unwrap_or_default();
    if selector.is_empty() {
        return Err(Error::Invalid(format!("{text:?} is not a selector for {}", task.step.object)));
    }
    Ok(selector)
}

/// The selector that is there; `None` if there is none.
pub(super) fn present(live: &Live) -> Option<Selector> {
    let selector = at(live.object(), &["spec", "selector"])?.as_object()?;
    selector.iter().map(|(key, value)| Some((key.clone(), value.as_str().map(str::to_owned)?))).collect()
}

/// Takes our mark away, if it is ours.
pub(super) fn unmark(task: &Task<'_>, live: &Live, edit: &mut Edit) -> bool {
    let ours = live.annotation(SWITCHED_BY) == Some(task.recovery);
    if ours {
        edit.remove(&["metadata", "annotations", SWITCHED_BY]);
    }
    ours
}
