//! Delete a pod of a ReplicaSet on a node that does not answer, so that another one is made. Never by force: whether it
//! still runs there is not known, and its own grace period stays.

use serde_json::Value;

use super::address::Address;
use super::cordon_node::ready;
use super::live::{Live, at};
use super::{Effect, Error, Hands, Kind, Receipt, Task};

pub(super) async fn perform(hands: &Hands, task: &Task<'_>) -> Result<Effect, Error> {
    let address = task.address(&[Kind::Pod])?;
    // Gone, or on its way: somebody evicted it meanwhile.
    let Some(live) = hands.live(task, address).await? else {
        return Ok(Effect::without_object(Receipt::AlreadyDone));
    };
    if let Some(why) = moved(task, &live) {
        return Ok(Effect::new(Receipt::Moved(why.to_owned()), live.into_object()));
    }
    // A node that is back stops or keeps its pods itself.
    let node = hands.find(Address::new(Kind::Node, "", &task.step.from)).await?;
    if node.is_none_or(|node| ready(node.object())) {
        let why = "its node answers again, or is gone".to_owned();
        return Ok(Effect::new(Receipt::Moved(why), live.into_object()));
    }
    match hands.delete(address, &live).await {
        Ok(()) => Ok(Effect::without_object(Receipt::Done)),
        Err(Error::Gone) => Ok(Effect::without_object(Receipt::AlreadyDone)),
        Err(error) => Err(error),
    }
}

fn moved(task: &Task<'_>, live: &Live) -> Option<&'static str> {
    if at(live.object(), &["spec", "nodeName"]).and_then(Value::as_str) != Some(&task.step.from) {
        return Some("it is on another node");
    }
    let owners = at(live.object(), &["metadata", "ownerReferences"]).and_then(Value::as_array);
    let by_replica_set = |owner: &Value| owner["kind"] == "ReplicaSet" && owner["controller"] == true;
    // A pod of any other controller has a name or a disk of which there must not be two.
    (!owners.is_some_and(|owners| owners.iter().any(by_replica_set))).then_some("no ReplicaSet controls it")
}
