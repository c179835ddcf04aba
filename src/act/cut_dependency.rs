//! Cut the target off from a dependency by a NetworkPolicy of our own, and delete that again.
//!
//! What NetworkPolicies allow adds up, and one that selects too much cuts off others: so immediately before the write it is
//! looked live whether another one limits what the target calls, and whose pods are concerned.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt};
use serde::Deserialize;
use serde_json::{Value, json};

use super::live::at;
use super::own_network_policy::{self, KIND};
use super::{Effect, Error, Hands, Kind, Receipt, Task};
use crate::api::mark::CUT_BY;
use crate::plan::cuts::Cut;

/// Only workloads were looked at when the cut was planned.
const WORKLOADS: [&str; 3] = ["ReplicaSet", "StatefulSet", "DaemonSet"];

/// What must be so before.
#[derive(Deserialize)]
struct Expected {
    /// The labels of the target's pods.
    labels: BTreeMap<String, String>,
}

pub(super) async fn perform(hands: &Hands, task: &Task<'_>) -> Result<Effect, Error> {
    let address = task.address(&[KIND])?;
    let unclear = |what: &str| Error::Invalid(format!("{what:?} does not say what is to be cut off"));
    let cut = Cut::of(task.step).ok_or_else(|| unclear(&task.step.to))?;
    let spec = cut.spec(task.namespace).ok_or_else(|| unclear(&task.step.to))?;
    let expected: Expected = serde_json::from_str(&task.step.from).map_err(|_| unclear(&task.step.from))?;
    if let Some(live) = hands.find(address).await? {
        return match own_network_policy::is_as_made(&live, CUT_BY, task.recovery, &spec) {
            true => Ok(Effect::new(Receipt::AlreadyDone, live.into_object())),
            false => Err(Error::Invalid(format!("{address} is there already, and is not as we make it"))),
        };
    }
    unlimited(hands, task.namespace, &expected.labels).await?;
    only_theirs(hands, task.namespace, &cut).await?;
    own_network_policy::make(hands, address, CUT_BY, task.recovery, &spec).await
}

pub(super) async fn end(hands: &Hands, task: &Task<'_>) -> Result<Effect, Error> {
    own_network_policy::end(hands, task, CUT_BY).await
}

/// An error if a NetworkPolicy limits what pods with these labels call.
async fn unlimited(hands: &Hands, namespace: &str, labels: &BTreeMap<String, String>) -> Result<(), Error> {
    for policy in hands.list(KIND, namespace).await? {
        let name = at(&policy, &["metadata", "name"]).and_then(Value::as_str).unwrap_or_default();
        let types = at(&policy, &["spec", "policyTypes"]).and_then(Value::as_array);
        let egress = types.is_none_or(|types| types.iter().any(|type_| type_ == "Egress"));
        let selector = at(&policy, &["spec", "podSelector"]).cloned().unwrap_or(json!({}));
        let selector =
            serde_json::from_value::<LabelSelector>(selector).ok().and_then(|it| Selector::try_from(it).ok());
        if egress && selector.is_none_or(|selector| selector.matches(labels)) {
            return Err(Error::Invalid(format!("NetworkPolicy {name} limits what the target calls")));
        }
    }
    Ok(())
}

/// An error if others than workloads have pods with the labels of either side, or the dependency has another address.
async fn only_theirs(hands: &Hands, namespace: &str, cut: &Cut) -> Result<(), Error> {
    for (labels, addresses) in [(&cut.caller, None), (&cut.callee, Some(&cut.addresses))] {
        let query: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let query = query.join(",");
        if !query.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/=,".contains(&byte)) {
            return Err(Error::Invalid(format!("{query:?} are not labels")));
        }
        let path = format!("{}?labelSelector={query}", Kind::Pod.collection(namespace)?);
        for pod in hands.list_at(&path).await?.iter().filter(|pod| !ended(pod)) {
            let name = at(pod, &["metadata", "name"]).and_then(Value::as_str).unwrap_or_default();
            if !of_workload(pod) {
                return Err(Error::Invalid(format!(
                    "Pod {name} carries the labels {query}, and belongs to no workload"
                )));
            }
            let named = |address: IpAddr| addresses.is_none_or(|known| known.contains(&address));
            if !self::addresses(pod).all(named) {
                return Err(Error::Invalid(format!("Pod {name} of {} has another address by now", cut.dependency)));
            }
        }
    }
    Ok(())
}

fn ended(pod: &Value) -> bool {
    let phase = at(pod, &["status", "phase"]).and_then(Value::as_str);
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn of_workload(pod: &Value) -> bool {
    let owners = at(pod, &["metadata", "ownerReferences"]).and_then(Value::as_array).into_iter().flatten();
    let mut controllers = owners.filter(|owner| owner["controller"] == true);
    controllers.any(|owner| WORKLOADS.iter().any(|kind| owner["kind"] == *kind))
}

fn addresses(pod: &Value) -> impl Iterator<Item = IpAddr> {
    let known = at(pod, &["status", "podIPs"]).and_then(Value::as_array).into_iter().flatten();
    known.filter_map(|address| address["ip"].as_str()?.parse().ok())
}
