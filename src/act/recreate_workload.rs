//! Create a deleted workload again as its stable state records it, and mark it as ours in the same write.

use serde_json::{Value, json};

use super::address::Address;
use super::content_of_state::{self, Recorded};
use super::live::{Live, at};
use super::restore_object::merge;
use super::{Effect, Error, Hands, Receipt, Task};
use crate::api::mark::RECREATED_BY;
use crate::plan::member::MemberKind;

pub(super) async fn perform(hands: &Hands, task: &Task<'_>) -> Result<Effect, Error> {
    let kind = task.member()?;
    if !kind.workload() || task.step.to.is_empty() {
        return Err(Error::Invalid(format!("{:?} does not apply to {}", task.step.remediation, task.step.object)));
    }
    let address = task.member_address(kind);
    // Side by side: a workload that is gone waits for both.
    let (live, stable) = tokio::join!(hands.find(address), content_of_state::read(hands, task));
    if let Some(live) = live? {
        return there(task, live);
    }
    let object = object(task, kind, address, &stable?)?;
    match hands.create(address, &object).await {
        Ok(object) => Ok(Effect::new(Receipt::Done, object)),
        Err(Error::Conflict) => match hands.find(address).await? {
            Some(live) => there(task, live),
            None => Err(Error::Conflict),
        },
        Err(Error::Moved(message)) => {
            Err(Error::Invalid(format!("the API server refused to create {address}: {message}")))
        }
        Err(error) => Err(error),
    }
}

/// What has the name: ours, from before a crash, or somebody else's, which is never touched. One that is only going is
/// waited for.
fn there(task: &Task<'_>, live: Live) -> Result<Effect, Error> {
    if live.deleting() {
        return Err(Error::Moved(format!("{} is still being deleted", task.step.object)));
    }
    let receipt = match live.annotation(RECREATED_BY) == Some(task.recovery) {
        true => Receipt::AlreadyDone,
        false => Receipt::Moved("somebody created it meanwhile".to_owned()),
    };
    Ok(Effect::new(receipt, live.into_object()))
}

/// As it was recorded, with as many replicas as it had last; without identity or status of the one before.
fn object(task: &Task<'_>, kind: MemberKind, address: Address<'_>, stable: &Recorded) -> Result<Value, Error> {
    let state = task.stable_state;
    let mut object = stable.creation.clone();
    if at(&object, &["spec", "selector"]).is_none() {
        let message = format!("StableState {state} does not record what it takes to create {address}");
        return Err(Error::Invalid(format!("{message}: it is of an older version; the next one does")));
    }
    let retention = ["spec", "persistentVolumeClaimRetentionPolicy", "whenDeleted"];
    if at(&object, &retention).and_then(Value::as_str) == Some("Delete") {
        return Err(Error::Invalid(format!("the claims of {address} were deleted with it (whenDeleted: Delete)")));
    }
    merge(&mut object, &stable.content);
    merge(&mut object, &json!({"apiVersion": kind.api_version(), "kind": kind.name()}));
    let annotations = json!({RECREATED_BY: task.recovery});
    let metadata = json!({"name": address.name, "namespace": address.namespace, "annotations": annotations});
    merge(&mut object, &json!({"metadata": metadata}));
    if kind != MemberKind::DaemonSet {
        let recorded: Option<Value> = serde_json::from_str(&task.step.from).ok();
        let replicas = recorded.as_ref().and_then(|recorded| recorded.get("replicas")).and_then(Value::as_i64);
        let unsaid = || Error::Invalid(format!("{:?} does not say how many replicas", task.step.remediation));
        merge(&mut object, &json!({"spec": {"replicas": replicas.ok_or_else(unsaid)?}}));
    }
    Ok(object)
}
