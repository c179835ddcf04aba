//! Take a pod out of its Service and its ReplicaSet by its labels, and keep it for inspection.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::live::{Edit, Live};
use super::{Change, Error, Task};
use crate::api::mark::{INSPECT_UNTIL, QUARANTINED_BY, RELEASED_LABELS};

/// Labels away, mark and way back on, in one write: after it the pod's controller lets go, and only we delete it.
pub(super) fn change(task: &Task<'_>, live: &Live) -> Result<Change, Error> {
    let step = task.step;
    match live.label(QUARANTINED_BY) {
        Some(recovery) if recovery == task.recovery => return Ok(Change::AlreadyDone),
        Some(recovery) => return Ok(Change::Moved(format!("quarantined by Recovery {recovery}"))),
        None => {}
    }
    let labels: BTreeMap<String, String> = serde_json::from_str(&step.from).unwrap_or_default();
    if labels.is_empty() {
        return Err(Error::Invalid(format!("{:?} does not name the labels to take from {}", step.from, step.object)));
    }
    if step.to.parse::<Timestamp>().is_err() {
        return Err(Error::Invalid(format!("{:?} does not say when the inspection of {} ends", step.to, step.object)));
    }
    if let Some((key, _)) = labels.iter().find(|(key, value)| live.label(key) != Some(value.as_str())) {
        return Ok(Change::Moved(format!("its label {key} was changed meanwhile")));
    }
    let mut edit = Edit::of(live);
    for key in labels.keys() {
        edit.remove(&["metadata", "labels", key]);
    }
    edit.set(&["metadata", "labels", QUARANTINED_BY], json!(task.recovery));
    edit.set(&["metadata", "annotations", RELEASED_LABELS], json!(step.from));
    edit.set(&["metadata", "annotations", INSPECT_UNTIL], json!(step.to));
    Ok(Change::Write(edit))
}
