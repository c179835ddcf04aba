//! Is it only me? Before traffic is moved for a failure that no change of the target explains, we look for a moment
//! whether others get into trouble as well. If many are, the cause is probably shared, and the standby may share it.
//!
//! Only for failover, and what prepares it: a change of its own explains a failure by itself, and a single bad pod is told from its siblings.

use jiff::SignedDuration;

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;
use crate::plan::brake::Weather;

/// How long a target has to be in trouble before its traffic moves. Targets with the same cause show it within this
/// time; the usual `unavailableFor` is longer, so that nothing is lost by it.
const SETTLED: SignedDuration = SignedDuration::from_secs(2);
/// While others are in trouble we look again so often: not all that may end it is a change of this target.
const LOOK: SignedDuration = SignedDuration::from_secs(1);

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    if !matches!(remedy, Remedy::Failover | Remedy::PreScale) {
        return Ok(());
    }
    // Being unavailable counts only after a time in which the others could be watched as well.
    let watched = match case.symptom.reason {
        Reason::Unavailable => case.policy.spec.detection.unavailable_for.signed(),
        _ => SignedDuration::ZERO,
    };
    let settled = case.symptom.since + SETTLED.saturating_sub(watched).max(SignedDuration::ZERO);
    if case.now < settled {
        let message = "nothing changed here: waiting a moment to see whether others fail as well";
        return Err(Refusal { until: Some(settled), ..Refusal::new(Reason::Settling, message) });
    }
    let fleet = &case.facts.fleet;
    let now = Weather { unstable: fleet.in_trouble + 1, armed: fleet.armed + 1 };
    if now.storm(&fleet.limits.brake) {
        let message = format!(
            "{} of {} armed targets are in trouble now: the cause is probably shared, perhaps by the standby",
            now.unstable, now.armed
        );
        return Err(Refusal { until: Some(case.now + LOOK), ..Refusal::new(Reason::SharedFault, message) });
    }
    Ok(())
}
