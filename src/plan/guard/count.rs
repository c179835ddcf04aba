//! No more pods may be out of service at once than the policy says, those already quarantined included.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let (Remedy::IsolatePods, Some(isolate)) = (remedy, &case.policy.spec.actions.isolate) else { return Ok(()) };
    let bad = case.assessment.bad_pods.len();
    let quarantined = case.facts.quarantined.len();
    if bad + quarantined > isolate.max_pods as usize {
        let message = format!(
            "{bad} pods are bad and {quarantined} are quarantined already; {} may be (actions.isolate.maxPods)",
            isolate.max_pods
        );
        return Err(Refusal::new(Reason::TooManyPods, message));
    }
    Ok(())
}
