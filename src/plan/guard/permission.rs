//! The policy lists what may be done; what it does not list is not done.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::policy::GuardRailPolicy;
use crate::api::recovery::Remedy;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let actions = &case.policy.spec.actions;
    let refuse = |message: &str| Err(Refusal::new(Reason::NotAllowed, message));
    match remedy {
        Remedy::IsolatePods if actions.isolate.as_ref().is_none_or(|isolate| isolate.max_pods == 0) => {
            refuse("the policy does not allow pods to be isolated (actions.isolate.maxPods)")
        }
        Remedy::Freeze if actions.isolate.as_ref().is_none_or(|isolate| !isolate.freeze) => {
            refuse("the policy does not allow a freeze (actions.isolate.freeze)")
        }
        Remedy::Rollback if actions.rollback.is_none() => {
            refuse("the policy does not allow a rollback (actions.rollback)")
        }
        Remedy::RestoreGuardRails if actions.rollback.is_none() => {
            refuse("the policy does not allow a rollback (actions.rollback)")
        }
        Remedy::RestoreGuardRails if case.policy.spec.closure.guard_rails == GuardRailPolicy::Compare => {
            refuse("guard rails are only compared (closure.guardRails)")
        }
        Remedy::RestoreGuardRails if case.policy.spec.service_account_name.is_none() => {
            refuse("guard rails are written with the rights of spec.serviceAccountName, which names none")
        }
        Remedy::Failover if actions.failover.is_none() => {
            Err(Refusal::new(Reason::NoStandby, "the policy declares no standby (actions.failover)"))
        }
        _ => Ok(()),
    }
}
