//! Two policies for one target would pull at it from two sides: neither acts.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;

pub(super) fn check(case: &Case, _: Remedy) -> Result<(), Refusal> {
    match case.policy.rivals.first() {
        Some(rival) => {
            let message = format!("RecoveryPolicy {rival} names the same target; delete one of the two");
            Err(Refusal::new(Reason::Conflicted, message))
        }
        None => Ok(()),
    }
}
