//! `homeostat check`: is the installation whole? Used by `helm test`.

use anyhow::{Context, bail};
use clap::Args;
use kube::api::{Api, ListParams};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use crate::api::{Recovery, RecoveryBudget, RecoveryPolicy, StableState};

/// Arguments of `homeostat check`.
#[derive(Args, Clone, Debug)]
pub struct Check {
    /// Namespace that is watched; may be repeated. Default: all namespaces.
    #[arg(long = "watch-namespace", value_name = "NAMESPACE")]
    watch_namespaces: Vec<String>,
}

/// Reads each of our kinds with the rights at hand, and says what is missing.
///
/// # Errors
/// If a kind cannot be listed; the message says what to do.
pub async fn run(args: &Check, client: Client) -> anyhow::Result<()> {
    let mut failures = vec![];
    let scopes: Vec<Option<&String>> = match args.watch_namespaces.as_slice() {
        [] => vec![None],
        namespaces => namespaces.iter().map(Some).collect(),
    };
    for scope in scopes {
        failures.extend(list::<RecoveryPolicy>(&client, scope).await.err());
        failures.extend(list::<StableState>(&client, scope).await.err());
        failures.extend(list::<Recovery>(&client, scope).await.err());
    }
    failures.extend(list_in::<RecoveryBudget>(Api::all(client), "all namespaces").await.err());
    for failure in &failures {
        println!("not ok: {failure:#}");
    }
    if failures.is_empty() {
        println!("ok: the kinds are served and may be read");
        return Ok(());
    }
    bail!(
        "{} checks failed; is the chart installed with crds.enabled=true, and is its version the image's?",
        failures.len()
    )
}

async fn list<K>(client: &Client, namespace: Option<&String>) -> anyhow::Result<()>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    list_in(api, namespace.map_or("all namespaces", String::as_str)).await
}

async fn list_in<K>(api: Api<K>, place: &str) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    api.list(&ListParams::default().limit(1))
        .await
        .with_context(|| format!("failed to list {} in {place}", K::plural(&())))?;
    println!("ok: {} in {place}", K::plural(&()));
    Ok(())
}
