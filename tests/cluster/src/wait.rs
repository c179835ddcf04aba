//! Waiting for a condition: a short interval, a deadline, and an error that says what was seen last.
//!
//! Must not be used to sleep for a while: there is always a condition to name.

use std::fmt::Display;
use std::time::Duration;

use anyhow::{Result, bail};

/// How long to wait between two looks at a condition.
const INTERVAL: Duration = Duration::from_millis(25);

/// Looks again and again until `check` gives `Ok`, at most until `deadline` has passed.
///
/// `check` answers `Err` with what it sees as long as the condition does not hold; the last such answer is part of the
/// error. `what` completes the sentence "waited … for".
pub async fn eventually<T, E, F>(what: &str, deadline: Duration, mut check: F) -> Result<T>
where
    E: Display,
    F: AsyncFnMut() -> Result<T, E>,
{
    let mut last = String::from("no answer yet");
    let looking = async {
        loop {
            match check().await {
                Ok(value) => return value,
                Err(seen) => last = format!("{seen:#}"),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    };
    match tokio::time::timeout(deadline, looking).await {
        Ok(value) => Ok(value),
        Err(_) => bail!("waited {} s for {what}; last seen: {last}", deadline.as_secs_f32()),
    }
}
