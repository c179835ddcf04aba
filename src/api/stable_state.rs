//! `StableState`: the immutable, sealed record of a closure that held its criteria for the soak.
#![allow(clippy::duplicated_attributes, reason = "print columns have attributes of the same name")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::CheckEvidence;
use super::policy::TargetRef;

/// The largest content of one member that is recorded, in bytes of canonical JSON.
pub const LARGEST_MEMBER: usize = 262_144;
/// The most members a closure may have.
pub const MOST_MEMBERS: usize = 64;

/// A verified stable state: what ran, with what configuration, and on what evidence it counts as
/// stable. Only the operator writes it; it is sealed, so that an edited or copied one is worthless.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "homeostat.dev",
    version = "v1alpha1",
    kind = "StableState",
    namespaced,
    shortname = "sst",
    category = "homeostat",
    derive = "PartialEq",
    doc = "A verified stable state: the sealed record of a target and its configuration that held its criteria for the soak. Written by the operator only.",
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.record.target.name"),
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.record.policy"),
    printcolumn(name = "Review", type_ = "string", json_path = ".spec.review"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.record.evidence.replicas", priority = 1),
    printcolumn(name = "Digest", type_ = "string", json_path = ".spec.record.digest", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.record == oldSelf.record").message("spec.record is a sealed record and cannot be changed; delete the StableState instead"))]
#[x_kube(validation = Rule::new("self.seal == oldSelf.seal").message("spec.seal cannot be changed; delete the StableState instead"))]
pub struct StableStateSpec {
    /// What was stable. Immutable.
    pub record: Record,
    /// The proof that the operator wrote this record, in this cluster, namespace and under this name. Immutable.
    pub seal: Seal,
    /// A person's word on this state: `Pin` keeps it beyond the history limit, `Reject` makes it never be used.
    /// Default: none. Example: `Pin`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<Review>,
}

/// A person's word on this state: `Pin` keeps it beyond the history limit, `Reject` makes it never be used.
/// Default: none. Example: `Pin`.
// The schema takes this text, not that of the field, wherever the enum is optional.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Review {
    /// Keep it: the history limit does not remove it.
    Pin,
    /// Never use it as a rollback target.
    Reject,
}

/// What was stable, and why it counts as stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Name of the RecoveryPolicy whose criteria were met.
    #[schemars(length(min = 1, max = 253))]
    pub policy: String,
    /// The target this state belongs to.
    pub target: TargetRef,
    /// SHA-256 over all members, in lower-case hexadecimal.
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub digest: String,
    /// Which parts of the closure were recorded beside the target. Others are not compared with this state.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub groups: Vec<Group>,
    /// The members of the closure, sorted by kind and name.
    #[schemars(length(max = 64))]
    pub members: Vec<Member>,
    /// On what evidence the state counts as stable.
    pub evidence: Evidence,
}

/// A part of the closure, as a policy's `spec.closure` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Group {
    /// ConfigMaps that the target's pods refer to.
    ConfigMaps,
    /// The ServiceAccount that the target's pods name.
    ServiceAccounts,
    /// Services that select the target, and Ingresses that lead to one of them.
    Exposure,
    /// HorizontalPodAutoscalers that scale the target, and PodDisruptionBudgets that select it.
    Scaling,
    /// NetworkPolicies that select the target, RoleBindings that name its ServiceAccount and their Roles, ResourceQuotas
    /// and LimitRanges of the namespace, and the Pod Security labels of the namespace itself.
    GuardRails,
    /// Secrets that the target's pods refer to, and those with the certificates of its Ingresses.
    Secrets,
    /// HTTPRoutes and GRPCRoutes that lead to a Service of the target, where the operator looks at them
    /// (`capabilities.gatewayApi`). `exposure` says what is done with them.
    Routes,
    /// What belongs to no namespace: ClusterRoles that its RoleBindings name, ClusterRoleBindings that name its
    /// ServiceAccount and their ClusterRoles, the PriorityClass that its pods name. Never restored.
    Cluster,
}

impl Group {
    /// Every part.
    pub const ALL: [Self; 8] = [
        Self::ConfigMaps,
        Self::ServiceAccounts,
        Self::Exposure,
        Self::Scaling,
        Self::GuardRails,
        Self::Secrets,
        Self::Routes,
        Self::Cluster,
    ];
}

/// One object of the closure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Kind of the object, for example `ConfigMap`.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Name of the object, in the namespace of the state, of that namespace, or of one that belongs to none.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// True if the object was referenced but did not exist. Absence is part of the state.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
    /// SHA-256 of the normalised content, in lower-case hexadecimal; empty if absent. Of a Secret, whose content could be
    /// guessed from that, HMAC-SHA256 with a key of the operator's.
    #[schemars(length(max = 64))]
    pub digest: String,
    /// The normalised content as canonical JSON; empty if absent or kept in a copy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 262_144))]
    pub content: String,
    /// Name of the immutable copy beside the original that keeps the content. Only ConfigMaps and Secrets have one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub copy: String,
    /// What is needed besides if the object has to be created again, as JSON: its labels, annotations and addresses.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 65_536))]
    pub creation: String,
    /// Who owned most of the content's fields, so that they can be handed back after a recovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<FieldOwner>,
}

/// A field manager, as in `metadata.managedFields`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FieldOwner {
    /// Name of the manager, for example `helm`.
    #[schemars(length(max = 128))]
    pub manager: String,
    /// `Apply` or `Update`.
    #[schemars(length(max = 16))]
    pub operation: String,
}

/// The evidence behind a stable state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// When the criteria began to hold.
    pub from: MicroTime,
    /// When the soak was complete.
    pub to: MicroTime,
    /// How many pods were wanted, and ready.
    #[schemars(range(min = 0))]
    pub replicas: i32,
    /// Container restarts during the soak.
    #[schemars(range(min = 0))]
    pub restarts: i32,
    /// The slowest pod's time from creation to ready, in seconds.
    #[schemars(range(min = 0))]
    pub time_to_ready_seconds: i64,
    /// What the policy's checks of metrics said in the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub checks: Vec<CheckEvidence>,
}

/// A keyed hash over the record, the identity of the key, and the state's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Seal {
    /// Which key sealed it: the uid of the Secret that holds the key, which is unique to this cluster.
    #[schemars(length(max = 64))]
    pub key_id: String,
    /// HMAC-SHA256 in lower-case hexadecimal.
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub mac: String,
}
