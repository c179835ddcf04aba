//! From the JSON of an object to what is kept of it.
//!
//! Of every object only what facts need is kept, and digests instead of contents: ten thousand pods must fit into a
//! few megabytes. An object that cannot be read is told apart from all others and never hides them. This module must
//! not judge what it reads, and never repeats a word of a Secret.

mod config_map;
mod cron_job;
mod field_owner;
mod git_ops;
mod member;
mod network;
mod node;
mod ours;
mod pod;
mod secret;
#[cfg(test)]
mod tests;
mod workload;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

pub(super) use member::{Granted, Member, Routing, Tie};
pub(super) use network::EndpointSlice;
pub use ours::Budget;
pub(super) use ours::{Incident, Policy, State};
pub(super) use pod::Pod;
pub(super) use workload::Revision;

use super::kind::Kind;
use crate::api::StableState;
use crate::api::mark;
use crate::plan::facts::{ConfigMapFacts, ServiceFacts, Workload};
use crate::plan::neighbours::NeighbourFacts;
use crate::plan::nodes::NodeFacts;

/// Tells whether the seal of a state is ours.
pub type Verify = dyn Fn(&StableState) -> bool + Send + Sync;

/// From the namespace, the name and the content of a Secret, as canonical JSON, to its digest; `None` for one that is
/// never looked at.
pub type SecretDigest = dyn Fn(&str, &str, &str) -> Option<String> + Send + Sync;

/// What only the holder of the key for seals can tell.
pub(super) struct Trust {
    verify: Box<Verify>,
    /// Without it Secrets are not looked at.
    secrets: Option<Box<SecretDigest>>,
}

impl Trust {
    pub(super) fn new(verify: impl Fn(&StableState) -> bool + Send + Sync + 'static) -> Self {
        Self { verify: Box::new(verify), secrets: None }
    }

    pub(super) fn with_secrets(self, digest: Box<SecretDigest>) -> Self {
        Self { secrets: Some(digest), ..self }
    }
}

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Object {
    Workload(Box<Workload>),
    /// A ReplicaSet or a ControllerRevision.
    Revision(Box<Revision>),
    Pod(Box<Pod>),
    ConfigMap(Box<ConfigMapFacts>),
    /// Without what it offers, which is what its EndpointSlices say.
    Service(Box<ServiceFacts>),
    EndpointSlice(Box<EndpointSlice>),
    /// Any other member of closures.
    Member(Box<Member>),
    RecoveryPolicy(Box<Policy>),
    StableState(Box<State>),
    Recovery(Box<Incident>),
    RecoveryBudget(Box<Budget>),
    Node(Box<NodeFacts>),
    CronJob(Box<NeighbourFacts>),
}

/// Which object it is, and how new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// Its resourceVersion, which can be compared within a kind; 0 if it has none.
    pub version: u64,
    /// The policy it is labelled with.
    pub policy: Option<String>,
}

/// What was seen of an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    /// What is kept.
    Object(Object),
    /// It exists and says nothing that any decision needs.
    Unneeded,
    /// It exists and cannot be read: why.
    Malformed(String),
}

/// One object as it was seen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sighting {
    pub identity: Identity,
    pub seen: Seen,
}

/// Reads one object. One whose name cannot even be read has an empty name.
pub(super) fn read(kind: Kind, raw: &str, trust: &Trust) -> Sighting {
    let mut sighting = read_parts(kind, raw, trust);
    if kind.of_the_cluster() {
        sighting.identity.namespace.clear();
    }
    if kind == Kind::Namespace {
        sighting.identity.namespace.clone_from(&sighting.identity.name);
    }
    sighting
}

fn read_parts(kind: Kind, raw: &str, trust: &Trust) -> Sighting {
    let malformed = |error: &serde_json::Error| match kind {
        // Errors quote what they met.
        Kind::Secret => Seen::Malformed("it is no Secret as the API describes it".to_owned()),
        _ => Seen::Malformed(error.to_string()),
    };
    let parts = match serde_json::from_str::<Parts>(raw) {
        Ok(parts) => parts,
        Err(error) => {
            let identity = serde_json::from_str::<Nameplate>(raw).map(Nameplate::identity).unwrap_or_default();
            return Sighting { identity, seen: malformed(&error) };
        }
    };
    let identity = match parts.metadata.identity() {
        Ok(identity) => identity,
        Err(identity) => {
            return Sighting { identity, seen: Seen::Malformed("its resourceVersion is not a number".to_owned()) };
        }
    };
    let seen = match slim(kind, &parts, &identity, trust) {
        Ok(Some(object)) => Seen::Object(object),
        Ok(None) => Seen::Unneeded,
        Err(error) => malformed(&error),
    };
    Sighting { identity, seen }
}

fn slim(
    kind: Kind,
    parts: &Parts<'_>,
    identity: &Identity,
    trust: &Trust,
) -> Result<Option<Object>, serde_json::Error> {
    Ok(match kind {
        Kind::Deployment => Some(Object::Workload(workload::deployment(parts)?.into())),
        Kind::StatefulSet => Some(Object::Workload(workload::stateful_set(parts)?.into())),
        Kind::DaemonSet => Some(Object::Workload(workload::daemon_set(parts)?.into())),
        Kind::ReplicaSet => workload::replica_set(parts)?.map(|set| Object::Revision(set.into())),
        Kind::ControllerRevision => {
            workload::controller_revision(parts)?.map(|revision| Object::Revision(revision.into()))
        }
        Kind::Pod => pod::pod(parts)?.map(|pod| Object::Pod(pod.into())),
        Kind::ConfigMap => Some(Object::ConfigMap(config_map::config_map(parts)?.into())),
        Kind::Secret => match &trust.secrets {
            Some(digest) => Some(Object::Member(secret::secret(parts, identity, digest)?.into())),
            None => None,
        },
        Kind::Service => Some(Object::Service(network::service(parts)?.into())),
        Kind::EndpointSlice => network::endpoint_slice(parts)?.map(|slice| Object::EndpointSlice(slice.into())),
        Kind::ServiceAccount
        | Kind::Role
        | Kind::RoleBinding
        | Kind::ResourceQuota
        | Kind::LimitRange
        | Kind::NetworkPolicy
        | Kind::PodDisruptionBudget
        | Kind::HorizontalPodAutoscaler
        | Kind::Ingress
        | Kind::HttpRoute
        | Kind::GrpcRoute
        | Kind::Namespace
        | Kind::ClusterRole
        | Kind::ClusterRoleBinding
        | Kind::PriorityClass => match kind.member() {
            Some(kind) => Some(Object::Member(member::member(kind, parts)?.into())),
            None => None,
        },
        Kind::RecoveryPolicy => Some(Object::RecoveryPolicy(ours::policy(parts)?.into())),
        Kind::StableState => Some(Object::StableState(ours::state(parts, identity, &*trust.verify)?.into())),
        Kind::Recovery => Some(Object::Recovery(ours::recovery(parts)?.into())),
        Kind::RecoveryBudget => Some(Object::RecoveryBudget(ours::budget(parts)?.into())),
        Kind::Node => Some(Object::Node(node::node(parts)?.into())),
        Kind::CronJob => Some(Object::CronJob(cron_job::cron_job(parts)?.into())),
    })
}

/// An object in its parts, each still as it came: only those that matter for its kind are read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parts<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    binary_data: Option<&'a RawValue>,
    immutable: Option<bool>,
    #[serde(rename = "type")]
    type_: Option<String>,
    #[serde(borrow)]
    endpoints: Option<&'a RawValue>,
    #[serde(borrow)]
    rules: Option<&'a RawValue>,
    #[serde(borrow)]
    subjects: Option<&'a RawValue>,
    #[serde(borrow)]
    role_ref: Option<&'a RawValue>,
    #[serde(borrow)]
    image_pull_secrets: Option<&'a RawValue>,
    #[serde(borrow)]
    automount_service_account_token: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    preemption_policy: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    name: String,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Timestamp>,
    deletion_timestamp: Option<Timestamp>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    #[serde(borrow)]
    managed_fields: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnerReference {
    kind: String,
    name: String,
    uid: String,
    controller: Option<bool>,
}

/// The little that is read of an object whose metadata is not what it should be.
#[derive(Deserialize)]
struct Nameplate {
    metadata: NameplateMetadata,
}

#[derive(Deserialize)]
struct NameplateMetadata {
    name: String,
    namespace: Option<String>,
}

impl Nameplate {
    fn identity(self) -> Identity {
        let namespace = self.metadata.namespace.unwrap_or_else(default_namespace);
        Identity { namespace, name: self.metadata.name, ..Identity::default() }
    }
}

fn default_namespace() -> String {
    "default".to_owned()
}

impl Metadata<'_> {
    /// Who it is; the error carries what is known if its version is not one.
    fn identity(&self) -> Result<Identity, Identity> {
        let version = self.resource_version.as_deref().filter(|version| !version.is_empty()).map(str::parse);
        let identity = Identity {
            namespace: self.namespace.clone().unwrap_or_else(default_namespace),
            name: self.name.clone(),
            uid: self.uid.clone().unwrap_or_default(),
            version: version.as_ref().and_then(|version| version.as_ref().ok().copied()).unwrap_or(0),
            policy: self.label(mark::POLICY).map(str::to_owned),
        };
        if let Some(Err(_)) = version { Err(identity) } else { Ok(identity) }
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.as_ref()?.get(key).map(String::as_str)
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    fn uid(&self) -> String {
        self.uid.clone().unwrap_or_default()
    }

    fn created(&self) -> Timestamp {
        self.creation_timestamp.unwrap_or_default()
    }

    fn deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
    }
}

/// Reads a part; an absent one is read as `null`, so that it is an error only where something must be there.
fn part<T: DeserializeOwned>(part: Option<&RawValue>) -> Result<T, serde_json::Error> {
    serde_json::from_str(part.map_or("null", RawValue::get))
}

/// The value under `key`, or `null`.
fn field<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}
