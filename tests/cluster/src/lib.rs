//! A real Kubernetes control plane for tests and demos: etcd, API server, controller-manager and scheduler, with fake
//! nodes (kwok), all on loopback. Tests see the API behave as it does in production; containers are played by the
//! stages in `stages/`, and an image tag says how (see `stages/README.md`).
//!
//! Or with real nodes ([`Options::real`]): kubelets, containerd and runc, so that containers, probes, mounts and traffic
//! are what they are in production. Linux and root only, see [`skip_real_nodes`]. Use them for what fake nodes cannot
//! show; they take twice as long to start. In a test:
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! if let Some(reason) = cluster::skip_real_nodes()? {
//!     println!("skipped: {reason}");
//!     return Ok(());
//! }
//! let cluster = cluster::Cluster::start(cluster::Options::real("my-test")).await?;
//! cluster.load_image(&cluster::Image::busybox("homeostat.test/tools:1")?).await?;
//! cluster.kubectl(&["create", "deployment", "web", "--image=homeostat.test/tools:1"]).await?;
//! cluster.stop().await
//! # }
//! ```
//!
//! The rig knows nothing of the operator under test. It must not reach outside the machine, and must not leave
//! processes, namespaces, mounts or cgroups behind: what a killed harness could not end, the next start ends.

#![warn(missing_docs)]

mod audit;
pub mod binaries;
mod certificates;
mod control_plane;
mod gateway;
mod image;
mod kubeconfig;
mod namespace;
mod nodes;
mod process;
mod prometheus;
mod proxy;
mod real;
mod run_directory;
mod tools;
mod wait;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

pub use audit::{AuditEvent, service_account};
pub use gateway::gateway_routes;
pub use image::Image;
pub use namespace::Namespace;
pub use nodes::PLAY;
pub use process::ProcessId;
pub use proxy::{Cut, Hold, ProxiedRequest, Proxy};
pub use real::requirements::{REAL_NODES_VARIABLE, skip_real_nodes, why_no_real_nodes};
pub use wait::eventually;

use control_plane::ControlPlane;
use process::Processes;
use real::{Real, remains};

/// The environment variable that names the kubeconfig of a cluster to use instead of one of our own.
pub const KUBECONFIG_VARIABLE: &str = "HOMEOSTAT_KUBECONFIG";

/// How a cluster is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names the run directory.
    pub name: String,
    /// Number of fake nodes; 3 by default, each in a zone of its own.
    pub nodes: usize,
    /// Number of real nodes, 0 by default. A cluster has either these or fake ones.
    pub real_nodes: usize,
    /// How long a node may be silent before it counts as lost; 40 s by default, because busy cores make shorter times
    /// evict falsely.
    pub node_monitor_grace: Duration,
    /// Whether the processes go on when this program ends, and the directory is below the checkout: for hands-on use.
    pub outlive: bool,
}

impl Options {
    /// For tests: the cluster ends with the program, and its directory is a temporary one.
    pub fn test(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            nodes: 3,
            real_nodes: 0,
            node_monitor_grace: Duration::from_secs(40),
            outlive: false,
        }
    }

    /// For tests that need real containers: two real nodes. See [`why_no_real_nodes`] for where that works.
    pub fn real(name: &str) -> Self {
        Self { nodes: 0, real_nodes: 2, ..Self::test(name) }
    }

    /// For hands-on use: the cluster goes on when the program ends, and its directory is below the checkout.
    pub fn hands_on(name: &str) -> Self {
        Self { outlive: true, ..Self::test(name) }
    }
}

/// A running cluster. A test cluster ends when this value is dropped.
pub struct Cluster {
    client: Client,
    kubeconfig: PathBuf,
    directory: PathBuf,
    own: Option<Own>,
}

/// What there is only of a cluster that we started.
struct Own {
    directory: PathBuf,
    audit_log: PathBuf,
    authority: PathBuf,
    processes: Arc<Mutex<Processes>>,
    real: Option<Arc<Real>>,
    outlive: bool,
    /// Where Prometheus is reached, once it was wanted.
    prometheus: tokio::sync::OnceCell<String>,
}

impl Drop for Own {
    fn drop(&mut self) {
        if self.outlive {
            return;
        }
        let ended = guard(&self.processes).kill();
        let ended = ended.and_then(|()| remains::remove(&self.directory));
        let ended = ended.and_then(|()| run_directory::remove_store(&self.directory));
        if let Err(error) = ended {
            eprintln!("cluster: {error:#}");
        }
    }
}

impl Cluster {
    /// Starts a cluster and waits until pods run in it. What an earlier run left behind is ended first.
    ///
    /// If the environment has [`KUBECONFIG_VARIABLE`], a test uses that cluster and no process is started.
    pub async fn start(options: Options) -> Result<Self> {
        if options.nodes > 0 && options.real_nodes > 0 {
            bail!("fake and real nodes do not mix: set `nodes` or `real_nodes` to 0");
        }
        let directory = if options.outlive {
            run_directory::create_hands_on(&options.name)?
        } else {
            run_directory::create_temporary(&options.name)?
        };
        let given = std::env::var_os(KUBECONFIG_VARIABLE).filter(|path| !path.is_empty() && !options.outlive);
        if let Some(kubeconfig) = given {
            let kubeconfig = PathBuf::from(kubeconfig);
            let client = client(&kubeconfig).await?;
            let version = client.apiserver_version().await;
            version.with_context(|| format!("{KUBECONFIG_VARIABLE}={}", kubeconfig.display()))?;
            return Ok(Self { client, kubeconfig, directory, own: None });
        }
        let programs = binaries::kubernetes().await?;
        let started = match start(&directory, &programs, &options).await {
            Ok(started) => started,
            Err(error) => {
                remains::remove(&directory)?;
                return Err(error);
            }
        };
        let mut processes = started.processes;
        if options.outlive {
            processes.leave();
        }
        let client = client(&started.kubeconfig).await?;
        let own = Own {
            directory: directory.clone(),
            audit_log: started.audit_log,
            authority: started.authority,
            processes: Arc::new(Mutex::new(processes)),
            real: started.real.map(Arc::new),
            outlive: options.outlive,
            prometheus: tokio::sync::OnceCell::new(),
        };
        Ok(Self { client, kubeconfig: started.kubeconfig, directory, own: Some(own) })
    }

    /// A client with all rights. It never repeats a request by itself.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The kubeconfig with all rights.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The directory of this run: logs of all processes, audit log, keys. Tests may put their own logs there. It stays
    /// until the next run.
    pub fn run_directory(&self) -> &Path {
        &self.directory
    }

    /// Runs kubectl.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let program = binaries::kubernetes().await?.join("kubectl");
        tools::run(&program, arguments, None, &self.kubeconfig, &self.directory).await
    }

    /// Runs kubectl with text on its input, as for `apply -f -`.
    pub async fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<String> {
        let program = binaries::kubernetes().await?.join("kubectl");
        tools::run(&program, arguments, Some(input), &self.kubeconfig, &self.directory).await
    }

    /// Runs helm. The first call ever builds it, which takes minutes.
    pub async fn helm(&self, arguments: &[&str]) -> Result<String> {
        let program = binaries::helm().await?.join("helm");
        tools::run(&program, arguments, None, &self.kubeconfig, &self.directory).await
    }

    /// Creates a namespace with a unique name and waits until pods can be created in it.
    pub async fn namespace(&self, prefix: &str) -> Result<Namespace> {
        Namespace::create(self.client(), prefix).await
    }

    /// Waits until no namespace is being deleted: whoever looks at the whole cluster would see its pods go.
    pub async fn await_no_ending_namespace(&self, deadline: Duration) -> Result<()> {
        namespace::none_is_ending(self.client(), deadline).await
    }

    /// Starts a proxy in front of the API server, for one operator.
    pub async fn proxy(&self) -> Result<Proxy> {
        let mut config = config(&self.kubeconfig).await?;
        // Who asks is the caller's business: nothing of the administrator may slip in.
        config.auth_info = kube::config::AuthInfo::default();
        Proxy::start(Client::try_from(config)?).await
    }

    /// Writes a kubeconfig with a token of a ServiceAccount, valid for a day. `server` is where the operator is to
    /// reach the API: [`Proxy::url`], or [`Cluster::server`] for no proxy between.
    pub async fn operator_kubeconfig(
        &self,
        namespace: &str,
        service_account: &str,
        server: &str,
        path: &Path,
    ) -> Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let spec = TokenRequestSpec { expiration_seconds: Some(24 * 60 * 60), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
        let answer = accounts.create_token_request(service_account, &PostParams::default(), &request).await;
        let status = answer.with_context(|| format!("token for {namespace}/{service_account}"))?.status;
        let token = status.and_then(|status| status.token).context("the API server gave no token")?;
        let authority = match (&self.own, server.starts_with("https:")) {
            (_, false) => None,
            (Some(own), true) => Some(own.authority.as_path()),
            (None, true) => bail!("with {KUBECONFIG_VARIABLE} an operator needs a proxy between"),
        };
        kubeconfig::with_token(path, server, authority, &token, namespace)
    }

    /// Makes an image known to all real nodes: there is no registry to pull from.
    pub async fn load_image(&self, image: &Image) -> Result<()> {
        self.real()?.1.load(image).await
    }

    /// Runs a program of this machine in the network of a cluster with real nodes, where pods and services have their
    /// addresses.
    pub async fn run_inside(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let (own, real) = self.real()?;
        let mut command = real.entry().command(Path::new(program));
        command.args(arguments).current_dir(&own.directory);
        tools::finish(command.into(), &format!("{program} {}", arguments.join(" ")), None).await
    }

    /// The name of the network namespace, and of the cgroups, of a cluster with real nodes.
    pub fn kernel_name(&self) -> Option<String> {
        let real = self.own.as_ref()?.real.as_ref()?;
        Some(real.network().name().to_owned())
    }

    /// Ends kubelet and containerd of real node n, counted from 1. Its containers go on, as on a node that is cut off;
    /// it becomes NotReady when [`Options::node_monitor_grace`] has passed.
    pub async fn stop_node(&self, number: usize) -> Result<()> {
        let (own, real) = self.real()?;
        let (real, processes) = (Arc::clone(real), Arc::clone(&own.processes));
        tokio::task::spawn_blocking(move || real.stop_node(number, &mut guard(&processes))).await?
    }

    /// Starts kubelet and containerd of real node n again, after [`Cluster::stop_node`]. It becomes Ready a few seconds
    /// later, and finds its containers again.
    pub async fn start_node(&self, number: usize) -> Result<()> {
        let (own, real) = self.real()?;
        real.start_containerd(number, &mut guard(&own.processes))?;
        real.await_containerd(number).await?;
        real.start_kubelet(number, &mut guard(&own.processes))
    }

    fn real(&self) -> Result<(&Own, &Arc<Real>)> {
        let own = self.own.as_ref();
        let found = own.and_then(|own| Some((own, own.real.as_ref()?)));
        found.context("this cluster has no real nodes: start it with Options::real")
    }

    /// The address of the API server itself.
    pub async fn server(&self) -> Result<String> {
        Ok(config(&self.kubeconfig).await?.cluster_url.to_string())
    }

    /// Everything in the audit log so far.
    pub async fn audit(&self) -> Result<Vec<AuditEvent>> {
        self.read_audit(None).await
    }

    /// What this user did so far. On a long log a lot quicker than [`Cluster::audit`].
    pub async fn audit_of(&self, user: &str) -> Result<Vec<AuditEvent>> {
        let mut events = self.read_audit(Some(user.to_owned())).await?;
        events.retain(|event| event.user == user);
        Ok(events)
    }

    async fn read_audit(&self, containing: Option<String>) -> Result<Vec<AuditEvent>> {
        let Some(own) = &self.own else {
            bail!("no audit log: {KUBECONFIG_VARIABLE} names a cluster that the rig did not start");
        };
        let log = own.audit_log.clone();
        tokio::task::spawn_blocking(move || audit::read(&log, containing.as_deref())).await?
    }

    /// The processes of this cluster by name; empty for one that outlives this program or is not ours.
    pub fn processes(&self) -> Vec<(String, ProcessId)> {
        self.own.as_ref().map(|own| guard(&own.processes).ids()).unwrap_or_default()
    }

    /// An error if a process of the cluster has ended: which, and what it said last.
    pub fn check(&self) -> Result<()> {
        self.own.as_ref().map_or(Ok(()), |own| guard(&own.processes).check())
    }

    /// Puts a process of the caller's on record, to be ended by [`down`] together with a cluster for hands-on use.
    pub fn adopt(&self, name: &str, id: ProcessId) -> Result<()> {
        process::record(&self.directory, name, id)
    }

    /// Ends all processes and removes the store. The logs stay until the next run. A cluster that outlives this program
    /// goes on; see [`down`].
    pub async fn stop(&self) -> Result<()> {
        let Some(own) = &self.own else { return Ok(()) };
        if guard(&own.processes).ids().is_empty() {
            return Ok(());
        }
        let processes = Arc::clone(&own.processes);
        let directory = self.directory.clone();
        tokio::task::spawn_blocking(move || {
            guard(&processes).stop()?;
            remains::remove(&directory)?;
            run_directory::remove_store(&directory)
        })
        .await?
    }
}

async fn start(directory: &Path, programs: &Path, options: &Options) -> Result<ControlPlane> {
    let real = match options.real_nodes {
        0 => None,
        count => Some(Real::prepare(directory, count).await?),
    };
    control_plane::start(directory, programs, options, real).await
}

/// The kubeconfig of the hands-on cluster of this name, if all of its processes run.
pub fn running(name: &str) -> Option<PathBuf> {
    let directory = run_directory::hands_on(name);
    let processes = process::recorded(&directory);
    let complete = processes.len() >= 5 && processes.iter().all(|(_, id)| id.is_running());
    complete.then(|| directory.join("kubeconfig"))
}

/// Ends the hands-on cluster of this name and removes its directory; gives how many processes still ran.
pub fn down(name: &str) -> Result<usize> {
    run_directory::clear(&run_directory::hands_on(name))
}

async fn config(kubeconfig: &Path) -> Result<Config> {
    let read = Kubeconfig::read_from(kubeconfig).with_context(|| format!("read {}", kubeconfig.display()))?;
    let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(config)
}

async fn client(kubeconfig: &Path) -> Result<Client> {
    Ok(Client::try_from(config(kubeconfig).await?)?)
}

/// A lock that a panicking test held is still good: the list behind it is never left half changed.
fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
