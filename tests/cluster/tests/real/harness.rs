//! This test program started again, as a harness to kill.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, Image, Options, binaries, eventually};

use crate::BUSYBOX;
use crate::traces::Traces;

/// Says that this process is the one to kill, and where to tell of its cluster.
const VICTIM: &str = "CLUSTER_REAL_VICTIM";
const UP: Duration = Duration::from_secs(120);

/// Where to tell, if this process is the one to kill.
pub(crate) fn victim() -> Option<PathBuf> {
    std::env::var_os(VICTIM).map(PathBuf::from)
}

/// Starts a harness, and kills it when its cluster is up and has a pod.
pub(crate) async fn kill() -> Result<Traces> {
    // Here, where no clock runs yet: the first build ever takes many minutes.
    binaries::kubernetes().await?;
    binaries::node().await?;
    let said = std::env::temp_dir().join(format!("cluster-real-victim-{}", std::process::id()));
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--exact", "real", "--nocapture"]).env(VICTIM, &said).stdin(Stdio::null()).stdout(Stdio::null());
    let mut harness = command.spawn().context("start this test again")?;
    let words = eventually("the cluster of another harness", UP, async || {
        ensure!(harness.try_wait()?.is_none(), "the harness has ended");
        Ok(std::fs::read_to_string(&said)?)
    })
    .await;
    harness.kill()?;
    harness.wait()?;
    let traces = Traces::parse(&words?)?;
    std::fs::remove_file(&said)?;
    ensure!(traces.processes() > 12, "the killed harness had no container: {traces:?}");
    Ok(traces)
}

pub(crate) async fn play_victim(said: &Path) -> Result<()> {
    let cluster = Cluster::start(Options::real("victim")).await?;
    cluster.load_image(&Image::busybox(BUSYBOX)?).await?;
    cluster.kubectl(&["run", "idle", "--image", BUSYBOX]).await?;
    cluster.kubectl(&["wait", "pod/idle", "--for=condition=Ready", "--timeout=60s"]).await?;
    let whole = said.with_extension("partial");
    std::fs::write(&whole, Traces::of(&cluster)?.to_string())?;
    std::fs::rename(whole, said)?;
    std::future::pending().await
}
