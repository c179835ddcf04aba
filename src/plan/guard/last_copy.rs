//! No remedy takes the last copy that serves, wherever it is: among the pods of the target, or behind each Service that
//! leads to them (it may stand in for another target).

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
        // Its rollout replaces good ones as well.
        Remedy::RenewPods if case.assessment.ready > 0 && case.target.rollout_keeps < 1 => {
            let (ready, title) = (case.assessment.ready, case.target.title());
            refuse(format!("{ready} pods still serve, and a rollout of {title} does not keep them"))
        }
        // Only what does not serve is moved off a node; how much of a standby serves is measured by `capacity`.
        Remedy::IsolateNode | Remedy::Failover | Remedy::PreScale => Ok(()),
        Remedy::Rollback
        | Remedy::RollbackLoosening
        | Remedy::Recreate
        | Remedy::RenewPods
        | Remedy::RestoreGuardRails
        | Remedy::Freeze
        | Remedy::Hold
        | Remedy::StopNeighbour
        | Remedy::CutDependency => Ok(()),
    }
}
