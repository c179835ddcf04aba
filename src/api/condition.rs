//! Names of condition types, and the one way to set a condition.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::Reason;

/// The condition types: of a RecoveryPolicy, where the first three are always present and the others only while true;
/// of a RecoveryBudget, `BrakeOn` and `Exhausted`, always present; and of a Recovery, `Isolated`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// Accepted and armed. Never says anything about the workload's health.
    Ready,
    /// What we believe of the workload. `Unknown` when evidence is missing or old.
    TargetHealthy,
    /// A verified stable state exists, is sealed and complete.
    Recoverable,
    /// A Recovery is open.
    Recovering,
    /// The policy, or the operator, is suspended.
    Suspended,
    /// Another policy names the same target.
    Conflicted,
    /// Something carries a mark of ours, and no Recovery stands for it.
    LeftBehind,
    /// Too much fails together: nothing new is begun anywhere.
    BrakeOn,
    /// As many targets are under action as may be.
    Exhausted,
    /// Of a Recovery, once it isolated something: that is seen to be out of the way.
    Isolated,
}

impl ConditionType {
    /// The name as written in `status.conditions[].type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::TargetHealthy => "TargetHealthy",
            Self::Recoverable => "Recoverable",
            Self::Recovering => "Recovering",
            Self::Suspended => "Suspended",
            Self::Conflicted => "Conflicted",
            Self::LeftBehind => "LeftBehind",
            Self::BrakeOn => "BrakeOn",
            Self::Exhausted => "Exhausted",
            Self::Isolated => "Isolated",
        }
    }
}

/// `True`, `False`, or `Unknown` where the question cannot be answered.
#[must_use]
pub const fn status_word(answer: Option<bool>) -> &'static str {
    match answer {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    }
}

/// Builds a condition. `lastTransitionTime` is carried over from `previous` while the status stays the same.
#[must_use]
pub fn condition(
    previous: &[Condition],
    type_: ConditionType,
    answer: Option<bool>,
    reason: Reason,
    message: &str,
    generation: i64,
    now: Timestamp,
) -> Condition {
    let status = status_word(answer);
    let since = previous
        .iter()
        .find(|c| c.type_ == type_.as_str() && c.status == status)
        .map_or(Time(now), |c| c.last_transition_time.clone());
    Condition {
        type_: type_.as_str().to_owned(),
        status: status.to_owned(),
        reason: reason.as_str().to_owned(),
        message: message.to_owned(),
        observed_generation: Some(generation),
        last_transition_time: since,
    }
}
