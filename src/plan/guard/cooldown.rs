//! After a recovery that acted, the target is left alone for a while, and for longer each time that it comes back.

use super::{Case, Refusal};
use crate::api::recovery::Remedy;
use crate::api::{Outcome, Reason};

/// The pause is not doubled more often.
const MOST_DOUBLED: u32 = 5;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    // A freeze stops a spread and is undone by us in every case: containing never has to wait.
    if remedy == Remedy::Freeze {
        return Ok(());
    }
    let cooldown = case.policy.spec.limits.cooldown;
    // What came back is left alone ever longer.
    let tried = case.relapse.map_or(1, |relapse| relapse.tried).clamp(1, MOST_DOUBLED);
    let pause = cooldown.signed().saturating_mul(1 << (tried - 1));
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
        Some((closed, recovery)) if case.now < closed + pause => Err(Refusal {
            reason: Reason::Cooldown,
            message: match tried {
                1 => format!("Recovery {} acted less than {cooldown} ago (limits.cooldown)", recovery.name),
                _ => format!(
                    "Recovery {} acted, and it came back after {tried} attempts: left alone for {} times {cooldown} \
                     (limits.cooldown)",
                    recovery.name,
                    1 << (tried - 1)
                ),
            },
            until: Some(closed + pause),
        }),
        _ => Ok(()),
    }
}
