//! The cluster's DNS: CoreDNS, as a process beside the control plane. Its address is the usual one, which no dynamic
//! address of a Service can be; there is no Service object for it, and no pod. It knows names of this cluster only.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::network::{self, Network};
use crate::certificates::Authority;
use crate::control_plane::watch_over;
use crate::kubeconfig;
use crate::process::Processes;

/// Below it, names are this cluster's.
pub(super) const DOMAIN: &str = "cluster.local";
const NAME: &str = "coredns";
const READY_PORT: u16 = 8181;
/// How long it may take to list what it answers for.
const READY: Duration = Duration::from_secs(30);

/// Starts it. `server` is the API server's address inside.
pub(super) fn start(
    directory: &Path,
    program: &Path,
    network: &Network,
    keys: &Authority,
    server: &str,
    processes: &mut Processes,
) -> Result<()> {
    let kubeconfig = directory.join("coredns.kubeconfig");
    let identity = keys.client(NAME, NAME, &["system:masters"])?;
    kubeconfig::with_certificate(&kubeconfig, server, &keys.certificate(), &identity)?;
    let settings = directory.join("Corefile");
    std::fs::write(&settings, corefile(&kubeconfig)).context("write the Corefile")?;
    let arguments = vec![format!("-conf={}", settings.display())];
    processes.start(NAME, &network.entry(), program, arguments)
}

/// Waits until it has seen the Services that there are.
pub(super) async fn await_ready(network: &Network, processes: &mut Processes) -> Result<()> {
    let address = (network.address(), READY_PORT);
    watch_over(processes, READY, "the cluster's DNS", &[NAME], async || {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /ready HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        ensure!(answer.contains(" 200 "), "{answer}");
        Ok(())
    })
    .await
}

/// Short times to live: a test sees a change at once.
fn corefile(kubeconfig: &Path) -> String {
    format!(
        "{DOMAIN} in-addr.arpa {{
    bind {}
    errors
    ready 0.0.0.0:{READY_PORT}
    kubernetes {{
        kubeconfig {}
        ttl 1
    }}
}}
",
        network::DNS,
        kubeconfig.display()
    )
}
