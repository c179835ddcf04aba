//! The connection to the API server, with kube's biting defaults turned off.

use anyhow::Context;
use kube::{Client, Config};

/// Connects by kubeconfig or in-cluster configuration.
///
/// Retries are off: a repeated write hides API pressure and turns a refused eviction into a hang of minutes; whoever
/// asks again must read again first. Deadlines are set by whoever calls.
///
/// # Errors
/// If there is no usable configuration.
pub async fn connect() -> anyhow::Result<Client> {
    let mut config = Config::infer()
        .await
        .context("failed to find a cluster: set KUBECONFIG, or run inside a pod with a ServiceAccount")?;
    config.default_retry = false;
    config.read_timeout = None;
    Client::try_from(config).context("failed to set up the connection to the API server")
}
