//! Exposure and identity: what Services, routes and ServiceAccounts allow.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{GATEWAY, HOST, Place};
use crate::plan::content::{each, text};

/// What everybody may come from, where no range is given.
const ANYWHERE: &str = "0.0.0.0/0";

fn place(name: String, allows: BTreeSet<String>) -> BTreeMap<String, Place> {
    BTreeMap::from([(name, Place { allows, ..Place::default() })])
}

/// From where a Service can be reached beside the cluster's own network.
pub(super) fn service(content: &Value) -> BTreeMap<String, Place> {
    let type_ = text(content, "/spec/type").unwrap_or_default();
    let mut allows = BTreeSet::new();
    if type_ == "NodePort" || type_ == "LoadBalancer" {
        allows.insert("ports of every node".to_owned());
    }
    if type_ == "LoadBalancer" {
        allows.insert("a load balancer".to_owned());
        let ranges: BTreeSet<&str> =
            each(content, "/spec/loadBalancerSourceRanges").filter_map(Value::as_str).collect();
        let ranges = if ranges.is_empty() { BTreeSet::from([ANYWHERE]) } else { ranges };
        allows.extend(ranges.into_iter().map(|range| format!("a load balancer for {range}")));
    }
    let addresses = each(content, "/spec/externalIPs").filter_map(Value::as_str);
    allows.extend(addresses.map(|address| format!("external address {address}")));
    place("service".to_owned(), allows)
}

/// For which hosts a route answers without TLS.
pub(super) fn ingress(content: &Value) -> BTreeMap<String, Place> {
    let secured: Vec<&str> =
        each(content, "/spec/tls").flat_map(|tls| each(tls, "/hosts")).filter_map(Value::as_str).collect();
    let hosts = each(content, "/spec/rules").map(|rule| text(rule, "/host").unwrap_or_else(|| "*".to_owned()));
    let covers = |known: &str, host: &str| {
        known == host || host.split_once('.').is_some_and(|(_, rest)| known.strip_prefix("*.") == Some(rest))
    };
    let answers = hosts.map(|host| {
        let plain = !secured.iter().any(|known| covers(known, &host));
        let allows = plain.then(|| "plain HTTP".to_owned()).into_iter().collect();
        (format!("{HOST}{host}"), Place { allows, ..Place::default() })
    });
    answers.collect()
}

/// At which Gateways a route takes what any listener hears, also one without TLS. What a listener is says the Gateway.
pub(super) fn gateway_route(content: &Value) -> BTreeMap<String, Place> {
    let mut places: BTreeMap<String, Place> = BTreeMap::new();
    for parent in each(content, "/spec/parentRefs") {
        let name = text(parent, "/name").unwrap_or_default();
        let name = match text(parent, "/namespace") {
            Some(namespace) => format!("{GATEWAY}{namespace}/{name}"),
            None => format!("{GATEWAY}{name}"),
        };
        let place = places.entry(name).or_default();
        if text(parent, "/sectionName").is_none() && parent.get("port").is_none() {
            place.allows.insert("every listener".to_owned());
        }
    }
    places
}

/// Whether pods are given the account's token unasked.
pub(super) fn account(content: &Value) -> BTreeMap<String, Place> {
    let shut = content.get("automountServiceAccountToken") == Some(&Value::Bool(false));
    place("account".to_owned(), (!shut).then(|| "a token in every pod".to_owned()).into_iter().collect())
}
