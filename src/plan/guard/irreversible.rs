//! An owner who declared the present content irreversible (a one-way migration, say) is believed.

use super::{Case, Refusal};
use crate::api::recovery::Remedy;
use crate::api::{Reason, mark};

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    if remedy == Remedy::Rollback && case.target.irreversible {
        let message = format!("the owner declared this release irreversible (annotation {})", mark::IRREVERSIBLE);
        return Err(Refusal::new(Reason::Irreversible, message));
    }
    Ok(())
}
