//! Deployments and ReplicaSets: digests of what they run, and what their controller says.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::field_owner::{TEMPLATE, field_owner};
use super::{Metadata, Parts, field, part};
use crate::api::mark;
use crate::plan::content;
use crate::plan::facts::Workload;
use crate::plan::member::MemberKind;

/// What Kubernetes assumes where nothing is said.
const PROGRESS_DEADLINE: i64 = 600;

/// A ReplicaSet of a Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplicaSet {
    pub(crate) owner: Box<str>,
    pub(crate) owner_uid: Box<str>,
    pub(crate) template: Box<str>,
    pub(crate) created: Timestamp,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeploymentStatus {
    observed_generation: Option<i64>,
    updated_replicas: Option<i32>,
    replicas: Option<i32>,
    ready_replicas: Option<i32>,
    available_replicas: Option<i32>,
    conditions: Option<Vec<Condition>>,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
}

impl DeploymentStatus {
    fn condition(&self, type_: &str, status: &str) -> Option<&Condition> {
        self.conditions.iter().flatten().find(|condition| condition.type_ == type_ && condition.status == status)
    }
}

/// The numbers of a Deployment's spec, read with their types, so that a wrong one is an error and not a default.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeploymentSpec {
    replicas: Option<i32>,
    paused: Option<bool>,
    progress_deadline_seconds: Option<i64>,
    selector: Selector,
    template: Template,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    match_labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Template {
    metadata: Option<TemplateMetadata>,
}

#[derive(Deserialize)]
struct TemplateMetadata {
    labels: Option<BTreeMap<String, String>>,
}

pub(super) fn deployment(parts: &Parts<'_>) -> Result<Workload, serde_json::Error> {
    let DeploymentSpec { replicas, paused, progress_deadline_seconds, selector, template } = part(parts.spec)?;
    let content: Value = part(parts.spec)?;
    let status: Option<DeploymentStatus> = part(parts.status)?;
    let status = status.unwrap_or_default();
    let metadata = &parts.metadata;
    let deadline = status.condition("Progressing", "False").and_then(|condition| condition.reason.as_deref());
    let failure = status.condition("ReplicaFailure", "True");
    Ok(Workload {
        name: metadata.name.clone(),
        uid: metadata.uid(),
        generation: metadata.generation.unwrap_or(0),
        observed_generation: status.observed_generation.unwrap_or(0),
        digest: content::digest_of(MemberKind::Deployment, &json!({"spec": content})),
        template: content::template_digest(field(&content, "template")),
        replicas: replicas.unwrap_or(1),
        updated_replicas: status.updated_replicas.unwrap_or(0),
        total_replicas: status.replicas.unwrap_or(0),
        ready_replicas: status.ready_replicas.unwrap_or(0),
        available_replicas: status.available_replicas.unwrap_or(0),
        paused: paused.unwrap_or(false),
        frozen_by: metadata.annotation(mark::FROZEN_BY).map(str::to_owned),
        progress_deadline: progress_deadline_seconds.unwrap_or(PROGRESS_DEADLINE),
        deadline_exceeded: deadline == Some("ProgressDeadlineExceeded"),
        creation_failure: failure.map(|condition| condition.message.clone().unwrap_or_default()),
        owner: metadata.controller().map(|owner| format!("{}/{}", owner.kind, owner.name)),
        git_ops: git_ops(metadata).map(str::to_owned),
        irreversible: irreversible(metadata),
        deleting: metadata.deleting(),
        selector: selector.match_labels.unwrap_or_default(),
        labels: template.metadata.and_then(|metadata| metadata.labels).unwrap_or_default(),
        config_maps: content::config_map_references(field(&content, "template")),
        service_account: content::service_account(field(&content, "template")),
        ports: content::ports(field(&content, "template")),
        field_owner: field_owner(metadata.managed_fields, &TEMPLATE),
    })
}

/// By the marks that the tools put on what they keep: Argo CD's tracking annotation, Flux' labels.
fn git_ops(metadata: &Metadata<'_>) -> Option<&'static str> {
    if metadata.annotation("argocd.argoproj.io/tracking-id").is_some() {
        return Some("Argo CD");
    }
    let flux = ["kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"];
    flux.iter().any(|label| metadata.label(label).is_some()).then_some("Flux")
}

fn irreversible(metadata: &Metadata<'_>) -> bool {
    metadata.annotation(mark::IRREVERSIBLE).is_some_and(|word| word != "false")
}

/// `None` for a ReplicaSet that no Deployment controls: it belongs to nobody we look after.
pub(super) fn replica_set(parts: &Parts<'_>) -> Result<Option<ReplicaSet>, serde_json::Error> {
    let Some(owner) = parts.metadata.controller().filter(|owner| owner.kind == "Deployment") else { return Ok(None) };
    let spec: serde_json::Map<String, Value> = part(parts.spec)?;
    Ok(Some(ReplicaSet {
        owner: owner.name.as_str().into(),
        owner_uid: owner.uid.as_str().into(),
        template: content::template_digest(spec.get("template").unwrap_or(&Value::Null)).into(),
        created: parts.metadata.created(),
    }))
}
