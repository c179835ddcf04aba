//! `RecoveryBudget`: how much may be under action at once, and when everything new stops.
#![allow(clippy::duplicated_attributes, reason = "print columns have attributes of the same name")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Duration;

/// So many holders are named in a status; there may be more.
pub const MOST_HOLDERS: usize = 100;

/// What a cluster administrator allows the operator as a whole, whatever the policies say.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "homeostat.dev",
    version = "v1alpha1",
    kind = "RecoveryBudget",
    plural = "recoverybudgets",
    shortname = "rb",
    category = "homeostat",
    status = "RecoveryBudgetStatus",
    derive = "PartialEq",
    doc = "How many targets may be under action at once, in the cluster and in each namespace, and the brake that stops every new action when too much fails together. Without any object the defaults hold; of several, the strictest value of each field counts.",
    printcolumn(name = "Armed", type_ = "integer", json_path = ".status.armed"),
    printcolumn(name = "Under-Action", type_ = "integer", json_path = ".status.underAction"),
    printcolumn(name = "Limit", type_ = "integer", json_path = ".status.limit"),
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.waiting"),
    printcolumn(name = "Unstable", type_ = "integer", json_path = ".status.unstable"),
    printcolumn(name = "Brake", type_ = "boolean", json_path = ".status.brake.on"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"BrakeOn\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.brake) || !has(self.brake.release) || !has(self.brake.release.belowPercent) || !has(self.brake.minPercent) || self.brake.release.belowPercent <= self.brake.minPercent").message("the brake would be released above the share that puts it on; set brake.release.belowPercent to at most brake.minPercent"))]
pub struct RecoveryBudgetSpec {
    /// How many targets may be under action at once in everything that the operator looks after. A target is under
    /// action from the first recorded intent until the outcome, and while traffic is on its standby or it is frozen.
    /// Default: `{maxTargets: 10, maxPercent: 20}`. Example: `{maxTargets: 3}`.
    #[serde(default)]
    pub cluster: ClusterLimit,
    /// The same in each namespace by itself. Default: `{maxTargets: 5, maxPercent: 50}`. Example: `{maxTargets: 1}`.
    #[serde(default)]
    pub namespace: NamespaceLimit,
    /// Whether nodes may be touched. Default: `{maxCordoned: 0}`. Example: `{maxCordoned: 1}`.
    #[serde(default)]
    pub nodes: NodeLimit,
    /// When so much fails together that nothing new is begun anywhere.
    /// Default: `{minTargets: 3, minPercent: 50, window: 5m, release: {belowPercent: 20, after: 5m}}`.
    /// Example: `{minTargets: 10, minPercent: 30}`.
    #[serde(default)]
    pub brake: BrakeLimit,
}

/// How many targets at once, in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterLimit {
    /// So many at most. To begin nothing at all, suspend the operator. Default: 10. Example: `3`.
    #[schemars(range(min = 1, max = 10000), extend("format" = "int32"))]
    pub max_targets: u32,
    /// Of the armed targets so many percent at most, rounded down, but never less than one target. Default: 20.
    /// Example: `10`.
    #[schemars(range(min = 1, max = 100), extend("format" = "int32"))]
    pub max_percent: u32,
}

/// How many targets at once, in each namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespaceLimit {
    /// So many at most. Default: 5. Example: `1`.
    #[schemars(range(min = 1, max = 10000), extend("format" = "int32"))]
    pub max_targets: u32,
    /// Of the namespace's armed targets so many percent at most, rounded down, but never less than one target.
    /// Default: 50. Example: `25`.
    #[schemars(range(min = 1, max = 100), extend("format" = "int32"))]
    pub max_percent: u32,
}

/// Whether nodes may be touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeLimit {
    /// How many nodes may be cordoned by us at once, in the whole cluster; 0: nodes are never touched. The last node
    /// that pods can be placed on is never cordoned. Takes the chart's capability `nodes`. Default: 0. Example: `1`.
    #[schemars(range(min = 0, max = 100), extend("format" = "int32"))]
    pub max_cordoned: u32,
}

/// When everything new stops, and when it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BrakeLimit {
    /// The brake goes on only when at least so many targets became unstable within the window. Default: 3.
    /// Example: `10`.
    #[schemars(range(min = 2, max = 10000), extend("format" = "int32"))]
    pub min_targets: u32,
    /// And only when they are at least so many percent of the armed targets. Default: 50. Example: `30`.
    #[schemars(range(min = 1, max = 100), extend("format" = "int32"))]
    pub min_percent: u32,
    /// How long a target that became unstable counts, whether or not it healed meanwhile. Longer than 0s. Default: 5m.
    /// Example: `10m`.
    #[schemars(schema_with = "crate::api::duration::positive")]
    pub window: Duration,
    /// When the brake goes off again. Default: `{belowPercent: 20, after: 5m}`. Example: `{after: 15m}`.
    pub release: Release,
}

/// When the brake goes off again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Release {
    /// The brake goes off only while less than this share of the armed targets, or fewer targets than `minTargets`,
    /// became unstable within the window. Default: 20. Example: `10`.
    #[schemars(range(min = 1, max = 100), extend("format" = "int32"))]
    pub below_percent: u32,
    /// And only once that has been so for this long, seen without a break. Longer than 0s. Default: 5m.
    /// Example: `15m`.
    #[schemars(schema_with = "crate::api::duration::positive")]
    pub after: Duration,
}

impl Default for ClusterLimit {
    fn default() -> Self {
        Self { max_targets: 10, max_percent: 20 }
    }
}

impl Default for NamespaceLimit {
    fn default() -> Self {
        Self { max_targets: 5, max_percent: 50 }
    }
}

impl Default for BrakeLimit {
    fn default() -> Self {
        Self { min_targets: 3, min_percent: 50, window: Duration::minutes(5), release: Release::default() }
    }
}

impl Default for Release {
    fn default() -> Self {
        Self { below_percent: 20, after: Duration::minutes(5) }
    }
}

/// How much of the budgets is used. The same in every RecoveryBudget; written on change only, by an operator that looks
/// after all namespaces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryBudgetStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub observed_generation: i64,
    /// `BrakeOn` and `Exhausted`, always present.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Targets that are armed: in the charge of one policy that is not suspended, and seen. Percentages are of these.
    #[serde(default)]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub armed: u32,
    /// How many may be under action now, by the strictest of all RecoveryBudgets.
    #[serde(default)]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub limit: u32,
    /// How many are under action: the tokens that are held.
    #[serde(default)]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub under_action: u32,
    /// Who holds a token, by namespace and policy; the first hundred.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub holders: Vec<Holder>,
    /// How many would act, but for a budget.
    #[serde(default)]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub waiting: u32,
    /// How many armed targets became unstable within the brake's window.
    #[serde(default)]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub unstable: u32,
    /// Whether everything new is stopped.
    #[serde(default)]
    pub brake: BrakeStatus,
}

/// Who holds a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Namespace of the policy.
    #[schemars(length(max = 63))]
    pub namespace: String,
    /// Name of the policy whose target is under action.
    #[schemars(length(max = 253))]
    pub policy: String,
}

/// Whether everything new is stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BrakeStatus {
    /// True while nothing new is begun anywhere.
    pub on: bool,
    /// Since when the brake has been on; absent while it is off. It outlives a restart of the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<MicroTime>,
}
