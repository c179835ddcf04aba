//! The past must still be possible: a state that can be used, not too old, and restorable by what the policy allows.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::policy::MemberPolicy;
use crate::api::recovery::Remedy;
use crate::plan::{closure, states};

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let (Remedy::Rollback, Some(rollback)) = (remedy, &case.policy.spec.actions.rollback) else { return Ok(()) };
    let state = case.reference;
    states::usable(case.facts, state)?;
    if case.now > state.created + rollback.max_age.signed() {
        let message =
            format!("StableState {} is older than {} (actions.rollback.maxAge)", state.name, rollback.max_age);
        return Err(Refusal::new(Reason::StateTooOld, message));
    }
    let compared_only = closure::config_map_policy(case.facts) == MemberPolicy::Compare;
    let out_of_reach = closure::differences(case.facts, state)
        .into_iter()
        .find(|difference| difference.stable.kind == "ConfigMap" && (compared_only || difference.stable.absent));
    match out_of_reach {
        Some(difference) => Err(Refusal::new(
            Reason::NotAllowed,
            format!("ConfigMap {} differs, and may not be written (closure.configMaps)", difference.stable.name),
        )),
        None => Ok(()),
    }
}
