//! A rollback does not loosen security. What was hardened since the stable state is kept where that is possible; where it
//! is not, a person has to approve a plan that says what it would allow again.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;
use crate::plan::parity;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    // One that loosens is never carried out without an approval.
    if remedy != Remedy::Rollback {
        return Ok(());
    }
    let allowed = parity::unkeepable(case.facts, case.reference);
    let Some(first) = allowed.first() else { return Ok(()) };
    let others = if allowed.len() > 1 { format!(" and {} more", allowed.len() - 1) } else { String::new() };
    let message = format!("it would allow again what was forbidden since: {first}{others}");
    Err(Refusal::new(Reason::SecurityLoosened, message))
}
