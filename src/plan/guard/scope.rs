//! A target that another controller makes is that controller's business: it would undo what we do.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;

pub(super) fn check(case: &Case, _: Remedy) -> Result<(), Refusal> {
    match &case.target.owner {
        Some(owner) => Err(Refusal::new(
            Reason::TargetOwned,
            format!(
                "the target is controlled by {owner}, which would undo our changes; look after that object instead"
            ),
        )),
        None => Ok(()),
    }
}
