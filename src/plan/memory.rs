//! What the plan carries from one step to the next: since when something has been so.
//!
//! It lives in the process only. After a restart, or after any gap in sight, it is empty: time that
//! was not observed never counts towards anything.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::course::Course;
use super::facts::Workload;
use super::neighbours::Seen;
use super::stale::Content;

/// A value and since when it has been seen without a break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since<T> {
    /// The value.
    pub value: T,
    /// Since when.
    pub at: Timestamp,
}

impl<T: PartialEq> Since<T> {
    /// Keeps the older instant while the value stays the same; begins anew when it changes.
    #[must_use]
    pub fn carry(previous: Option<Self>, value: T, now: Timestamp) -> Self {
        match previous {
            Some(previous) if previous.value == value => previous,
            _ => Self { value, at: now },
        }
    }
}

/// The target as it was last seen without a break in sight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetSeen {
    /// What it was.
    pub workload: Workload,
    /// Since when it is not there any more.
    pub gone: Option<Timestamp>,
}

/// Since when what has been so, for one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The uid of the target that all of this is about.
    pub target: String,
    /// The live closure, by digest.
    pub closure: Option<Since<String>>,
    /// The closure changed while something was wrong: somebody may be fixing it. What was seen of pods from before that
    /// change (the value) does not count until this instant.
    pub grace: Option<Since<Timestamp>>,
    /// The pod template, by digest.
    pub template: Option<String>,
    /// The rollout under way, by template digest.
    pub rollout: Option<Since<String>>,
    /// Fewer pods ready than required.
    pub short: Option<Since<()>>,
    /// Traffic does not reach the target.
    pub cut_off: Option<Since<()>>,
    /// Replicas that the target wants.
    #[serde(default)]
    pub replicas: Option<Since<i32>>,
    /// An autoscaler that was changed keeps the target at its most: said so.
    #[serde(default)]
    pub at_limit: Option<Since<String>>,
    /// A check of metrics fails.
    #[serde(default)]
    pub failing: Option<Since<()>>,
    /// The closure in which the checks ceased to pass, by digest; they have not passed since. A closure that came later
    /// is not the cause.
    #[serde(default)]
    pub unpassed: Option<String>,
    /// A symptom that counts; the value is the digest of the closure that was live when it began.
    pub symptom: Option<Since<String>>,
    /// The closure in which trouble began that is not over yet, by digest: a change in the middle of it is not its cause.
    pub trouble: Option<String>,
    /// Healthy after that trouble, without a break.
    #[serde(default)]
    pub calm: Option<Since<()>>,
    /// The soak, by closure digest.
    pub soak: Option<Since<String>>,
    /// Everything that the open Recovery wants is back.
    pub back: Option<Since<()>>,
    /// Everything but the checks of metrics is back.
    #[serde(default)]
    pub rest_back: Option<Since<()>>,
    /// How the drift went since everything was done that the open Recovery planned.
    #[serde(default)]
    pub course: Option<Course>,
    /// It would act but for a budget: since when its symptom counts, which is its place in the queue.
    #[serde(default)]
    pub waiting: Option<Timestamp>,
    /// The status differs from what is written in its details only: since when.
    pub details: Option<Since<()>>,
    /// A change of the closure that was seen to happen; the value is the new one, by digest.
    #[serde(default)]
    pub changed: Option<Since<String>>,
    /// What depends on the target fails since it changed, and no rollout explains it.
    #[serde(default)]
    pub dependents: Option<Since<()>>,
    /// Declared neighbours, by uid.
    #[serde(default)]
    pub neighbours: BTreeMap<String, Seen>,
    /// The target as it was last seen.
    #[serde(default)]
    pub target_seen: Option<TargetSeen>,
    /// What pods of the target read at their start.
    #[serde(default)]
    pub read_at_start: Vec<Content>,
    /// Restarts of each pod when it was first seen, when the closure changed or when the soak began, by uid.
    pub restarts: BTreeMap<String, u32>,
}
