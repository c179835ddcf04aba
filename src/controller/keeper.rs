//! Looks after the budgets: lets the brake go off in time, wakes who has its turn, and writes what is used.
//!
//! This module must not judge: the brake is the plan's.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::operator::Operator;
use crate::act::Error;
use crate::clock;
use crate::metrics::PartOf;
use crate::observe::Budgets;
use crate::plan::budget;
use crate::plan::drift::COMPONENTS;
use crate::plan::register::Totals;

/// How often. It is also how much a status may lag behind, so that a storm does not cost a write for each target.
const PACE: Duration = Duration::from_secs(1);

/// Does not end.
pub(super) async fn keep(operator: &Operator) -> anyhow::Result<()> {
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_on = false;
    loop {
        ticks.tick().await;
        let budgets = operator.observer.stores().budgets();
        let watched = operator.ledger.watch(&budgets.limits(), clock::now());
        let on = watched.totals.brake.is_on();
        if on != was_on {
            tell(on, &watched.totals);
        }
        match was_on && !on {
            // Nobody was queued meanwhile: everybody is judged anew.
            true => operator.observer.stores().wake(operator.observer.stores().policies()),
            false => operator.observer.stores().wake(watched.next),
        }
        was_on = on;
        measure(operator, &watched.totals);
        write(operator, &budgets, &watched.totals).await;
    }
}

fn tell(on: bool, totals: &Totals) {
    let (armed, unstable) = (totals.armed, totals.unstable);
    match on {
        true => tracing::warn!(armed, unstable, reason = "BrakeOn", "the brake is on: nothing new is begun anywhere"),
        false => tracing::info!(armed, unstable, reason = "BrakeOff", "the brake is off: everybody is judged anew"),
    }
}

fn measure(operator: &Operator, totals: &Totals) {
    let metrics = &operator.metrics;
    metrics.brake_on.set(i64::from(totals.brake.is_on()));
    metrics.targets_armed.set(i64::from(totals.armed));
    metrics.targets_unstable.set(i64::from(totals.unstable));
    metrics.targets_under_action.set(i64::try_from(totals.holders.len()).unwrap_or(i64::MAX));
    metrics.targets_limit.set(i64::from(totals.limit));
    metrics.targets_waiting.set(i64::from(totals.waiting));
    for ((component, _), hundredths) in COMPONENTS.into_iter().zip(totals.drift) {
        metrics.drift.get_or_create(&PartOf { component }).set(f64::from(hundredths) / 100.0);
    }
}

/// Only who looks after everything knows what is used of a budget; two that each see a part would overwrite each other.
async fn write(operator: &Operator, budgets: &Budgets, totals: &Totals) {
    let leading = operator.permit.borrow().valid(clock::monotonic());
    if !leading || !operator.namespaces.is_empty() || !operator.ledger.is_complete() {
        return;
    }
    for (name, found) in &budgets.known {
        let status = budget::status(&found.status, found.generation, &found.spec, totals, clock::now());
        if status == found.status {
            continue;
        }
        let written = operator.hands.write_budget_status(name, &status).await;
        operator.announcer.wrote("BudgetStatus", written.as_ref().map_or_else(Error::category, |_| "ok"));
        match written {
            Ok(object) => drop(operator.observer.stores().absorb_answer(&object)),
            Err(error) => tracing::debug!(budget = name, %error, "a budget's status could not be written"),
        }
    }
}
