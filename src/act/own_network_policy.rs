//! A NetworkPolicy of our own, told by a label with the name of the Recovery that it belongs to: made, recognised, and
//! deleted again. Nobody else's is ever written.

use serde_json::{Value, json};

use super::address::Address;
use super::live::Live;
use super::{Effect, Error, Hands, Kind, Receipt, Task};
use crate::plan::member::MemberKind;

pub(super) const KIND: Kind = Kind::Member(MemberKind::NetworkPolicy);

/// Whether what is there is as we make it, and stays.
pub(super) fn is_as_made(live: &Live, mark: &str, recovery: &str, spec: &Value) -> bool {
    live.label(mark) == Some(recovery) && !live.deleting() && live.spec() == spec
}

pub(super) async fn make(
    hands: &Hands,
    address: Address<'_>,
    mark: &str,
    recovery: &str,
    spec: &Value,
) -> Result<Effect, Error> {
    let kind = MemberKind::NetworkPolicy;
    let labels = json!({mark: recovery, "app.kubernetes.io/managed-by": "homeostat"});
    let object = json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": {"name": address.name, "namespace": address.namespace, "labels": labels},
        "spec": spec,
    });
    hands.create(address, &object).await.map(|object| Effect::new(Receipt::Done, object))
}

pub(super) async fn end(hands: &Hands, task: &Task<'_>, mark: &str) -> Result<Effect, Error> {
    let address = task.address(&[KIND])?;
    let Some(live) = hands.find(address).await? else { return Ok(Effect::without_object(Receipt::AlreadyDone)) };
    if live.label(mark) != Some(task.recovery) {
        let why = "it does not carry our mark".to_owned();
        return Ok(Effect::new(Receipt::Moved(why), live.into_object()));
    }
    match hands.delete(address, &live).await {
        Ok(()) => Ok(Effect::without_object(Receipt::Done)),
        Err(Error::Gone) => Ok(Effect::without_object(Receipt::AlreadyDone)),
        Err(error) => Err(error),
    }
}
