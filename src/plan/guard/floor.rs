//! No rollback goes below a floor that the policy declares, unless an exception that has not ended lets exactly that pass.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;
use crate::plan::floors;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    if !remedy.rolls_back() {
        return Ok(());
    }
    let found = floors::judge(case.facts, case.reference, case.now);
    match found.below.first() {
        Some(first) => {
            let message = format!("StableState {}: {first} (spec.floors)", case.reference.name);
            Err(Refusal::new(Reason::BelowFloor, message))
        }
        None => Ok(()),
    }
}
