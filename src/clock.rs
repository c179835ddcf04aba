//! The only place that asks for the time. Everything else takes it as an argument.

use jiff::Timestamp;
use tokio::time::Instant;

/// The wall clock, in whole microseconds: what Kubernetes' `MicroTime` keeps, so that it reads back the same.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// The monotonic clock, for deadlines and permits. Tests can pause it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn monotonic() -> Instant {
    Instant::now()
}
