//! What people read on a RecoveryBudget. A function of the counts, so that writing it twice changes nothing.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::register::Totals;
use crate::api::budget::{BrakeStatus, Holder, MOST_HOLDERS, RecoveryBudgetStatus};
use crate::api::condition::{ConditionType, condition};
use crate::api::{Reason, RecoveryBudgetSpec};

/// The status of a RecoveryBudget of which `before` is written.
#[must_use]
pub fn status(
    before: &RecoveryBudgetStatus,
    generation: i64,
    spec: &RecoveryBudgetSpec,
    totals: &Totals,
    now: Timestamp,
) -> RecoveryBudgetStatus {
    let under_action = u32::try_from(totals.holders.len()).unwrap_or(u32::MAX);
    let holder = |who: &super::fleet::Who| Holder { namespace: who.namespace.clone(), policy: who.policy.clone() };
    let on = totals.brake.is_on();
    let (brake, brake_message) = match on {
        true => (Reason::BrakeOn, "too much failed together: nothing new is begun anywhere".to_owned()),
        false => (
            Reason::BrakeOff,
            format!(
                "the brake goes on when {} targets and {} % of the armed ones become unstable within {}",
                spec.brake.min_targets, spec.brake.min_percent, spec.brake.window
            ),
        ),
    };
    let exhausted = under_action >= totals.limit;
    let (used, used_message) = match exhausted {
        true => (Reason::BudgetExhausted, "as many targets are under action as may be; others wait for their turn"),
        false => (Reason::WithinBudget, "fewer targets are under action than may be"),
    };
    let said = |type_, answer, reason, message: &str| {
        condition(&before.conditions, type_, Some(answer), reason, message, generation, now)
    };
    RecoveryBudgetStatus {
        observed_generation: generation,
        conditions: vec![
            said(ConditionType::BrakeOn, on, brake, &brake_message),
            said(ConditionType::Exhausted, exhausted, used, used_message),
        ],
        armed: totals.armed,
        limit: totals.limit,
        under_action,
        holders: totals.holders.iter().take(MOST_HOLDERS).map(holder).collect(),
        waiting: totals.waiting,
        unstable: totals.unstable,
        brake: BrakeStatus { on, since: totals.brake.on_since.map(MicroTime) },
    }
}
