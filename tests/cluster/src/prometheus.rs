//! Prometheus, for tests of what asks it: one process in the network of a cluster with real nodes, started when it is
//! first wanted. It scrapes every second what it is told to, by file; it discovers nothing by itself.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{Cluster, binaries, eventually, guard};

const NAME: &str = "prometheus";
const PORT: u16 = 9090;
/// The folder with a file of targets for each caller.
const TARGETS: &str = "targets";
const READY: Duration = Duration::from_secs(30);

impl Cluster {
    /// Starts Prometheus unless it runs; gives the address at which this machine reaches it.
    pub async fn prometheus(&self) -> Result<String> {
        let (own, _) = self.real()?;
        own.prometheus.get_or_try_init(|| self.start_prometheus()).await.cloned()
    }

    async fn start_prometheus(&self) -> Result<String> {
        let program = binaries::node().await?.join(NAME);
        let (own, real) = self.real()?;
        let settings = own.directory.join("prometheus.yml");
        std::fs::create_dir_all(own.directory.join(TARGETS)).context("make the folder of targets")?;
        std::fs::write(&settings, configuration(&own.directory)).context("write prometheus.yml")?;
        let arguments = vec![
            format!("--config.file={}", settings.display()),
            format!("--storage.tsdb.path={}", own.directory.join("prometheus").display()),
            format!("--web.listen-address=0.0.0.0:{PORT}"),
        ];
        guard(&own.processes).start(NAME, &real.entry(), &program, arguments)?;
        let address = format!("{}:{PORT}", real.network().address());
        eventually("Prometheus", READY, async || {
            self.check()?;
            let mut stream = TcpStream::connect(&address).await?;
            stream.write_all(b"GET /-/ready HTTP/1.0\r\n\r\n").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            ensure!(answer.contains(" 200 "), "{answer}");
            Ok(())
        })
        .await?;
        Ok(address)
    }

    /// Lets Prometheus scrape these addresses; every series has the label `namespace`. Replaces what was said of it before.
    pub fn scrape(&self, namespace: &str, addresses: &[String]) -> Result<()> {
        let folder = self.real()?.0.directory.join(TARGETS);
        let targets = json!([{"targets": addresses, "labels": {"namespace": namespace}}]);
        // It reads whenever a file changes: never half a file.
        let (partial, whole) = (folder.join(format!("{namespace}.new")), folder.join(format!("{namespace}.json")));
        std::fs::write(&partial, targets.to_string()).with_context(|| format!("write {}", partial.display()))?;
        std::fs::rename(&partial, &whole).with_context(|| format!("rename to {}", whole.display()))
    }
}

fn configuration(directory: &Path) -> String {
    let files = directory.join(TARGETS).join("*.json");
    json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{
            "job_name": "tests",
            "file_sd_configs": [{"files": [files], "refresh_interval": "1s"}],
        }],
    })
    .to_string()
}
