//! A target that someone else paused is in someone else's hands.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let ours = case.open.is_some_and(|open| case.target.frozen_by.as_ref() == Some(&open.name));
    let rolls = remedy.restores() || matches!(remedy, Remedy::Freeze | Remedy::RenewPods);
    if case.target.paused && !ours && rolls {
        let message =
            "the rollout is held still by someone else (paused, a partition, or OnDelete); end that to let us act";
        return Err(Refusal::new(Reason::PausedByOther, message));
    }
    Ok(())
}
