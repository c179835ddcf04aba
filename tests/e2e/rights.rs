//! Least rights, computed from the whole run: nothing was forbidden to any operator, and no right was never used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cluster::{AuditEvent, Cluster, service_account};
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;

use crate::story::operator;

const ACCOUNT: &str = ":homeostat";

/// A right, or a use of it: verb, group, resource with its subresource.
type Right = (String, String, String);

/// The requests of the operators.
fn ours(events: &[AuditEvent]) -> impl Iterator<Item = &AuditEvent> {
    // What was asked in the name of a policy's account was allowed or forbidden to that account.
    events.iter().filter(|event| {
        event.impersonated.is_none()
            && event.user.starts_with("system:serviceaccount:")
            && event.user.ends_with(ACCOUNT)
    })
}

pub async fn nothing_was_forbidden(clusters: Vec<Arc<Cluster>>) -> Result<()> {
    let mut forbidden = BTreeSet::new();
    for cluster in &clusters {
        let events = cluster.audit().await?;
        ensure!(ours(&events).next().is_some(), "the audit log has no request of any operator");
        forbidden.append(&mut forbidden_to_us(&events));
    }
    ensure!(forbidden.is_empty(), "forbidden: {forbidden:?}");
    Ok(())
}

fn forbidden_to_us(events: &[AuditEvent]) -> BTreeSet<Right> {
    // With the namespace that an operator lives in, its rights are deleted; some stories look at what it does then.
    let deletes = |event: &&AuditEvent| event.verb == "delete" && event.resource == "namespaces" && event.succeeded();
    let mut deleted: BTreeMap<String, _> = BTreeMap::new();
    for event in events.iter().filter(deletes) {
        // A story may ask for it before its end asks again: what counts is the first time.
        let at = deleted.entry(service_account(&event.name, "homeostat")).or_insert(event.stage_timestamp);
        *at = event.stage_timestamp.min(*at);
    }
    let rightless = |event: &AuditEvent| deleted.get(&event.user).is_some_and(|at| *at <= event.stage_timestamp);
    ours(events).filter(|event| event.decision == "forbid" && !rightless(event)).map(used).collect()
}

pub async fn every_right_was_used(clusters: Vec<Arc<Cluster>>) -> Result<()> {
    let cluster = clusters.first().context("there is no cluster")?;
    let mut used = BTreeSet::new();
    for cluster in &clusters {
        used.extend(ours(&cluster.audit().await?).map(self::used));
    }
    // Also what is granted only when asked for.
    let values = [
        "capabilities.secrets=true",
        "capabilities.nodes=true",
        "capabilities.neighbours=true",
        "capabilities.podNetwork=true",
        "capabilities.gatewayApi=true",
        "capabilities.clusterMembers=true",
    ];
    let granted = granted(&operator::render_with(cluster, "shop", &["shop"], &values).await?)?;
    let everywhere = self::granted(&operator::render_with(cluster, "shop", &[], &values).await?)?;
    // Only who looks after all namespaces knows what is used of a budget.
    let of_all: BTreeSet<Right> = [("patch", "homeostat.dev", "recoverybudgets/status")]
        .map(|(verb, group, resource)| (verb.to_owned(), group.to_owned(), resource.to_owned()))
        .into();
    ensure!(everywhere.difference(&granted).eq(&of_all), "other rights in one namespace than in all");
    ensure!(granted.is_subset(&everywhere), "more rights in one namespace than in all");
    let wild =
        everywhere.iter().find(|(verb, group, resource)| [verb, group, resource].iter().any(|s| s.contains('*')));
    ensure!(wild.is_none(), "a wildcard: {wild:?}");
    let unused: Vec<_> = everywhere.difference(&used).collect();
    ensure!(unused.is_empty(), "granted and never used: {unused:?}");
    Ok(())
}

/// What the rendered roles grant.
fn granted(rendered: &str) -> Result<BTreeSet<Right>> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(rendered)?;
    let roles = objects.into_iter().filter(|object| object["kind"] == "Role" || object["kind"] == "ClusterRole");
    let rules: Result<Vec<Vec<PolicyRule>>, _> =
        roles.map(|role| serde_json::from_value(role["rules"].clone())).collect();
    let rules = rules?.concat();
    ensure!(!rules.is_empty(), "the chart renders no rule");
    Ok(rules.iter().flat_map(rights).collect())
}

fn used(event: &AuditEvent) -> Right {
    let resource = match event.subresource.as_str() {
        "" => event.resource.clone(),
        subresource => format!("{}/{subresource}", event.resource),
    };
    (event.verb.clone(), event.api_group.clone(), resource)
}

fn rights(rule: &PolicyRule) -> Vec<Right> {
    let (groups, resources) = (rule.api_groups.iter().flatten(), rule.resources.iter().flatten());
    let places = groups.flat_map(|group| resources.clone().map(move |resource| (group, resource)));
    places.flat_map(|(g, r)| rule.verbs.iter().map(move |v| (v.clone(), g.clone(), r.clone()))).collect()
}
