//! Traffic moves only away from a target that is down, through a Service or a route that leads to it, to a standby of which enough has
//! been ready for a while.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;
use crate::plan::facts::Workload;
use crate::plan::traffic::{self, Means};
use crate::plan::{pre_scale, standby};

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let (Remedy::Failover, Some(failover)) = (remedy, &case.policy.spec.actions.failover) else { return Ok(()) };
    if case.assessment.ready > 0 {
        let message = format!("{} pods of the target still serve", case.assessment.ready);
        return Err(Refusal::new(Reason::TargetServing, message));
    }
    let means = traffic::find(case.facts, failover, case.target);
    let means = means.map_err(|message| Refusal::new(Reason::ServiceNotFound, message))?;
    let title = format!("standby {}", failover.standby);
    let refuse = |what: String| Refusal::new(Reason::StandbyNotReady, format!("{title} {what}"));
    let found = fit(case, &means).map_err(|what| refuse(what.into()))?;
    let strength = standby::of(case, failover);
    let (ready, needed) = (strength.ready, strength.needed);
    if ready >= needed {
        return Ok(());
    }
    if let Some(until) = strength.settled {
        let enough = case.policy.spec.detection.unavailable_for;
        let what = format!("has {ready} of the {needed} pods that it needs ready for {enough}, and more on the way");
        return Err(Refusal { until: Some(until), ..refuse(what) });
    }
    if found.observed_generation < found.generation || found.available_replicas < found.replicas {
        let (available, all) = (found.available_replicas, found.replicas);
        return Err(refuse(format!(
            "is not ready: {available} of {all} pods available, {ready} counted, {needed} needed"
        )));
    }
    if let Some(autoscaler) = pre_scale::on_the_way(case.facts) {
        let (brings, least) = (autoscaler.title(), autoscaler.least);
        let what =
            format!("has {ready} of the {needed} pods that it needs, and {brings} brings more (minReplicas {least})");
        return Err(refuse(what));
    }
    let helps =
        pre_scale::possible(case).map_or_else(|why| why, |(found, _)| format!("{} could bring more", found.title()));
    let message = format!(
        "{title} has {ready} ready pods, and the target served with {}: {needed} are needed (failover.minCapacity {}); \
         {helps}",
        strength.served, failover.min_capacity
    );
    Err(Refusal::new(Reason::StandbyTooSmall, message))
}

/// The standby, if it is one at all; else what is the matter.
fn fit<'a>(case: &'a Case, means: &Means) -> Result<&'a Workload, &'static str> {
    match &case.facts.standby {
        None => Err("does not exist"),
        Some(found) if found.deleting || found.replicas == 0 => Err("wants no pods"),
        Some(found) if found.uid == case.target.uid => Err("is the target itself"),
        Some(found) if found.selector.is_empty() || means.selects(found) => {
            Err("has no pod labels of its own to tell it from the target")
        }
        Some(found) => Ok(found),
    }
}
