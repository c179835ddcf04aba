//! Delete a pod that this Recovery quarantined. No other pod is ever deleted.

use super::{Effect, Error, Hands, Kind, Receipt, Task};
use crate::api::mark::QUARANTINED_BY;

pub(super) async fn perform(hands: &Hands, task: &Task<'_>) -> Result<Effect, Error> {
    let address = task.address(&[Kind::Pod])?;
    let Some(live) = hands.live(task, address).await? else {
        return Ok(Effect::without_object(Receipt::AlreadyDone));
    };
    if live.label(QUARANTINED_BY) != Some(task.recovery) {
        let why = "it does not carry our quarantine label any more".to_owned();
        return Ok(Effect::new(Receipt::Moved(why), live.into_object()));
    }
    match hands.delete(address, &live).await {
        Ok(()) => Ok(Effect::without_object(Receipt::Done)),
        Err(Error::Gone) => Ok(Effect::without_object(Receipt::AlreadyDone)),
        Err(error) => Err(error),
    }
}
