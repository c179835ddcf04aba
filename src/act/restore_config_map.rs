//! Put a ConfigMap's recorded content back, or create it again if it is gone.

use serde_json::{Value, json};

use super::address::Address;
use super::content_of_state;
use super::live::{Edit, Live};
use super::{Change, Effect, Error, Hands, Kind, Receipt, Task};
use crate::plan::content;

pub(super) async fn perform(hands: &Hands, task: &Task<'_>) -> Result<Effect, Error> {
    let address = task.address(&[Kind::ConfigMap])?;
    if task.step.to.is_empty() {
        return Err(Error::Invalid(format!(
            "{address} was absent in the stable state; this version does not delete it"
        )));
    }
    if task.step.object.uid.is_empty() {
        return create(hands, task, address).await;
    }
    let (live, stable) = tokio::join!(hands.live(task, address), content_of_state::read(hands, task));
    let Some(live) = live? else {
        return Ok(Effect::without_object(Receipt::Gone));
    };
    let present = content::config_map(live.object());
    let digest = content::digest(&content::canonical(&present));
    if digest == task.step.to {
        return hands.apply(address, live, Change::AlreadyDone).await;
    }
    if digest != task.step.from {
        return hands.apply(address, live, Change::Moved("its content was changed meanwhile".to_owned())).await;
    }
    if live.immutable() {
        return Err(Error::Invalid(format!(
            "{address} is immutable, so its content cannot be put back; delete it, and it is created again as recorded"
        )));
    }
    let stable = stable?;
    let mut edit = Edit::of(&live);
    for part in content::CONFIG_MAP_PARTS {
        match stable.get(part) {
            same if same == present.get(part) => {}
            Some(value) => edit.set(&[part], value.clone()),
            None => edit.remove(&[part]),
        }
    }
    hands.apply(address, live, Change::Write(edit)).await
}

async fn create(hands: &Hands, task: &Task<'_>, address: Address<'_>) -> Result<Effect, Error> {
    if let Some(live) = hands.find(address).await? {
        return Ok(found(task, live));
    }
    let mut object = content_of_state::read(hands, task).await?;
    if let Value::Object(map) = &mut object {
        map.insert("apiVersion".into(), json!("v1"));
        map.insert("kind".into(), json!("ConfigMap"));
        map.insert("metadata".into(), json!({"name": address.name, "namespace": address.namespace}));
    }
    match hands.create(Kind::ConfigMap, address.namespace, &object).await {
        Ok(object) => Ok(Effect::new(Receipt::Done, object)),
        Err(Error::Conflict) => match hands.find(address).await? {
            Some(live) => Ok(found(task, live)),
            None => Err(Error::Conflict),
        },
        Err(Error::Moved(message)) => {
            Err(Error::Invalid(format!("the API server refused to create {address}: {message}")))
        }
        Err(error) => Err(error),
    }
}

/// Somebody created it, perhaps we ourselves before a crash.
fn found(task: &Task<'_>, live: Live) -> Effect {
    let digest = content::digest(&content::canonical(&content::config_map(live.object())));
    let receipt = match digest == task.step.to {
        true => Receipt::AlreadyDone,
        false => Receipt::Moved("it was created meanwhile with other content".to_owned()),
    };
    Effect::new(receipt, live.into_object())
}
