//! `RecoveryPolicy`: one target, what "stable" means for it, and what may be done when it is not.
#![allow(clippy::duplicated_attributes, reason = "print columns have attributes of the same name")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::via::Via;
use super::{Check, Duration, Floors};

/// What a person applies: a target, what counts as stable, and what Homeostat may do.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "homeostat.dev",
    version = "v1alpha1",
    kind = "RecoveryPolicy",
    plural = "recoverypolicies",
    namespaced,
    shortname = "rp",
    category = "homeostat",
    status = "RecoveryPolicyStatus",
    derive = "PartialEq",
    doc = "Brings one workload back to a verified stable state when it breaks. `mode` and `targetRef` are enough for a useful policy; everything else has a default.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetRef.name"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Drift", type_ = "string", json_path = ".status.drift.distance"),
    printcolumn(name = "Stable-State", type_ = "string", json_path = ".status.stableState"),
    printcolumn(name = "Recovery", type_ = "string", json_path = ".status.activeRecovery"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"TargetHealthy\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.actions) || !has(self.actions.failover) || self.actions.failover.standby.kind != self.targetRef.kind || self.actions.failover.standby.name != self.targetRef.name").message("actions.failover.standby is the target itself; name another workload that can serve in its place, or remove actions.failover"))]
#[x_kube(validation = Rule::new("!has(self.actions) || !has(self.actions.isolate) || !has(self.actions.isolate.neighbours) || self.actions.isolate.neighbours.all(other, (other.apiVersion == 'apps/v1' && other.kind == 'Deployment' && (self.targetRef.kind != 'Deployment' || other.name != self.targetRef.name)) || (other.apiVersion == 'batch/v1' && other.kind == 'CronJob'))").message("actions.isolate.neighbours must name Deployments (apps/v1) other than the target, or CronJobs (batch/v1)"))]
#[x_kube(validation = Rule::new("!has(self.actions) || !has(self.actions.isolate) || !has(self.actions.isolate.dependencies) || self.actions.isolate.dependencies.all(other, has(self.dependsOn) && self.dependsOn.exists(known, known.kind == other.kind && known.name == other.name))").message("actions.isolate.dependencies must name workloads that dependsOn names as well: add them there"))]
#[x_kube(validation = Rule::new("!has(self.dependsOn) || self.dependsOn.all(other, other.kind != self.targetRef.kind || other.name != self.targetRef.name)").message("dependsOn must not hold the target itself: name other workloads"))]
pub struct RecoveryPolicySpec {
    /// How far we may go. `Observe`: record what would be done, write nothing to workloads. `Recommend`: show the plan
    /// and wait for a person's approval. `Enforce`: act. Required. The chart may set a ceiling for the whole cluster.
    /// Example: `Observe`.
    pub mode: Mode,
    /// The workload to look after, in the policy's namespace: a Deployment, StatefulSet or DaemonSet. Required. One policy
    /// per target: with two, neither acts. Example: `{apiVersion: apps/v1, kind: Deployment, name: checkout}`.
    #[x_kube(validation = Rule::new("self.kind in ['Deployment', 'StatefulSet', 'DaemonSet'] && self.apiVersion == 'apps/v1'").message("targetRef must name a Deployment, StatefulSet or DaemonSet: set kind to one of them and apiVersion to apps/v1"))]
    pub target_ref: TargetRef,
    /// Stop every new action for this target, and release what we hold (a freeze, a quarantined pod). Observation and
    /// status go on. Default: false. Example: `true`.
    #[serde(default)]
    pub suspend: bool,
    /// What earns a StableState. Default: `{soak: 5m, minReady: 100%, maxRestarts: 0}`. Example: `{soak: 15m}`.
    #[serde(default)]
    pub stability: Stability,
    /// What counts as proof that a recovery worked. Default: `{window: 30s}`. Example: `{window: 2m}`.
    #[serde(default)]
    pub verification: Verification,
    /// Which parts of the closure are recorded and restored, beside the workload itself.
    /// Default: `{configMaps: Restore, secrets: Ignore, serviceAccounts: Restore, exposure: Restore, scaling: Restore,
    /// guardRails: Approve}`. Example: `{exposure: Compare}`.
    #[serde(default)]
    pub closure: Closure,
    /// A ServiceAccount of this namespace whose rights are used where guard rails are written, so that this policy can
    /// do no more there than its author could grant. Needs the operator's capability `guardRails`. Default: none, and
    /// then guard rails are never written. Example: `checkout-recovery`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub service_account_name: Option<String>,
    /// Workloads of the same namespace that the target calls and needs, at most 16; each should have a policy of its
    /// own. If the target fails with nothing changed of its own, and exactly one of these changed in the ten minutes
    /// before, the policy of that one is told: it may roll back, within its own mode, limits and guards, if most of those
    /// that depend on it fail. Nothing is ever done to a dependency by this policy; that the target may be cut off from
    /// one says `actions.isolate.dependencies`. Default: none.
    /// Example: `[{apiVersion: apps/v1, kind: StatefulSet, name: orders-db}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(validation = Rule::new("self.all(other, other.apiVersion == 'apps/v1' && other.kind in ['Deployment', 'StatefulSet', 'DaemonSet'])").message("dependsOn must name Deployments, StatefulSets or DaemonSets: set kind to one of them and apiVersion to apps/v1"))]
    pub depends_on: Vec<TargetRef>,
    /// When something counts as broken. Default: `{unavailableFor: 10s, crashLoops: 2}`.
    /// Example: `{unavailableFor: 30s}`.
    #[serde(default)]
    pub detection: Detection,
    /// What may be done. Omitted: freeze, isolation of one pod, and rollback. Given: exactly what is listed, so that
    /// `{}` allows nothing.
    /// Default: `{isolate: {freeze: true, maxPods: 1, inspection: 10m, renew: true}, rollback: {maxAge: 720h, recreate: Approve}}`.
    /// Example: `{rollback: {}}` allows only a rollback.
    #[serde(default)]
    pub actions: Actions,
    /// What is done with objects that Argo CD or Flux keeps like a repository (told by the tool's marks on the object and by
    /// its field managers). `Respect`: they are not written, because that would be undone: no rollback, no freeze, no failover
    /// through such a Service; the condition `Recoverable` says `GitOwned`. Isolation stays possible, and so does failover
    /// through a Service that is not kept. `Override`: they are written like any other, once: if that is undone, the Recovery
    /// ends as `RevertedByGitOps` and says what to change in the repository, and the same is not written again.
    /// Default: Respect. Example: `Override`.
    #[serde(default)]
    pub git_ops: GitOps,
    /// What of an image may never run again, whatever was stable once, and exceptions from that. A rollback below a floor
    /// is refused with `BelowFloor`. Default: none.
    /// Example: `{images: [{image: registry.example/shop/checkout, minimum: "1.4.2", because: CVE-2026-1234}]}`.
    #[serde(default, skip_serializing_if = "Floors::is_empty")]
    pub floors: Floors,
    /// Restraint: how often, and how soon again. Default:
    /// `{maxAttempts: 2, cooldown: 5m, relapse: 1h}`. Example: `{cooldown: 30m}`.
    #[serde(default)]
    pub limits: Limits,
    /// Recovery time objective, from detection. A recovery that is not verified by then is escalated; never before the
    /// pods had the time that they may take to get ready. Default: 2m. Example: `90s`.
    #[serde(default = "default_objective")]
    #[schemars(schema_with = "crate::api::duration::positive")]
    pub objective: Duration,
    /// How many objects of ours are kept for this policy. Default: `{stableStates: 5, recoveries: 20}`. Example:
    /// `{stableStates: 10}`.
    #[serde(default)]
    pub history: History,
}

/// How far we may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Record what would be done; write nothing to workloads.
    Observe,
    /// Show the plan and wait for approval.
    Recommend,
    /// Act.
    Enforce,
}

/// What is done with objects that a GitOps tool keeps like its repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GitOps {
    /// They are not written.
    #[default]
    Respect,
    /// They are written once; if that is undone, not again.
    Override,
}

/// A workload in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// API version of the workload. Required. Example: `apps/v1`.
    #[schemars(length(min = 1, max = 253))]
    pub api_version: String,
    /// Kind of the workload. Required. Example: `Deployment`.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Name of the workload. Required. Example: `checkout`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

impl std::fmt::Display for TargetRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What earns a StableState.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Stability {
    /// For how long the criteria must hold without a break before the present state counts as stable.
    /// A restart too many, too few ready pods, a change of the content, or a gap in what we see begins it anew. It does not
    /// begin while pods hold configuration, read at their start, as it was before it changed. What is mounted as a whole is
    /// shown to pods later than it is changed, by default up to one and a half minutes: a soak that is shorter than that
    /// may take for stable what no pod has read yet. Longer than 0s. Default: 5m. Example: `15m`.
    #[schemars(schema_with = "crate::api::duration::positive")]
    pub soak: Duration,
    /// Share of the wanted pods that must be ready, from `1%` to `100%`, rounded up to whole pods. Also the level below
    /// which the target counts as unavailable. Default: `100%`. Example: `80%`.
    #[schemars(length(max = 4), regex(pattern = r"^(100|[1-9][0-9]?)%$"))]
    pub min_ready: String,
    /// How many container restarts are tolerated within the soak, all pods together. Default: 0. Example: `1`.
    #[schemars(range(min = 0, max = 1000), extend("format" = "int32"))]
    pub max_restarts: u32,
    /// Questions to metrics providers, all of which have to be answered with a good value: for a stable state, and for
    /// calling a recovery verified. One that is answered with a bad value for `detection.unavailableFor` is a symptom.
    /// No data is neither good nor bad: nothing is earned, begun or called recovered because of it. The providers are
    /// configured where the operator is installed. Default: none.
    /// Example: `[{name: errors, provider: main, query: "sum(rate(errors_total[1m]))", max: "0.01"}]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 8),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub checks: Vec<Check>,
}

/// What counts as proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Verification {
    /// For how long everything must be back, seen in fresh facts, before a recovery is called verified.
    /// Longer than 0s. Default: 30s. Example: `2m`.
    #[schemars(schema_with = "crate::api::duration::positive")]
    pub window: Duration,
}

/// Which parts of the closure are restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Closure {
    /// ConfigMaps that the target's pods refer to. `Restore`: recorded and restored. `Compare`: a difference is shown,
    /// never written, and a rollback that would need it is refused. `Ignore`: not looked at. Default: Restore.
    /// Example: `Compare`.
    pub config_maps: MemberPolicy,
    /// Secrets that the target's pods refer to, and those with the certificates of its Ingresses. Recorded in immutable
    /// copies only, and shown nowhere. Needs a right that the operator has only where it is installed with
    /// `capabilities.secrets`; without it the condition `Recoverable` says `RightMissing`, and everything else goes on.
    /// Default: Ignore. Example: `Restore`.
    pub secrets: MemberPolicy,
    /// The ServiceAccount that the target's pods name, if they name one. Default: Restore. Example: `Compare`.
    pub service_accounts: MemberPolicy,
    /// Services that select the target, and Ingresses that lead to one of them; HTTPRoutes and GRPCRoutes as well, with the
    /// operator's capability `gatewayApi`. One that was added since is shown and left alone. Default: Restore.
    /// Example: `Ignore`.
    pub exposure: MemberPolicy,
    /// HorizontalPodAutoscalers that scale the target, and PodDisruptionBudgets that select it. An autoscaler that was
    /// added since is deleted by a rollback; one that scales another workload by now, which has available pods, is left
    /// to it. `replicas` of the target are never written: putting its autoscaler back is what puts them back.
    /// Default: Restore. Example: `Compare`.
    pub scaling: MemberPolicy,
    /// What an administrator sets limits with: NetworkPolicies that select the target, RoleBindings that name its
    /// ServiceAccount and their Roles, ResourceQuotas and LimitRanges of the namespace, and the Pod Security labels of the
    /// namespace itself. They are always recorded and compared, and never written together with the rest: only if nothing
    /// else differs, or if restoring the rest did not help, and only with the rights of `spec.serviceAccountName`.
    /// `Compare`: a difference is shown. `Approve`: a plan is shown, and waits for a person's approval. `Restore`: it is
    /// carried out; but a plan by which the namespace would admit again what it refuses now waits for an approval as well.
    /// Default: Approve.
    /// Example: `Restore`.
    pub guard_rails: GuardRailPolicy,
    /// Further objects of the same namespace that the target depends on and that are not found by themselves, at most 16:
    /// recorded, compared and restored like members of their kind, and as the part of `closure` says that their kind belongs
    /// to. ConfigMaps and Secrets that it reads through the API, a ServiceAccount that it acts as, Services and Ingresses
    /// of another workload, NetworkPolicies that select others, Roles and RoleBindings of others. Only these kinds: for
    /// others the operator has no rights. One that does not exist when a state is earned is not a member of it; one that is
    /// listed is never deleted, and one that leads elsewhere is no evidence that traffic is cut off. What belongs to the
    /// target anyway need not be listed. Default: none. Example: `[{kind: ConfigMap, name: feature-flags}]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind", "name"])
    )]
    pub include: Vec<Included>,
}

/// A further object of the closure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Included {
    /// Kind of the object. Required. Example: `ConfigMap`.
    pub kind: IncludedKind,
    /// Name of the object. Required. Example: `feature-flags`.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9]([-A-Za-z0-9.:_]*[A-Za-z0-9])?$"))]
    pub name: String,
}

/// The kinds that may be included in a closure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IncludedKind {
    /// As `configMaps` says.
    ConfigMap,
    /// As `secrets` says.
    Secret,
    /// As `serviceAccounts` says.
    ServiceAccount,
    /// As `exposure` says.
    Service,
    /// As `exposure` says.
    Ingress,
    /// As `guardRails` says.
    NetworkPolicy,
    /// As `guardRails` says.
    Role,
    /// As `guardRails` says.
    RoleBinding,
}

/// What is done about guard rails that differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GuardRailPolicy {
    /// Shown, never written.
    Compare,
    /// Written after a person approved the plan.
    #[default]
    Approve,
    /// Written.
    Restore,
}

/// What is done with members of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MemberPolicy {
    /// Recorded, compared and restored.
    #[default]
    Restore,
    /// Recorded and compared, never written.
    Compare,
    /// Not looked at.
    Ignore,
}

/// When something counts as broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Detection {
    /// Outside a rollout: for how long fewer pods than required must be ready. During a rollout not being ready counts
    /// only after the progress deadline, or after three times the stable state's own time to ready (at least six times
    /// this value), whichever is sooner. Longer than 0s. Default: 10s. Example: `30s`.
    #[schemars(schema_with = "crate::api::duration::positive")]
    pub unavailable_for: Duration,
    /// How many restarts of a pod that is not ready make a crash loop; it then counts at once. Default: 2.
    /// Example: `3`.
    #[schemars(range(min = 1, max = 100), extend("format" = "int32"))]
    pub crash_loops: u32,
}

/// What may be done. Each part that is absent is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Actions {
    /// Containment: freezing a bad rollout, quarantining single pods. Omitted beside other actions: not allowed.
    /// Example: `{freeze: true, maxPods: 0}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolate: Option<Isolate>,
    /// Restoring the closure of a verified stable state. Omitted beside other actions: not allowed.
    /// Example: `{maxAge: 168h}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// Moving traffic to a standby. Default: none, and then traffic is never moved.
    /// Example: `{standby: {apiVersion: apps/v1, kind: Deployment, name: checkout-standby}, via: {service: checkout}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<Failover>,
}

/// Containment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Isolate {
    /// Pause a bad rollout that cannot be rolled back. Released by us in every case. Default: true. Example: `false`.
    pub freeze: bool,
    /// How many pods may be quarantined at once. 0 forbids it. Default: 1. Example: `2`.
    #[schemars(range(min = 0, max = 100), extend("format" = "int32"))]
    pub max_pods: u32,
    /// How long a quarantined pod is kept for inspection before it is deleted; `0s`: not at all. Default: 10m.
    /// Example: `1h`.
    pub inspection: Duration,
    /// Make the pods of the target anew, by its own rollout, if the bad ones, and only they, started before something changed
    /// that pods read only at their start (a ConfigMap or Secret in the environment, or mounted by a path inside), and nothing
    /// is left to be put back. Default: true. Example: `false`.
    pub renew: bool,
    /// Deployments and CronJobs of the same namespace that may be stopped for the target, at most 16. One of them is scaled
    /// to 0 or suspended if the target fails with nothing changed of its own, and only this one was added or took more in
    /// the ten minutes before; or, if a CronJob, together with a rollback of content that it wrote (as a field manager of its
    /// own name) and that was rolled back before. It stays so until a person lets it go on (by hand, or by `spec.release` of
    /// the Recovery), or the Recovery is aborted, or the policy suspended or deleted. Needs the operator's capability
    /// `neighbours`. Default: none. Example: `[{apiVersion: batch/v1, kind: CronJob, name: report}]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub neighbours: Vec<TargetRef>,
    /// Workloads of `dependsOn` that the target can do without for a while: without them it works in part, and better than
    /// with one that fails. If the target fails with nothing changed of its own, one of these is the only dependency that
    /// fails or changed, and the policy of that one holds, then a NetworkPolicy cuts the target's pods off from its pods,
    /// and from nothing else. It is not made where another NetworkPolicy limits what the target's pods call, because such
    /// allowances add up; rules that are not NetworkPolicies (those of network plugins) are not seen: where they limit what
    /// the target calls, list nothing here. It goes when the dependency has been well for the soak, by `spec.release` of the
    /// Recovery, when somebody changes or deletes it, and whenever we let go. Needs the operator's capability `podNetwork`,
    /// and a network plugin that enforces NetworkPolicies. At most 16. Default: none.
    /// Example: `[{apiVersion: apps/v1, kind: Deployment, name: recommendations}]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub dependencies: Vec<TargetRef>,
}

/// Restoring the closure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Rollback {
    /// States older than this are not used. Longer than 0s. Default: 720h (30 days). Example: `168h`.
    #[schemars(schema_with = "crate::api::duration::positive")]
    pub max_age: Duration,
    /// What is done when the target itself was deleted, and this policy was not. `Never`: it is shown. `Approve`: a plan
    /// to create it again from its stable state is shown, and waits for a person's approval. `Restore`: it is carried out
    /// after `detection.unavailableFor`. A deletion that looks meant is never undone: nobody saw it happen, the policy was
    /// suspended, the target was scaled to 0 before, other pods serve behind its Services, or it was created again not
    /// long before. Needs the operator's capability `recreate`. Default: Approve. Example: `Restore`.
    pub recreate: RecreatePolicy,
}

/// What is done when the target itself was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RecreatePolicy {
    /// Shown, never undone.
    Never,
    /// Created again after a person approved the plan.
    #[default]
    Approve,
    /// Created again.
    Restore,
}

/// Moving traffic to a standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failover {
    /// A Deployment or StatefulSet in the same namespace that can serve instead of the target, with pod labels of its own.
    /// Only its pods that have been ready for `detection.unavailableFor` count. Required.
    /// Example: `{apiVersion: apps/v1, kind: Deployment, name: checkout-standby}`.
    #[x_kube(validation = Rule::new("self.kind in ['Deployment', 'StatefulSet'] && self.apiVersion == 'apps/v1'").message("actions.failover.standby must name a Deployment or StatefulSet: set kind to one of them and apiVersion to apps/v1"))]
    pub standby: TargetRef,
    /// Through what the traffic is moved: a Service whose selector is switched, or a route whose weights are. Required.
    /// Example: `{service: checkout}`.
    pub via: Via,
    /// `Automatic`: traffic returns when home is repaired and verified. `Manual`: it returns when a person sets
    /// `spec.failback` on the Recovery. Default: Automatic. Example: `Manual`.
    #[serde(default)]
    pub failback: Failback,
    /// How much of what the target served the standby has to be, from `1%` to `100%` of its pods, rounded up to whole pods:
    /// of the wanted ones, or of those in its stable state if these were more and no autoscaler decides. Below `100%` a
    /// standby that is smaller takes over in part. Default: `100%`. Example: `50%`.
    #[serde(default = "default_min_capacity")]
    #[schemars(length(max = 4), regex(pattern = r"^(100|[1-9][0-9]?)%$"))]
    pub min_capacity: String,
}

/// When traffic returns home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Failback {
    /// When home is repaired and verified.
    #[default]
    Automatic,
    /// When a person says so.
    Manual,
}

/// Restraint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// How many remedies may be tried in one incident, those of incidents before it included that came back (`relapse`);
    /// a freeze does not count. Then a person has to look. Default: 2. Example: `1`.
    #[schemars(range(min = 1, max = 10), extend("format" = "int32"))]
    pub max_attempts: u32,
    /// How long nothing new is begun on this target after a recovery that acted; a freeze does not wait. `0s`: no
    /// pause. Doubled with each further attempt for a symptom that came back. Default: 5m. Example: `30m`.
    pub cooldown: Duration,
    /// A symptom that comes back within this time after an incident that acted, in the same content, was not ended by
    /// what was done: its attempts go on counting. `0s`: each incident counts by itself. Default: 1h. Example: `6h`.
    pub relapse: Duration,
}

/// How much is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct History {
    /// How many stable states are kept; pinned ones do not count. Default: 5. Example: `10`.
    #[schemars(range(min = 1, max = 50), extend("format" = "int32"))]
    pub stable_states: u32,
    /// How many closed Recoveries are kept, the newest ones. One that has still something to release is kept in any
    /// case. Default: 20. Example: `50`.
    #[schemars(range(min = 1, max = 200), extend("format" = "int32"))]
    pub recoveries: u32,
}

fn default_min_capacity() -> String {
    "100%".into()
}

fn default_objective() -> Duration {
    Duration::minutes(2)
}

impl Default for Stability {
    fn default() -> Self {
        Self { soak: Duration::minutes(5), min_ready: "100%".into(), max_restarts: 0, checks: vec![] }
    }
}

impl Default for Verification {
    fn default() -> Self {
        Self { window: Duration::seconds(30) }
    }
}

impl Default for Closure {
    fn default() -> Self {
        let restored = MemberPolicy::Restore;
        Self {
            config_maps: restored,
            secrets: MemberPolicy::Ignore,
            service_accounts: restored,
            exposure: restored,
            scaling: restored,
            guard_rails: GuardRailPolicy::Approve,
            include: vec![],
        }
    }
}

impl Default for Detection {
    fn default() -> Self {
        Self { unavailable_for: Duration::seconds(10), crash_loops: 2 }
    }
}

impl Default for Actions {
    fn default() -> Self {
        Self { isolate: Some(Isolate::default()), rollback: Some(Rollback::default()), failover: None }
    }
}

impl Default for Isolate {
    fn default() -> Self {
        Self {
            freeze: true,
            max_pods: 1,
            inspection: Duration::minutes(10),
            renew: true,
            neighbours: vec![],
            dependencies: vec![],
        }
    }
}

impl Default for Rollback {
    fn default() -> Self {
        Self { max_age: Duration::minutes(720 * 60), recreate: RecreatePolicy::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_attempts: 2, cooldown: Duration::minutes(5), relapse: Duration::minutes(60) }
    }
}

impl Default for History {
    fn default() -> Self {
        Self { stable_states: 5, recoveries: 20 }
    }
}

/// What we currently know about the policy and its target. Written on change only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryPolicyStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub observed_generation: i64,
    /// A one-word summary for display. Tools should read the conditions.
    #[serde(default)]
    pub state: State,
    /// `Ready` (accepted and armed), `TargetHealthy`, `Recoverable`; and while true `Recovering`, `Suspended`,
    /// `Conflicted`, `LeftBehind` (something carries a mark of ours, and no Recovery stands for it).
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// How far the live target is from its stable state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// Name of the StableState that would be restored now; empty if there is none.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub stable_state: String,
    /// Name of the open Recovery; empty if there is none.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub active_recovery: String,
}

/// A one-word summary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum State {
    /// Not yet judged, or the policy is not armed.
    #[default]
    Pending,
    /// Facts are missing or old.
    Unknown,
    /// Healthy, and soaking towards a stable state.
    Soaking,
    /// Healthy, in its stable state.
    Stable,
    /// Something is wrong, or differs, and nothing is being done yet.
    Unstable,
    /// A Recovery is acting or verifying.
    Recovering,
    /// A Recovery holds: deliberately nothing is done.
    Held,
    /// Suspended by the policy or for the whole operator.
    Suspended,
}

/// How far the live target is from its stable state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// `0.00` = there; `1.00` = nothing is as it was.
    #[schemars(length(max = 8))]
    pub distance: String,
    /// Which way the distance went when it last changed. `Steady` at 0.
    #[serde(default)]
    pub trend: Trend,
    /// The parts of the distance that are not zero.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub components: Vec<DriftComponent>,
}

/// Which way a distance goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Trend {
    /// It did not change, or there is none.
    #[default]
    Steady,
    /// Towards the stable state.
    Converging,
    /// Away from it.
    Diverging,
}

/// One part of the distance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftComponent {
    /// Which part: `closure`, `readiness`, `revisions`, `restarts`, `endpoints`, `leftovers` or `parity`.
    #[schemars(length(max = 32))]
    pub name: String,
    /// Its share of the distance, weight included.
    #[schemars(length(max = 8))]
    pub share: String,
    /// What differs, for people.
    #[schemars(length(max = 512))]
    pub message: String,
}
