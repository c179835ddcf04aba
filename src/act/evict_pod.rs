//! Evict a pod whose controller makes it anew under the same name, or on the same node. Disruption budgets are respected.

use serde_json::json;

use super::{Effect, Error, Hands, Kind, Receipt, Task};

pub(super) async fn perform(hands: &Hands, task: &Task<'_>) -> Result<Effect, Error> {
    let address = task.address(&[Kind::Pod])?;
    // Another pod of this name is the new one.
    let Some(live) = hands.live(task, address).await? else {
        return Ok(Effect::without_object(Receipt::AlreadyDone));
    };
    let eviction = json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": address.name, "namespace": address.namespace},
        "deleteOptions": {"preconditions": {"uid": live.uid()}},
    });
    match hands.evict(address, &eviction).await {
        Ok(()) => Ok(Effect::without_object(Receipt::Done)),
        // Gone meanwhile, or made anew meanwhile: then the pod that was meant is gone.
        Err(Error::Gone | Error::Conflict) => Ok(Effect::without_object(Receipt::AlreadyDone)),
        Err(error) => Err(error),
    }
}
