//! The operator as its users install it: by Helm, as pods of the image that the Dockerfile describes, under restricted
//! Pod Security, with the shipped rights and in-cluster configuration. Needs real nodes.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, eventually};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PostParams};
use serde_json::json;

use super::operator::CHART;
use super::{SOON, image};

/// Where it is installed.
pub const SYSTEM: &str = "homeostat-system";
const RELEASE: &str = "homeostat";
const PODS: &str = "app.kubernetes.io/name=homeostat";

/// Makes an image of the program and a namespace for it, installs the chart there and lets it test itself.
pub async fn begin(cluster: &Cluster, program: &Path) -> Result<()> {
    cluster.load_image(&image::operator(program)?).await?;
    restricted_namespace(cluster).await?;
    install(cluster).await?;
    cluster.helm(&["test", RELEASE, "--namespace", SYSTEM]).await.map(drop).context("helm test")
}

/// Installs the chart, and waits until every replica is available.
pub async fn install(cluster: &Cluster) -> Result<()> {
    helm(cluster, "install", &[]).await
}

/// Upgrades it with these further arguments, and waits until every replica is of the new kind.
pub async fn upgrade(cluster: &Cluster, more: &[&str]) -> Result<()> {
    helm(cluster, "upgrade", more).await
}

/// Takes it away again, and waits for that.
pub async fn uninstall(cluster: &Cluster) -> Result<()> {
    let arguments = ["uninstall", RELEASE, "--namespace", SYSTEM, "--wait"];
    cluster.helm(&arguments).await.map(drop).context("helm uninstall")
}

async fn helm(cluster: &Cluster, verb: &str, more: &[&str]) -> Result<()> {
    let image = format!("image.registry={},image.repository={},image.tag={}", image::HOST, image::NAME, image::TAG);
    let arguments = [&[verb, RELEASE, CHART, "--namespace", SYSTEM, "--set", &image], more].concat();
    cluster.helm(&arguments).await.with_context(|| format!("helm {verb}"))?;
    available(cluster).await
}

async fn available(cluster: &Cluster) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(cluster.client(), SYSTEM);
    eventually("the operator to be available", SOON, async || {
        let deployment = deployments.get(RELEASE).await?;
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let status = deployment.status.unwrap_or_default();
        let caught_up = status.observed_generation >= deployment.metadata.generation;
        let (available, updated) = (status.available_replicas.unwrap_or(0), status.updated_replicas.unwrap_or(0));
        let all = status.replicas.unwrap_or(0);
        ensure!(caught_up && available == wanted && updated == wanted && all == wanted, "{available} of {wanted}");
        Ok(())
    })
    .await
}

/// A namespace in which only pods run that follow the strictest of the Pod Security Standards.
async fn restricted_namespace(cluster: &Cluster) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(cluster.client());
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let namespace = serde_json::from_value(json!({"metadata": {"name": SYSTEM, "labels": labels}}))?;
    namespaces.create(&PostParams::default(), &namespace).await.map(drop).context("create a namespace")
}

/// What its pods are and said last, to explain a failure.
pub async fn last_words(cluster: &Cluster) -> String {
    let pods = ["get", "pods", "--namespace", SYSTEM, "--output", "wide"];
    let logs = ["logs", "--namespace", SYSTEM, "--selector", PODS, "--tail=40", "--prefix"];
    let mut told = cluster.kubectl(&pods).await.unwrap_or_default();
    told.push_str(&cluster.kubectl(&logs).await.unwrap_or_default());
    told
}
