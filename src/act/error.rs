//! How a call to the API server can fail, in the few classes that a caller treats differently.

use std::time::Duration;

/// Why a call failed. Nothing is repeated here: whoever repeats must read again first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// We may not act, or not for long enough. No request was sent.
    #[error("failed to act: the leader's permit is over or ends too soon; whoever holds the lease acts next")]
    NoPermit,
    /// No answer in time. Whether a write had its effect is unknown until the object is read again.
    #[error("failed to get an answer within {0:?}; the object is read again before the next write")]
    Timeout(Duration),
    /// Another writer was faster, or an object of that name exists (409).
    #[error("failed to write: another writer was faster (409); the object is read again before the next write")]
    Conflict,
    /// The object changed between our read and our write (a `test` of ours failed), or is not what was expected.
    #[error("failed to write: {0}")]
    Moved(String),
    /// The object does not exist, or another one has its name (404).
    #[error("failed to find the object: it does not exist or was replaced by another of its name")]
    Gone,
    /// We have no right to do this (401, 403).
    #[error("failed for want of a right: {0}; grant it in the chart's values or take the action out of the policy")]
    Forbidden(String),
    /// It will not work however often it is tried: a refused object, a broken record, an impossible step.
    #[error("failed for good: {0}")]
    Invalid(String),
    /// It may work later: too many requests, a server error, no connection.
    #[error("failed for now: {0}; it is tried again later")]
    Transient(String),
}

impl Error {
    /// The class in one word, for metric labels.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::NoPermit => "NoPermit",
            Self::Timeout(_) => "Timeout",
            Self::Conflict => "Conflict",
            Self::Moved(_) => "Moved",
            Self::Gone => "Gone",
            Self::Forbidden(_) => "Forbidden",
            Self::Invalid(_) => "Invalid",
            Self::Transient(_) => "Transient",
        }
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        let kube::Error::Api(status) = error else { return Self::Transient(chain(&error)) };
        match status.code {
            404 | 410 => Self::Gone,
            409 => Self::Conflict,
            // A failed `test` and a refused object have the same code; the caller reads again to tell which it was.
            422 => Self::Moved(status.message),
            401 | 403 => Self::Forbidden(status.message),
            408 | 429 | 500.. => Self::Transient(format!("{} ({})", status.message, status.code)),
            code => Self::Invalid(format!("{} ({code})", status.message)),
        }
    }
}

/// An error with all of its causes; a connection error says nothing without them.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
