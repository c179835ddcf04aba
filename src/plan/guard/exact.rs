//! A cut keeps exactly one dependency away, or it is not made: it must neither allow what others forbid nor forbid what
//! nobody asked for.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;
use crate::plan::cuts;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    if remedy != Remedy::CutDependency {
        return Ok(());
    }
    cuts::exact(case).map(drop).map_err(|why| Refusal::new(Reason::CutNotExact, why))
}
