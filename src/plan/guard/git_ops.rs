//! What a GitOps tool keeps like its repository it would put back: we do not fight with it. Isolating a pod and moving
//! traffic touch nothing that it keeps, and stay possible.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    match (&case.target.git_ops, remedy) {
        (Some(tool), Remedy::Rollback | Remedy::RestoreGuardRails | Remedy::Freeze) => {
            let message =
                format!("{tool} keeps the target like its repository and would undo our change: revert it there");
            Err(Refusal::new(Reason::GitOwned, message))
        }
        _ => Ok(()),
    }
}
