//! One story: a namespace of its own, an application in it, and an operator of its own behind a proxy, with exactly
//! the rights that the chart renders. What it says is checked against the API server and its audit log.

#![allow(dead_code, reason = "the tests, the demo and the benchmark each use a part of it")]

pub mod app;
pub mod image;
pub mod installed;
pub mod metrics;
pub mod operator;
mod seen;
pub mod shop;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use cluster::{Cluster, Namespace, Proxy, eventually};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{GroupVersionKind, NamespaceResourceScope};
use kube::discovery::ApiResource;
use kube::{Client, Config, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use metrics::Way;
use operator::Operator;
#[allow(unused_imports, reason = "the demo does not look at writes")]
pub use seen::{Write, is_ready, lines};

/// Enough for anything that a story waits for on a busy machine; nothing ever sleeps for it.
pub const SOON: Duration = Duration::from_secs(60);
/// The field manager of the application's owner.
pub const OWNER: &str = "pipeline";

/// Installs our kinds, and waits until the API server answers for each.
pub async fn install_kinds(cluster: &Cluster) -> Result<()> {
    let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
    cluster.kubectl(&["apply", "--server-side", "-f", crds]).await?;
    cluster.kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "-f", crds]).await?;
    // Established is said before the storage of a kind answers.
    eventually("our kinds to be served", SOON, async || cluster.kubectl(&["get", "rp,sst,rec", "-A"]).await)
        .await
        .map(drop)
}

/// Installs the routes of the Gateway API, which are no part of Kubernetes, and waits until the API server answers for each.
pub async fn install_routes(cluster: &Cluster) -> Result<()> {
    for file in cluster::gateway_routes().await? {
        let file = file.to_str().context("a path that is no text")?;
        cluster.kubectl(&["apply", "--server-side", "-f", file]).await?;
    }
    // Several stories may install them at once: that they are served is all that counts.
    eventually("routes to be served", SOON, async || cluster.kubectl(&["get", "httproutes,grpcroutes", "-A"]).await)
        .await
        .map(drop)
}

/// One story.
pub struct Story {
    /// The cluster that all stories share.
    pub cluster: Arc<Cluster>,
    /// The namespace of this story.
    pub namespace: Namespace,
    /// Between the operator and the API server.
    pub proxy: Proxy,
    binary: PathBuf,
    kubeconfig: PathBuf,
    /// Capabilities of the chart that are off by default, each with the operator's argument for it.
    allowed: Vec<(&'static str, &'static str)>,
    provider: Option<Way>,
    operators: Vec<Operator>,
    started: usize,
}

impl Story {
    /// Makes the namespace and the rights. No operator runs yet.
    pub async fn begin(cluster: Arc<Cluster>, name: &str, binary: &Path) -> Result<Self> {
        let story = Self::beside_installed(cluster, name, binary).await?;
        let namespace = story.namespace.name();
        operator::grant(&story.cluster, namespace, &[namespace]).await?;
        story.connect(story.proxy.url()).await?;
        Ok(story)
    }

    /// Makes the namespace alone, for an operator that is installed for all of them.
    pub async fn beside_installed(cluster: Arc<Cluster>, name: &str, binary: &Path) -> Result<Self> {
        let short: String = name.replace('_', "-").chars().take(40).collect();
        let namespace = cluster.namespace(short.trim_end_matches('-')).await?;
        let proxy = cluster.proxy().await?;
        let kubeconfig = cluster.run_directory().join(format!("{}.kubeconfig", namespace.name()));
        let binary = binary.to_owned();
        Ok(Self {
            cluster,
            namespace,
            proxy,
            binary,
            kubeconfig,
            allowed: vec![],
            provider: None,
            operators: vec![],
            started: 0,
        })
    }

    /// Gives the operator what the chart gives it with these values.
    pub async fn grant(&self, values: &[&str]) -> Result<()> {
        let namespace = self.namespace.name();
        operator::grant_with(&self.cluster, namespace, &[namespace], values).await
    }

    /// Operators that are started from now on look at Secrets, and have the rights for that.
    pub async fn allow_secrets(&mut self) -> Result<()> {
        self.allow("capabilities.secrets=true", "--secrets").await
    }

    /// Operators that are started from now on look at nodes, and may cordon them as far as a RecoveryBudget allows.
    pub async fn allow_nodes(&mut self) -> Result<()> {
        self.allow("capabilities.nodes=true", "--nodes").await
    }

    /// Operators that are started from now on may stop neighbours, and have the rights for that.
    pub async fn allow_neighbours(&mut self) -> Result<()> {
        self.allow("capabilities.neighbours=true", "--neighbours").await
    }

    /// Operators that are started from now on compare members that belong to no namespace, and have the rights for that.
    pub async fn allow_cluster_members(&mut self) -> Result<()> {
        self.allow("capabilities.clusterMembers=true", "--cluster-members").await
    }

    /// Operators that are started from now on keep all network away from pods in quarantine, and have the rights for that.
    pub async fn allow_pod_network(&mut self) -> Result<()> {
        self.allow("capabilities.podNetwork=true", "--pod-network").await
    }

    /// Operators that are started from now on look at routes of the Gateway API, and have the rights for that.
    pub async fn allow_gateway_api(&mut self) -> Result<()> {
        self.allow("capabilities.gatewayApi=true", "--gateway-api").await
    }

    /// Operators that are started from now on are not told that they may stop neighbours.
    pub fn neighbours_not_allowed(&mut self) {
        self.allowed.retain(|(_, argument)| *argument != "--neighbours");
    }

    async fn allow(&mut self, value: &'static str, argument: &'static str) -> Result<()> {
        self.allowed.push((value, argument));
        let values: Vec<&str> = self.allowed.iter().map(|(value, _)| *value).collect();
        self.grant(&values).await
    }

    /// Operators that are started from now on have a metrics provider `main`: Prometheus, which scrapes the client of a
    /// shop that is opened from now on.
    pub async fn measure(&mut self) -> Result<()> {
        self.provider = Some(Way::to(self.cluster.prometheus().await?).await?);
        Ok(())
    }

    /// Whether it has one.
    pub fn is_measured(&self) -> bool {
        self.provider.is_some()
    }

    /// The provider takes questions, and answers none.
    pub fn silence_provider(&self) -> Result<()> {
        self.provider.as_ref().context("there is no metrics provider")?.fall_silent();
        Ok(())
    }

    /// From now on operators reach the API server itself.
    pub async fn connect_directly(&self) -> Result<()> {
        self.connect(&self.cluster.server().await?).await
    }

    async fn connect(&self, server: &str) -> Result<()> {
        let namespace = self.namespace.name();
        self.cluster.operator_kubeconfig(namespace, operator::ACCOUNT, server, &self.kubeconfig).await
    }

    /// Starts an operator, and waits until it has seen everything.
    pub async fn start_operator(&mut self, arguments: &[&str]) -> Result<()> {
        self.start_replica("homeostat-0", arguments).await
    }

    /// Starts a further replica under a name of its own.
    pub async fn start_replica(&mut self, identity: &str, arguments: &[&str]) -> Result<()> {
        let namespace = self.namespace.name().to_owned();
        let own = ["--identity", identity, "--watch-namespace", &namespace];
        self.start(&[&own[..], arguments].concat()).await
    }

    /// Starts an operator for all namespaces, with the rights that the chart renders for that.
    pub async fn start_operator_everywhere(&mut self) -> Result<()> {
        operator::grant(&self.cluster, self.namespace.name(), &[]).await?;
        self.start(&["--identity", "homeostat-0"]).await
    }

    async fn start(&mut self, arguments: &[&str]) -> Result<()> {
        self.started += 1;
        let log = self.log(self.started);
        let namespace = self.namespace.name();
        let allowed: Vec<&str> = self.allowed.iter().map(|(_, argument)| *argument).collect();
        let provider = self.provider.as_ref().map(|way| format!("--provider=main=http://{}", way.address()));
        let provider: Vec<&str> = provider.iter().map(String::as_str).collect();
        let arguments = [arguments, &allowed, &provider].concat();
        let operator = Operator::start(&self.binary, &self.kubeconfig, namespace, &arguments, &log).await?;
        self.operators.push(operator);
        Ok(())
    }

    /// Kills every replica, as a node that burns does.
    pub async fn kill_operator(&mut self) -> Result<()> {
        for operator in self.operators.drain(..) {
            operator.kill().await?;
        }
        Ok(())
    }

    /// Kills the replica that was started first.
    pub async fn kill_first_replica(&mut self) -> Result<()> {
        self.operators.remove(0).kill().await
    }

    /// An error if an operator ended by itself, or said that it panicked.
    pub fn check_operator(&mut self) -> Result<()> {
        self.operators.iter_mut().try_for_each(Operator::check)
    }

    /// The metrics of the first replica.
    pub async fn metrics(&self) -> Result<String> {
        self.operators.first().context("no operator runs")?.get("/metrics").await
    }

    /// Where the operator that was started as the `n`-th writes its log.
    pub fn log(&self, n: usize) -> PathBuf {
        self.cluster.run_directory().join(format!("{}-{n}.log", self.namespace.name()))
    }

    /// How many operators were started.
    pub fn started(&self) -> usize {
        self.started
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.cluster.client()
    }

    /// A client with the operator's own credentials, and with no more rights than it.
    pub async fn operator_client(&self) -> Result<Client> {
        let read = Kubeconfig::read_from(&self.kubeconfig)?;
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    }

    /// Objects of a kind in the namespace of the story.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client(), self.namespace.name())
    }

    /// Creates an object in the name of its owner.
    pub async fn create<K>(&self, object: Value) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + DeserializeOwned + Serialize,
    {
        let parameters = PostParams { field_manager: Some(OWNER.to_owned()), ..PostParams::default() };
        let object: K = serde_json::from_value(object)?;
        Ok(self.api::<K>().create(&parameters, &object).await?)
    }

    /// Changes an object in the name of its owner, by a merge patch.
    pub async fn change<K>(&self, name: &str, patch: Value) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + DeserializeOwned,
    {
        let parameters = PatchParams { field_manager: Some(OWNER.to_owned()), ..PatchParams::default() };
        let changed = self.api::<K>().patch(name, &parameters, &Patch::Merge(patch)).await;
        changed.with_context(|| format!("change {} {name}", K::kind(&())))
    }

    /// Applies an object in the name of its owner, server side, as `kubectl apply --server-side` does.
    pub async fn apply(&self, object: Value) -> Result<()> {
        let object: DynamicObject = serde_json::from_value(object)?;
        let types = object.types.clone().context("an object without apiVersion and kind")?;
        let (group, version) = types.api_version.split_once('/').unwrap_or(("", &types.api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind));
        let name = object.metadata.name.clone().context("an object without a name")?;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client(), self.namespace.name(), &resource);
        let applied = api.patch(&name, &PatchParams::apply(OWNER), &Patch::Apply(&object)).await;
        applied.map(drop).with_context(|| format!("apply {} {name}", types.kind))
    }

    /// Leaves the operators running together with a cluster that outlives this program.
    pub async fn leave(&mut self) -> Result<()> {
        for operator in self.operators.drain(..) {
            let id = operator.leave()?;
            self.cluster.adopt("homeostat", id)?;
        }
        Ok(())
    }

    /// Ends what the story started, also when a part of it cannot be ended: then the first error is told.
    pub async fn end(mut self) -> Result<()> {
        let mut ended = self.check_operator();
        for operator in self.operators.drain(..) {
            ended = ended.and(operator.stop().await);
        }
        ended.and(self.namespace.delete().await)
    }
}
