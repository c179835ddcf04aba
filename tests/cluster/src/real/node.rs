//! One real node: a process that holds its namespaces, and in them containerd and kubelet.
//!
//! A node has process ids and mounts of its own. Whatever ends its first process, SIGKILL of the harness too, ends all
//! containers and undoes all mounts; so there is no code here that does, and must not be.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::network::{self, Network};
use super::{remains, requirements, settings};
use crate::certificates::Authority;
use crate::control_plane::watch_over;
use crate::process::{Entry, ProcessId, Processes};
use crate::wait::eventually;
use crate::{kubeconfig, tools};

const SCRIPT: &str = include_str!("node.sh");
/// How long mounts, or containerd, may take. Tenths of a second on an idle machine.
const QUICK: Duration = Duration::from_secs(30);

/// A node that runs.
pub(crate) struct Node {
    number: usize,
    directory: PathBuf,
    programs: PathBuf,
    cgroup: String,
    first: ProcessId,
}

impl Node {
    /// Makes its directory and its namespaces. Nodes count from 1.
    pub(super) async fn open(
        number: usize,
        run_directory: &Path,
        programs: &Path,
        network: &Network,
        processes: &mut Processes,
    ) -> Result<Self> {
        let name = name(number);
        let directory = run_directory.join(&name);
        let plugins = directory.join("plugins");
        for path in [&plugins, &directory.join("pods")] {
            std::fs::create_dir_all(path).with_context(|| format!("create {}", path.display()))?;
        }
        write(&plugins.join("node.conflist"), &settings::plugins(number).to_string())?;
        write(&directory.join("containerd.toml"), &settings::containerd(programs, &plugins))?;

        let script = directory.join("node.sh");
        write(&script, SCRIPT)?;
        let arguments = vec![path_text(&script), path_text(&directory), network::DNS.to_string()];
        processes.start(&name, &opening(network), Path::new("/bin/sh"), arguments)?;
        let open = directory.join("open");
        watch_over(processes, QUICK, "the mounts of a node", &[&name], async || match open.exists() {
            true => Ok(()),
            false => bail!("{} is not there", open.display()),
        })
        .await?;
        let first = processes.id(&name).with_context(|| format!("{name} has ended"))?;
        let cgroup = remains::create_cgroups(network.name(), &name)?;
        Ok(Self { number, directory, programs: programs.to_owned(), cgroup, first })
    }

    /// The node's name in the cluster.
    pub(crate) fn name(&self) -> String {
        name(self.number)
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    pub(super) fn start_containerd(&self, processes: &mut Processes) -> Result<()> {
        let program = self.programs.join("containerd");
        let arguments = vec![format!("--config={}", self.directory.join("containerd.toml").display())];
        processes.start(&self.containerd(), &self.entry(), &program, arguments)
    }

    /// Waits until containerd answers: a kubelet that is started earlier gives up.
    pub(super) async fn await_containerd(&self) -> Result<()> {
        eventually("containerd", QUICK, async || self.ctr(&["version"]).await).await.map(drop)
    }

    /// Writes what the kubelet needs to know and to show.
    pub(super) fn prepare_kubelet(&self, keys: &Authority, server: &str) -> Result<()> {
        let user = format!("system:node:{}", self.name());
        let identity = keys.client(&self.kubelet(), &user, &["system:nodes"])?;
        kubeconfig::with_certificate(&self.kubeconfig(), server, &keys.certificate(), &identity)?;
        let logs = self.directory.join("pods");
        let settings = settings::kubelet(self.number, &keys.certificate(), &logs, &self.cgroup);
        write(&self.directory.join("kubelet.json"), &settings.to_string())
    }

    pub(super) fn start_kubelet(&self, processes: &mut Processes) -> Result<()> {
        let labels = format!("topology.kubernetes.io/region=region-1,topology.kubernetes.io/zone=zone-{}", self.number);
        let arguments = vec![
            format!("--config={}", self.directory.join("kubelet.json").display()),
            format!("--kubeconfig={}", self.kubeconfig().display()),
            format!("--hostname-override={}", self.name()),
            format!("--node-ip={}", network::node_address(self.number)),
            format!("--node-labels={labels}"),
            "--root-dir=/run/lib/kubelet".into(),
            "--cert-dir=/run/lib/kubelet/pki".into(),
        ];
        processes.start(&self.kubelet(), &self.entry(), &self.programs.join("kubelet"), arguments)
    }

    /// Ends kubelet and containerd.
    pub(super) fn stop_agents(&self, processes: &mut Processes) -> Result<()> {
        processes.end(&self.kubelet())?;
        processes.end(&self.containerd())
    }

    /// Imports an image from an archive, and waits until kubelet can have it. `id` is the image's, with its algorithm.
    pub(super) async fn import(&self, archive: &Path, id: &str) -> Result<()> {
        let context = || format!("import {} on {}", archive.display(), self.name());
        self.ctr(&["images", "import", &path_text(archive)]).await.with_context(context)?;
        // containerd's CRI side hears of it a moment later, and then adds this name.
        eventually("an imported image", QUICK, async || match self.ctr(&["images", "list", "--quiet"]).await {
            Ok(names) if names.lines().any(|name| name == id) => Ok(()),
            Ok(names) => bail!("no {id} among {}", names.replace('\n', " ")),
            Err(error) => Err(error),
        })
        .await
    }

    async fn ctr(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.entry().command(&self.programs.join("ctr"));
        command.args(["--address", settings::SOCKET, "--namespace", "k8s.io"]).args(arguments);
        tools::finish(command.into(), &format!("ctr {}", arguments.join(" ")), None).await
    }

    fn entry(&self) -> Entry {
        let target = format!("--target={}", self.first.pid);
        let path = format!("PATH={}", requirements::search_path());
        Entry::forking(&["nsenter", &target, "--mount", "--net", "--pid", "--", "env", &path])
    }

    fn containerd(&self) -> String {
        format!("containerd-{}", self.number)
    }

    fn kubelet(&self) -> String {
        format!("kubelet-{}", self.number)
    }

    fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }
}

/// Makes a node's namespaces; the network is that of all nodes. What this machine unmounts goes from the node, too.
fn opening(network: &Network) -> Entry {
    const UNSHARE: [&str; 7] =
        ["unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "--propagation=slave"];
    network.entry().forking_by(&UNSHARE)
}

fn name(number: usize) -> String {
    format!("node-{number}")
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}

fn write(path: &Path, content: &str) -> Result<()> {
    std::fs::write(path, content).with_context(|| format!("write {}", path.display()))
}
