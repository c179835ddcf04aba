//! Drift distance: how far the live target is from its stable state, 0 = there, 1 = nothing is as it was.
//!
//! | component | weight | share |
//! |---|---|---|
//! | closure | 0.40 | members that differ / members |
//! | readiness | 0.30 | wanted pods that are not ready / wanted pods |
//! | revisions | 0.10 | pods of another revision / pods |
//! | endpoints | 0.10 | ready pods that a Service does not offer / ready pods |
//! | leftovers | 0.10 | 1 if a freeze, a quarantined pod or a switched Service is ours |
//!
//! The weights say what hurts a user first. They order states of one target; they compare nothing across targets.

use std::cmp::Ordering;

use super::closure::differences;
use super::facts::{Facts, StateFacts};
use crate::api::policy::{Drift, DriftComponent, Trend};

const CLOSURE: f64 = 0.40;
const READINESS: f64 = 0.30;
const REVISIONS: f64 = 0.10;
const ENDPOINTS: f64 = 0.10;
const LEFTOVERS: f64 = 0.10;

/// The distance from `state`. `None` without a target.
#[must_use]
pub fn distance(facts: &Facts, state: &StateFacts) -> Option<Drift> {
    let target = facts.target.as_ref()?;
    let changed = differences(facts, state);
    let names: Vec<_> = changed.iter().map(|d| format!("{} {}", d.kind, d.name)).collect();
    let pods: Vec<_> = facts.live_pods().collect();
    let ready: Vec<_> = pods.iter().filter(|pod| pod.ready).collect();
    let wanted = usize::try_from(target.replicas).unwrap_or(0);
    let unready = wanted.saturating_sub(ready.len());
    let present = facts.present_revisions();
    let others = pods.iter().filter(|pod| !present.contains(pod.revision.as_str())).count();
    let services: Vec<_> = facts.services.iter().filter(|service| service.selects(&target.labels)).collect();
    let hidden = ready.iter().filter(|pod| services.iter().any(|s| !s.offered.contains(&pod.uid))).count();
    let switched = facts.services.iter().filter(|service| service.switched_by.is_some()).count();
    let ours = usize::from(target.frozen_by.is_some()) + facts.quarantined.len() + switched;

    let parts = [
        ("closure", CLOSURE, ratio(changed.len(), state.members.len()), format!("differs: {}", names.join(", "))),
        ("readiness", READINESS, ratio(unready, wanted), format!("{unready} of {wanted} wanted pods are not ready")),
        ("revisions", REVISIONS, ratio(others, pods.len()), format!("{others} pods of another revision")),
        ("endpoints", ENDPOINTS, ratio(hidden, ready.len()), format!("{hidden} ready pods not offered by a Service")),
        ("leftovers", LEFTOVERS, ratio(ours.min(1), 1), format!("{ours} of our own marks are in place")),
    ];
    let distance: f64 = parts.iter().map(|(_, weight, share, _)| weight * share).sum();
    let components = parts.into_iter().filter(|(_, _, share, _)| *share > 0.0).map(|(name, weight, share, message)| {
        let message = message.chars().take(512).collect();
        DriftComponent { name: name.into(), share: format!("{:.2}", weight * share), message }
    });
    Some(Drift { distance: format!("{distance:.2}"), trend: Trend::Steady, components: components.collect() })
}

/// Which way it went since `written`. While the distance stays the same, so does the trend: it is a function of what is
/// written, and writing it twice changes nothing.
pub(super) fn trend(written: Option<&Drift>, drift: &Drift) -> Trend {
    let number = |drift: &Drift| drift.distance.parse::<f64>().unwrap_or(0.0);
    let (now, before) = (number(drift), written.map(number).unwrap_or(0.0));
    match now.total_cmp(&before) {
        _ if now == 0.0 => Trend::Steady,
        Ordering::Less => Trend::Converging,
        Ordering::Greater => Trend::Diverging,
        Ordering::Equal => written.map_or(Trend::Steady, |written| written.trend),
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trend_is_that_of_the_last_change_and_steady_at_home() {
        let at = |distance: &str, trend| Drift { distance: distance.into(), trend, components: vec![] };
        let cases = [
            (None, "0.00", Trend::Steady),
            (None, "0.40", Trend::Diverging),
            (Some(at("0.40", Trend::Diverging)), "0.40", Trend::Diverging),
            (Some(at("0.40", Trend::Diverging)), "0.20", Trend::Converging),
            (Some(at("0.20", Trend::Converging)), "0.20", Trend::Converging),
            (Some(at("0.20", Trend::Converging)), "0.00", Trend::Steady),
        ];
        for (written, distance, expected) in cases {
            assert_eq!(trend(written.as_ref(), &at(distance, Trend::Steady)), expected, "{written:?} to {distance}");
        }
    }
}
