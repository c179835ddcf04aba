//! The past must still be possible: a state that can be used, not too old, restorable by what the policy allows, and
//! not refused by a rehearsal.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::policy::MemberPolicy;
use crate::api::recovery::Remedy;
use crate::plan::{closure, rehearsal, states};

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let rollback = case.policy.spec.actions.rollback.as_ref().filter(|_| remedy.restores());
    let Some(rollback) = rollback else { return Ok(()) };
    let state = case.reference;
    states::usable(case.facts, state)?;
    if case.now > state.created + rollback.max_age.signed() {
        let message =
            format!("StableState {} is older than {} (actions.rollback.maxAge)", state.name, rollback.max_age);
        return Err(Refusal::new(Reason::StateTooOld, message));
    }
    let out_of_reach = closure::differences(case.facts, state).into_iter().find(|difference| {
        let group = difference.kind.group().filter(|_| difference.kind.referred_to() && !difference.of_others());
        let compared_only = |group| closure::member_policy(case.facts, group) == MemberPolicy::Compare;
        group.is_some_and(|group| compared_only(group) || difference.stable.is_empty())
    });
    match out_of_reach.filter(|_| remedy != Remedy::RestoreGuardRails) {
        Some(difference) => Err(Refusal::new(
            Reason::NotAllowed,
            format!("{} {} differs, and may not be written (spec.closure)", difference.kind, difference.name),
        )),
        None => rehearsal::allows(case, remedy),
    }
}
