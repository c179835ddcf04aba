//! What is known about one policy and its target, as plain values.
//!
//! Facts are made by `observe` and by tests. This module must not judge: it only says what was seen.
//! Everything here can be written to and read from JSON, so that a decision can be replayed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::autoscaling::Scaling;
use super::cuts::Network;
use super::fleet::Fleet;
use super::forgotten::Mark;
use super::member::MemberKind;
use super::neighbours::NeighbourFacts;
use super::nodes::NodeSight;
use super::posture::Posture;
use super::pre_scale::AutoscalerFacts;
use super::weights::Backend;
use crate::api::recovery::{Journal, RecoverySpec};
use crate::api::stable_state::{FieldOwner, Group, Review};
use crate::api::{Duration, Reason, RecoveryPolicySpec, RecoveryPolicyStatus};

/// Everything known about one policy at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    /// Namespace of the policy and of everything else here.
    pub namespace: String,
    /// Name of the policy, also when it no longer exists.
    pub policy_name: String,
    /// The policy; `None` once it is deleted.
    pub policy: Option<PolicyFacts>,
    /// How good our eyes are.
    pub sight: Sight,
    /// What the operator as a whole allows.
    pub ceiling: Ceiling,
    /// The target; `None` if it does not exist.
    pub target: Option<Workload>,
    /// Pod templates of the target, past ones included.
    pub revisions: Vec<Revision>,
    /// Pods of the target, those being deleted included, quarantined ones excluded.
    pub pods: Vec<PodFacts>,
    /// Pods that this policy's recoveries quarantined and that still exist.
    pub quarantined: Vec<PodFacts>,
    /// ConfigMaps that the live target or any of its states refers to, by name; absent ones are missing here.
    pub config_maps: BTreeMap<String, ConfigMapFacts>,
    /// Every other object that belongs to the live closure or that a state records, ConfigMaps and the target excepted.
    #[serde(default)]
    pub objects: Vec<ObjectFacts>,
    /// Services whose selector matches the target's pod template, and the one named for failover.
    pub services: Vec<ServiceFacts>,
    /// The declared standby, if it is declared and exists.
    pub standby: Option<Workload>,
    /// The pods of the standby.
    #[serde(default)]
    pub standby_pods: Vec<PodFacts>,
    /// Autoscalers of the standby, and those that this policy's recoveries raised.
    #[serde(default)]
    pub standby_autoscalers: Vec<AutoscalerFacts>,
    /// Stable states of this policy.
    pub states: Vec<StateFacts>,
    /// Recoveries of this policy, oldest first.
    pub recoveries: Vec<RecoveryFacts>,
    /// Workloads that may be stopped for the target, and those that this policy's recoveries stopped.
    #[serde(default)]
    pub neighbours: Vec<NeighbourFacts>,
    /// The network between the target and the dependencies that it can do without.
    #[serde(default)]
    pub network: Network,
    /// Marks that name Recoveries of this policy, on objects that nothing else here tells of.
    #[serde(default)]
    pub marks: Vec<Mark>,
    /// What is known about whether its states could be restored.
    #[serde(default)]
    pub rehearsals: Rehearsals,
    /// What metrics providers last answered to the policy's checks.
    #[serde(default)]
    pub checks: Vec<CheckAnswer>,
    /// All other targets, and what all of them together may do.
    #[serde(default)]
    pub fleet: Fleet,
    /// The nodes, where they are looked at.
    #[serde(default)]
    pub nodes: NodeSight,
    /// The target as it was last seen, if it was deleted since. Not observed: a step fills it in from its memory.
    #[serde(default)]
    pub lost: Option<Lost>,
}

/// A target that was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// As it was last seen.
    pub workload: Workload,
    /// Since when it is not there.
    pub since: Timestamp,
}

/// What is known about whether states could be restored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsals {
    /// How often that is asked while nothing changes; `None` if nobody asks.
    pub every: Option<Duration>,
    /// The last answer for each state that was asked for.
    pub answers: Vec<Rehearsal>,
}

/// An answer of the API server about one state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// Name of the state.
    pub state: String,
    /// Digest of what the answer depends on: with another one it says nothing.
    pub inputs: String,
    /// Digest of the live closure when it was asked.
    pub live: String,
    /// When it was asked.
    pub at: Timestamp,
    /// The answer.
    pub feasibility: Feasibility,
}

/// Whether a state could be restored, and its pods be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Feasibility {
    /// It could, as far as it was checked.
    Feasible {
        /// What was not checked, for want of a right: noun phrases.
        unchecked: Vec<String>,
    },
    /// It could not.
    Infeasible {
        /// Which check failed.
        reason: Reason,
        /// What the API server says, for people.
        message: String,
    },
    /// There was no answer.
    Unknown {
        /// Why, for people.
        message: String,
        /// Asking again would give the same, so nothing waits for it.
        lasting: bool,
    },
}

/// What a metrics provider answered to a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckAnswer {
    /// Name of the provider.
    pub provider: String,
    /// The query.
    pub query: String,
    /// When it was asked.
    pub at: Timestamp,
    /// The value, which is a number; or why there is none, for people.
    pub found: Result<f64, String>,
}

/// How good our eyes are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sight {
    /// Kinds that we are not hearing from, with what is the matter; empty when all is fresh.
    pub blind: Vec<String>,
    /// Objects of this namespace that cannot be read, and that might have mattered.
    pub malformed: Vec<String>,
}

/// What the operator as a whole allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ceiling {
    /// The highest mode.
    pub mode: crate::api::Mode,
    /// Every new action in the cluster is stopped.
    pub suspended: bool,
    /// Secrets may be looked at.
    #[serde(default)]
    pub secrets: bool,
    /// Neighbours may be stopped.
    #[serde(default)]
    pub neighbours: bool,
    /// NetworkPolicies may be made: for pods in quarantine, and to cut a dependency off.
    #[serde(default)]
    pub pod_network: bool,
    /// Routes of the Gateway API are looked at.
    #[serde(default)]
    pub gateway_api: bool,
    /// Members that belong to no namespace may be looked at.
    #[serde(default)]
    pub cluster_members: bool,
}

/// The policy itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PolicyFacts {
    /// Its uid.
    pub uid: String,
    /// Generation of the spec.
    pub generation: i64,
    /// The spec.
    pub spec: RecoveryPolicySpec,
    /// The status as last written.
    pub status: RecoveryPolicyStatus,
    /// Being deleted, by itself or with its namespace.
    pub deleting: bool,
    /// Other policies that name the same target.
    pub rivals: Vec<String>,
}

/// A Deployment, StatefulSet or DaemonSet, reduced to what decisions need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Its kind.
    #[serde(default)]
    pub kind: MemberKind,
    /// Name.
    pub name: String,
    /// Uid: another uid is another workload.
    pub uid: String,
    /// Generation of the spec.
    pub generation: i64,
    /// The generation its controller has seen.
    pub observed_generation: i64,
    /// Digest of template and strategy, normalised.
    pub digest: String,
    /// Digest of the pod template alone, as its controller compares it.
    pub template: String,
    /// Digest of template and strategy without what is told by the posture.
    #[serde(default)]
    pub body: String,
    /// What its pods are allowed.
    #[serde(default)]
    pub posture: Posture,
    /// Images of its containers, as the template names them.
    #[serde(default)]
    pub images: BTreeSet<String>,
    /// Wanted pods.
    pub replicas: i32,
    /// Pods of the present template, as its controller counts them.
    pub updated_replicas: i32,
    /// All pods, as its controller counts them.
    pub total_replicas: i32,
    /// Ready pods, as its controller counts them.
    pub ready_replicas: i32,
    /// Available pods (ready for `minReadySeconds`), as its controller counts them.
    pub available_replicas: i32,
    /// Its rollout is held still: paused, a partition, or pods that are only replaced when deleted.
    pub paused: bool,
    /// The Recovery that paused it, if it was ours.
    pub frozen_by: Option<String>,
    /// `progressDeadlineSeconds`.
    pub progress_deadline: i64,
    /// Its controller says that the deadline is over.
    pub deadline_exceeded: bool,
    /// Its controller cannot create pods: the message.
    pub creation_failure: Option<String>,
    /// Nodes cannot work without it: its pods have the priority of a node's own.
    #[serde(default)]
    pub node_critical: bool,
    /// Owned by another controller: kind and name.
    pub owner: Option<String>,
    /// The GitOps tool that keeps it like its repository, if one does.
    #[serde(default)]
    pub git_ops: Option<String>,
    /// The owner declared the content irreversible.
    pub irreversible: bool,
    /// Being deleted.
    pub deleting: bool,
    /// `spec.selector.matchLabels`.
    pub selector: BTreeMap<String, String>,
    /// Labels of the pod template.
    pub labels: BTreeMap<String, String>,
    /// Names of ConfigMaps that the template refers to.
    pub config_maps: BTreeSet<String>,
    /// Names of Secrets that the template refers to.
    #[serde(default)]
    pub secrets: BTreeSet<String>,
    /// Names of PersistentVolumeClaims that the template refers to.
    #[serde(default)]
    pub claims: BTreeSet<String>,
    /// The ConfigMaps and Secrets that its pods read at their start, and never again.
    #[serde(default)]
    pub read_at_start: BTreeSet<(MemberKind, String)>,
    /// How many available pods its own rollout never takes away before others are available.
    #[serde(default)]
    pub rollout_keeps: i32,
    /// The ServiceAccount that the template names, other than the namespace's own.
    #[serde(default)]
    pub service_account: Option<String>,
    /// The PriorityClass that the template names.
    #[serde(default)]
    pub priority_class: Option<String>,
    /// Ports that its containers declare, each by number and, if it has one, by name.
    #[serde(default)]
    pub ports: BTreeSet<String>,
    /// The field manager that owns most of the template.
    pub field_owner: Option<FieldOwner>,
    /// The field manager that wrote something of the template last, ourselves excepted; `None` if it cannot be told.
    #[serde(default)]
    pub last_writer: Option<String>,
    /// When it was created.
    #[serde(default)]
    pub created: Timestamp,
    /// The Recovery that stopped it as a neighbour of its target.
    #[serde(default)]
    pub stopped_by: Option<String>,
    /// The Recovery that created it again.
    #[serde(default)]
    pub recreated_by: Option<String>,
}

/// What a workload's controller keeps of a pod template: a ReplicaSet of a Deployment, or a ControllerRevision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Name, as pods know it.
    pub name: String,
    /// Digest of its pod template, without the label its controller adds.
    pub template: String,
    /// When it was created.
    pub created: Timestamp,
}

/// A pod, reduced to what decisions need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodFacts {
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Name of the revision it was made from; empty if nothing that we look after controls it.
    pub revision: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The node it was placed on; empty while it is not.
    #[serde(default)]
    pub node: String,
    /// When it was created (whole seconds).
    pub created: Timestamp,
    /// Its Ready condition.
    pub ready: bool,
    /// When Ready last changed (whole seconds).
    pub ready_since: Option<Timestamp>,
    /// When the last of its containers was started, if all of them run (whole seconds).
    #[serde(default)]
    pub started: Option<Timestamp>,
    /// Restarts, all containers added up.
    pub restarts: u32,
    /// The highest number of restarts of a single container.
    pub most_restarts: u32,
    /// Reasons why containers wait, for example `CrashLoopBackOff`.
    pub waiting: BTreeSet<String>,
    /// Being deleted.
    pub deleting: bool,
    /// Ended for good (phase Succeeded or Failed).
    pub finished: bool,
    /// The Recovery that quarantined it.
    pub quarantined_by: Option<String>,
    /// When its inspection ends.
    pub inspect_until: Option<Timestamp>,
    /// Services of the namespace that select it, or offer it. Only looked for where it is in quarantine.
    #[serde(default)]
    pub reached_by: BTreeSet<String>,
}

/// A ConfigMap, reduced to its identity and digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigMapFacts {
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Digest of its content: data, binaryData, immutable.
    pub digest: String,
    /// Size of the content in bytes of canonical JSON.
    pub size: usize,
    /// When anything of it was written last (whole seconds): its content is not younger. `None` if nobody knows.
    #[serde(default)]
    pub written: Option<Timestamp>,
    /// For an immutable copy of ours, whether it is immutable still; `None` for any other.
    pub sealed_copy: Option<bool>,
    /// Other workloads that refer to it and have available pods, by kind and name; the target and its standby excepted.
    #[serde(default)]
    pub serving_others: BTreeSet<String>,
    /// The field manager that owns most of its content.
    #[serde(default)]
    pub field_owner: Option<FieldOwner>,
    /// The GitOps tool that keeps it like its repository, if one does.
    #[serde(default)]
    pub git_ops: Option<String>,
}

/// An object that is or was a member of the closure, reduced to its identity and digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectFacts {
    /// Its kind.
    pub kind: MemberKind,
    /// Name.
    pub name: String,
    /// Uid; empty if it does not exist and the target refers to it.
    pub uid: String,
    /// Digest of its content; empty if it does not exist.
    pub digest: String,
    /// Size of the content in bytes of canonical JSON.
    pub size: usize,
    /// The live target refers to it, or it attaches itself to the live target.
    pub belongs: bool,
    /// Names of the Services that it leads to and that do not exist. Only for routes.
    #[serde(default)]
    pub dangling: BTreeSet<String>,
    /// Names of the Secrets whose certificates it shows. Only for routes.
    #[serde(default)]
    pub shows: BTreeSet<String>,
    /// How it scales. Only for autoscalers.
    #[serde(default)]
    pub scaling: Option<Scaling>,
    /// Kind and name of another workload, with available pods, that it scales instead of the target. Only for autoscalers.
    #[serde(default)]
    pub scales_other: Option<String>,
    /// When anything of it was written last (whole seconds): its content is not younger. `None` if nobody knows.
    /// Only for Secrets.
    #[serde(default)]
    pub written: Option<Timestamp>,
    /// For an immutable copy of ours, whether it is immutable still; `None` for any other. Only for Secrets.
    #[serde(default)]
    pub sealed_copy: Option<bool>,
    /// What is known of the certificate in it. Only for Secrets that are there to hold one.
    #[serde(default)]
    pub certificate: Option<Certificate>,
    /// The GitOps tool that keeps it like its repository, if one does.
    #[serde(default)]
    pub git_ops: Option<String>,
    /// What it allows. Only for Services, routes and ServiceAccounts.
    #[serde(default)]
    pub posture: Posture,
    /// Where it leads, with weights. Only for routes of the Gateway API, like what follows.
    #[serde(default)]
    pub backends: Vec<Backend>,
    /// The Recovery that moved its weights.
    #[serde(default)]
    pub switched_by: Option<String>,
    /// The field manager that owns most of its rules.
    #[serde(default)]
    pub field_owner: Option<FieldOwner>,
}

impl ObjectFacts {
    /// An object of which nothing is known but its name.
    #[must_use]
    pub fn unknown(kind: MemberKind, name: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            uid: String::new(),
            digest: String::new(),
            size: 0,
            belongs: false,
            dangling: BTreeSet::new(),
            shows: BTreeSet::new(),
            scaling: None,
            scales_other: None,
            written: None,
            sealed_copy: None,
            certificate: None,
            git_ops: None,
            posture: Posture::default(),
            backends: vec![],
            switched_by: None,
            field_owner: None,
        }
    }
}

/// What is known of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Certificate {
    /// It is none, or cannot be read.
    Unreadable,
    /// It counts from the first moment to the second.
    Valid {
        /// The first moment.
        from: Timestamp,
        /// The last one.
        until: Timestamp,
    },
}

impl Certificate {
    /// What is the matter with it now; `None` if it counts.
    #[must_use]
    pub fn trouble(self, now: Timestamp) -> Option<&'static str> {
        match self {
            Self::Unreadable => Some("cannot be read"),
            Self::Valid { from, .. } if now < from => Some("does not count yet"),
            Self::Valid { until, .. } if until < now => Some("has run out"),
            Self::Valid { .. } => None,
        }
    }
}

/// A Service and what it offers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceFacts {
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Its selector.
    pub selector: BTreeMap<String, String>,
    /// Digest of its content.
    #[serde(default)]
    pub digest: String,
    /// Size of the content in bytes of canonical JSON.
    #[serde(default)]
    pub size: usize,
    /// From where it can be reached beside the cluster's own network.
    #[serde(default)]
    pub posture: Posture,
    /// The pods' ports that it sends to, by number or name.
    #[serde(default)]
    pub target_ports: BTreeSet<String>,
    /// The Recovery that switched it.
    pub switched_by: Option<String>,
    /// Uids of the pods that its EndpointSlices offer as ready.
    pub offered: BTreeSet<String>,
    /// The field manager that owns most of its spec.
    #[serde(default)]
    pub field_owner: Option<FieldOwner>,
    /// Publishes pods that are not ready as well; then its offers prove nothing about readiness.
    pub publishes_not_ready: bool,
    /// Offers to who asks from a node only the pods on that node.
    #[serde(default)]
    pub local_only: bool,
    /// The GitOps tool that keeps it like its repository, if one does.
    #[serde(default)]
    pub git_ops: Option<String>,
}

impl ServiceFacts {
    /// Whether its selector matches pods with these labels. An empty selector matches nothing.
    #[must_use]
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.selector.is_empty() && self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

/// A StableState, without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateFacts {
    /// Name.
    pub name: String,
    /// Uid.
    #[serde(default)]
    pub uid: String,
    /// Digest over all members.
    pub digest: String,
    /// Which parts of the closure it covers.
    #[serde(default)]
    pub groups: BTreeSet<Group>,
    /// The target's name it was recorded for.
    pub target: String,
    /// Its members.
    pub members: Vec<MemberFacts>,
    /// Pods that were wanted, and ready.
    #[serde(default)]
    pub replicas: i32,
    /// When it was recorded.
    pub created: Timestamp,
    /// The slowest pod's time from creation to ready, in seconds.
    pub time_to_ready: i64,
    /// Whether the seal is ours.
    pub sealed: bool,
    /// A person's word on it.
    pub review: Option<Review>,
}

impl StateFacts {
    /// The member of this kind and name, absent ones included.
    #[must_use]
    pub fn member(&self, kind: MemberKind, name: &str) -> Option<&MemberFacts> {
        self.members.iter().find(|member| member.kind == kind.name() && member.name == name)
    }

    /// The member that is this workload itself.
    #[must_use]
    pub fn itself(&self, target: &Workload) -> Option<&MemberFacts> {
        self.member(target.kind, &target.name)
    }
}

/// One member of a state, without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFacts {
    /// Its kind, by name.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Digest of the content; empty if absent.
    pub digest: String,
    /// Recorded as absent.
    pub absent: bool,
    /// Name of its immutable copy; empty if it has none.
    pub copy: String,
    /// Who owned it.
    pub owner: Option<FieldOwner>,
    /// How it scaled. Only for autoscalers.
    #[serde(default)]
    pub scaling: Option<Scaling>,
    /// Of a workload, digest of the content without what is told by the posture.
    #[serde(default)]
    pub body: String,
    /// What it allows.
    #[serde(default)]
    pub posture: Posture,
    /// Of a workload, the images of its containers.
    #[serde(default)]
    pub images: BTreeSet<String>,
}

/// A Recovery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecoveryFacts {
    /// Name.
    pub name: String,
    /// The resourceVersion that was seen: the next write of the journal is conditional on it.
    #[serde(default)]
    pub version: String,
    /// What people said (`approval`, `abort`, `failback`), and the opening.
    pub spec: RecoverySpec,
    /// The journal as it stands.
    pub journal: Journal,
}

impl RecoveryFacts {
    /// Not over yet.
    #[must_use]
    pub fn open(&self) -> bool {
        self.journal.phase != crate::api::Phase::Closed
    }
}

impl Workload {
    /// Kind and name, for people.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }
}

impl Facts {
    /// The open Recovery, if there is one.
    #[must_use]
    pub fn open_recovery(&self) -> Option<&RecoveryFacts> {
        self.recoveries.iter().rev().find(|recovery| recovery.open())
    }

    /// What all of this is about: the target, or what it was before it was deleted.
    #[must_use]
    pub fn subject(&self) -> Option<&Workload> {
        self.target.as_ref().or(self.lost.as_ref().map(|lost| &lost.workload))
    }

    /// The object of this kind and name, if it belongs to the closure or a state records it.
    #[must_use]
    pub fn object(&self, kind: MemberKind, name: &str) -> Option<&ObjectFacts> {
        self.objects.iter().find(|object| object.kind == kind && object.name == name)
    }

    /// Pods that count: not being deleted and not ended.
    pub fn live_pods(&self) -> impl Iterator<Item = &PodFacts> {
        self.pods.iter().filter(|pod| !pod.deleting && !pod.finished)
    }

    /// Names of the revisions whose template is the target's present one. Empty while the target is missing.
    #[must_use]
    pub fn present_revisions(&self) -> BTreeSet<&str> {
        let Some(target) = &self.target else { return BTreeSet::new() };
        self.revisions.iter().filter(|r| r.template == target.template).map(|r| r.name.as_str()).collect()
    }
}
