//! Autoscalers of the target: what of one decides how it scales, and whether one that was changed keeps the target at
//! its most.
//!
//! `spec.replicas` is theirs to write, and people's: no step ever writes it, also not while the autoscaler that owned it
//! is gone or scales something else. Putting the autoscaler back is what puts the replicas back. Pure: time is an
//! argument.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::bonds::LATEST;
use super::closure;
use super::content::{canonical, digest};
use super::facts::{Facts, StateFacts, Workload};
use super::member::MemberKind;
use super::memory::Memory;

/// Two watches may tell of a change and of what came of it in either order, at most this far apart.
const EITHER_ORDER: SignedDuration = SignedDuration::from_secs(5);

/// How an autoscaler scales.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaling {
    /// The fewest replicas that it lets a workload have.
    pub least: i32,
    /// The most.
    pub most: i32,
    /// Digest of what it aims at and how fast it goes there: `metrics` and `behavior`.
    pub aims: String,
}

impl Scaling {
    /// From a HorizontalPodAutoscaler, or from its content. `None` if that is not one.
    #[must_use]
    pub fn of(object: &Value) -> Option<Self> {
        let spec = object.get("spec")?;
        let number = |key| spec.get(key).and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok());
        let aims = digest(&canonical(&json!([spec.get("metrics"), spec.get("behavior")])));
        Some(Self { least: number("minReplicas").unwrap_or(1), most: number("maxReplicas")?, aims })
    }
}

/// An autoscaler that aims at something else than in `state` and has brought the target to its most, where the target
/// was not then: in a sentence. One that has no choice (`minReplicas` is `maxReplicas`) was told so by a person, and one
/// whose bounds were moved only does what it did.
#[must_use]
pub fn at_its_most(facts: &Facts, target: &Workload, state: &StateFacts) -> Option<String> {
    let kind = MemberKind::HorizontalPodAutoscaler;
    closure::differences(facts, state).iter().filter(|difference| difference.kind == kind).find_map(|difference| {
        let live = facts.object(kind, difference.name).filter(|object| object.belongs)?.scaling.as_ref()?;
        let aims_elsewhere = state.member(kind, difference.name)?.scaling.as_ref()?.aims != live.aims;
        let risen = target.replicas >= live.most && state.replicas < live.most;
        (aims_elsewhere && risen && live.least < live.most).then(|| {
            format!(
                "{kind} {} was changed, and has scaled {} to its most, {}; in StableState {} {} were enough",
                difference.name,
                target.title(),
                live.most,
                state.name,
                state.replicas
            )
        })
    })
}

/// What is so of an autoscaler that keeps the target at its most, for people.
pub(super) fn said(memory: &Memory) -> String {
    memory.at_limit.as_ref().map(|limit| limit.value.clone()).unwrap_or_default()
}

/// Whether the target got its replicas not long after its closure was seen to become what it is.
#[must_use]
pub fn scaled_since_the_change(memory: &Memory, closure: &str) -> bool {
    let changed = memory.changed.as_ref().filter(|changed| changed.value == closure).map(|changed| changed.at);
    let scaled = memory.replicas.as_ref().map(|replicas| replicas.at);
    changed.zip(scaled).is_some_and(|(changed, scaled): (Timestamp, Timestamp)| {
        scaled + EITHER_ORDER >= changed && scaled <= changed + LATEST
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn autoscaler(least: Option<i32>, cpu: i32) -> Value {
        json!({"spec": {"minReplicas": least, "maxReplicas": 6, "metrics": [{"cpu": cpu}]}})
    }

    #[test]
    fn bounds_are_no_aim() {
        let (one, other) = (Scaling::of(&autoscaler(Some(2), 80)), Scaling::of(&autoscaler(None, 80)));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!((one.least, one.most, other.least), (2, 6, 1));
        assert_eq!(one.aims, other.aims);
        assert_ne!(Scaling::of(&autoscaler(None, 20)).unwrap().aims, one.aims);
    }

    #[test]
    fn what_is_no_autoscaler_has_no_bounds() {
        for odd in [json!(null), json!({"spec": 3}), json!({"spec": {"maxReplicas": "6"}})] {
            assert_eq!(Scaling::of(&odd), None);
        }
    }
}
