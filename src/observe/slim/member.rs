//! Members of closures other than the target and its ConfigMaps: digests of their content, and what ties them to a
//! workload. Their content is not kept.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Parts, field, part};
use crate::plan::content;
use crate::plan::facts::{Certificate, Workload};
use crate::plan::member::MemberKind;

/// An object that may be a member of a closure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) kind: MemberKind,
    pub(crate) digest: Box<str>,
    pub(crate) size: usize,
    pub(crate) tie: Tie,
}

/// What ties an object to a workload.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tie {
    /// The workload, or another member, names it.
    Named,
    /// It counts for everything in its namespace.
    Namespace,
    /// It selects the workload's pods.
    Selects(Selector),
    /// It scales the workload of this kind and name; up to so many replicas.
    Scales { kind: Box<str>, name: Box<str>, most: i32 },
    /// It leads to Services of these names, and shows the certificates in Secrets of these names.
    LeadsTo { services: Box<[Box<str>]>, shows: Box<[Box<str>]> },
    /// It gives these ServiceAccounts of its namespace a Role, if not a ClusterRole.
    Grants { accounts: Box<[Box<str>]>, role: Option<Box<str>> },
    /// The workload, or another member, names it, for what is in it. For a copy of ours, whether it is immutable still.
    Keeps { sealed_copy: Option<bool>, certificate: Option<Certificate> },
}

impl Member {
    /// Whether it attaches itself to the workload.
    pub(crate) fn attached_to(&self, target: &Workload) -> bool {
        match &self.tie {
            Tie::Named | Tie::LeadsTo { .. } | Tie::Keeps { .. } => false,
            Tie::Namespace => true,
            Tie::Selects(selector) => selector.matches(&target.labels),
            Tie::Scales { kind, name, .. } => **kind == *target.kind.name() && **name == *target.name,
            Tie::Grants { accounts, .. } => {
                target.service_account.as_ref().is_some_and(|own| accounts.iter().any(|account| **account == **own))
            }
        }
    }
}

pub(super) fn member(kind: MemberKind, parts: &Parts<'_>) -> Result<Member, serde_json::Error> {
    let object = object(parts)?;
    let content = content::canonical(&content::of(kind, &object));
    let tie = match kind {
        MemberKind::ResourceQuota | MemberKind::LimitRange => Tie::Namespace,
        MemberKind::NetworkPolicy => Tie::Selects(selector(&object, "/spec/podSelector")?),
        MemberKind::PodDisruptionBudget => Tie::Selects(selector(&object, "/spec/selector")?),
        MemberKind::HorizontalPodAutoscaler => scales(&object)?,
        MemberKind::Ingress => Tie::LeadsTo { services: backends(&object), shows: shows(&object) },
        MemberKind::RoleBinding => grants(&object, parts.metadata.namespace.as_deref())?,
        _ => Tie::Named,
    };
    Ok(Member { kind, digest: content::digest(&content).into(), size: content.len(), tie })
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
    ];
    for (key, raw) in known {
        if raw.is_some() {
            object.insert(key.to_owned(), part(raw)?);
        }
    }
    object.extend(parts.type_.iter().map(|type_| ("type".to_owned(), json!(type_))));
    object.insert("metadata".to_owned(), json!({"annotations": parts.metadata.annotations}));
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

/// What no labels match.
fn nothing() -> Selector {
    use kube::core::Expression;

    [Expression::Exists("-".to_owned()), Expression::DoesNotExist("-".to_owned())].into_iter().collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scale {
    scale_target_ref: ScaleTarget,
    max_replicas: i32,
}

#[derive(Deserialize)]
struct ScaleTarget {
    kind: String,
    name: String,
}

fn scales(object: &Value) -> Result<Tie, serde_json::Error> {
    let Scale { scale_target_ref: target, max_replicas } = Scale::deserialize(field(object, "spec"))?;
    Ok(Tie::Scales { kind: target.kind.into(), name: target.name.into(), most: max_replicas })
}

/// The Services of an Ingress, each once.
fn backends(object: &Value) -> Box<[Box<str>]> {
    let spec = field(object, "spec");
    let each = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_array).cloned();
    let rules = each(spec, "/rules").into_iter().flatten();
    let paths = rules.flat_map(|rule| each(&rule, "/http/paths").into_iter().flatten());
    let named = paths.map(|path| path.pointer("/backend/service/name").cloned());
    let names = named.chain([spec.pointer("/defaultBackend/service/name").cloned()]).flatten();
    let names: std::collections::BTreeSet<Box<str>> = names.filter_map(|name| name.as_str().map(Into::into)).collect();
    names.into_iter().collect()
}

/// The Secrets whose certificates an Ingress shows, each once.
fn shows(object: &Value) -> Box<[Box<str>]> {
    let entries = object.pointer("/spec/tls").and_then(Value::as_array).into_iter().flatten();
    let names = entries.filter_map(|entry| field(entry, "secretName").as_str().map(Into::into));
    names.collect::<std::collections::BTreeSet<Box<str>>>().into_iter().collect()
}

#[derive(Deserialize)]
struct Subject {
    kind: String,
    name: String,
    namespace: Option<String>,
}

fn grants(object: &Value, namespace: Option<&str>) -> Result<Tie, serde_json::Error> {
    let subjects: Option<Vec<Subject>> = Deserialize::deserialize(field(object, "subjects"))?;
    let here = |subject: &Subject| subject.namespace.is_none() || subject.namespace.as_deref() == namespace;
    let accounts = subjects.into_iter().flatten().filter(|subject| subject.kind == "ServiceAccount" && here(subject));
    let role: BTreeMap<String, String> = Deserialize::deserialize(field(object, "roleRef"))?;
    let own = role.get("kind").is_some_and(|kind| kind == "Role");
    let role = role.get("name").filter(|_| own).map(|name| name.as_str().into());
    Ok(Tie::Grants { accounts: accounts.map(|subject| subject.name.into()).collect(), role })
}
