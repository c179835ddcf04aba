//! The standby: how much of it could serve, measured against what the target served.
//!
//! A pod counts only when it has been ready for as long as one of the target must be unready before that counts. Since when
//! it is ready is what its kubelet says, so that a restart of the operator costs no time. Nothing here decides.

use jiff::{SignedDuration, Timestamp};

use super::assess::share;
use super::facts::{Facts, PodFacts, StateFacts, Workload};
use super::guard::Case;
use super::member::MemberKind;
use super::nodes;
use crate::api::RecoveryPolicySpec;
use crate::api::policy::Failover;

/// How much of the standby could serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Strength {
    /// Pods that have been ready for long enough.
    pub ready: usize,
    /// Pods that home served with.
    pub served: usize,
    /// Pods that have to be ready before traffic may move.
    pub needed: usize,
    /// When there would be enough if nothing changes; `None` if there are enough, or too few are ready at all.
    pub settled: Option<Timestamp>,
}

/// Measures the standby before a failover. Pods where the suspect is do not count.
pub(super) fn of(case: &Case, failover: &Failover) -> Strength {
    let counts = |pod: &&PodFacts| nodes::shares_place(case, pod).is_none();
    let served = served(case.facts, Some(case.reference));
    strength(case.facts, &case.policy.spec, failover, served, serving(case.facts).filter(counts), case.now)
}

/// Measures it while it serves, or when it may have to again.
pub(super) fn now(facts: &Facts, failover: &Failover, state: Option<&StateFacts>, now: Timestamp) -> Strength {
    let Some(policy) = &facts.policy else { return Strength::default() };
    strength(facts, &policy.spec, failover, served(facts, state), serving(facts), now)
}

fn strength<'a>(
    facts: &Facts,
    spec: &RecoveryPolicySpec,
    failover: &Failover,
    served: usize,
    pods: impl Iterator<Item = &'a PodFacts>,
    now: Timestamp,
) -> Strength {
    let needed = share(&failover.min_capacity, served).max(1);
    let enough = spec.detection.unavailable_for.signed();
    let mut fit: Vec<Timestamp> = pods.filter_map(|pod| pod.ready_since).map(|since| since + enough).collect();
    fit.sort();
    // Its controller may know more than we do, never less.
    let available =
        facts.standby.as_ref().map_or(0, |standby| usize::try_from(standby.available_replicas).unwrap_or(0));
    fit.truncate(available);
    let ready = fit.iter().filter(|at| **at <= now).count();
    let settled = fit.get(needed - 1).copied().filter(|at| *at > now);
    Strength { ready, served, needed, settled }
}

/// Pods of the standby that are ready.
pub(super) fn serving(facts: &Facts) -> impl Iterator<Item = &PodFacts> {
    facts.standby_pods.iter().filter(|pod| pod.ready && !pod.deleting && !pod.finished)
}

/// With how many pods home served: the wanted ones, or those of its stable state, if they were more and an autoscaler has
/// not decided otherwise since.
pub(super) fn served(facts: &Facts, state: Option<&StateFacts>) -> usize {
    let scales = |kind| facts.objects.iter().any(|object| object.kind == kind && object.belongs);
    let recorded = state.filter(|_| !scales(MemberKind::HorizontalPodAutoscaler)).map_or(0, |state| state.replicas);
    let wanted = facts.target.as_ref().map_or(0, |target: &Workload| target.replicas);
    usize::try_from(wanted.max(recorded)).unwrap_or(0)
}

/// What is to be said of a standby that takes over with fewer pods than home served.
pub(super) fn in_part(case: &Case) -> String {
    let Some(failover) = &case.policy.spec.actions.failover else { return String::new() };
    let Strength { ready, served, .. } = of(case, failover);
    if ready < served {
        format!("; the standby takes over in part, with {ready} pods for {served}")
    } else {
        String::new()
    }
}

/// Why traffic should move before a change is put back: the target is down, and its pods take longer to get ready than is
/// left of the objective. A StatefulSet makes them one after the other.
pub(super) fn first(case: &Case) -> Option<String> {
    let spec = &case.policy.spec;
    let declared = spec.actions.failover.is_some() && case.assessment.ready == 0;
    let turns = if case.target.kind == MemberKind::StatefulSet { case.target.replicas.max(1) } else { 1 };
    let takes = SignedDuration::from_secs(case.reference.time_to_ready.saturating_mul(turns.into()));
    let detected = case.open.and_then(|open| open.journal.timeline.detected.as_ref()).map(|at| at.0);
    let due = detected.unwrap_or(case.symptom.since) + spec.objective.signed();
    (declared && case.now + takes > due).then(|| {
        let (seconds, objective) = (takes.as_secs(), spec.objective);
        format!("restored pods take about {seconds} s to get ready, and the objective is {objective} after detection")
    })
}
