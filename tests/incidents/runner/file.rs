//! One incident as a file: what is there, what goes wrong, and what a good operator would do. The format is described
//! in tests/incidents/README.md. This module must not run anything; `reading.rs` reads and checks it.

use std::time::Duration;

use homeostat::api::recovery::Remedy;
use homeostat::api::{self, Reason};
use serde::Deserialize;
use serde_json::Value;

/// What a class of incidents is known by: identity, the right outcome, and how well it can be made.
#[derive(Clone, Debug, Deserialize)]
pub struct Class {
    pub id: String,
    pub ideal: Ideal,
    pub repro: String,
}

/// The right outcome of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ideal {
    Rollback,
    Isolate,
    Failover,
    Hold,
}

impl Ideal {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Isolate => "isolate",
            Self::Failover => "failover",
            Self::Hold => "hold",
        }
    }

    /// The outcome that a remedy is counted as.
    pub fn of(remedy: Remedy) -> Self {
        match remedy {
            Remedy::Rollback | Remedy::RestoreGuardRails | Remedy::RollbackLoosening | Remedy::Recreate => {
                Self::Rollback
            }
            Remedy::IsolatePods
            | Remedy::IsolateNode
            | Remedy::Freeze
            | Remedy::StopNeighbour
            | Remedy::RenewPods
            | Remedy::CutDependency => Self::Isolate,
            Remedy::Failover | Remedy::PreScale => Self::Failover,
            Remedy::Hold => Self::Hold,
        }
    }
}

/// One incident.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Incident {
    /// Its name: that of the file.
    #[serde(skip)]
    pub name: String,
    /// The class of incidents it belongs to; its ideal must be the file's. An incident of your own needs none.
    #[serde(default)]
    pub class: Option<String>,
    /// One sentence for people.
    pub title: String,
    /// The right outcome.
    pub ideal: Ideal,
    /// On which nodes it is made: fake ones unless said otherwise.
    #[serde(default)]
    pub nodes: Nodes,
    /// The symptom is played by marking pods, because a fake kubelet cannot bring it about.
    #[serde(default)]
    pub scripted: bool,
    /// The ability that Homeostat lacks for it, as long as it does. Such a file may fail; a harmful write never may.
    #[serde(default)]
    pub missing: Option<String>,
    /// What the operator has rights for beside what the chart gives it by default.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// The operator has a metrics provider `main`: Prometheus, which scrapes the shop's client.
    #[serde(default)]
    pub measured: bool,
    /// What is there before, ending with a wait for the stable state.
    pub given: Vec<Step>,
    /// What goes wrong.
    pub inject: Vec<Step>,
    /// What must be true in the end.
    pub expect: Expect,
    /// What ends a played symptom, for a cause that a fake kubelet cannot see.
    #[serde(default)]
    pub cure: Option<Cure>,
    /// What is put back afterwards, whatever came of it: nodes and cluster-scoped objects, which all files share.
    #[serde(default)]
    pub after: Vec<Step>,
}

impl Incident {
    /// Every step, in order.
    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.given.iter().chain(&self.inject).chain(&self.after)
    }

    /// Nodes are everybody's, and so is what holds for every pod: a file that touches them runs alone.
    pub fn touches_the_cluster(&self) -> bool {
        use Step::{Apply, Cordon, Drain, Patch, StartNode, StopNode, Uncordon};
        // What a budget allows, it allows everybody; and whoever may cordon a node might.
        let may_touch_nodes = self.capabilities.contains(&Capability::Nodes);
        may_touch_nodes
            || self.given.iter().chain(&self.inject).any(|step| match step {
                Cordon(_) | Uncordon(_) | Drain(_) | StopNode(_) | StartNode(_) => true,
                Patch(patch) => patch.kind == "Node",
                Apply(object) if object["kind"] == "RecoveryBudget" => true,
                Apply(object) => object["kind"] == "PriorityClass" && object["globalDefault"] == true,
                _ => false,
            })
    }

    /// Whether it breaks things again after a recovery that it waited for.
    pub fn waits_for_a_recovery(&self) -> bool {
        self.inject.iter().any(|step| matches!(step, Step::Wait(Wait::Recovery(_))))
    }

    /// Whether a client counts the answers.
    pub fn has_client(&self) -> bool {
        self.given.iter().any(|step| matches!(step, Step::Shop(_)))
    }

    /// Whether it asks how the client is answered.
    pub fn asks_the_client(&self) -> bool {
        let waits = self.steps().filter_map(|step| match step {
            Step::Wait(Wait::So(oracle)) => Some(oracle),
            _ => None,
        });
        waits.chain(&self.expect.finally).any(|oracle| matches!(oracle, Oracle::Answers(_)))
    }
}

/// As soon as something is so, by whomsoever, the marks are taken from the pods of an app: a real container would read
/// its configuration again at its next restart.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cure {
    pub app: String,
    pub when: Oracle,
}

/// A right of the operator that the chart grants only when asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Capability {
    /// Secrets.
    Secrets,
    /// Nodes.
    Nodes,
    /// Stopping declared neighbours.
    Neighbours,
}

/// On which nodes an incident is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nodes {
    /// Fake kubelets: what a pod does is chosen by its image tag, or played.
    #[default]
    Fake,
    /// Real kubelets and containers.
    Real,
}

/// What must be true in the end.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expect {
    /// For how long the right outcome is waited for; where it is to hold, for how long it is watched.
    #[serde(default = "within")]
    pub within: api::Duration,
    /// The reason that the newest Recovery must give, where that matters.
    #[serde(default)]
    pub reason: Option<Reason>,
    /// Writes to workloads that are right, as in `patch deployments/web`; `*` at the end stands for any name. Every
    /// other one is harmful.
    #[serde(default)]
    pub allowed: Vec<String>,
    /// What is so in the end.
    pub finally: Vec<Oracle>,
}

fn within() -> api::Duration {
    api::Duration::seconds(60)
}

impl Expect {
    pub fn deadline(&self) -> Duration {
        self.within.get()
    }
}

/// One thing that is done.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Step {
    /// The usual application: Deployment `web` with Service, ConfigMap and policy.
    Web(Web),
    /// On real nodes: the patient as Deployment `web`, with Service, ConfigMap, policy and a client that asks it.
    Shop(Shop),
    /// A Deployment `web-standby` that can stand in, with an image tag.
    Standby(String),
    /// Applies an object, server side, as the application's owner.
    Apply(Value),
    /// Changes an object by a patch.
    Patch(Patch),
    /// Deletes an object.
    Delete(Target),
    /// Sets the number of replicas of a Deployment.
    Scale(Scale),
    /// Makes pods of an app fail, or heals them (`fault: heal`): played by the fake kubelet; on real nodes set by hand
    /// in the patient.
    Fault(Fault),
    /// Puts labels on pods of an app.
    Label(Label),
    /// Makes a node unschedulable.
    Cordon(String),
    /// Evicts the pods of the file's namespace from a node, by the eviction API.
    Drain(String),
    /// Makes a node schedulable again.
    Uncordon(String),
    /// Makes a node not ready, as a dead kubelet does.
    StopNode(String),
    /// Brings a node back.
    StartNode(String),
    /// Waits for a condition.
    Wait(Wait),
    /// Kills the operator, and starts it again.
    KillOperator,
    /// From here on: the operator's next write to a path with this end, as in `/deployments/web`, reaches the API
    /// server, and its answer never comes back.
    HoldAfterWrite(String),
    /// Waits until a write is held, and kills the operator there; then starts it again.
    KillHeld,
    /// Cuts the operator off from the API server for so many seconds.
    CutApi(u64),
    /// From here on the metrics provider takes the operator's questions, and answers none.
    SilenceProvider,
}

/// The usual application.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Web {
    pub replicas: u32,
    #[serde(default = "first_tag")]
    pub tag: String,
    /// Changes to the usual policy's spec.
    #[serde(default = "nothing")]
    pub policy: Value,
    /// Changes to the usual Deployment.
    #[serde(default = "nothing")]
    pub deployment: Value,
}

/// The patient and its client.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shop {
    /// Three tiers: `web` calls `api`, which calls `store`.
    #[serde(default)]
    pub tiers: bool,
    /// How many copies stand by, as `web-standby`.
    #[serde(default)]
    pub standby: u32,
    /// Milliseconds between two questions of the client.
    #[serde(default = "often")]
    pub every: u64,
    /// How many questions it has open at once.
    #[serde(default = "one")]
    pub parallel: u32,
    /// Changes to the usual policy's spec.
    #[serde(default = "nothing")]
    pub policy: Value,
    /// Changes to the patient's Deployment; lists of things with names are merged by name.
    #[serde(default = "nothing")]
    pub deployment: Value,
}

fn often() -> u64 {
    20
}

fn one() -> u32 {
    1
}

fn first_tag() -> String {
    "v1".to_owned()
}

fn nothing() -> Value {
    Value::Object(serde_json::Map::new())
}

/// An object.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Target {
    #[serde(default = "core")]
    pub api_version: String,
    pub kind: String,
    pub name: String,
}

fn core() -> String {
    "v1".to_owned()
}

/// A change of an object.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Patch {
    #[serde(default = "core")]
    pub api_version: String,
    pub kind: String,
    pub name: String,
    /// A merge patch, or a list of operations: a JSON Patch.
    pub patch: Value,
    /// Lists of containers, variables and the like are merged by name, as kubectl does; otherwise they are replaced.
    #[serde(default)]
    pub by_name: bool,
    /// The field manager that makes it; the owner unless said otherwise.
    #[serde(default, rename = "as")]
    pub manager: Option<String>,
}

/// A number of replicas.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scale {
    pub name: String,
    pub replicas: i32,
}

/// Pods that fail or heal.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    pub app: String,
    pub fault: Play,
    /// How many pods; all if not said.
    #[serde(default)]
    pub pods: Option<usize>,
    /// Only pods on this node.
    #[serde(default)]
    pub node: Option<String>,
}

/// Labels for pods.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Label {
    pub app: String,
    pub pods: usize,
    pub labels: Value,
}

/// What a pod plays, or what happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Play {
    Crash,
    NotReady,
    Heal,
    /// Its image cannot be pulled, while the template stays as it is: a registry that is down.
    Unpullable,
    /// The kubelet evicts it for want of memory.
    Evicted,
    /// It is deleted.
    Deleted,
}

/// What is waited for.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Wait {
    /// A policy says that its target is in its stable state. Without an operator: its target's pods are ready.
    Stable(String),
    /// So many pods of an app are ready, and no others are there.
    Ready(Ready),
    /// At least one pod of an app is not ready.
    Unready(String),
    /// The newest Recovery gives this reason. Without an operator nothing is waited for.
    Recovery(Reason),
    /// Something is so.
    So(Oracle),
}

/// So many ready pods, of an image tag if one is named.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ready {
    pub app: String,
    pub pods: usize,
    #[serde(default)]
    pub tag: Option<String>,
}

/// What is so in the end.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Oracle {
    /// So many pods of an app are ready, and no others are there.
    Serving(Ready),
    /// An object has this value at a JSON pointer.
    Object(Content),
    /// An object does not exist.
    Absent(Target),
    /// The Service offers so many pods.
    Offered(Offered),
    /// The operator made a write to a workload exactly so often.
    Written(Written),
    /// How the shop's client is answered.
    Answers(Answers),
}

/// How the answers of late were: the last twenty, on a slow machine those of the last five seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answers {
    /// None bad.
    Good,
    /// Three or more bad.
    Bad,
}

/// A value in an object.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Content {
    #[serde(default = "core")]
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub at: String,
    /// The value; absent for "there is nothing".
    #[serde(default)]
    pub is: Option<Value>,
}

/// A write, as in `patch deployments/web`, and how often it was made.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Written {
    pub write: String,
    pub times: usize,
}

/// A Service and how many pods it offers.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Offered {
    pub service: String,
    pub pods: usize,
}
