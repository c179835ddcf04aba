//! The rig itself, on one cluster: what tests build on must be true before they say anything about an operator.

mod behaviour;
mod harness;
mod operator;

use anyhow::{Result, ensure};
use cluster::{Cluster, Namespace, Options};
use kube::Resource;
use kube::api::{Api, PostParams};
use serde::de::DeserializeOwned;
use serde_json::Value;

#[test]
fn rig() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(part) = harness::part() {
        return runtime.block_on(part.play());
    }
    runtime.block_on(async {
        let killed = harness::kill().await?;
        let cluster = Cluster::start(Options::test("rig")).await?;
        killed.ensure_cleared_away()?;

        behaviour::image_tags_choose_behaviour(&cluster).await?;
        behaviour::a_label_makes_a_pod_fail_and_heal(&cluster).await?;
        behaviour::a_deleted_pod_is_replaced_at_once(&cluster).await?;
        operator::is_seen_cut_off_and_held(&cluster).await?;
        harness::uses_a_given_cluster(cluster.kubeconfig()).await?;
        ensure!(cluster.kubectl(&["get", "nodes", "-o", "name"]).await?.lines().count() == 3, "kubectl sees 3 nodes");

        let processes = cluster.processes();
        ensure!(processes.len() == 5, "processes: {processes:?}");
        cluster.check()?;
        cluster.stop().await?;
        for (name, id) in processes {
            ensure!(!id.is_running(), "{name} still runs after stop");
        }
        ensure!(cluster.run_directory().join("kube-apiserver.log").is_file(), "the logs are gone");
        Ok(())
    })
}

pub(crate) async fn create<K>(cluster: &Cluster, namespace: &Namespace, object: Value) -> Result<()>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + DeserializeOwned + serde::Serialize,
{
    let api: Api<K> = Api::namespaced(cluster.client(), namespace.name());
    api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    Ok(())
}
