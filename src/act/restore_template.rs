//! Put a Deployment's recorded template and strategy back, and end our own pause with it.

use super::live::{Edit, Live};
use super::{Change, content_of_state};
use super::{Effect, Error, Hands, Kind, Receipt, Task, freeze_rollout, release_freeze};
use crate::api::mark::FROZEN_BY;
use crate::plan::content;

pub(super) async fn perform(hands: &Hands, task: &Task<'_>) -> Result<Effect, Error> {
    let address = task.address(&[Kind::Deployment])?;
    // Side by side: a workload that is down waits for both.
    let (live, stable) = tokio::join!(hands.live(task, address), content_of_state::read(hands, task));
    let Some(live) = live? else {
        return Ok(Effect::without_object(Receipt::Gone));
    };
    let ours = live.annotation(FROZEN_BY) == Some(task.recovery);
    let present = content::deployment(live.spec());
    let digest = content::digest(&content::canonical(&present));
    if digest == task.step.to && !ours {
        return hands.apply(address, live, Change::AlreadyDone).await;
    }
    if let Some(why) = freeze_rollout::paused_by_other(task, &live) {
        return hands.apply(address, live, Change::Moved(why)).await;
    }
    let mut edit = Edit::of(&live);
    if digest != task.step.to {
        if digest != task.step.from {
            let why = "its template or strategy was changed meanwhile".to_owned();
            return hands.apply(address, live, Change::Moved(why)).await;
        }
        restore(&mut edit, &live, &present, &stable?);
    }
    if ours {
        release_freeze::release(&mut edit, &live);
    }
    hands.apply(address, live, Change::Write(edit)).await
}

/// Whole parts, and only those that differ: writing an equal template would drop a restart annotation, and by that
/// replace good pods for nothing.
fn restore(edit: &mut Edit, live: &Live, present: &serde_json::Value, stable: &serde_json::Value) {
    for part in content::DEPLOYMENT_PARTS {
        if present.get(part) == stable.get(part) {
            continue;
        }
        match stable.get(part) {
            Some(value) => edit.set(&["spec", part], value.clone()),
            None if live.spec().get(part).is_some() => edit.remove(&["spec", part]),
            None => {}
        }
    }
}
