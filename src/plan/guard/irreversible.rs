//! An owner who declared the present content irreversible (a one-way migration, say) is believed.

use super::{Case, Refusal};
use crate::api::recovery::Remedy;
use crate::api::{Reason, mark};

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    // What ran last may be created again, whatever it did to its data; what ran before it may not.
    let as_it_was = || case.reference.itself(case.target).is_some_and(|member| member.digest == case.target.digest);
    let back = remedy.rolls_back() || (remedy == Remedy::Recreate && !as_it_was());
    if back && case.target.irreversible {
        let message = format!("the owner declared this release irreversible (annotation {})", mark::IRREVERSIBLE);
        return Err(Refusal::new(Reason::Irreversible, message));
    }
    Ok(())
}
