//! This test program started again, as a harness to kill and as one that is given a cluster.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, KUBECONFIG_VARIABLE, Options, ProcessId, eventually};

/// Says which part this process plays, and for the victim where to tell of its cluster.
const VICTIM: &str = "CLUSTER_RIG_VICTIM";
const GUEST: &str = "CLUSTER_RIG_GUEST";

/// What this process is, if it is not the test itself.
pub(crate) enum Part {
    Victim(PathBuf),
    Guest,
}

pub(crate) fn part() -> Option<Part> {
    let victim = std::env::var_os(VICTIM).map(|path| Part::Victim(path.into()));
    victim.or_else(|| std::env::var_os(GUEST).map(|_| Part::Guest))
}

impl Part {
    pub(crate) async fn play(self) -> Result<()> {
        match self {
            Self::Victim(path) => victim(&path).await,
            Self::Guest => guest().await,
        }
    }
}

fn again(variable: &str, value: &Path, settings: &[(&str, &Path)]) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--exact", "rig", "--nocapture"]).env(variable, value).stdin(Stdio::null()).stdout(Stdio::null());
    command.envs(settings.iter().copied());
    command.spawn().context("start this test again")
}

/// Starts a harness, and kills it when its cluster is up.
pub(crate) async fn kill() -> Result<Killed> {
    let said = std::env::temp_dir().join(format!("cluster-rig-victim-{}", std::process::id()));
    let mut harness = again(VICTIM, &said, &[])?;
    let words =
        eventually("the cluster of another harness", Duration::from_secs(120), async || std::fs::read_to_string(&said))
            .await;
    harness.kill()?;
    harness.wait()?;
    let words = words?;
    std::fs::remove_file(&said)?;
    let mut lines = words.lines();
    let directory = lines.next().context("no directory")?.into();
    let processes: Vec<_> = lines.filter_map(parse_process).collect();
    ensure!(processes.len() == 5, "the killed harness named {} processes", processes.len());
    Ok(Killed { directory, processes })
}

pub(crate) struct Killed {
    directory: PathBuf,
    processes: Vec<ProcessId>,
}

impl Killed {
    /// To be asked after another start.
    pub(crate) fn ensure_cleared_away(&self) -> Result<()> {
        for id in &self.processes {
            ensure!(!id.is_running(), "{id:?} of the killed harness still runs");
        }
        ensure!(!self.directory.exists(), "the directory of the killed harness is still there");
        Ok(())
    }
}

fn parse_process(line: &str) -> Option<ProcessId> {
    let (pid, start_time) = line.split_once(' ')?;
    Some(ProcessId { pid: pid.parse().ok()?, start_time: start_time.parse().ok()? })
}

async fn victim(said: &Path) -> Result<()> {
    let cluster = Cluster::start(Options::test("victim")).await?;
    let mut words = format!("{}\n", cluster.run_directory().display());
    for (_, id) in cluster.processes() {
        words.push_str(&format!("{} {}\n", id.pid, id.start_time));
    }
    let whole = said.with_extension("partial");
    std::fs::write(&whole, words)?;
    std::fs::rename(whole, said)?;
    std::future::pending().await
}

/// A harness that is given a kubeconfig starts nothing, and says what it cannot do.
pub(crate) async fn uses_a_given_cluster(kubeconfig: &Path) -> Result<()> {
    let mut harness = again(GUEST, Path::new("yes"), &[(KUBECONFIG_VARIABLE, kubeconfig)])?;
    let status = tokio::task::spawn_blocking(move || harness.wait()).await??;
    ensure!(status.success(), "with {KUBECONFIG_VARIABLE}: {status}");
    Ok(())
}

async fn guest() -> Result<()> {
    let cluster = Cluster::start(Options::test("guest")).await?;
    ensure!(cluster.processes().is_empty(), "it started processes");
    let namespace = cluster.namespace("guest").await?;
    let proxy = cluster.proxy().await?;
    let kubeconfig = cluster.run_directory().join("operator.kubeconfig");
    cluster.operator_kubeconfig(namespace.name(), "default", proxy.url(), &kubeconfig).await?;
    let refusal = cluster.audit().await.err().context("an audit log of a cluster that is not ours")?.to_string();
    ensure!(refusal.contains(KUBECONFIG_VARIABLE), "{refusal}");
    namespace.delete().await?;
    cluster.stop().await
}
