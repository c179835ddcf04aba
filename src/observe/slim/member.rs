//! Members of closures other than the target and its ConfigMaps: digests of their content, and what ties them to a
//! workload. Their content is not kept.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::field_owner::{MIN_REPLICAS, RULES, field_owner};
use super::git_ops::git_ops;
use super::{Metadata, Parts, field, part};
use crate::api::mark;
use crate::api::stable_state::FieldOwner;
use crate::plan::autoscaling::Scaling;
use crate::plan::facts::{Certificate, Workload};
use crate::plan::member::MemberKind;
use crate::plan::posture::{self, Posture};
use crate::plan::weights::{self, Backend};
use crate::plan::{content, cuts};

/// An object that may be a member of a closure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) kind: MemberKind,
    pub(crate) digest: Box<str>,
    pub(crate) size: usize,
    pub(crate) tie: Tie,
    /// The GitOps tool that keeps it.
    pub(crate) git_ops: Option<&'static str>,
    pub(crate) posture: Posture,
}

/// What ties an object to a workload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tie {
    /// The workload, or another member, names it.
    Named,
    /// It counts for everything in its namespace.
    Namespace,
    /// It is the namespace, and perhaps being deleted.
    Surrounds { ending: bool },
    /// It selects the workload's pods.
    Selects(Selector),
    /// It selects pods, and says who may call them, or also whom they may call (`egress`). `cut_by`: the Recovery that made
    /// it to keep them from a dependency; `denies_for`: the one that made it for its pods in quarantine.
    Limits { selector: Selector, egress: bool, cut_by: Option<Box<str>>, denies_for: Option<Box<str>> },
    /// It scales the workload of this kind and name, like this. Which Recovery raised its least, and who owns that.
    Scales { kind: Box<str>, name: Box<str>, scaling: Scaling, raised_by: Option<Box<str>>, owner: Option<FieldOwner> },
    /// It leads to Services of these names, and shows the certificates in Secrets of these names.
    LeadsTo { services: Box<[Box<str>]>, shows: Box<[Box<str>]> },
    /// It leads to Services for a Gateway.
    Routes(Box<Routing>),
    /// It gives these ServiceAccounts of its namespace a role.
    Grants { accounts: Box<[Box<str>]>, role: Granted },
    /// It gives these ServiceAccounts, each after its namespace, this ClusterRole, in all namespaces.
    GrantsEverywhere { accounts: Box<[(Box<str>, Box<str>)]>, role: Box<str> },
    /// The workload, or another member, names it, for what is in it. For a copy of ours, whether it is immutable still.
    /// When it was written last.
    Keeps { sealed_copy: Option<bool>, certificate: Option<Certificate>, written: Option<Timestamp> },
}

/// Where a route of the Gateway API leads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Routing {
    pub(crate) backends: Vec<Backend>,
    /// The Recovery that moved its weights.
    pub(crate) switched_by: Option<String>,
    /// The field manager that owns most of its rules.
    pub(crate) field_owner: Option<FieldOwner>,
}

/// The role that a binding gives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Granted {
    Role(Box<str>),
    ClusterRole(Box<str>),
}

impl Member {
    /// Names of the Services that it leads to, also of those that get nothing of it now.
    pub(crate) fn leads_to(&self) -> BTreeSet<&str> {
        match &self.tie {
            Tie::LeadsTo { services, .. } => services.iter().map(Box::as_ref).collect(),
            Tie::Routes(routing) => {
                let names = routing.backends.iter().map(|backend| backend.service.as_str());
                names.filter(|name| !name.is_empty()).collect()
            }
            _ => BTreeSet::new(),
        }
    }

    /// The mark of ours that it carries, and the Recovery that this names.
    pub(crate) fn mark(&self) -> Option<(&'static str, &str)> {
        let (mark, recovery) = match &self.tie {
            Tie::Limits { cut_by: Some(recovery), .. } => (mark::CUT_BY, recovery.as_ref()),
            Tie::Limits { denies_for: Some(recovery), .. } => (mark::QUARANTINED_BY, recovery.as_ref()),
            Tie::Scales { raised_by: Some(recovery), .. } => (mark::SCALED_BY, recovery.as_ref()),
            Tie::Routes(routing) => (mark::SWITCHED_BY, routing.switched_by.as_deref()?),
            _ => return None,
        };
        Some((mark, recovery))
    }

    /// Whether it attaches itself to the workload.
    pub(crate) fn attached_to(&self, target: &Workload) -> bool {
        match &self.tie {
            Tie::Named | Tie::LeadsTo { .. } | Tie::Routes(_) | Tie::Keeps { .. } | Tie::GrantsEverywhere { .. } => {
                false
            }
            Tie::Namespace | Tie::Surrounds { .. } => true,
            Tie::Selects(selector) => selector.matches(&target.labels),
            // A cut of ours is no part of what the target is: it comes and goes with an incident.
            Tie::Limits { selector, cut_by, .. } => cut_by.is_none() && selector.matches(&target.labels),
            Tie::Scales { kind, name, .. } => **kind == *target.kind.name() && **name == *target.name,
            Tie::Grants { accounts, .. } => {
                target.service_account.as_ref().is_some_and(|own| accounts.iter().any(|account| **account == **own))
            }
        }
    }
}

pub(super) fn member(kind: MemberKind, parts: &Parts<'_>) -> Result<Member, serde_json::Error> {
    let object = object(parts)?;
    let content = content::of(kind, &object);
    let posture = posture::of(kind, &content);
    let content = content::canonical(&content);
    let tie = match kind {
        MemberKind::ResourceQuota | MemberKind::LimitRange => Tie::Namespace,
        MemberKind::Namespace => Tie::Surrounds { ending: parts.metadata.deleting() },
        MemberKind::NetworkPolicy => limits(&object, &parts.metadata)?,
        MemberKind::PodDisruptionBudget => Tie::Selects(selector(&object, "/spec/selector")?),
        MemberKind::HorizontalPodAutoscaler => scales(&object, &parts.metadata)?,
        MemberKind::Ingress => Tie::LeadsTo { services: backends(&object), shows: shows(&object) },
        MemberKind::HttpRoute | MemberKind::GrpcRoute => Tie::Routes(Box::new(routing(&object, parts))),
        MemberKind::RoleBinding => grants(&object, parts.metadata.namespace.as_deref())?,
        MemberKind::ClusterRoleBinding => grants_everywhere(&object)?,
        _ => Tie::Named,
    };
    Ok(Member {
        kind,
        digest: content::digest(&content).into(),
        size: content.len(),
        tie,
        posture,
        git_ops: git_ops(&parts.metadata),
    })
}

/// The parts that content is made of, as one object.
pub(super) fn object(parts: &Parts<'_>) -> Result<Value, serde_json::Error> {
    let mut object = Map::new();
    let known = [
        ("spec", parts.spec),
        ("data", parts.data),
        ("binaryData", parts.binary_data),
        ("rules", parts.rules),
        ("subjects", parts.subjects),
        ("roleRef", parts.role_ref),
        ("imagePullSecrets", parts.image_pull_secrets),
        ("automountServiceAccountToken", parts.automount_service_account_token),
        ("value", parts.value),
        ("preemptionPolicy", parts.preemption_policy),
    ];
    for (key, raw) in known {
        if raw.is_some() {
            object.insert(key.to_owned(), part(raw)?);
        }
    }
    object.extend(parts.type_.iter().map(|type_| ("type".to_owned(), json!(type_))));
    let Metadata { annotations, labels, .. } = &parts.metadata;
    object.insert("metadata".to_owned(), json!({"annotations": annotations, "labels": labels}));
    Ok(Value::Object(object))
}

/// An absent selector matches nothing, an empty one everything: so say the kinds that have one here.
fn selector(object: &Value, pointer: &str) -> Result<Selector, serde_json::Error> {
    let labels: LabelSelector = match object.pointer(pointer) {
        Some(value) => serde_json::from_value(value.clone())?,
        None => return Ok(nothing()),
    };
    Selector::try_from(labels).map_err(serde::de::Error::custom)
}

fn limits(object: &Value, metadata: &Metadata<'_>) -> Result<Tie, serde_json::Error> {
    let types = object.pointer("/spec/policyTypes").and_then(Value::as_array).into_iter().flatten();
    let egress = types.into_iter().any(|type_| type_ == "Egress");
    // The mark alone would let anybody hide a NetworkPolicy from the closure by accident.
    let cut_by = metadata.label(mark::CUT_BY).filter(|recovery| *metadata.name == cuts::name(recovery));
    let denies_for = metadata.label(mark::QUARANTINED_BY).map(Into::into);
    let selector = selector(object, "/spec/podSelector")?;
    Ok(Tie::Limits { selector, egress, cut_by: cut_by.map(Into::into), denies_for })
}

/// What no labels match.
fn nothing() -> Selector {
    use kube::core::Expression;

    [Expression::Exists("-".to_owned()), Expression::DoesNotExist("-".to_owned())].into_iter().collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scale {
    scale_target_ref: ScaleTarget,
}

#[derive(Deserialize)]
struct ScaleTarget {
    kind: String,
    name: String,
}

fn scales(object: &Value, metadata: &Metadata<'_>) -> Result<Tie, serde_json::Error> {
    let Scale { scale_target_ref: target } = Scale::deserialize(field(object, "spec"))?;
    let scaling = Scaling::of(object).ok_or_else(|| serde::de::Error::custom("it has no maxReplicas"))?;
    let raised_by = metadata.annotation(mark::SCALED_BY).map(Into::into);
    let owner = field_owner(metadata.managed_fields, &MIN_REPLICAS);
    Ok(Tie::Scales { kind: target.kind.into(), name: target.name.into(), scaling, raised_by, owner })
}

/// The Services of an Ingress, each once.
fn backends(object: &Value) -> Box<[Box<str>]> {
    let spec = field(object, "spec");
    let each = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_array).cloned();
    let rules = each(spec, "/rules").into_iter().flatten();
    let paths = rules.flat_map(|rule| each(&rule, "/http/paths").into_iter().flatten());
    let named = paths.map(|path| path.pointer("/backend/service/name").cloned());
    let names = named.chain([spec.pointer("/defaultBackend/service/name").cloned()]).flatten();
    let names: BTreeSet<Box<str>> = names.filter_map(|name| name.as_str().map(Into::into)).collect();
    names.into_iter().collect()
}

fn routing(object: &Value, parts: &Parts<'_>) -> Routing {
    let metadata = &parts.metadata;
    Routing {
        backends: weights::of(object, metadata.namespace.as_deref().unwrap_or_default()),
        switched_by: metadata.annotation(mark::SWITCHED_BY).map(str::to_owned),
        field_owner: field_owner(metadata.managed_fields, &RULES),
    }
}

/// The Secrets whose certificates an Ingress shows, each once.
fn shows(object: &Value) -> Box<[Box<str>]> {
    let entries = object.pointer("/spec/tls").and_then(Value::as_array).into_iter().flatten();
    let names = entries.filter_map(|entry| field(entry, "secretName").as_str().map(Into::into));
    names.collect::<BTreeSet<Box<str>>>().into_iter().collect()
}

#[derive(Deserialize)]
struct Subject {
    kind: String,
    name: String,
    namespace: Option<String>,
}

/// Whether what a binding gives is a Role of its namespace, and the name of it.
fn role(object: &Value) -> Result<(bool, Box<str>), serde_json::Error> {
    #[derive(Deserialize)]
    struct RoleRef {
        kind: String,
        name: String,
    }
    let RoleRef { kind, name } = Deserialize::deserialize(field(object, "roleRef"))?;
    Ok((kind == "Role", name.into()))
}

fn accounts(object: &Value) -> Result<impl Iterator<Item = Subject>, serde_json::Error> {
    let subjects: Option<Vec<Subject>> = Deserialize::deserialize(field(object, "subjects"))?;
    Ok(subjects.into_iter().flatten().filter(|subject| subject.kind == "ServiceAccount"))
}

fn grants(object: &Value, namespace: Option<&str>) -> Result<Tie, serde_json::Error> {
    let here = |subject: &Subject| subject.namespace.is_none() || subject.namespace.as_deref() == namespace;
    let accounts = accounts(object)?.filter(here).map(|subject| subject.name.into()).collect();
    let role = match role(object)? {
        (true, name) => Granted::Role(name),
        (false, name) => Granted::ClusterRole(name),
    };
    Ok(Tie::Grants { accounts, role })
}

fn grants_everywhere(object: &Value) -> Result<Tie, serde_json::Error> {
    let named = accounts(object)?.filter_map(|subject| Some((subject.namespace?.into(), subject.name.into())));
    Ok(Tie::GrantsEverywhere { accounts: named.collect(), role: role(object)?.1 })
}
