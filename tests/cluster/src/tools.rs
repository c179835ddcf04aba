//! Programs that run to their end: kubectl and helm against the cluster, and others.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Runs kubectl or helm.
pub(crate) async fn run(
    program: &Path,
    arguments: &[&str],
    input: Option<&str>,
    kubeconfig: &Path,
    home: &Path,
) -> Result<String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("KUBECONFIG", kubeconfig)
        // Nothing of the user's own settings may change what a test sees, or be changed by it.
        .env("HOME", home)
        .env("KUBECACHEDIR", home.join("kubectl-cache"))
        .env("HELM_CACHE_HOME", home.join("helm/cache"))
        .env("HELM_CONFIG_HOME", home.join("helm/config"))
        .env("HELM_DATA_HOME", home.join("helm/data"));
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    finish(command, &format!("{name} {}", arguments.join(" ")), input).await
}

/// Runs a command and gives what it wrote to its output; an error holds what it wrote to its error output. `name` is
/// for errors.
pub(crate) async fn finish(mut command: Command, name: &str, input: Option<&str>) -> Result<String> {
    let mut child = command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {name}"))?;
    let stdin = child.stdin.take();
    let feed = async {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            stdin.write_all(input.as_bytes()).await?;
            stdin.shutdown().await?;
        }
        std::io::Result::Ok(())
    };
    let (fed, output) = tokio::join!(feed, child.wait_with_output());
    let output = output?;
    if !output.status.success() {
        bail!("{name}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    fed.with_context(|| format!("give {name} its input"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
