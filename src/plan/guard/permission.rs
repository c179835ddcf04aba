//! The policy lists what may be done; what it does not list is not done.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::policy::{GuardRailPolicy, RecreatePolicy};
use crate::api::recovery::Remedy;
use crate::plan::cuts;
use crate::plan::nodes::NodeSight;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let actions = &case.policy.spec.actions;
    let refuse = |message: &str| Err(Refusal::new(Reason::NotAllowed, message));
    match remedy {
        Remedy::IsolatePods if actions.isolate.as_ref().is_none_or(|isolate| isolate.max_pods == 0) => {
            refuse("the policy does not allow pods to be isolated (actions.isolate.maxPods)")
        }
        Remedy::IsolateNode => {
            if actions.isolate.as_ref().is_none_or(|isolate| isolate.max_pods == 0) {
                return refuse("the policy does not allow anything to be isolated (actions.isolate.maxPods)");
            }
            match case.facts.nodes {
                NodeSight::Off => {
                    Err(Refusal::new(Reason::RightMissing, "nodes are not looked at (capability `nodes` of the chart)"))
                }
                NodeSight::Blind => Err(Refusal::new(Reason::Blind, "nodes are out of sight")),
                NodeSight::Seen(_) if case.facts.fleet.limits.max_cordoned == 0 => {
                    refuse("no RecoveryBudget allows nodes to be cordoned (nodes.maxCordoned)")
                }
                NodeSight::Seen(_) => Ok(()),
            }
        }
        Remedy::Freeze if actions.isolate.as_ref().is_none_or(|isolate| !isolate.freeze) => {
            refuse("the policy does not allow a freeze (actions.isolate.freeze)")
        }
        Remedy::RenewPods if actions.isolate.as_ref().is_none_or(|isolate| !isolate.renew) => {
            refuse("the policy does not allow pods to be renewed (actions.isolate.renew)")
        }
        Remedy::Rollback | Remedy::RollbackLoosening if actions.rollback.is_none() => {
            refuse("the policy does not allow a rollback (actions.rollback)")
        }
        Remedy::RestoreGuardRails if actions.rollback.is_none() => {
            refuse("the policy does not allow a rollback (actions.rollback)")
        }
        Remedy::Recreate
            if actions.rollback.as_ref().is_none_or(|rollback| rollback.recreate == RecreatePolicy::Never) =>
        {
            refuse("the policy does not allow a deleted target to be created again (actions.rollback.recreate)")
        }
        Remedy::RestoreGuardRails if case.policy.spec.closure.guard_rails == GuardRailPolicy::Compare => {
            refuse("guard rails are only compared (closure.guardRails)")
        }
        Remedy::RestoreGuardRails if case.policy.spec.service_account_name.is_none() => {
            refuse("guard rails are written with the rights of spec.serviceAccountName, which names none")
        }
        Remedy::StopNeighbour if actions.isolate.as_ref().is_none_or(|isolate| isolate.neighbours.is_empty()) => {
            refuse("the policy declares no neighbour that may be stopped (actions.isolate.neighbours)")
        }
        Remedy::StopNeighbour if !case.facts.ceiling.neighbours => Err(Refusal::new(
            Reason::RightMissing,
            "the operator may not stop neighbours (capabilities.neighbours of its chart)",
        )),
        Remedy::CutDependency => cuts::permitted(case),
        Remedy::Failover | Remedy::PreScale => failover(case),
        _ => Ok(()),
    }
}

fn failover(case: &Case) -> Result<(), Refusal> {
    let Some(failover) = &case.policy.spec.actions.failover else {
        return Err(Refusal::new(Reason::NoStandby, "the policy declares no standby (actions.failover)"));
    };
    if failover.via.route().is_some() && !case.facts.ceiling.gateway_api {
        let message = "the operator may not move the weights of routes (capabilities.gatewayApi of its chart)";
        return Err(Refusal::new(Reason::RightMissing, message));
    }
    Ok(())
}
