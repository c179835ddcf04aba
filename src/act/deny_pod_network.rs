//! Keep all network away from the pods in quarantine of one Recovery, by a NetworkPolicy of our own, and take that away
//! again. No other NetworkPolicy is ever written here.

use serde_json::{Value, json};

use super::own_network_policy::{self, KIND};
use super::{Effect, Error, Hands, Receipt, Task};
use crate::api::mark::QUARANTINED_BY;

/// Selects exactly what carries the quarantine label of this Recovery: nobody else's pod has it, whatever labels it
/// shares with one in quarantine. Both directions and no rule: nothing goes in or out.
fn spec(recovery: &str) -> Value {
    json!({
        "podSelector": {"matchLabels": {QUARANTINED_BY: recovery}},
        "policyTypes": ["Ingress", "Egress"],
    })
}

pub(super) async fn perform(hands: &Hands, task: &Task<'_>) -> Result<Effect, Error> {
    let address = task.address(&[KIND])?;
    let spec = spec(task.recovery);
    let Some(live) = hands.find(address).await? else {
        return own_network_policy::make(hands, address, QUARANTINED_BY, task.recovery, &spec).await;
    };
    let receipt = match own_network_policy::is_as_made(&live, QUARANTINED_BY, task.recovery, &spec) {
        true => Receipt::AlreadyDone,
        false => Receipt::Moved("there is one of that name that is not as we make it".to_owned()),
    };
    Ok(Effect::new(receipt, live.into_object()))
}

pub(super) async fn end(hands: &Hands, task: &Task<'_>) -> Result<Effect, Error> {
    own_network_policy::end(hands, task, QUARANTINED_BY).await
}
