//! Services, and the pods that their EndpointSlices offer.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Deserialize;

use super::field_owner::{SELECTOR, field_owner};
use super::git_ops::git_ops;
use super::member::object;
use super::{Parts, part};
use crate::api::mark;
use crate::plan::facts::ServiceFacts;
use crate::plan::member::MemberKind;
use crate::plan::{content, posture};

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What an EndpointSlice says about one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointSlice {
    pub(crate) service: Box<str>,
    /// Uids of the pods that it offers as ready, sorted.
    pub(crate) offered: Box<[Box<str>]>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServiceSpec {
    selector: Option<BTreeMap<String, String>>,
    publish_not_ready_addresses: Option<bool>,
    internal_traffic_policy: Option<String>,
    ports: Option<Vec<ServicePort>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServicePort {
    port: i32,
    target_port: Option<IntOrString>,
}

impl ServicePort {
    /// Where it sends to: not said is the same port.
    fn target(&self) -> String {
        match &self.target_port {
            None => self.port.to_string(),
            Some(IntOrString::Int(number)) => number.to_string(),
            Some(IntOrString::String(name)) => name.clone(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Endpoint {
    conditions: Option<EndpointConditions>,
    target_ref: Option<TargetRef>,
}

#[derive(Deserialize)]
struct EndpointConditions {
    ready: Option<bool>,
}

#[derive(Deserialize)]
struct TargetRef {
    kind: Option<String>,
    uid: Option<String>,
}

impl Endpoint {
    /// The uid of its pod if it is offered as ready. Not said is ready: so says the API.
    fn offered(&self) -> Option<&str> {
        let ready = self.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
        let pod = self.target_ref.as_ref().filter(|target| ready && target.kind.as_deref() == Some("Pod"))?;
        pod.uid.as_deref()
    }
}

pub(super) fn service(parts: &Parts<'_>) -> Result<ServiceFacts, serde_json::Error> {
    let spec: Option<ServiceSpec> = part(parts.spec)?;
    let spec = spec.unwrap_or_default();
    let content = content::of(MemberKind::Service, &object(parts)?);
    let posture = posture::of(MemberKind::Service, &content);
    let content = content::canonical(&content);
    let metadata = &parts.metadata;
    Ok(ServiceFacts {
        name: metadata.name.clone(),
        uid: metadata.uid(),
        selector: spec.selector.unwrap_or_default(),
        digest: content::digest(&content),
        size: content.len(),
        posture,
        target_ports: spec.ports.iter().flatten().map(ServicePort::target).collect(),
        switched_by: metadata.annotation(mark::SWITCHED_BY).map(str::to_owned),
        offered: BTreeSet::new(),
        field_owner: field_owner(metadata.managed_fields, &SELECTOR),
        publishes_not_ready: spec.publish_not_ready_addresses.unwrap_or(false),
        git_ops: git_ops(metadata).map(str::to_owned),
        local_only: spec.internal_traffic_policy.as_deref() == Some("Local"),
    })
}

/// `None` for a slice that belongs to no Service.
pub(super) fn endpoint_slice(parts: &Parts<'_>) -> Result<Option<EndpointSlice>, serde_json::Error> {
    let Some(service) = parts.metadata.label(SERVICE_NAME) else { return Ok(None) };
    let endpoints: Option<Vec<Endpoint>> = part(parts.endpoints)?;
    // The order of endpoints means nothing; sorted, a mere reordering is not a change.
    let offered: BTreeSet<&str> = endpoints.iter().flatten().filter_map(Endpoint::offered).collect();
    let offered = offered.into_iter().map(Into::into).collect();
    Ok(Some(EndpointSlice { service: service.into(), offered }))
}
