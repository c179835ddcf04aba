//! Configuration that others serve with as well is not put back from under them.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;
use crate::plan::closure;
use crate::plan::member::MemberKind;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    if !remedy.rolls_back() && remedy != Remedy::Recreate {
        return Ok(());
    }
    let differing = closure::restorable(case.facts, case.reference);
    let maps = differing.iter().filter(|difference| difference.kind == MemberKind::ConfigMap);
    let shared = maps.filter_map(|difference| {
        let consumers = &case.facts.config_maps.get(difference.name)?.serving_others;
        Some((difference.name, consumers.first()?))
    });
    match shared.min() {
        None => Ok(()),
        Some((name, consumer)) => Err(Refusal::new(
            Reason::Contested,
            format!(
                "ConfigMap {name} differs, and {consumer} serves with it as it is; mend it by hand, or give each its own"
            ),
        )),
    }
}
