//! After a recovery that acted, the target is left alone for a while.

use super::{Case, Refusal};
use crate::api::recovery::Remedy;
use crate::api::{Outcome, Reason};

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    // A freeze stops a spread and is undone by us in every case: containing never has to wait.
    if remedy == Remedy::Freeze {
        return Ok(());
    }
    let cooldown = case.policy.spec.limits.cooldown;
    let last = case
        .facts
        .recoveries
        .iter()
        .filter(|recovery| !recovery.open() && recovery.journal.attempt > 0)
        .filter(|recovery| recovery.journal.target.uid == case.target.uid)
        .filter(|recovery| recovery.journal.outcome != Some(Outcome::Superseded))
        .filter_map(|recovery| Some((recovery.journal.timeline.closed.as_ref()?.0, recovery)))
        .max_by_key(|(closed, _)| *closed);
    match last {
        Some((closed, recovery)) if case.now < closed + cooldown.signed() => Err(Refusal {
            reason: Reason::Cooldown,
            message: format!("Recovery {} acted less than {cooldown} ago (limits.cooldown)", recovery.name),
            until: Some(closed + cooldown.signed()),
        }),
        _ => Ok(()),
    }
}
