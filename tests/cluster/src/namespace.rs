//! A namespace of its own for each test.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace as Object, ServiceAccount};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams};

use crate::wait::eventually;

/// Waits until no namespace is being deleted.
pub(crate) async fn none_is_ending(client: Client, deadline: Duration) -> Result<()> {
    let namespaces: Api<Object> = Api::all(client);
    eventually("the end of deleted namespaces", deadline, async || {
        let all = namespaces.list_metadata(&ListParams::default()).await?.items.into_iter();
        let ending = all.filter(|namespace| namespace.metadata.deletion_timestamp.is_some());
        let names: Vec<String> = ending.filter_map(|namespace| namespace.metadata.name).collect();
        ensure!(names.is_empty(), "{}", names.join(", "));
        anyhow::Ok(())
    })
    .await
}

/// A namespace that is ready for pods.
#[derive(Clone)]
pub struct Namespace {
    name: String,
    client: Client,
}

impl Namespace {
    /// Creates a namespace `<prefix>-<random>` and waits for its `default` ServiceAccount, without which no pod can be
    /// created in it.
    pub(crate) async fn create(client: Client, prefix: &str) -> Result<Self> {
        let namespaces: Api<Object> = Api::all(client.clone());
        let metadata = ObjectMeta { generate_name: Some(format!("{prefix}-")), ..ObjectMeta::default() };
        let object = Object { metadata, ..Object::default() };
        let created = namespaces.create(&PostParams::default(), &object).await;
        let name = created.with_context(|| format!("create a namespace {prefix}-…"))?.metadata.name;
        let name = name.context("the API server gave a namespace without a name")?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &name);
        let what = format!("ServiceAccount default in {name}");
        eventually(&what, Duration::from_secs(30), async || accounts.get("default").await).await?;
        Ok(Self { name, client })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts its deletion and does not wait for the end, which takes the controller-manager some seconds.
    pub async fn delete(&self) -> Result<()> {
        let namespaces: Api<Object> = Api::all(self.client.clone());
        let deleted = namespaces.delete(&self.name, &DeleteParams::background()).await;
        deleted.map(drop).with_context(|| format!("delete namespace {}", self.name))
    }
}
