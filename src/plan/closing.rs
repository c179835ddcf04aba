//! What is said of an incident that ends well: what was brought back and nobody may know, and what was left as it is.

use super::facts::{Facts, StateFacts};
use super::{closure, parity};
use crate::api::recovery::Journal;

/// What was brought back that an owner's manifests may not know, for people.
pub(super) fn left_over(journal: &Journal) -> String {
    let left = journal.steps.iter().filter(|step| !step.leftovers.is_empty());
    let objects: Vec<_> = left.map(|step| format!("{} ({})", step.object, step.leftovers.len())).collect();
    match objects.is_empty() {
        true => String::new(),
        false => format!("; only the stable state had, and no manifest may know: {}", objects.join(", ")),
    }
}

/// What differs and is not ours to put back, for people.
pub(super) fn left_alone(facts: &Facts, state: &StateFacts) -> String {
    let left = closure::differences(facts, state);
    let (outside, left): (Vec<_>, Vec<_>) = left.iter().partition(|difference| difference.kind.outside());
    let (stricter, other): (Vec<_>, Vec<_>) =
        left.into_iter().partition(|difference| parity::spares(facts, state, difference));
    let said = |what: &str, of: Vec<&closure::Difference>| {
        let names: Vec<_> = of.iter().map(|difference| format!("{} {}", difference.kind, difference.name)).collect();
        if names.is_empty() { String::new() } else { format!("; {what}: {}", names.join(", ")) }
    };
    said("stricter than recorded, and left so", stricter)
        + &said("left as it is", other)
        + &said("differs, outside of the namespace, for an administrator", outside)
}
