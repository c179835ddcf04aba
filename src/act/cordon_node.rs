//! Make a node unschedulable, marked as ours in the same write.
//!
//! A node is everybody's, so what the plan counted is counted once more, live, and by one at a time: how many we have
//! cordoned, and whether another node takes pods.

use serde::Deserialize;
use serde_json::{Value, json};

use super::live::{Edit, Live, at};
use super::{Change, Effect, Error, Hands, Kind, Receipt, Task};
use crate::api::mark::CORDONED_BY;

const UNSCHEDULABLE: [&str; 2] = ["spec", "unschedulable"];
/// Among so many nodes one is found that takes pods, or it is too unlikely to matter.
const LOOKED_AT: usize = 500;

/// What must be so before.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expected {
    ready: bool,
    max_cordoned: usize,
}

pub(super) async fn perform(hands: &Hands, task: &Task<'_>) -> Result<Effect, Error> {
    let address = task.address(&[Kind::Node])?;
    let expected: Expected = serde_json::from_str(&task.step.from)
        .map_err(|error| Error::Invalid(format!("{:?} does not say when to cordon: {error}", task.step.from)))?;
    // Two at once would both find room for one more.
    let _alone = hands.cordoning.lock().await;
    let Some(live) = hands.live(task, address).await? else {
        return Ok(Effect::without_object(Receipt::Gone));
    };
    let change = change(task, &live, &expected);
    if matches!(change, Change::Write(_)) {
        room(hands, &live, expected.max_cordoned).await?;
    }
    hands.apply(address, live, change).await
}

fn change(task: &Task<'_>, live: &Live, expected: &Expected) -> Change {
    let mark = mark(task);
    let ours = live.annotation(CORDONED_BY) == Some(&mark);
    match (cordoned(live.object()), ours) {
        (true, true) => return Change::AlreadyDone,
        (true, false) => return Change::Moved("it is cordoned already, by somebody else".to_owned()),
        (false, true) => return Change::Moved("somebody uncordoned it".to_owned()),
        (false, false) => {}
    }
    if !expected.ready && ready(live.object()) {
        return Change::Moved("it is ready again".to_owned());
    }
    let mut edit = Edit::of(live);
    edit.set(&UNSCHEDULABLE, json!(true));
    edit.set(&["metadata", "annotations", CORDONED_BY], json!(mark));
    Change::Write(edit)
}

/// An error that says why, if it may not be one more.
async fn room(hands: &Hands, live: &Live, most: usize) -> Result<(), Error> {
    let nodes = Kind::Node.collection("")?;
    let cordoned = hands.list_at(&format!("{nodes}?fieldSelector=spec.unschedulable%3Dtrue")).await?;
    let by_us = |node: &&Value| self::cordoned(node) && at(node, &["metadata", "annotations", CORDONED_BY]).is_some();
    let ours = cordoned.iter().filter(by_us).count();
    if ours >= most {
        return Err(Error::Invalid(format!("{ours} of {most} nodes that may be are cordoned by us already")));
    }
    let others = hands.list_at(&format!("{nodes}?fieldSelector=spec.unschedulable%3Dfalse&limit={LOOKED_AT}")).await?;
    let other = |node: &&Value| at(node, &["metadata", "uid"]).and_then(Value::as_str) != Some(live.uid());
    match others.iter().filter(other).any(takes_pods) {
        true => Ok(()),
        false => Err(Error::Invalid("no other node would be left for new pods".to_owned())),
    }
}

/// The Recovery as the mark on a node names it: nodes are in no namespace.
pub(super) fn mark(task: &Task<'_>) -> String {
    format!("{}/{}", task.namespace, task.recovery)
}

/// Whether a node takes no new pods, by whosever will.
pub(super) fn cordoned(node: &Value) -> bool {
    at(node, &UNSCHEDULABLE) == Some(&Value::Bool(true))
}

/// Whether a node says that it is ready.
pub(super) fn ready(node: &Value) -> bool {
    let conditions = at(node, &["status", "conditions"]).and_then(Value::as_array);
    let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    conditions.is_some_and(|conditions| conditions.iter().any(is_ready))
}

fn takes_pods(node: &Value) -> bool {
    let taints = at(node, &["spec", "taints"]).and_then(Value::as_array);
    let repels = |taint: &Value| taint["effect"] == "NoSchedule" || taint["effect"] == "NoExecute";
    ready(node) && !cordoned(node) && !taints.is_some_and(|taints| taints.iter().any(repels))
}
