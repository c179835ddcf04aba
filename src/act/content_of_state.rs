//! The content that a step restores, read live from its stable state, and trusted only if seal and digest say so.

use serde_json::Value;

use super::address::{Address, Kind};
use super::{Error, Hands, Task};
use crate::api::StableState;
use crate::api::stable_state::{Member, Review};
use crate::plan::content;

/// What a state recorded of an object.
pub(super) struct Recorded {
    /// Its content.
    pub(super) content: Value,
    /// What it takes besides to create it again.
    pub(super) creation: Value,
}

/// What was recorded of the step's object. The digest of its content is the step's `to`.
pub(super) async fn read(hands: &Hands, task: &Task<'_>) -> Result<Recorded, Error> {
    let object = &task.step.object;
    let member = member(hands, task).await?;
    let unreadable = |_| Error::Invalid(format!("StableState {} has no content for {object}", task.stable_state));
    let content = match member.copy.is_empty() {
        false => copied(hands, task, &member).await?,
        true => serde_json::from_str(&member.content).map_err(unreadable)?,
    };
    let address = task.member_address(task.member()?);
    if hands.digest(address, &content::canonical(&content))? != task.step.to {
        let state = task.stable_state;
        return Err(Error::Invalid(format!(
            "the content of {object} in StableState {state} is not what its digest says"
        )));
    }
    let creation = match member.creation.is_empty() {
        true => Value::Null,
        false => serde_json::from_str(&member.creation).map_err(unreadable)?,
    };
    Ok(Recorded { content, creation })
}

async fn member(hands: &Hands, task: &Task<'_>) -> Result<Member, Error> {
    let (name, object) = (task.stable_state, &task.step.object);
    let address = Address::new(Kind::StableState, task.namespace, name);
    let found = hands.find(address).await?;
    let found = found.ok_or_else(|| Error::Invalid(format!("{address} does not exist any more")))?;
    let state: StableState = serde_json::from_value(found.into_object())
        .map_err(|error| Error::Invalid(format!("{address} cannot be read: {error}")))?;
    if !hands.sealer.verify(&state) {
        return Err(Error::Invalid(format!("the seal of {address} is not ours; delete it")));
    }
    if state.spec.review == Some(Review::Reject) {
        return Err(Error::Invalid(format!("a person rejected {address}")));
    }
    let mut members = state.spec.record.members.into_iter();
    let member = members.find(|member| member.kind == object.kind && member.name == object.name);
    member
        .filter(|member| !member.absent && member.digest == task.step.to)
        .ok_or_else(|| Error::Invalid(format!("{address} does not record the content of {object} that the step names")))
}

/// The content kept in an immutable copy. Its digest is checked by the caller, so that a forged copy is worthless.
async fn copied(hands: &Hands, task: &Task<'_>, member: &Member) -> Result<Value, Error> {
    let kind = task.member()?;
    let address = Address::new(Kind::Member(kind), task.namespace, &member.copy);
    let copy = hands.find(address).await?.ok_or_else(|| {
        Error::Invalid(format!("{address}, the copy that StableState {} needs, is missing", task.stable_state))
    })?;
    Ok(content::of(kind, copy.object()))
}
