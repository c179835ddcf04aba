//! No remedy takes the last copy that serves, wherever it is: among the pods of the target, behind each Service that
//! leads to them (it may stand in for another target), or in the standby that is to serve in its place.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(Reason::LastHealthyCopy, message));
    let bad = |uid: &String| case.assessment.bad_pods.contains(uid);
    match remedy {
        Remedy::IsolatePods => {
            if !case.facts.live_pods().any(|pod| pod.ready && !bad(&pod.uid)) {
                return refuse("no other ready pod would be left".into());
            }
            let services = case.facts.services.iter().filter(|service| service.selects(&case.target.labels));
            // What offers every pod says nothing about which of them serve.
            let mut telling = services.filter(|service| !service.publishes_not_ready);
            match telling.find(|service| !service.offered.is_empty() && service.offered.iter().all(bad)) {
                Some(service) => refuse(format!("Service {} would be left without a pod", service.name)),
                None => Ok(()),
            }
        }
        Remedy::Failover => {
            let mut standby = case.facts.standby_pods.iter().filter(|pod| !pod.deleting && !pod.finished);
            match standby.any(|pod| pod.ready) {
                true => Ok(()),
                false => refuse("no pod of the standby is ready, whatever its Deployment counts".into()),
            }
        }
        Remedy::Rollback | Remedy::RestoreGuardRails | Remedy::Freeze | Remedy::Hold => Ok(()),
    }
}
