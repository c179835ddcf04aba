//! etcd, API server, controller-manager, scheduler and kwok: their flags, and the order in which they start. With real
//! nodes there is no kwok, and everything starts in their network namespace.
//!
//! Every step waits for what the next one needs, and says which process it waited for when that does not come.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use http::Request;
use kube::Client;

use crate::certificates::Authority;
use crate::nodes::Probe;
use crate::process::{Entry, Processes};
use crate::real::{self, Real};
use crate::wait::eventually;
use crate::{Options, kubeconfig, nodes, run_directory};

/// Ports are chosen before they are used: someone else may be quicker.
const ATTEMPTS: usize = 3;
/// How long the API server may take. Seconds on an idle machine; builds may run beside it.
const READY: Duration = Duration::from_secs(90);

/// What a started control plane is reached by.
pub(crate) struct ControlPlane {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) audit_log: PathBuf,
    pub(crate) authority: PathBuf,
    pub(crate) processes: Processes,
    pub(crate) real: Option<Real>,
}

/// Where the processes run, and where the API server listens.
struct Site {
    entry: Entry,
    etcd_port: u16,
    server_port: u16,
    listen: Ipv4Addr,
    /// Where processes of the cluster, and pods, reach the API server.
    inside: Ipv4Addr,
    /// Where this program does.
    outside: Ipv4Addr,
}

impl Site {
    fn loopback() -> Result<Self> {
        let (etcd_port, server_port) = free_ports()?;
        let address = Ipv4Addr::LOCALHOST;
        Ok(Self { entry: Entry::default(), etcd_port, server_port, listen: address, inside: address, outside: address })
    }

    /// In a namespace of its own every port is free.
    fn within(real: &Real) -> Self {
        Self {
            entry: real.entry(),
            etcd_port: 2379,
            server_port: 6443,
            listen: Ipv4Addr::UNSPECIFIED,
            inside: real.advertised(),
            outside: real.network().address(),
        }
    }

    fn server(&self, address: Ipv4Addr) -> String {
        format!("https://{address}:{}", self.server_port)
    }
}

/// Starts all processes and waits until pods can run.
pub(crate) async fn start(
    directory: &Path,
    programs: &Path,
    options: &Options,
    mut real: Option<Real>,
) -> Result<ControlPlane> {
    let mut attempt = 1;
    loop {
        let mut processes = Processes::new(directory, options.outlive);
        match start_once(directory, programs, options, real.as_mut(), &mut processes).await {
            Ok((kubeconfig, audit_log, authority)) => {
                return Ok(ControlPlane { kubeconfig, audit_log, authority, processes, real });
            }
            Err(_) if real.is_none() && processes.lost_a_port() && attempt < ATTEMPTS => attempt += 1,
            Err(error) => {
                return Err(error.context(format!("start the test cluster in {}", directory.display())));
            }
        }
        processes.kill()?;
        run_directory::remove_store(directory)?;
    }
}

async fn start_once(
    directory: &Path,
    programs: &Path,
    options: &Options,
    mut real: Option<&mut Real>,
    processes: &mut Processes,
) -> Result<(PathBuf, PathBuf, PathBuf)> {
    let keys = Authority::create(&directory.join("certificates"))?;
    let site = real.as_deref().map_or_else(Site::loopback, |real| Ok(Site::within(real)))?;
    let kubeconfig = directory.join("kubeconfig");
    kubeconfig::with_certificate(
        &kubeconfig,
        &site.server(site.outside),
        &keys.certificate(),
        &keys.client("admin", "admin", &["system:masters"])?,
    )?;

    let store = run_directory::create_store(directory)?;
    processes.start("etcd", &site.entry, &programs.join("server"), etcd(&store, site.etcd_port))?;
    let audit_log = directory.join("audit.log");
    let mut arguments = api_server(directory, &keys, &site, &audit_log)?;
    if real.is_some() {
        arguments.extend(api_server_with_kubelets(&keys)?);
    }
    processes.start("kube-apiserver", &site.entry, &programs.join("kube-apiserver"), arguments)?;
    if let Some(real) = real.as_deref_mut() {
        real.open(processes).await?;
    }
    let client = crate::client(&kubeconfig).await?;
    await_ready(&client, processes).await?;

    let server = site.server(site.inside);
    let start = |processes: &mut Processes, name: &str, user: &str, groups: &[&str], mut arguments: Vec<String>| {
        let identity = keys.client(name, user, groups)?;
        let path = directory.join(format!("{name}.kubeconfig"));
        kubeconfig::with_certificate(&path, &server, &keys.certificate(), &identity)?;
        arguments.push(format!("--kubeconfig={}", path.display()));
        processes.start(name, &site.entry, &programs.join(name), arguments)
    };
    let arguments = controller_manager(&keys, options)?;
    start(processes, "kube-controller-manager", "system:kube-controller-manager", &[], arguments)?;
    start(processes, "kube-scheduler", "system:kube-scheduler", &[], scheduler())?;
    match real {
        Some(real) => {
            real.join(&client, &keys, &server, processes).await?;
            let probes: Vec<_> = real.names().into_iter().map(|name| Probe::real(real::PAUSE, name)).collect();
            nodes::await_working(&client, probes.len(), &probes, &["kubelet-1", "kube-proxy"], processes).await?;
        }
        None => {
            start(processes, "kwok", "kwok", &["system:masters"], kwok(directory)?)?;
            nodes::create(&client, options.nodes).await?;
            nodes::await_working(&client, options.nodes, &[Probe::fake()], &["kwok"], processes).await?;
        }
    }
    Ok((kubeconfig, audit_log, keys.certificate()))
}

async fn await_ready(client: &Client, processes: &mut Processes) -> Result<()> {
    watch_over(processes, READY, "the API server", &["kube-apiserver", "etcd"], async || {
        client.request_text(Request::get("/readyz").body(Vec::new())?).await.map(drop).map_err(anyhow::Error::from)
    })
    .await
}

/// Waits for a condition, and gives up at once when a process ends meanwhile. The `concerned` processes are the ones
/// whose logs are quoted when the condition does not come.
pub(crate) async fn watch_over<T, F>(
    processes: &mut Processes,
    deadline: Duration,
    what: &str,
    concerned: &[&str],
    mut check: F,
) -> Result<T>
where
    F: AsyncFnMut() -> Result<T>,
{
    let outcome = eventually(what, deadline, async || match processes.check() {
        Err(ended) => Ok(Err(ended)),
        Ok(()) => check().await.map(Ok),
    });
    let outcome: Result<Result<T>> = outcome.await;
    let words = || concerned.iter().map(|name| processes.last_words(name)).collect::<Vec<_>>().join("\n");
    outcome.map_err(|late| anyhow!("{late:#}\n{}", words()))?
}

fn etcd(store: &Path, port: u16) -> Vec<String> {
    let client = format!("http://127.0.0.1:{port}");
    vec![
        "--name=default".into(),
        format!("--data-dir={}", store.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        // A single member has no peers; port 0 leaves the choice to the system.
        "--listen-peer-urls=http://127.0.0.1:0".into(),
        "--initial-advertise-peer-urls=http://127.0.0.1:0".into(),
        "--initial-cluster=default=http://127.0.0.1:0".into(),
        "--unsafe-no-fsync=true".into(),
        "--quota-backend-bytes=2147483648".into(),
        "--auto-compaction-mode=periodic".into(),
        "--auto-compaction-retention=10m".into(),
        "--log-level=warn".into(),
    ]
}

fn api_server(directory: &Path, keys: &Authority, site: &Site, audit_log: &Path) -> Result<Vec<String>> {
    let serving = keys.server("kube-apiserver", &[site.inside, site.outside])?;
    let (private, public) = keys.token_keys()?;
    let policy = directory.join("audit-policy.yaml");
    std::fs::write(&policy, include_str!("../audit-policy.yaml"))?;
    Ok(vec![
        format!("--etcd-servers=http://127.0.0.1:{}", site.etcd_port),
        format!("--bind-address={}", site.listen),
        format!("--advertise-address={}", site.inside),
        format!("--secure-port={}", site.server_port),
        // No pod could use an endpoint on loopback.
        format!("--endpoint-reconciler-type={}", if site.inside.is_loopback() { "none" } else { "lease" }),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
        format!("--cert-dir={}", directory.display()),
        format!("--tls-cert-file={}", serving.certificate.display()),
        format!("--tls-private-key-file={}", serving.key.display()),
        format!("--client-ca-file={}", keys.certificate().display()),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--default-not-ready-toleration-seconds=5".into(),
        "--default-unreachable-toleration-seconds=5".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-signing-key-file={}", private.display()),
        format!("--service-account-key-file={}", public.display()),
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", audit_log.display()),
        "--audit-log-mode=blocking".into(),
        "--audit-log-maxsize=0".into(),
        "--allow-privileged=true".into(),
        "--profiling=false".into(),
    ])
}

/// For `kubectl logs`, `exec` and `port-forward`.
fn api_server_with_kubelets(keys: &Authority) -> Result<Vec<String>> {
    let identity = keys.client("kube-apiserver-kubelet-client", "kube-apiserver", &["system:masters"])?;
    Ok(vec![
        "--kubelet-preferred-address-types=InternalIP".into(),
        format!("--kubelet-client-certificate={}", identity.certificate.display()),
        format!("--kubelet-client-key={}", identity.key.display()),
    ])
}

fn controller_manager(keys: &Authority, options: &Options) -> Result<Vec<String>> {
    let signing = keys.certificate().with_file_name("service-account.key");
    Ok(vec![
        "--leader-elect=false".into(),
        // Nothing asks it; a port less to lose.
        "--secure-port=0".into(),
        // Without its ServiceAccounts it lacks the rights to create anything.
        "--use-service-account-credentials=true".into(),
        format!("--service-account-private-key-file={}", signing.display()),
        format!("--root-ca-file={}", keys.certificate().display()),
        format!("--node-monitor-grace-period={}s", options.node_monitor_grace.as_secs()),
        "--node-monitor-period=2s".into(),
        "--kube-api-qps=1000".into(),
        "--kube-api-burst=2000".into(),
        "--concurrent-deployment-syncs=20".into(),
        "--concurrent-replicaset-syncs=20".into(),
        "--concurrent-statefulset-syncs=20".into(),
        "--concurrent-daemonset-syncs=10".into(),
        "--concurrent-service-endpoint-syncs=20".into(),
        "--concurrent-namespace-syncs=20".into(),
        "--concurrent-gc-syncs=40".into(),
        "--profiling=false".into(),
    ])
}

fn scheduler() -> Vec<String> {
    vec![
        "--leader-elect=false".into(),
        "--secure-port=0".into(),
        "--kube-api-qps=1000".into(),
        "--kube-api-burst=2000".into(),
        "--profiling=false".into(),
    ]
}

fn kwok(directory: &Path) -> Result<Vec<String>> {
    let stages = directory.join("stages.yaml");
    std::fs::write(&stages, nodes::stages())?;
    Ok(vec![
        format!("--config={}", stages.display()),
        "--manage-all-nodes=true".into(),
        "--node-lease-duration-seconds=40".into(),
        "--cidr=10.128.0.0/12".into(),
        // For a pod that comes before the node's own address is known.
        "--node-ip=10.127.255.254".into(),
        // Every stage that could not be applied is a warning; each stage that was is not worth a line.
        "--v=WARN".into(),
    ])
}

fn free_ports() -> Result<(u16, u16)> {
    // Both are held until both are known, else they could be the same.
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let second = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (first, second) = (first.local_addr()?.port(), second.local_addr()?.port());
    if first == second {
        bail!("no two free ports on loopback");
    }
    Ok((first, second))
}
