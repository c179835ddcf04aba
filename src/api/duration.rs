//! Durations as people write them in a policy (`90s`, `5m`, `1h30m`), never negative.

use std::borrow::Cow;
use std::fmt;
use std::time;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest duration a policy may name; longer ones are cut to it, so that no timer overflows.
const LONGEST: time::Duration = time::Duration::from_secs(366 * 24 * 3600);

/// A duration of a policy: Go syntax with the units `ms`, `s`, `m`, `h`; not negative; at most 366 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(time::Duration);

impl Duration {
    /// A whole number of seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(time::Duration::from_secs(seconds))
    }

    /// A whole number of minutes.
    #[must_use]
    pub const fn minutes(minutes: u64) -> Self {
        Self::seconds(minutes * 60)
    }

    /// The value as the standard library's type.
    #[must_use]
    pub const fn get(self) -> time::Duration {
        self.0
    }

    /// The value for arithmetic with timestamps. Never overflows: it is at most 366 days.
    #[must_use]
    pub fn signed(self) -> jiff::SignedDuration {
        jiff::SignedDuration::try_from(self.0).unwrap_or(jiff::SignedDuration::MAX)
    }
}

impl fmt::Display for Duration {
    /// The shortest usual form: `1h30m`, `5m`, `1.5s`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, milliseconds) = (self.0.as_secs(), self.0.subsec_millis());
        let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        match (seconds, milliseconds) {
            (0, 0) if whole > 0 => Ok(()),
            (_, 0) => write!(f, "{seconds}s"),
            _ => write!(f, "{}s", seconds as f64 + f64::from(milliseconds) / 1000.0),
        }
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed: kube::core::Duration = text
            .parse()
            .map_err(|error| de::Error::custom(format!("{text:?} is not a duration such as 90s or 5m: {error}")))?;
        if parsed.is_negative() {
            return Err(de::Error::custom(format!("{text:?} is negative; write a duration such as 90s or 5m")));
        }
        Ok(Self(time::Duration::from(parsed).min(LONGEST)))
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schema(
            "duration(self) <= duration('8784h')",
            "the duration is longer than 366 days; write one of at most 8784h, such as 90s or 5m",
        )
    }
}

/// The schema of a duration that must not be zero: without it the field would switch off what it is for.
#[must_use]
pub fn positive(_: &mut SchemaGenerator) -> Schema {
    schema(
        "duration(self) > duration('0s') && duration(self) <= duration('8784h')",
        "the duration must be longer than 0s and at most 366 days (8784h); write for example 90s or 5m",
    )
}

fn schema(rule: &str, message: &str) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 16,
        "pattern": r"^([0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h))+$",
        "x-kubernetes-validations": [{"rule": rule, "message": message}],
    })
}

#[cfg(test)]
mod tests {
    use super::Duration;

    fn read(text: &str) -> Result<Duration, String> {
        serde_json::from_value(serde_json::json!(text)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["0s", "1.5s", "90s", "5m", "1h30m", "720h"] {
            let once = read(text).unwrap();
            assert_eq!(read(&once.to_string()).unwrap(), once, "{text}");
        }
        assert_eq!(Duration::minutes(5).to_string(), "5m");
        assert_eq!(read("90s").unwrap().to_string(), "1m30s");
    }

    #[test]
    fn nonsense_says_what_to_write_instead() {
        for text in ["-5s", "5", "soon", "5 parsecs", ""] {
            let Err(error) = read(text) else {
                assert_eq!(text, "", "{text} must be refused");
                continue;
            };
            assert!(error.contains("90s"), "{error}");
        }
    }

    #[test]
    fn a_huge_duration_is_cut() {
        assert_eq!(read("999999999h").unwrap().get().as_secs(), 366 * 24 * 3600);
    }
}
