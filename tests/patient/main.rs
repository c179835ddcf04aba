//! The patient: a small HTTP server that falls ill for real reasons, and a client that counts its good and bad answers.
//!
//! `patient serve` reads its configuration from a folder (a mounted ConfigMap) and from the environment, each time
//! anew, so that a change of either acts as it does in production: a file at once or at the next start, a variable at
//! the next start. `patient client` asks a Service all the time; what it counted is what users would have felt.
//!
//! | configuration file | effect |
//! |---|---|
//! | `mode` | `ok`; at the start `refuse` (exit 1) or `slow-<n>s`; then `crash-after-<n>s`, `not-ready`, `errors`, `hang`, `leak` |
//! | variable `NEEDS` | names of variables without which it refuses to start |
//! | variable `CALLS` | `host:port` of a dependency; without its answer every answer is a 502 |

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// A dependency or a server that does not answer for so long counts as failed.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Parser)]
enum Patient {
    /// Serves on port 8080.
    Serve {
        /// Folder of the configuration.
        #[arg(long, default_value = "/etc/patient")]
        configuration: PathBuf,
    },
    /// Asks a server all the time, and tells on port 8081 how many answers were good and bad.
    Client {
        /// `host:port` of the server.
        #[arg(long)]
        target: String,
        /// Milliseconds between two questions.
        #[arg(long, default_value_t = 20)]
        every: u64,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Patient::parse() {
        Patient::Serve { configuration } => serve(configuration).await,
        Patient::Client { target, every } => ask(target, Duration::from_millis(every)).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("patient: {error:#}");
            ExitCode::FAILURE
        }
    }
}

struct Server {
    configuration: PathBuf,
    calls: Option<String>,
    /// Set by hand, over the configuration.
    fault: Mutex<Option<String>>,
    good: AtomicU64,
    bad: AtomicU64,
    leaked: Mutex<Vec<Vec<u8>>>,
}

impl Server {
    /// What it is to do now: the fault that was set, else what the configuration says.
    fn mode(&self) -> String {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let configured = || std::fs::read_to_string(self.configuration.join("mode")).ok();
        fault.or_else(configured).map_or_else(|| "ok".to_owned(), |mode| mode.trim().to_owned())
    }
}

async fn serve(configuration: PathBuf) -> Result<()> {
    let needs = std::env::var("NEEDS").unwrap_or_default();
    for name in needs.split(',').filter(|name| !name.is_empty()) {
        ensure!(std::env::var_os(name).is_some(), "variable {name} is missing");
    }
    ensure!(configuration.is_dir(), "there is no configuration in {}", configuration.display());
    let server = Arc::new(Server {
        configuration,
        calls: std::env::var("CALLS").ok(),
        fault: Mutex::default(),
        good: AtomicU64::default(),
        bad: AtomicU64::default(),
        leaked: Mutex::default(),
    });
    let mode = server.mode();
    if mode == "refuse" {
        bail!("the configuration says to refuse");
    }
    if let Some(time) = seconds(&mode, "slow-") {
        sleep(time).await;
    }
    let listener = TcpListener::bind("0.0.0.0:8080").await.context("listen on port 8080")?;
    let app = Router::new()
        .route("/", get(answer))
        .route("/ready", get(ready))
        .route("/live", get(live))
        .route("/metrics", get(metrics))
        .route("/fault/{mode}", post(set_fault))
        .with_state(Arc::clone(&server));
    tokio::select! {
        served = axum::serve(listener, app) => served.context("serve"),
        () = fall_ill(&server) => bail!("crashed, as the configuration says"),
    }
}

/// Resolves when it is to crash.
async fn fall_ill(server: &Server) {
    loop {
        let mode = server.mode();
        if let Some(time) = seconds(&mode, "crash-after-") {
            return sleep(time).await;
        }
        if mode == "leak" {
            server.leaked.lock().unwrap_or_else(PoisonError::into_inner).push(vec![1; 4 << 20]);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn seconds(mode: &str, before: &str) -> Option<Duration> {
    mode.strip_prefix(before)?.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
}

async fn answer(State(server): State<Arc<Server>>) -> (StatusCode, String) {
    let answer = match server.mode().as_str() {
        "errors" => (StatusCode::INTERNAL_SERVER_ERROR, "errors, as the configuration says\n".to_owned()),
        "hang" => std::future::pending().await,
        _ => match &server.calls {
            Some(dependency) if fetch(dependency, "/").await.is_err() => {
                (StatusCode::BAD_GATEWAY, format!("{dependency} does not answer\n"))
            }
            _ => (StatusCode::OK, "well\n".to_owned()),
        },
    };
    let counter = if answer.0.is_success() { &server.good } else { &server.bad };
    counter.fetch_add(1, Ordering::Relaxed);
    answer
}

async fn ready(State(server): State<Arc<Server>>) -> StatusCode {
    match server.mode().as_str() {
        "not-ready" | "errors" => StatusCode::SERVICE_UNAVAILABLE,
        "hang" => std::future::pending().await,
        _ => StatusCode::OK,
    }
}

async fn live(State(server): State<Arc<Server>>) -> StatusCode {
    match server.mode().as_str() {
        "hang" => std::future::pending().await,
        _ => StatusCode::OK,
    }
}

async fn metrics(State(server): State<Arc<Server>>) -> String {
    let (good, bad) = (server.good.load(Ordering::Relaxed), server.bad.load(Ordering::Relaxed));
    format!("# TYPE answers counter\nanswers_total{{kind=\"good\"}} {good}\nanswers_total{{kind=\"bad\"}} {bad}\n")
}

async fn set_fault(
    State(server): State<Arc<Server>>,
    axum::extract::Path(mode): axum::extract::Path<String>,
) -> StatusCode {
    *server.fault.lock().unwrap_or_else(PoisonError::into_inner) = (mode != "none").then_some(mode);
    StatusCode::OK
}

async fn ask(target: String, every: Duration) -> Result<()> {
    let counts = Arc::new((AtomicU64::default(), AtomicU64::default()));
    let listener = TcpListener::bind("0.0.0.0:8081").await.context("listen on port 8081")?;
    let app = Router::new().route("/counts", get(told)).with_state(Arc::clone(&counts));
    let asking = async {
        loop {
            let counter = if fetch(&target, "/").await.is_ok() { &counts.0 } else { &counts.1 };
            counter.fetch_add(1, Ordering::Relaxed);
            sleep(every).await;
        }
    };
    tokio::select! {
        served = axum::serve(listener, app) => served.context("serve"),
        never = asking => never,
    }
}

async fn told(State(counts): State<Arc<(AtomicU64, AtomicU64)>>) -> String {
    format!("good {} bad {}\n", counts.0.load(Ordering::Relaxed), counts.1.load(Ordering::Relaxed))
}

/// One question on a connection of its own, so that every answer meets the Service's choice anew.
async fn fetch(target: &str, path: &str) -> Result<()> {
    let asked = async {
        let mut stream = TcpStream::connect(target).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: patient\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.lines().next().unwrap_or_default();
        ensure!(status.contains(" 200 "), "{status}");
        Ok(())
    };
    timeout(PATIENCE, asked).await.context("no answer in time")?
}
