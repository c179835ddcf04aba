//! Hold a rollout still, so that a bad revision spreads no further.
//!
//! | kind | how |
//! |---|---|
//! | Deployment | `paused: true` |
//! | StatefulSet | `partition` beyond the last pod |
//! | DaemonSet | pods are replaced only when they are deleted (`OnDelete`) |

use serde_json::{Value, json};

use super::live::{Edit, Live, at};
use super::{Change, Error, Task};
use crate::api::mark::{FROZEN_BY, FROZEN_FROM};
use crate::plan::member::MemberKind;

/// A StatefulSet's own way to hold some of its pods back.
const PARTITION: [&str; 4] = ["spec", "updateStrategy", "rollingUpdate", "partition"];
/// The kind of update.
const UPDATE: [&str; 3] = ["spec", "updateStrategy", "type"];

/// Held and marked as ours in one write: a freeze without a mark would be taken for somebody else's.
pub(super) fn change(task: &Task<'_>, live: &Live) -> Result<Change, Error> {
    let kind = task.member()?;
    if let Some(why) = held_by_other(task, kind, live) {
        return Ok(Change::Moved(why));
    }
    if held(kind, live) {
        return Ok(Change::AlreadyDone);
    }
    if live.annotation(FROZEN_BY) == Some(task.recovery) {
        return Ok(Change::Moved("our freeze was ended by someone else".to_owned()));
    }
    let mut edit = Edit::of(live);
    match kind {
        MemberKind::StatefulSet => {
            let replicas = at(live.spec(), &["replicas"]).and_then(Value::as_i64).unwrap_or(1);
            // With no pod there is nothing to hold, and 0 would hold nothing.
            edit.set(&PARTITION, json!(replicas.max(1)));
        }
        MemberKind::DaemonSet => edit.set(&UPDATE, json!("OnDelete")),
        _ => edit.set(&["spec", "paused"], json!(true)),
    }
    edit.set(&["metadata", "annotations", FROZEN_BY], json!(task.recovery));
    if kind == MemberKind::StatefulSet {
        let before = at(live.object(), &PARTITION).map_or(String::new(), Value::to_string);
        edit.set(&["metadata", "annotations", FROZEN_FROM], json!(before));
    }
    Ok(Change::Write(edit))
}

/// Whether a rollout does not go on by itself.
pub(super) fn held(kind: MemberKind, live: &Live) -> bool {
    let on_delete = at(live.object(), &UPDATE) == Some(&json!("OnDelete"));
    match kind {
        MemberKind::StatefulSet => on_delete || at(live.object(), &PARTITION).is_some_and(|partition| *partition != 0),
        MemberKind::DaemonSet => on_delete,
        _ => live.paused(),
    }
}

/// Who holds the rollout still, if it was not this Recovery.
pub(super) fn held_by_other(task: &Task<'_>, kind: MemberKind, live: &Live) -> Option<String> {
    if !held(kind, live) {
        return None;
    }
    match live.annotation(FROZEN_BY) {
        Some(recovery) if recovery == task.recovery => None,
        Some(recovery) => Some(format!("held still by Recovery {recovery}")),
        None => Some("held still by someone else".to_owned()),
    }
}

/// Lets it go on as before, if it still stands, and takes our marks away.
pub(super) fn release(edit: &mut Edit, kind: MemberKind, live: &Live) {
    match kind {
        _ if !held(kind, live) => {}
        MemberKind::StatefulSet => {
            let before = live.annotation(FROZEN_FROM).and_then(|before| before.parse::<i64>().ok());
            edit.set(&PARTITION, json!(before.unwrap_or(0)));
        }
        MemberKind::DaemonSet => edit.set(&UPDATE, json!("RollingUpdate")),
        _ => edit.remove(&["spec", "paused"]),
    }
    for mark in [FROZEN_BY, FROZEN_FROM] {
        edit.remove(&["metadata", "annotations", mark]);
    }
}
