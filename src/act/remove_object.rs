//! Delete an object that attached itself to the target since the stable state, exactly as it was judged.

use super::{Effect, Error, Hands, Receipt, Task};
use crate::plan::content;

pub(super) async fn perform(hands: &Hands, task: &Task<'_>) -> Result<Effect, Error> {
    let kind = task.member()?;
    if !kind.removable() {
        return Err(Error::Invalid(format!("{} is of a kind that this version never deletes", task.step.object)));
    }
    let address = task.member_address(kind);
    let Some(live) = hands.live(task, address).await? else {
        return Ok(Effect::without_object(Receipt::AlreadyDone));
    };
    let present = content::canonical(&content::of(kind, live.object()));
    if content::digest(&present) != task.step.from {
        let why = "its content was changed meanwhile".to_owned();
        return Ok(Effect::new(Receipt::Moved(why), live.into_object()));
    }
    match hands.delete(address, &live).await {
        Ok(()) => {
            // Nothing is lost: who wants it back finds here what it was.
            tracing::info!(object = %address, recovery = task.recovery, content = present, "deleted");
            Ok(Effect::without_object(Receipt::Done))
        }
        Err(Error::Gone) => Ok(Effect::without_object(Receipt::AlreadyDone)),
        Err(error) => Err(error),
    }
}
