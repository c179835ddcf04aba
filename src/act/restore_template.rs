//! Put a workload's recorded template and strategy back, and end our own freeze with it.

use serde_json::Value;

use super::live::Edit;
use super::{Change, content_of_state, restore_object};
use super::{Effect, Error, Hands, Receipt, Task, freeze_rollout};
use crate::api::mark::FROZEN_BY;
use crate::plan::member::MemberKind;
use crate::plan::{content, posture};

pub(super) async fn perform(hands: &Hands, task: &Task<'_>) -> Result<Effect, Error> {
    let kind = task.member()?;
    if !kind.workload() {
        return Err(Error::Invalid(format!("{:?} does not apply to {}", task.step.remediation, task.step.object)));
    }
    let address = task.member_address(kind);
    // Side by side: a workload that is down waits for both.
    let (live, stable) = tokio::join!(hands.live(task, address), content_of_state::read(hands, task));
    let Some(live) = live? else {
        return Ok(Effect::without_object(Receipt::Gone));
    };
    let ours = live.annotation(FROZEN_BY) == Some(task.recovery);
    let present = content::of(kind, live.object());
    let digest = content::digest(&content::canonical(&present));
    let stable = stable.map(|stable| wanted(task, kind, &present, stable.content));
    let there = digest == task.step.to || stable.as_ref().is_ok_and(|wanted| *wanted == present);
    if there && !ours {
        return hands.apply(address, live, Change::AlreadyDone).await;
    }
    if let Some(why) = freeze_rollout::held_by_other(task, kind, &live) {
        return hands.apply(address, live, Change::Moved(why)).await;
    }
    let (mut edit, mut restored) = (Edit::of(&live), None);
    if !there {
        if digest != task.step.from {
            let why = "its template or strategy was changed meanwhile".to_owned();
            return hands.apply(address, live, Change::Moved(why)).await;
        }
        let stable = stable?;
        edit = restore_object::put_back(&live, kind, &present, &stable);
        restored = Some(stable);
    }
    if ours {
        freeze_rollout::release(&mut edit, kind, &live);
    }
    let effect = hands.apply(address, live, Change::Write(edit)).await?;
    Ok(match restored {
        Some(stable) => effect.telling(kind, &present, &stable),
        None => effect,
    })
}

/// What is to be there: what was recorded, with what the step keeps of the present.
fn wanted(task: &Task<'_>, kind: MemberKind, present: &Value, stable: Value) -> Value {
    if task.step.keeps.is_empty() { stable } else { posture::kept(kind, present, &stable) }
}
