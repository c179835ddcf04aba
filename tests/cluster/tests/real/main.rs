//! Real nodes: containers that run, crash and answer, a node that goes and comes back, and nothing left afterwards, also
//! when the harness is killed.

mod harness;
mod traces;
mod workload;

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, Image, Options, skip_real_nodes};

pub(crate) const BUSYBOX: &str = "homeostat.test/busybox:1";

#[test]
fn real() -> Result<()> {
    if let Some(reason) = skip_real_nodes()? {
        // Past the test runner, which would hide it.
        writeln!(std::io::stderr(), "test of real nodes skipped: {reason}")?;
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(said) = harness::victim() {
        return runtime.block_on(harness::play_victim(&said));
    }
    runtime.block_on(async {
        let killed = harness::kill().await?;
        let before = traces::Places::now();
        // Shorter than usual: a test waits for it.
        let options = Options { node_monitor_grace: Duration::from_secs(15), ..Options::real("real") };
        let cluster = Cluster::start(options).await?;
        killed.ensure_gone().context("of a killed harness, after the next start")?;

        cluster.load_image(&Image::busybox(BUSYBOX)?).await?;
        let namespace = cluster.namespace("real").await?;
        workload::an_absent_image_is_told(&cluster, &namespace).await?;
        workload::crashes(&cluster, &namespace).await?;
        workload::reaches_the_api_server(&cluster, &namespace).await?;
        let web = workload::Web::create(&cluster, &namespace).await?;
        web.answers_from_both_nodes().await?;
        web.is_found_by_name().await?;
        web.survives_the_loss_of_a_node().await?;

        let traces = traces::Traces::of(&cluster)?;
        ensure!(traces.processes() > cluster.processes().len(), "no containers among {traces:?}");
        cluster.check()?;
        cluster.stop().await?;
        traces.ensure_gone().context("after stop")?;
        ensure!(cluster.run_directory().join("kubelet-1.log").is_file(), "the logs are gone");
        before.ensure_unchanged()
    })
}
