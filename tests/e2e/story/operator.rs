//! The operator as a process, and its rights as the chart renders them.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cluster::{Cluster, ProcessId, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// The ServiceAccount of the operator.
pub const ACCOUNT: &str = "homeostat";
/// The chart of this checkout.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/homeostat");

const READY: Duration = Duration::from_secs(60);

/// Gives the operator of `namespace` what the chart gives it for looking after `watched`; everything if none is named.
pub async fn grant(cluster: &Cluster, namespace: &str, watched: &[&str]) -> Result<()> {
    grant_with(cluster, namespace, watched, &[]).await
}

/// The same, with values of the chart, each as in `--set`.
pub async fn grant_with(cluster: &Cluster, namespace: &str, watched: &[&str], values: &[&str]) -> Result<()> {
    let rendered = render_with(cluster, namespace, watched, values).await?;
    let applied = cluster.kubectl_with_input(&["apply", "--server-side", "-f", "-"], &rendered).await;
    applied.map(drop).context("apply the rights that the chart renders")
}

/// The rights, the account and the Secret for the seal, as the chart renders them.
pub async fn render(cluster: &Cluster, namespace: &str, watched: &[&str]) -> Result<String> {
    render_with(cluster, namespace, watched, &[]).await
}

/// The same, with values of the chart.
pub async fn render_with(cluster: &Cluster, namespace: &str, watched: &[&str], values: &[&str]) -> Result<String> {
    let watched = format!("watchNamespaces={{{}}}", watched.join(","));
    let templates = ["rbac", "rehearsal", "serviceaccount", "secret"].map(|name| format!("templates/{name}.yaml"));
    let mut arguments = vec!["template", "homeostat", CHART, "--namespace", namespace, "--set", "crds.enabled=false"];
    if watched != "watchNamespaces={}" {
        arguments.extend(["--set", &watched]);
    }
    arguments.extend(values.iter().flat_map(|value| ["--set", value]));
    for template in &templates {
        arguments.extend(["--show-only", template]);
    }
    cluster.helm(&arguments).await
}

/// One running operator. It ends when this value is dropped.
pub struct Operator {
    child: Child,
    log: std::path::PathBuf,
    admin: String,
}

impl Operator {
    /// Starts the operator and waits until it has listed everything.
    pub async fn start(
        binary: &Path,
        kubeconfig: &Path,
        namespace: &str,
        arguments: &[&str],
        log: &Path,
    ) -> Result<Self> {
        let file = std::fs::File::create(log).with_context(|| format!("create {}", log.display()))?;
        let child = Command::new(binary)
            .args(["controller", "--namespace", namespace, "--admin-address", "127.0.0.1:0"])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .env("HOMEOSTAT_LOG", "info,homeostat=debug")
            .env("RUST_BACKTRACE", "1")
            // Ctrl-C is for the harness, which ends it in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start {}", binary.display()))?;
        let mut operator = Self { child, log: log.to_owned(), admin: String::new() };
        operator.admin = eventually("the address of the operator's endpoints", READY, async || {
            operator.check()?;
            let text = operator.text();
            let address = text.lines().find_map(|line| line.split_once("listening address=")?.1.split(' ').next());
            address.map(|address| address.trim().to_owned()).context(text)
        })
        .await?;
        eventually("the operator to be ready", READY, async || {
            operator.check()?;
            operator.get("/readyz").await
        })
        .await?;
        Ok(operator)
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// An error if it ended by itself or panicked.
    pub fn check(&mut self) -> Result<()> {
        let text = self.text();
        if let Some(status) = self.child.try_wait()? {
            bail!("the operator ended ({status}):\n{}", last(&text));
        }
        ensure!(!text.contains("panicked at"), "the operator panicked:\n{}", last(&text));
        Ok(())
    }

    pub async fn kill(mut self) -> Result<()> {
        self.check()?;
        Ok(self.child.kill().await?)
    }

    /// Lets it go on when this program ends.
    pub fn leave(self) -> Result<ProcessId> {
        let pid = i32::try_from(self.child.id().context("the operator has ended")?)?;
        let id = ProcessId::running(pid).context("the operator has ended")?;
        // Its handle would end it.
        std::mem::forget(self.child);
        Ok(id)
    }

    /// Asks it to end, and waits for that.
    pub async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().context("the operator has ended")?.to_string();
        ensure!(Command::new("kill").args(["-TERM", &pid]).status().await?.success(), "kill -TERM {pid}");
        let status = tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await;
        let status = status.context("the operator does not end on SIGTERM")??;
        ensure!(status.success(), "the operator ended with {status}:\n{}", last(&self.text()));
        Ok(())
    }

    /// Asks one of the operator's endpoints; an error unless it answers 200.
    pub async fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(&self.admin).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        ensure!(head.contains(" 200 "), "{path}: {}", head.lines().next().unwrap_or_default());
        Ok(body.to_owned())
    }
}

fn last(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
