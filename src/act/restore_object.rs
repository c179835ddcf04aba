//! Put an object's recorded content back, or create the object again if it is gone or cannot be changed.

use serde_json::{Map, Value, json};

use super::address::Address;
use super::content_of_state::{self, Recorded};
use super::live::{Edit, Live, at};
use super::{Change, Effect, Error, Hands, Receipt, Task};
use crate::plan::member::MemberKind;
use crate::plan::{content, secrets};

pub(super) async fn perform(hands: &Hands, task: &Task<'_>) -> Result<Effect, Error> {
    let kind = task.member()?;
    if kind.workload() || task.step.to.is_empty() {
        return Err(Error::Invalid(format!("{:?} does not apply to {}", task.step.remediation, task.step.object)));
    }
    let address = task.member_address(kind);
    let (live, stable) = tokio::join!(hands.find(address), content_of_state::read(hands, task));
    let Some(live) = live? else {
        if kind == MemberKind::Namespace {
            return Ok(Effect::without_object(Receipt::Gone));
        }
        let stable = stable?;
        return Ok(create(hands, task, address, &stable).await?.telling(kind, &json!({}), &stable.content).whole());
    };
    let present = content::of(kind, live.object());
    if kind == MemberKind::Secret && !secrets::looked_at(live.type_()) {
        return Err(Error::Invalid(format!("{address} is of a type that is never written")));
    }
    let digest = hands.digest(address, &content::canonical(&present))?;
    if live.deleting() {
        return Err(Error::Moved(format!("{address} is being deleted")));
    }
    if digest == task.step.to {
        return hands.apply(address, live, Change::AlreadyDone).await;
    }
    if live.uid() != task.step.object.uid {
        let why = "it was created meanwhile with other content".to_owned();
        return hands.apply(address, live, Change::Moved(why)).await;
    }
    if digest != task.step.from {
        return hands.apply(address, live, Change::Moved("its content was changed meanwhile".to_owned())).await;
    }
    let stable = stable?;
    let other_type = kind == MemberKind::Secret && at(&present, &["type"]) != at(&stable.content, &["type"]);
    if live.immutable() || other_type {
        // A crash between the two leaves it gone, and then it is created.
        hands.delete(address, &live).await?;
        if hands.dry_run {
            // It is still there, so that nothing of its name can be created to see whether it would be admitted.
            return Ok(Effect::new(Receipt::Done, live.into_object()));
        }
        return Ok(create(hands, task, address, &stable).await?.telling(kind, &present, &stable.content));
    }
    let edit = put_back(&live, kind, &present, &stable.content);
    Ok(hands.apply(address, live, Change::Write(edit)).await?.telling(kind, &present, &stable.content))
}

/// Whole parts, and only those that differ: writing an equal template would drop a restart annotation, and by that
/// replace good pods for nothing.
pub(super) fn put_back(live: &Live, kind: MemberKind, present: &Value, stable: &Value) -> Edit {
    let mut edit = Edit::of(live);
    for part in kind.parts() {
        match at(stable, part) {
            same if same == at(present, part) => {}
            Some(value) => edit.set(part, value.clone()),
            None => edit.remove(part),
        }
    }
    edit
}

async fn create(hands: &Hands, task: &Task<'_>, address: Address<'_>, stable: &Recorded) -> Result<Effect, Error> {
    let kind = task.member()?;
    let mut object = stable.creation.clone();
    merge(&mut object, &stable.content);
    merge(&mut object, &json!({"apiVersion": kind.api_version(), "kind": kind.name()}));
    merge(&mut object, &json!({"metadata": {"name": address.name, "namespace": address.namespace}}));
    match hands.create(address, &object).await {
        Ok(object) => Ok(Effect::new(Receipt::Done, object)),
        Err(Error::Conflict) => match hands.find(address).await? {
            Some(live) => {
                let digest = hands.digest(address, &content::canonical(&content::of(kind, live.object())))?;
                Ok(found(task, &digest, live))
            }
            None => Err(Error::Conflict),
        },
        Err(Error::Moved(message)) => {
            Err(Error::Invalid(format!("the API server refused to create {address}: {message}")))
        }
        Err(error) => Err(error),
    }
}

/// Somebody created it, perhaps we ourselves before a crash.
fn found(task: &Task<'_>, digest: &str, live: Live) -> Effect {
    let receipt = match digest == task.step.to {
        true => Receipt::AlreadyDone,
        false => Receipt::Moved("it was created meanwhile with other content".to_owned()),
    };
    Effect::new(receipt, live.into_object())
}

/// Puts everything of `added` into `object`; what both have is that of `added`.
pub(super) fn merge(object: &mut Value, added: &Value) {
    match (object, added) {
        (Value::Object(object), Value::Object(added)) => {
            for (key, value) in added {
                merge(object.entry(key.as_str()).or_insert(Value::Object(Map::new())), value);
            }
        }
        (object, added) => *object = added.clone(),
    }
}
