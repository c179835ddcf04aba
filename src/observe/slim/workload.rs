//! Workloads and their revisions: digests of what they run, and what their controllers say.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::field_owner::{TEMPLATE, field_owner, last_writer};
use super::git_ops::git_ops;
use super::{Metadata, Parts, field, part};
use crate::api::mark;
use crate::plan::facts::Workload;
use crate::plan::member::MemberKind;
use crate::plan::{content, posture, references, rollout, secrets, stale};

/// What Kubernetes assumes where nothing is said.
const PROGRESS_DEADLINE: i64 = 600;

/// The kind of update by which pods are replaced only when they are deleted.
const ON_DELETE: &str = "OnDelete";

/// What a controller keeps of a pod template: a ReplicaSet or a ControllerRevision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revision {
    /// As pods know it.
    pub(crate) name: Box<str>,
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
    /// A workload with what its controller counts. A StatefulSet's counts in the same words.
    fn counted(&self, workload: Workload) -> Workload {
        Workload {
            observed_generation: self.observed_generation.unwrap_or(0),
            updated_replicas: self.updated_replicas.unwrap_or(0),
            total_replicas: self.replicas.unwrap_or(0),
            ready_replicas: self.ready_replicas.unwrap_or(0),
            available_replicas: self.available_replicas.unwrap_or(0),
            ..workload
        }
    }

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
}

/// The same of a StatefulSet; a DaemonSet has no replicas.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatefulSetSpec {
    replicas: Option<i32>,
    update_strategy: Option<UpdateStrategy>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateStrategy {
    #[serde(rename = "type")]
    type_: Option<String>,
    rolling_update: Option<RollingUpdate>,
}

#[derive(Deserialize)]
struct RollingUpdate {
    partition: Option<i32>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DaemonSetStatus {
    observed_generation: Option<i64>,
    desired_number_scheduled: Option<i32>,
    current_number_scheduled: Option<i32>,
    updated_number_scheduled: Option<i32>,
    number_ready: Option<i32>,
    number_available: Option<i32>,
}

#[derive(Deserialize)]
struct Common {
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
    let DeploymentSpec { replicas, paused, progress_deadline_seconds } = part(parts.spec)?;
    let status: Option<DeploymentStatus> = part(parts.status)?;
    let status = status.unwrap_or_default();
    let deadline = status.condition("Progressing", "False").and_then(|condition| condition.reason.as_deref());
    let failure = status.condition("ReplicaFailure", "True");
    Ok(Workload {
        paused: paused.unwrap_or(false),
        progress_deadline: progress_deadline_seconds.unwrap_or(PROGRESS_DEADLINE),
        deadline_exceeded: deadline == Some("ProgressDeadlineExceeded"),
        creation_failure: failure.map(|condition| condition.message.clone().unwrap_or_default()),
        ..status.counted(workload(MemberKind::Deployment, parts, replicas.unwrap_or(1))?)
    })
}

pub(super) fn stateful_set(parts: &Parts<'_>) -> Result<Workload, serde_json::Error> {
    let StatefulSetSpec { replicas, update_strategy } = part(parts.spec)?;
    let status: Option<DeploymentStatus> = part(parts.status)?;
    let status = status.unwrap_or_default();
    let strategy = update_strategy.unwrap_or_default();
    let partition = strategy.rolling_update.and_then(|rolling| rolling.partition).unwrap_or(0);
    Ok(Workload {
        paused: partition > 0 || strategy.type_.as_deref() == Some(ON_DELETE),
        ..status.counted(workload(MemberKind::StatefulSet, parts, replicas.unwrap_or(1))?)
    })
}

pub(super) fn daemon_set(parts: &Parts<'_>) -> Result<Workload, serde_json::Error> {
    let StatefulSetSpec { update_strategy, .. } = part(parts.spec)?;
    let status: Option<DaemonSetStatus> = part(parts.status)?;
    let status = status.unwrap_or_default();
    Ok(Workload {
        observed_generation: status.observed_generation.unwrap_or(0),
        updated_replicas: status.updated_number_scheduled.unwrap_or(0),
        total_replicas: status.current_number_scheduled.unwrap_or(0),
        ready_replicas: status.number_ready.unwrap_or(0),
        available_replicas: status.number_available.unwrap_or(0),
        paused: update_strategy.unwrap_or_default().type_.as_deref() == Some(ON_DELETE),
        ..workload(MemberKind::DaemonSet, parts, status.desired_number_scheduled.unwrap_or(0))?
    })
}

/// What all kinds have in common.
fn workload(kind: MemberKind, parts: &Parts<'_>, replicas: i32) -> Result<Workload, serde_json::Error> {
    let Common { selector, template } = part(parts.spec)?;
    let spec: Value = part(parts.spec)?;
    let written = field(&spec, "template");
    let metadata = &parts.metadata;
    let priority = written.pointer("/spec/priorityClassName").and_then(Value::as_str);
    let content = content::of(kind, &json!({"spec": spec}));
    Ok(Workload {
        kind,
        name: metadata.name.clone(),
        uid: metadata.uid(),
        generation: metadata.generation.unwrap_or(0),
        replicas,
        rollout_keeps: rollout::keeps(kind, &spec, replicas),
        frozen_by: metadata.annotation(mark::FROZEN_BY).map(str::to_owned),
        progress_deadline: PROGRESS_DEADLINE,
        node_critical: priority == Some("system-node-critical"),
        priority_class: priority.filter(|name| !name.is_empty()).map(str::to_owned),
        owner: metadata.controller().map(|owner| format!("{}/{}", owner.kind, owner.name)),
        git_ops: git_ops(metadata).map(str::to_owned),
        irreversible: irreversible(metadata),
        deleting: metadata.deleting(),
        selector: selector.match_labels.unwrap_or_default(),
        labels: template.metadata.and_then(|metadata| metadata.labels).unwrap_or_default(),
        template: content::template_digest(written),
        config_maps: content::config_map_references(written),
        secrets: secrets::references(written),
        claims: references::required(written).claims,
        read_at_start: stale::read_at_start(written),
        images: content::images(written),
        service_account: content::service_account(written),
        ports: content::ports(written),
        field_owner: field_owner(metadata.managed_fields, &TEMPLATE),
        last_writer: last_writer(metadata.managed_fields, &TEMPLATE),
        created: metadata.created(),
        stopped_by: metadata.annotation(mark::STOPPED_BY).map(str::to_owned),
        recreated_by: metadata.annotation(mark::RECREATED_BY).map(str::to_owned),
        digest: content::digest(&content::canonical(&content)),
        body: posture::body(kind, &content),
        posture: posture::of(kind, &content),
        ..Workload::default()
    })
}

fn irreversible(metadata: &Metadata<'_>) -> bool {
    metadata.annotation(mark::IRREVERSIBLE).is_some_and(|word| word != "false")
}

/// `None` for a ReplicaSet that no Deployment controls: it belongs to nobody we look after.
pub(super) fn replica_set(parts: &Parts<'_>) -> Result<Option<Revision>, serde_json::Error> {
    let Some(owner) = parts.metadata.controller().filter(|owner| owner.kind == "Deployment") else { return Ok(None) };
    let spec: serde_json::Map<String, Value> = part(parts.spec)?;
    Ok(Some(Revision {
        name: parts.metadata.name.as_str().into(),
        owner: owner.name.as_str().into(),
        owner_uid: owner.uid.as_str().into(),
        template: content::template_digest(spec.get("template").unwrap_or(&Value::Null)).into(),
        created: parts.metadata.created(),
    }))
}

/// `None` for one of another controller, whose data can be anything.
pub(super) fn controller_revision(parts: &Parts<'_>) -> Result<Option<Revision>, serde_json::Error> {
    let known = |kind: &str| kind == "StatefulSet" || kind == "DaemonSet";
    let Some(owner) = parts.metadata.controller().filter(|owner| known(&owner.kind)) else { return Ok(None) };
    let mut data: Value = part(parts.data)?;
    let mut template = data.pointer_mut("/spec/template").map(Value::take).unwrap_or_default();
    if let Value::Object(template) = &mut template {
        // How the controller would apply it; no part of the template.
        template.remove("$patch");
    }
    // Pods of a DaemonSet carry only the hash.
    let name = parts.metadata.label("controller-revision-hash").unwrap_or(&parts.metadata.name);
    Ok(Some(Revision {
        name: name.into(),
        owner: owner.name.as_str().into(),
        owner_uid: owner.uid.as_str().into(),
        template: content::template_digest(&template).into(),
        created: parts.metadata.created(),
    }))
}
