//! `Recovery`: the write-ahead journal of one incident, and what a person reads about it.
#![allow(clippy::duplicated_attributes, reason = "print columns have attributes of the same name")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Reason;

/// One incident: from the first symptom to a terminal outcome. Created by the operator; people speak
/// through `approval`, `abort` and `failback`.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "homeostat.dev",
    version = "v1alpha1",
    kind = "Recovery",
    plural = "recoveries",
    namespaced,
    shortname = "rec",
    category = "homeostat",
    status = "RecoveryStatus",
    derive = "PartialEq",
    selectable = ".status.journal.phase",
    doc = "One incident of a target: what was seen, what was decided and why, every step, and the outcome. Written by the operator; `spec.approval`, `spec.abort` and `spec.failback` are for people.",
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.opening.target.name"),
    printcolumn(name = "Symptom", type_ = "string", json_path = ".spec.opening.symptom.reason"),
    printcolumn(name = "Suspect", type_ = "string", json_path = ".status.journal.suspect"),
    printcolumn(name = "Decision", type_ = "string", json_path = ".status.journal.decision.reason"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.journal.phase"),
    printcolumn(name = "Outcome", type_ = "string", json_path = ".status.journal.outcome"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.journal.reason", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.journal.message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.opening == oldSelf.opening").message("spec.opening is the operator's record of how the incident began and cannot be changed"))]
pub struct RecoverySpec {
    /// The journal as it was when the incident was opened, with the first intent: written in the body of the create,
    /// before any effect. Immutable.
    pub opening: Journal,
    /// A person's answer to a plan that waits for approval. Default: none.
    /// Example: `{decision: Approve, planDigest: 0123456789abcdef}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Set to true to make us let go: what we froze or quarantined is released, then nothing more is written.
    /// Default: false. Example: `true`.
    #[serde(default)]
    pub abort: bool,
    /// Set to true to let traffic return home, where the policy says `failback: Manual`. Default: false.
    /// Example: `true`.
    #[serde(default)]
    pub failback: bool,
    /// Set to true to let a neighbour go on that we stopped (`actions.isolate.neighbours` of the policy), once the Recovery
    /// is closed: a Deployment gets its replicas back, a CronJob is resumed; and to end the cut of a dependency
    /// (`actions.isolate.dependencies`). To do so earlier set `abort`. Default: false.
    /// Example: `true`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub release: bool,
}

/// A person's answer to a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// `Approve` or `Reject`. Required.
    pub decision: ApprovalDecision,
    /// The `planDigest` of the decision that was shown. An answer to another plan is ignored. Required.
    /// Example: `0123456789abcdef`.
    #[schemars(length(min = 1, max = 64))]
    pub plan_digest: String,
}

/// `Approve` or `Reject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApprovalDecision {
    /// Carry out exactly this plan.
    Approve,
    /// Do not.
    Reject,
}

/// The present journal. Absent until the first write after the create: then `spec.opening` is the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecoveryStatus {
    /// The journal as it stands.
    pub journal: Journal,
    /// `Isolated`, once something was isolated: `True` while that is seen to be out of the way (`IsolationProven`), `False`
    /// while it is not (`Unproven`) and after it was let go (`Released`). Its message says what the proof does not cover.
    /// Absent where nothing was isolated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Whether what an incident isolated is seen to be out of the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Isolation {
    /// `IsolationProven`, `Unproven` or `Released`.
    pub reason: Reason,
    /// What is seen, and what that does not cover.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Since when that reason holds.
    pub since: MicroTime,
}

/// Everything known about one incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// Name of the RecoveryPolicy.
    #[schemars(length(max = 253))]
    pub policy: String,
    /// The target, with the uid it had when the incident began.
    pub target: ObjectRef,
    /// What was seen wrong.
    pub symptom: SymptomRecord,
    /// What most likely caused it.
    pub suspect: Suspect,
    /// What was decided, and what was not.
    pub decision: Decision,
    /// Digest of the closure that was live when the incident began: the one that is bad.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub broken: String,
    /// Name of the StableState that is being restored; empty if none.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub stable_state: String,
    /// What the states that could be restored allow and what was forbidden when the incident began: an administrator's
    /// hardening since. Without a person's approval nothing of it is allowed again, by the recovery or until it is verified.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 256)))]
    pub hardened: Vec<String>,
    /// Exceptions from floors (`floors.exceptions` of the policy) that what was done last passed by: what, who lets it pass
    /// until when, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 1024)))]
    pub exceptions: Vec<String>,
    /// How many remedies were begun in this incident.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100), extend("format" = "int32"))]
    pub attempt: u32,
    /// How many remedies were begun for the same content in incidents before this one, of which each came back soon
    /// (`limits.relapse` of the policy).
    #[serde(default)]
    #[schemars(range(min = 0), extend("format" = "int32"))]
    pub tried_before: u32,
    /// What is done, in order; each is recorded here before it happens.
    #[serde(default)]
    #[schemars(length(max = 512))]
    pub steps: Vec<Step>,
    /// When what happened. Absent entries have not happened.
    #[serde(default)]
    pub timeline: Timeline,
    /// Whether what was isolated is seen to be out of the way. Absent where nothing was isolated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Isolation>,
    /// Where the incident stands.
    pub phase: Phase,
    /// How it ended. May be present and still change until the phase is `Closed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The reason of the phase or of the outcome.
    pub reason: Reason,
    /// One sentence for people: what is so, and what happens or must happen next.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// An object in the namespace of the Recovery, that namespace itself, or a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Kind of the object.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// Name of the object.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The uid it must have; empty for an object that is to be created.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub uid: String,
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What was seen wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SymptomRecord {
    /// Which symptom.
    pub reason: Reason,
    /// What was seen, for people.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Since when.
    pub since: MicroTime,
    /// Digest of the closure that was live when the trouble began. A change that came later is not its cause, also if
    /// Homeostat was restarted in between.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub closure: String,
}

/// What most likely caused a symptom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Suspect {
    /// The live closure differs from the stable state, and the symptom began after.
    Change,
    /// One copy is bad while others of the same revision are good.
    Pod,
    /// Nothing changed here, or nothing explains it.
    Unknown,
    /// Nothing changed here, and all bad pods are on one node, which is dead or makes others ill as well.
    Node,
    /// Nothing changed here, and all bad pods are on several nodes of one zone, where no good one is.
    Zone,
    /// Most nodes are not ready: what is seen says more about the cluster, or the way to it, than about the target.
    Observer,
    /// Nothing changed here, but a workload that the policy declares the target to depend on did, not long before.
    Dependency,
    /// Nothing changed here, but a declared neighbour was added, or took more, not long before.
    Neighbour,
    /// The target itself was deleted.
    TargetDeleted,
}

/// What was decided, and what was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The remedy that was chosen.
    pub remedy: Remedy,
    /// Why this one.
    pub reason: Reason,
    /// One sentence for people.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// Digest of the steps: what an approval must name.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub plan_digest: String,
    /// Every other remedy, with the reason why it was refused.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub alternatives: Vec<Alternative>,
}

/// A remedy that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alternative {
    /// The remedy.
    pub remedy: Remedy,
    /// Which guard refused it.
    pub reason: Reason,
    /// One sentence for people.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// The kinds of remedy a decision chooses between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Remedy {
    /// Take single bad pods out of service and let their controller replace them.
    IsolatePods,
    /// Restore the closure of a verified stable state, but for guard rails.
    Rollback,
    /// Bring NetworkPolicies, rights, quotas and limits back to the stable state.
    RestoreGuardRails,
    /// Move traffic to the standby, and back when home is verified.
    Failover,
    /// Stop a bad rollout from spreading.
    Freeze,
    /// Deliberately do nothing.
    Hold,
    /// Keep new pods away from a bad node, and move the target's bad pods off it.
    IsolateNode,
    /// Stop a declared workload beside the target.
    StopNeighbour,
    /// Restore the closure of a verified stable state, but for guard rails, although it allows something that is forbidden
    /// now. Waits for a person's approval in every mode.
    RollbackLoosening,
    /// Create the deleted target again as a verified stable state records it, with what belongs to it.
    Recreate,
    /// Let the autoscaler of a standby that is too small keep more pods, so that traffic can move to it.
    PreScale,
    /// Make pods anew that run with configuration as it was before it changed.
    RenewPods,
    /// Cut the target off from a dependency that it can do without.
    CutDependency,
}

/// One thing we may do to a cluster. The set is closed: nothing else is ever written to a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Remediation {
    /// Hold the rollout still: pause a Deployment, set a StatefulSet's partition, let a DaemonSet replace pods only when
    /// they are deleted.
    FreezeRollout,
    /// End our own freeze.
    ReleaseFreeze,
    /// Put an object's recorded content back, or create the object again.
    RestoreObject,
    /// Delete an object that was added since the stable state.
    RemoveObject,
    /// Put the workload's recorded template and strategy back, and end our own freeze with it.
    RestoreTemplate,
    /// Give the fields we wrote back to their previous manager.
    HandBackFields,
    /// Take a pod out of its Service and from its ReplicaSet.
    QuarantinePod,
    /// Delete a pod that we quarantined.
    DeletePod,
    /// Evict a pod of a StatefulSet or DaemonSet, so that its controller makes it anew.
    EvictPod,
    /// Point the Service at the standby.
    SwitchService,
    /// Point the Service back home.
    ReturnService,
    /// Make a node unschedulable, and mark that as ours.
    CordonNode,
    /// Make a node that we cordoned schedulable again.
    UncordonNode,
    /// Delete a pod of a ReplicaSet that is on a node which does not answer, with its usual grace: never by force.
    DeleteLostPod,
    /// Stop a declared neighbour: scale a Deployment to 0, suspend a CronJob.
    StopNeighbour,
    /// Let a neighbour go on that we stopped.
    ReleaseNeighbour,
    /// Create a deleted workload again as recorded, and mark it as ours until the Recovery knows it.
    RecreateWorkload,
    /// Make a NetworkPolicy that keeps all network away from the pods in quarantine of this Recovery.
    DenyPodNetwork,
    /// Delete that NetworkPolicy.
    AllowPodNetwork,
    /// Give all weight of a route to the standby's Service.
    SwitchRoute,
    /// Give a share of it back to the target's.
    ShiftRoute,
    /// Give a route the weights back that it had.
    ReturnRoute,
    /// Raise the `minReplicas` of the standby's autoscaler.
    PreScaleStandby,
    /// Put the `minReplicas` that we raised back.
    ReleaseStandby,
    /// Make the pods of a workload anew by its own rollout, as a restart of it does.
    RenewPods,
    /// Make a NetworkPolicy that lets the target's pods call everything but the pods of one dependency.
    CutDependency,
    /// Delete that NetworkPolicy.
    ReleaseDependency,
}

/// One step: an intent, recorded before its effect, and the receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What is done.
    pub remediation: Remediation,
    /// To which object, with the uid it must have.
    pub object: ObjectRef,
    /// What is intended, for people.
    #[schemars(length(max = 1024))]
    pub intent: String,
    /// What must be there before: a digest of the content, or JSON (labels, a selector, the weights of a route; for `CordonNode` whether
    /// the node is ready, and how many may be cordoned; for `DeleteLostPod` the node). Also the way back.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub from: String,
    /// What will be there after, in the same form as `from`; for `HandBackFields` the manager, for `QuarantinePod` and
    /// `UncordonNode` the end of the inspection. `StopNeighbour` has `replicas` or `suspend` in both, and in `from` who
    /// owned it; so have `PreScaleStandby` and `ReleaseStandby` `minReplicas`. `RecreateWorkload` has the `replicas` of the deleted
    /// workload in `from`; `RenewPods` has in `to` when the pods were renewed. `CutDependency` has what its NetworkPolicy is
    /// made of in `to`, and in `from` the labels of the target's pods.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub to: String,
    /// What the write changed, one line for each place: its path, and what is there now; only for content that was put back,
    /// and never of a Secret. It is what has to be changed where the object is kept, for example in a repository.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2048))]
    pub change: String,
    /// What a restore of the template leaves forbidden although the stable state allows it, because it was forbidden
    /// before: of each container, or of the pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 256)))]
    pub keeps: Vec<String>,
    /// What a restore brought back that only the stable state had: fields, each by its path. Whoever applies manifests may
    /// not know them, and then never takes them away: look whether they should stay. Nothing of Secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 256)))]
    pub leftovers: Vec<String>,
    /// What the API server said when it refused the write; empty if it did not. The step is then `Skipped`, and somebody has
    /// to mend what it says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub refused: String,
    /// How far it is.
    pub state: StepState,
    /// When the API server acknowledged the effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<MicroTime>,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum StepState {
    /// Intended, not known to have happened.
    Planned,
    /// Acknowledged by the API server, or seen to be so.
    Done,
    /// Found unnecessary or impossible: the object is gone or belongs to someone else now, or the write was refused.
    Skipped,
}

/// When what happened, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// The symptom counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detected: Option<MicroTime>,
    /// The decision was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<MicroTime>,
    /// The first effect was acknowledged: it spreads no further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contained: Option<MicroTime>,
    /// The last effect was acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acted: Option<MicroTime>,
    /// Everything was seen to be back for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converged: Option<MicroTime>,
    /// It stayed so for the verification window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<MicroTime>,
    /// The API server last refused a write of the plan for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<MicroTime>,
    /// The incident was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<MicroTime>,
}

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Steps are outstanding.
    Acting,
    /// Acted; the proof is running.
    Verifying,
    /// Traffic is on the standby; home is not yet verified.
    OnStandby,
    /// Deliberately nothing is done, for the reason given.
    Holding,
    /// Waiting for a person's approval.
    AwaitingApproval,
    /// Letting go: what we hold is being released.
    Releasing,
    /// Over.
    Closed,
}

/// How the incident ended. May be present and still change until the phase is `Closed`.
// The schema takes this text, not that of the field, because the field is optional.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// Verified back.
    Recovered,
    /// Something is better, but not everything is proven.
    PartiallyRecovered,
    /// Deliberately nothing was done.
    Held,
    /// Handed to a person with everything learnt.
    Escalated,
    /// A person or pipeline changed the target meanwhile; we let go.
    Superseded,
    /// Ended without a result: policy or target gone, or aborted.
    Abandoned,
}

impl Remedy {
    /// Whether it brings content of a stable state back.
    #[must_use]
    pub const fn restores(self) -> bool {
        matches!(self, Self::Rollback | Self::RestoreGuardRails | Self::RollbackLoosening | Self::Recreate)
    }

    /// Whether it brings back everything but guard rails.
    #[must_use]
    pub const fn rolls_back(self) -> bool {
        matches!(self, Self::Rollback | Self::RollbackLoosening)
    }
}

impl Remediation {
    /// Whether it brings content of a stable state back.
    #[must_use]
    pub const fn restores(self) -> bool {
        matches!(self, Self::RestoreTemplate | Self::RestoreObject | Self::RemoveObject | Self::RecreateWorkload)
    }
}

impl RecoverySpec {
    /// A Recovery that begins with this journal, and that no person has spoken to yet.
    #[must_use]
    pub fn opened(opening: Journal) -> Self {
        Self { opening, approval: None, abort: false, failback: false, release: false }
    }
}

impl Recovery {
    /// The journal as it stands.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        self.status.as_ref().map_or(&self.spec.opening, |status| &status.journal)
    }
}
