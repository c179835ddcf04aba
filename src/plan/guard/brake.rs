//! When too much fails together, nothing new is begun anywhere: the cause is shared, and a person has to look. What was
//! begun goes on, and whatever we hold is let go. Nobody queues: when it is over, everybody is judged anew.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;

pub(super) fn check(case: &Case, _: Remedy) -> Result<(), Refusal> {
    let limit = &case.facts.fleet.limits.brake;
    let Some(until) = case.brake.off_at_the_earliest(limit, case.now) else { return Ok(()) };
    let weather = case.weather;
    let message = format!(
        "the brake is on: {} of {} armed targets became unstable within {}; nothing new is begun before that is below \
         {} % for {}",
        weather.unstable, weather.armed, limit.window, limit.release.below_percent, limit.release.after
    );
    Err(Refusal { until: Some(until), ..Refusal::new(Reason::BrakeOn, message) })
}
