//! Real nodes: kubelet, containerd and runc, real containers, and services that answer.
//!
//! The whole cluster, its control plane included, lives in a network namespace of its own; this program stays outside
//! ([`network`]). Each node has mounts and process ids of its own, so that nothing of it can outlive its first process
//! ([`node`]). What else the kernel keeps has names that the next start knows ([`remains`]). There is no registry:
//! images are made from files ([`crate::Image`]), and what is not loaded cannot be pulled.
//!
//! The names of Services are resolved ([`dns`]). Needs Linux and root ([`requirements`]). Nothing enforces network
//! policies. Tried with cgroup version 1; version 2 is provided for, untried.

mod command;
mod dns;
mod network;
mod node;
pub(crate) mod remains;
pub(crate) mod requirements;
mod settings;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Node as Object;
use kube::Client;
use kube::api::Api;

use crate::certificates::Authority;
use crate::control_plane::watch_over;
use crate::image::Image;
use crate::process::{Entry, Processes};
use crate::{binaries, kubeconfig};
use network::Network;
use node::Node;

pub(crate) use settings::PAUSE;

/// The subnet of node n is 10.200.n.0/24; more than a few would not fit on a test machine anyway.
const MOST_NODES: usize = 9;
const REGISTERED: Duration = Duration::from_secs(60);

/// The real nodes of a cluster, and the network they share.
pub(crate) struct Real {
    directory: PathBuf,
    count: usize,
    /// Where what [`binaries::node`] builds is.
    programs: PathBuf,
    network: Network,
    nodes: Vec<Node>,
}

impl Real {
    /// Checks what is needed, builds what is missing, and makes the network.
    pub(crate) async fn prepare(directory: &Path, count: usize) -> Result<Self> {
        if count > MOST_NODES {
            bail!("{count} real nodes: at most {MOST_NODES} are possible");
        }
        requirements::ensure().await?;
        let programs = binaries::node().await?;
        let network = Network::create(directory, count)?;
        Ok(Self { directory: directory.to_owned(), count, programs, network, nodes: Vec::new() })
    }

    /// The network they share with the control plane.
    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// The names of the nodes.
    pub(crate) fn names(&self) -> Vec<String> {
        self.nodes.iter().map(Node::name).collect()
    }

    /// The address that the API server tells pods.
    pub(crate) fn advertised(&self) -> Ipv4Addr {
        network::node_address(1)
    }

    /// Starts what needs no control plane.
    pub(crate) async fn open(&mut self, processes: &mut Processes) -> Result<()> {
        for number in 1..=self.count {
            let node = Node::open(number, &self.directory, &self.programs, &self.network, processes).await?;
            node.start_containerd(processes)?;
            self.nodes.push(node);
        }
        Ok(())
    }

    /// Lets the nodes join a cluster whose API server answers. `server` is its address inside.
    pub(crate) async fn join(
        &self,
        client: &Client,
        keys: &Authority,
        server: &str,
        processes: &mut Processes,
    ) -> Result<()> {
        let coredns = self.programs.join("coredns");
        dns::start(&self.directory, &coredns, &self.network, keys, server, processes)?;
        for node in &self.nodes {
            node.await_containerd().await?;
            node.prepare_kubelet(keys, server)?;
            node.start_kubelet(processes)?;
        }
        self.load(&Image::busybox(PAUSE)?).await?;

        let path = self.directory.join("kube-proxy.kubeconfig");
        let identity = keys.client("kube-proxy", "system:kube-proxy", &[])?;
        kubeconfig::with_certificate(&path, server, &keys.certificate(), &identity)?;
        let settings = self.directory.join("kube-proxy.json");
        std::fs::write(&settings, settings::proxy(&path).to_string()).context("write kube-proxy.json")?;
        // It asks for its node, and only a few times.
        let objects: Api<Object> = Api::all(client.clone());
        watch_over(processes, REGISTERED, "the first node", &["kubelet-1"], async || {
            objects.get("node-1").await.map(drop).map_err(anyhow::Error::from)
        })
        .await?;
        let arguments = vec![format!("--config={}", settings.display())];
        processes.start("kube-proxy", &self.network.entry(), &self.programs.join("kube-proxy"), arguments)?;
        dns::await_ready(&self.network, processes).await
    }

    /// Makes an image known to all nodes.
    pub(crate) async fn load(&self, image: &Image) -> Result<()> {
        let archive = self.directory.join(format!("{}.tar", image.file_name()));
        let (task_image, task_archive) = (image.clone(), archive.clone());
        let id = tokio::task::spawn_blocking(move || task_image.write(&task_archive)).await??;
        for node in &self.nodes {
            node.import(&archive, &id).await?;
        }
        std::fs::remove_file(&archive).with_context(|| format!("remove {}", archive.display()))
    }

    /// Ends kubelet and containerd of a node; its containers go on.
    pub(crate) fn stop_node(&self, number: usize, processes: &mut Processes) -> Result<()> {
        self.node(number)?.stop_agents(processes)
    }

    /// Starts containerd of a node again.
    pub(crate) fn start_containerd(&self, number: usize, processes: &mut Processes) -> Result<()> {
        self.node(number)?.start_containerd(processes)
    }

    /// Waits until it answers.
    pub(crate) async fn await_containerd(&self, number: usize) -> Result<()> {
        self.node(number)?.await_containerd().await
    }

    /// Starts kubelet of a node again.
    pub(crate) fn start_kubelet(&self, number: usize, processes: &mut Processes) -> Result<()> {
        self.node(number)?.start_kubelet(processes)
    }

    /// Starts programs in the network of the cluster.
    pub(crate) fn entry(&self) -> Entry {
        self.network.entry()
    }

    fn node(&self, number: usize) -> Result<&Node> {
        let found = self.nodes.iter().find(|node| node.number() == number);
        found.with_context(|| format!("no real node {number}: there are {}", self.nodes.len()))
    }
}
