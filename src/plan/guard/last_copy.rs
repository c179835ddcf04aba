//! No remedy takes the last copy that serves: what is isolated must not be ready, or others must be.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let takes_pods = matches!(remedy, Remedy::IsolatePods);
    let left = case.facts.live_pods().filter(|pod| pod.ready && !case.assessment.bad_pods.contains(&pod.uid)).count();
    if takes_pods && left == 0 {
        return Err(Refusal::new(Reason::LastHealthyCopy, "no other ready pod would be left"));
    }
    Ok(())
}
