//! Who may act: a Lease, taken and renewed by optimistic writes, and permits that expire by themselves.
//!
//! [`step`] is pure. A foreign lease counts as expired only when *this* process has seen no change of it for its
//! whole duration, so clocks of other machines do not matter. A permit ends before the lease can be taken by anyone
//! else, counted from before the renewal was sent, so a leader that cannot reach the API server stops in time without
//! being told. This module must not know what is done under a permit.
//!
//! Rights: leases `create`, `get`, `update`.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod election;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;

pub use election::run;

/// Whose lease, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// Who we are. Must be unique among running processes: use the name of the pod.
    pub identity: String,
    /// How long the lease lasts without renewal.
    pub duration: Duration,
}

impl Settings {
    /// The pause between renewals.
    #[must_use]
    pub fn renewal(&self) -> Duration {
        self.duration / 3
    }

    /// The longest a call to the lease may take.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.duration / 3
    }

    /// The pause before a failed call is repeated, and between looks at a foreign lease.
    #[must_use]
    pub fn retry(&self) -> Duration {
        self.duration * 2 / 15
    }

    /// How much sooner a permit ends than the lease.
    #[must_use]
    pub fn margin(&self) -> Duration {
        self.duration / 5
    }

    /// The longest deadline of an effect that a permit still covers just before its renewal, at most five seconds.
    #[must_use]
    pub fn effect_deadline(&self) -> Duration {
        self.deadline().min(Duration::from_secs(5))
    }

    /// The duration as written in the lease: rounded up, so that the lease never ends before the permit.
    fn whole_seconds(&self) -> i32 {
        let seconds = self.duration.as_secs() + u64::from(self.duration.subsec_nanos() > 0);
        i32::try_from(seconds.max(1)).unwrap_or(i32::MAX)
    }
}

/// The right to act, until a moment of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// No effect may be under way from this instant on.
    pub until: Instant,
}

impl Permit {
    /// No right at all: over already.
    #[must_use]
    pub fn none(now: Instant) -> Self {
        Self { until: now }
    }

    /// Whether one may act now.
    #[must_use]
    pub fn valid(&self, now: Instant) -> bool {
        now < self.until
    }

    /// Whether one may begin something that can take `time`.
    #[must_use]
    pub fn covers(&self, now: Instant, time: Duration) -> bool {
        self.valid(now) && now + time <= self.until
    }
}

/// A Lease as seen, reduced to what the election needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseView {
    /// Who holds it; empty if nobody does.
    pub holder: String,
    /// When the holder acquired it: with the holder, it names one reign of one process.
    pub acquired: Option<Timestamp>,
    /// How long it lasts without renewal, if it says so.
    pub duration: Option<Duration>,
    /// The version that was seen: any change of it is a sign of life.
    pub resource_version: String,
}

impl LeaseView {
    /// What matters of a Lease.
    #[must_use]
    pub fn of(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            holder: spec.holder_identity.unwrap_or_default(),
            acquired: spec.acquire_time.map(|time| time.0),
            duration: seconds.map(Duration::from_secs),
            resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
        }
    }
}

/// What one process remembers from look to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The acquire time we write while we try or hold; `None` while the lease is somebody else's.
    pub term: Option<Timestamp>,
    /// The version of the foreign lease that was seen last, and when it was first seen so.
    pub observed: Option<(String, Instant)>,
    /// The lease was looked at before.
    pub looked: bool,
}

/// What to do about the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// There is none: create it in our name.
    Create,
    /// It is free, expired or a dead namesake's: write our name into it.
    Take,
    /// It is ours: renew it.
    Renew,
    /// It is somebody else's: look again at this instant at the latest.
    Wait(Instant),
}

/// What to do about the lease as seen. Pure: the same arguments give the same move and memory.
pub fn step(seen: Option<&LeaseView>, me: &str, settings: &Settings, now: Instant, memory: &mut Memory) -> Move {
    let first_look = !std::mem::replace(&mut memory.looked, true);
    let Some(lease) = seen else {
        memory.observed = None;
        return Move::Create;
    };
    if lease.holder == me && memory.term.is_some() && lease.acquired == memory.term {
        memory.observed = None;
        return Move::Renew;
    }
    // Our own name, but written by another process: at the first look it is the container we were restarted from;
    // later it is somebody who uses our name, and no better than any other.
    if lease.holder.is_empty() || (lease.holder == me && first_look) {
        memory.observed = None;
        return Move::Take;
    }
    let since = match &memory.observed {
        Some((version, since)) if *version == lease.resource_version => *since,
        _ => now,
    };
    memory.observed = Some((lease.resource_version.clone(), since));
    let expires = since + lease.duration.unwrap_or(settings.duration);
    if now >= expires {
        return Move::Take;
    }
    memory.term = None;
    Move::Wait(expires)
}
