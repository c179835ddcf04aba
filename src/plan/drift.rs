//! Drift distance: how far the live target is from its stable state, 0 = there, 1 = nothing is as it was.
//!
//! | component | weight | share |
//! |---|---|---|
//! | closure | 0.35 | members that differ / members |
//! | readiness | 0.25 | wanted pods that are not ready / wanted pods |
//! | revisions | 0.10 | pods of another revision / pods |
//! | restarts | 0.05 | pods that restarted and are not ready / pods |
//! | endpoints | 0.10 | ready pods that a Service does not offer / ready pods |
//! | leftovers | 0.10 | 1 if a freeze, a quarantined pod, a switched Service, a raised autoscaler, a stopped neighbour or a cut is ours, or anything else that is left behind |
//! | parity | 0.05 | 1 if something is allowed that the stable state, or the moment before the open incident, forbade |
//!
//! The weights say what hurts a user first. They order states of one target; they compare nothing across targets.

use std::cmp::Ordering;

use super::closure::differences;
use super::facts::{Facts, StateFacts, Workload};
use super::{forgotten, parity, traffic};
use crate::api::policy::{Drift, DriftComponent, Trend};

/// Every component, with its weight; together they weigh 1.
pub const COMPONENTS: [(&str, f64); 7] = [
    ("closure", 0.35),
    ("readiness", 0.25),
    ("revisions", 0.10),
    ("restarts", 0.05),
    ("endpoints", 0.10),
    ("leftovers", 0.10),
    ("parity", 0.05),
];

/// The distance from `state`. `None` without a target, unless it was there and was deleted.
#[must_use]
pub fn distance(facts: &Facts, state: &StateFacts) -> Option<Drift> {
    let target = facts.subject()?;
    let changed = differences(facts, state);
    let names: Vec<_> = changed.iter().map(|d| format!("{} {}", d.kind, d.name)).collect();
    let pods: Vec<_> = facts.live_pods().collect();
    let ready: Vec<_> = pods.iter().filter(|pod| pod.ready).collect();
    let wanted = usize::try_from(target.replicas).unwrap_or(0);
    let unready = wanted.saturating_sub(ready.len());
    let present = facts.present_revisions();
    let others = pods.iter().filter(|pod| !present.contains(pod.revision.as_str())).count();
    let restarting = pods.iter().filter(|pod| !pod.ready && pod.restarts > 0).count();
    let services: Vec<_> = facts.services.iter().filter(|service| service.selects(&target.labels)).collect();
    let hidden = ready.iter().filter(|pod| services.iter().any(|s| !s.offered.contains(&pod.uid))).count();
    let (ours, marks) = marks(facts, target);
    let looser = parity::looser_now(facts, state);

    let shares = [
        (ratio(changed.len(), state.members.len()), format!("differs: {}", names.join(", "))),
        (ratio(unready, wanted), format!("{unready} of {wanted} wanted pods are not ready")),
        (ratio(others, pods.len()), format!("{others} pods of another revision")),
        (ratio(restarting, pods.len()), format!("{restarting} pods restarted and are not ready")),
        (ratio(hidden, ready.len()), format!("{hidden} ready pods not offered by a Service")),
        (ratio(ours.min(1), 1), marks),
        (ratio(looser.len().min(1), 1), format!("allowed, and it was forbidden: {}", looser.join("; "))),
    ];
    let weighted =
        || COMPONENTS.into_iter().zip(&shares).map(|((name, weight), (share, said))| (name, weight * share, said));
    let distance: f64 = weighted().map(|(_, share, _)| share).sum();
    let components = weighted().filter(|(_, share, _)| *share > 0.0).map(|(name, share, said)| {
        let message = said.chars().take(512).collect();
        DriftComponent { name: name.into(), share: format!("{share:.2}"), message }
    });
    Some(Drift { distance: format!("{distance:.2}"), trend: Trend::Steady, components: components.collect() })
}

/// How many marks of ours are in place, and which of them no Recovery stands for.
fn marks(facts: &Facts, target: &Workload) -> (usize, String) {
    let own = |name: &Option<String>| name.iter().any(|name| facts.recoveries.iter().any(|own| own.name == *name));
    let stopped = facts.neighbours.iter().filter(|other| other.load == 0 && own(&other.stopped_by)).count();
    let raised = facts.standby_autoscalers.iter().filter(|found| own(&found.scaled_by)).count();
    let frozen = usize::from(target.frozen_by.is_some());
    let moved = traffic::moved(facts).count();
    let count = frozen + moved + raised + facts.network.cuts.len() + facts.quarantined.len() + stopped;
    let left = forgotten::left_behind(facts);
    let mut said = format!("{count} of our own marks are in place");
    if !left.is_empty() {
        said.push_str(&format!("; no Recovery stands for these: {}", left.join("; ")));
    }
    (count.max(left.len()), said)
}

/// Each component's share of a distance, in hundredths, in the order of [`COMPONENTS`].
pub(super) fn hundredths(drift: &Drift) -> [u32; COMPONENTS.len()] {
    COMPONENTS.map(|(name, _)| {
        let found = drift.components.iter().find(|component| component.name == name);
        let share = found.and_then(|found| found.share.parse::<f64>().ok()).unwrap_or(0.0);
        // Between 0 and 100.
        (share.clamp(0.0, 1.0) * 100.0).round() as u32
    })
}

/// The whole distance, in hundredths.
pub(super) fn total(drift: &Drift) -> u32 {
    let distance = drift.distance.parse::<f64>().unwrap_or(0.0);
    (distance.clamp(0.0, 1.0) * 100.0).round() as u32
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
    fn the_weights_come_to_one() {
        let sum: f64 = COMPONENTS.iter().map(|(_, weight)| weight).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    }

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
