//! Least rights, computed from the whole run: nothing was forbidden to any operator, and no right was never used.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Result, ensure};
use cluster::{AuditEvent, Cluster};
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::Value;

use crate::story::operator;

const ACCOUNT: &str = ":homeostat";

/// A right, or a use of it: verb, group, resource with its subresource.
type Right = (String, String, String);

async fn requests(cluster: &Cluster) -> Result<Vec<AuditEvent>> {
    let events = cluster.audit().await?.into_iter();
    // What was asked in the name of a policy's account was allowed or forbidden to that account.
    let ours = events.filter(|event| {
        event.impersonated.is_none()
            && event.user.starts_with("system:serviceaccount:")
            && event.user.ends_with(ACCOUNT)
    });
    Ok(ours.collect())
}

pub async fn nothing_was_forbidden(cluster: Arc<Cluster>) -> Result<()> {
    let requests = requests(&cluster).await?;
    ensure!(!requests.is_empty(), "the audit log has no request of any operator");
    let forbidden: BTreeSet<_> = requests.iter().filter(|event| event.decision == "forbid").map(used).collect();
    ensure!(forbidden.is_empty(), "forbidden: {forbidden:?}");
    Ok(())
}

pub async fn every_right_was_used(cluster: Arc<Cluster>) -> Result<()> {
    let used: BTreeSet<Right> = requests(&cluster).await?.iter().map(used).collect();
    // Also what is granted only when asked for.
    let values = ["capabilities.secrets=true"];
    let granted = granted(&operator::render_with(&cluster, "shop", &["shop"], &values).await?)?;
    let everywhere = self::granted(&operator::render_with(&cluster, "shop", &[], &values).await?)?;
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
