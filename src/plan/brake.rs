//! The brake: when so much fails together that nothing new is begun anywhere, and when that is over.
//!
//! With hysteresis, so that a storm that ends raggedly does not switch it to and fro. Pure: counts and the time are
//! arguments. It must not know which targets they are.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::api::budget::BrakeLimit;

/// Whether the brake is on, and for how long it has been calm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brake {
    /// Since when it has been on.
    pub on_since: Option<Timestamp>,
    /// While it is on: since when so little failed that it may go off.
    pub calm_since: Option<Timestamp>,
}

/// How much fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Armed targets that became unstable within the window.
    pub unstable: u32,
    /// Armed targets.
    pub armed: u32,
}

impl Weather {
    /// At least so many, and at least such a share of the armed ones.
    #[must_use]
    pub fn storm(self, limit: &BrakeLimit) -> bool {
        self.unstable >= limit.min_targets && self.at_least(limit.min_percent)
    }

    /// Too few for a storm, or a share below the one for release. Seeing no target at all is not calm: we are blind.
    fn calm(self, limit: &BrakeLimit) -> bool {
        let few = self.unstable < limit.min_targets || !self.at_least(limit.release.below_percent);
        self.armed > 0 && few
    }

    fn at_least(self, percent: u32) -> bool {
        u64::from(self.unstable) * 100 >= u64::from(percent) * u64::from(self.armed)
    }
}

impl Brake {
    /// Whether nothing new may begin.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.on_since.is_some()
    }

    /// The brake as it is now.
    #[must_use]
    pub fn judge(self, limit: &BrakeLimit, weather: Weather, now: Timestamp) -> Self {
        let Some(on_since) = self.on_since else {
            let on_since = weather.storm(limit).then_some(now);
            return Self { on_since, calm_since: None };
        };
        let calm_since = weather.calm(limit).then(|| self.calm_since.unwrap_or(now));
        match calm_since {
            Some(since) if now >= since + limit.release.after.signed() => Self::default(),
            _ => Self { on_since: Some(on_since), calm_since },
        }
    }

    /// The earliest moment at which it can go off, if it is on.
    #[must_use]
    pub fn off_at_the_earliest(self, limit: &BrakeLimit, now: Timestamp) -> Option<Timestamp> {
        self.on_since.map(|_| self.calm_since.unwrap_or(now) + limit.release.after.signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Duration;
    use crate::api::budget::Release;

    const LIMIT: BrakeLimit = BrakeLimit {
        min_targets: 3,
        min_percent: 50,
        window: Duration::minutes(5),
        release: Release { below_percent: 20, after: Duration::seconds(60) },
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::constant(1_767_225_600, 0) + jiff::SignedDuration::from_secs(second)
    }

    /// Seconds, unstable, armed, and whether the brake is on then.
    fn told(table: &[(i64, u32, u32, bool)]) {
        let mut brake = Brake::default();
        for (second, unstable, armed, on) in table {
            brake = brake.judge(&LIMIT, Weather { unstable: *unstable, armed: *armed }, at(*second));
            assert_eq!(brake.is_on(), *on, "at {second} s, {unstable} of {armed}: {brake:?}");
        }
    }

    #[test]
    fn it_goes_on_at_both_the_number_and_the_share() {
        told(&[(0, 2, 2, false), (1, 2, 20, false), (2, 9, 20, false), (3, 10, 20, true)]);
        told(&[(0, 2, 3, false), (1, 3, 7, false), (2, 3, 6, true)]);
        told(&[(0, 0, 0, false)]);
    }

    #[test]
    fn it_goes_off_after_a_calm_without_a_break() {
        told(&[(0, 10, 20, true), (10, 3, 20, true), (69, 3, 20, true), (70, 3, 20, false), (71, 3, 20, false)]);
    }

    #[test]
    fn between_the_two_shares_it_stays_as_it_is() {
        told(&[(0, 9, 20, false), (1, 10, 20, true), (100, 9, 20, true), (1000, 4, 20, true), (2000, 4, 20, true)]);
    }

    #[test]
    fn a_ragged_end_begins_the_calm_anew() {
        told(&[(0, 10, 20, true), (10, 3, 20, true), (60, 4, 20, true), (61, 3, 20, true), (120, 3, 20, true)]);
        told(&[(0, 10, 20, true), (10, 3, 20, true), (60, 4, 20, true), (61, 3, 20, true), (121, 3, 20, false)]);
    }

    #[test]
    fn in_a_small_fleet_fewer_than_a_storm_is_calm() {
        told(&[(0, 3, 3, true), (10, 2, 3, true), (70, 2, 3, false)]);
    }

    #[test]
    fn blindness_is_not_calm() {
        told(&[(0, 3, 3, true), (10, 0, 0, true), (1000, 0, 0, true), (1001, 0, 3, true), (1061, 0, 3, false)]);
    }

    #[test]
    fn the_earliest_end_is_known() {
        let on = Brake { on_since: Some(at(0)), calm_since: None };
        assert_eq!(on.off_at_the_earliest(&LIMIT, at(5)), Some(at(65)));
        let calm = Brake { calm_since: Some(at(2)), ..on };
        assert_eq!(calm.off_at_the_earliest(&LIMIT, at(5)), Some(at(62)));
        assert_eq!(Brake::default().off_at_the_earliest(&LIMIT, at(5)), None);
    }
}
