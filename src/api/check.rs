//! A check of metrics: one query to a provider, and between which values its answer has to be.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::Duration;

/// The most checks that a policy may have.
pub const MOST_CHECKS: usize = 8;

/// A question to a metrics provider, and what its answer has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.max) || has(self.min)").message("a check needs a limit: set max to the highest value that is good, min to the lowest, or both"))]
#[x_kube(validation = Rule::new("!has(self.max) || !has(self.min) || double(self.min) <= double(self.max)").message("no value is good with min above max: set min to at most max"))]
pub struct Check {
    /// What the check is called in conditions, records and messages. Required, once in a policy. Example: `errors`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The provider that is asked, by the name that it has in the chart's `providers`. Required. Example: `main`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub provider: String,
    /// A PromQL expression with exactly one value: a scalar, or one series. No series, no number and no answer are all
    /// no data, which is never a pass. Required.
    /// Example: `sum(rate(http_requests_total{code=~"5.."}[1m])) / sum(rate(http_requests_total[1m]))`.
    #[schemars(length(min = 1, max = 2048))]
    pub query: String,
    /// The highest value that is good, as a decimal number. Default: none; `max`, `min` or both must be given.
    /// Example: `"0.01"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 26), regex(pattern = r"^-?[0-9]{1,12}(\.[0-9]{1,12})?$"))]
    pub max: Option<String>,
    /// The lowest value that is good, as a decimal number. Default: none; `max`, `min` or both must be given.
    /// Example: `"0.99"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 26), regex(pattern = r"^-?[0-9]{1,12}(\.[0-9]{1,12})?$"))]
    pub min: Option<String>,
    /// How far the query looks back: an answer proves a recovery only if all of that lies after it. Default: the longest
    /// range in the query, as in `[1m]`; 1m if there is none. To be given for recording rules and `offset`.
    /// Longer than 0s. Example: `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::api::duration::positive")]
    pub window: Option<Duration>,
}

/// What a check said when a stable state was earned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckEvidence {
    /// Name of the check.
    #[schemars(length(max = 63))]
    pub name: String,
    /// The last value of the soak.
    #[schemars(length(max = 32))]
    pub value: String,
}
