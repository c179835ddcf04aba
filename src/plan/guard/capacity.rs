//! Traffic moves only away from a target that is down, through a Service that leads to it, to a standby that is ready.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let (Remedy::Failover, Some(failover)) = (remedy, &case.policy.spec.actions.failover) else { return Ok(()) };
    if case.assessment.ready > 0 {
        let message = format!("{} pods of the target still serve", case.assessment.ready);
        return Err(Refusal::new(Reason::TargetServing, message));
    }
    let name = &failover.via.service;
    let Some(service) = case.facts.services.iter().find(|service| service.name == *name) else {
        return Err(Refusal::new(Reason::ServiceNotFound, format!("Service {name} does not exist")));
    };
    if !service.selects(&case.target.labels) {
        let message = format!("Service {name} does not lead to the target");
        return Err(Refusal::new(Reason::ServiceNotFound, message));
    }
    let standby = &failover.standby.name;
    let refuse =
        |what: &str| Err(Refusal::new(Reason::StandbyNotReady, format!("standby Deployment {standby} {what}")));
    match &case.facts.standby {
        None => refuse("does not exist"),
        Some(found) if found.deleting || found.replicas == 0 => refuse("wants no pods"),
        Some(found) if found.uid == case.target.uid => refuse("is the target itself"),
        Some(found) if found.selector.is_empty() || service.selects(&found.labels) => {
            refuse("has no pod labels of its own to tell it from the target")
        }
        Some(found) if found.observed_generation < found.generation || found.available_replicas < found.replicas => {
            refuse(&format!("is not ready: {} of {} pods available", found.available_replicas, found.replicas))
        }
        Some(_) => Ok(()),
    }
}
