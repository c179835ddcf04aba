//! The patient: a small HTTP server that falls ill for real reasons, and a client that counts its good and bad answers.
//!
//! `patient serve` reads its configuration from a folder (a mounted ConfigMap) and from the environment, each time
//! anew, so that a change of either acts as it does in production: a file at once or at the next start, a variable at
//! the next start. `patient client` asks a Service all the time; what it counted is what users would have felt.
//!
//! | configuration | effect |
//! |---|---|
//! | file `mode` | `ok`; at the start `refuse` (exit 1) or `slow-<n>s`; then `crash-after-<n>s`, `not-ready`, `errors`, `hang`, `leak`, or `late-<n>ms` for every answer |
//! | variable `MODE` | the same, over the file |
//! | variable `NEEDS` | names of variables without which it refuses to start |
//! | variable `BURNS` | milliseconds of processor time that every answer takes |
//! | variable `CALLS` | `host:port` of a dependency; without its answer every answer is a 502 |
//! | variable `READY` | `with-dependency`: not ready either, without its answer |
//! | `--login` | folder with a file `password` (a mounted Secret), which the dependency is told |
//! | variable `ACCEPTS` | a password: without it every answer is a 401 |
//! | `--require-tls` | every answer to a caller without TLS, which all are, is a 426 |

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use clap::Parser;
use homeostat::clock;
use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// A dependency or a server that does not answer for so long counts as failed.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many of the last answers the client remembers.
const REMEMBERED: usize = 20;
const PASSWORD: &str = "Password";
const ROUNDS_PER_MILLISECOND: u64 = 150_000;

#[derive(Parser)]
enum Patient {
    /// Serves on port 8080.
    Serve {
        /// Folder of the configuration.
        #[arg(long, default_value = "/etc/patient")]
        configuration: PathBuf,
        /// Folder with the password for the dependency.
        #[arg(long)]
        login: Option<PathBuf>,
        /// Answers nobody who comes without TLS.
        #[arg(long)]
        require_tls: bool,
    },
    /// Asks a server all the time, and tells on port 8081 how many answers were good and bad,
    /// for people (`/counts`) and for Prometheus (`/metrics`).
    Client {
        /// `host:port` of the server.
        #[arg(long)]
        target: String,
        /// Milliseconds between two questions.
        #[arg(long, default_value_t = 20)]
        every: u64,
        /// How many ask side by side.
        #[arg(long, default_value_t = 1)]
        parallel: usize,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Patient::parse() {
        Patient::Serve { configuration, login, require_tls } => serve(configuration, login, require_tls).await,
        Patient::Client { target, every, parallel } => ask(target, Duration::from_millis(every), parallel).await,
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
    login: Option<PathBuf>,
    accepts: Option<String>,
    require_tls: bool,
    burns: Option<Duration>,
    ready_with_dependency: bool,
    /// Set by hand, over the configuration.
    fault: Mutex<Option<String>>,
    good: AtomicU64,
    bad: AtomicU64,
    milliseconds: AtomicU64,
    leaked: Mutex<Vec<Vec<u8>>>,
}

impl Server {
    /// What it is to do now: the fault that was set, else what the environment or the configuration says.
    fn mode(&self) -> String {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let configured = || std::fs::read_to_string(self.configuration.join("mode")).ok();
        let mode = fault.or_else(|| variable("MODE")).or_else(configured);
        mode.map_or_else(|| "ok".to_owned(), |mode| mode.trim().to_owned())
    }

    /// Asks the dependency, if there is one.
    async fn call(&self) -> Result<()> {
        let Some(dependency) = &self.calls else { return Ok(()) };
        let password = self.login.as_ref().map(|login| std::fs::read_to_string(login.join("password")));
        let password = password.transpose().context("read the password")?.unwrap_or_default();
        fetch(dependency, "/", password.trim()).await.with_context(|| dependency.clone())
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

async fn serve(configuration: PathBuf, login: Option<PathBuf>, require_tls: bool) -> Result<()> {
    let needs = variable("NEEDS").unwrap_or_default();
    for name in needs.split(',').filter(|name| !name.is_empty()) {
        ensure!(std::env::var_os(name).is_some(), "variable {name} is missing");
    }
    ensure!(configuration.is_dir(), "there is no configuration in {}", configuration.display());
    let burns = variable("BURNS").map(|time| time.parse().context("BURNS is no number")).transpose()?;
    let server = Arc::new(Server {
        configuration,
        calls: variable("CALLS"),
        login,
        accepts: variable("ACCEPTS"),
        require_tls,
        burns: burns.map(Duration::from_millis),
        ready_with_dependency: variable("READY").is_some_and(|when| when == "with-dependency"),
        fault: Mutex::default(),
        good: AtomicU64::default(),
        bad: AtomicU64::default(),
        milliseconds: AtomicU64::default(),
        leaked: Mutex::default(),
    });
    let mode = server.mode();
    if mode == "refuse" {
        bail!("the configuration says to refuse");
    }
    if let Some(time) = time(&mode, "slow-") {
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
        if let Some(time) = time(&mode, "crash-after-") {
            return sleep(time).await;
        }
        if mode == "leak" {
            server.leaked.lock().unwrap_or_else(PoisonError::into_inner).push(vec![1; 4 << 20]);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// The time in a mode like `slow-3s` or `late-200ms`.
fn time(mode: &str, before: &str) -> Option<Duration> {
    let time = mode.strip_prefix(before)?;
    match time.strip_suffix("ms") {
        Some(milliseconds) => milliseconds.parse().ok().map(Duration::from_millis),
        None => time.strip_suffix('s')?.parse().ok().map(Duration::from_secs),
    }
}

async fn answer(State(server): State<Arc<Server>>, headers: HeaderMap) -> (StatusCode, String) {
    let asked = clock::now();
    let answer = find_answer(&server, &headers).await;
    let counter = if answer.0.is_success() { &server.good } else { &server.bad };
    counter.fetch_add(1, Ordering::Relaxed);
    let took = u64::try_from(clock::now().duration_since(asked).as_millis()).unwrap_or_default();
    server.milliseconds.fetch_add(took, Ordering::Relaxed);
    answer
}

async fn find_answer(server: &Server, headers: &HeaderMap) -> (StatusCode, String) {
    let password = headers.get(PASSWORD).and_then(|value| value.to_str().ok());
    if server.require_tls {
        return (StatusCode::UPGRADE_REQUIRED, "only with TLS\n".to_owned());
    }
    if server.accepts.as_deref().is_some_and(|accepted| password != Some(accepted)) {
        return (StatusCode::UNAUTHORIZED, "wrong password\n".to_owned());
    }
    if let Some(burns) = server.burns {
        // Beside the probes, as a program with several threads does.
        let _ = tokio::task::spawn_blocking(move || burn(burns)).await;
    }
    let mode = server.mode();
    if let Some(late) = time(&mode, "late-") {
        sleep(late).await;
    }
    match mode.as_str() {
        "errors" => (StatusCode::INTERNAL_SERVER_ERROR, "errors, as the configuration says\n".to_owned()),
        "hang" => std::future::pending().await,
        _ => match server.call().await {
            Err(error) => (StatusCode::BAD_GATEWAY, format!("{error:#}\n")),
            Ok(()) => (StatusCode::OK, "well\n".to_owned()),
        },
    }
}

/// Takes about this much time of a processor; longer by the clock where a limit holds it back.
fn burn(time: Duration) {
    let rounds = u64::try_from(time.as_millis()).unwrap_or_default() * ROUNDS_PER_MILLISECOND;
    let mut number = 1_u64;
    for _ in 0..rounds {
        number = std::hint::black_box(number).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    }
}

async fn ready(State(server): State<Arc<Server>>) -> StatusCode {
    match server.mode().as_str() {
        "not-ready" | "errors" => StatusCode::SERVICE_UNAVAILABLE,
        "hang" => std::future::pending().await,
        _ if server.ready_with_dependency && server.call().await.is_err() => StatusCode::SERVICE_UNAVAILABLE,
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
    let milliseconds = server.milliseconds.load(Ordering::Relaxed);
    let counted = counted(good, bad);
    format!("{counted}# TYPE answer_milliseconds_total counter\nanswer_milliseconds_total {milliseconds}\n")
}

/// Good and bad answers in Prometheus' text format.
fn counted(good: u64, bad: u64) -> String {
    format!(
        "# TYPE answers_total counter\nanswers_total{{kind=\"good\"}} {good}\nanswers_total{{kind=\"bad\"}} {bad}\n"
    )
}

async fn set_fault(
    State(server): State<Arc<Server>>,
    axum::extract::Path(mode): axum::extract::Path<String>,
) -> StatusCode {
    *server.fault.lock().unwrap_or_else(PoisonError::into_inner) = (mode != "none").then_some(mode);
    StatusCode::OK
}

/// What the client counted, how the last answers were (`true` for a bad one), and when the last bad one came.
#[derive(Default)]
struct Counts {
    good: u64,
    bad: u64,
    last: VecDeque<bool>,
    last_bad: Option<Timestamp>,
}

impl Counts {
    fn add(&mut self, bad: bool) {
        *(if bad { &mut self.bad } else { &mut self.good }) += 1;
        if bad {
            self.last_bad = Some(clock::now());
        }
        self.last.push_back(bad);
        if self.last.len() > REMEMBERED {
            self.last.pop_front();
        }
    }
}

async fn ask(target: String, every: Duration, parallel: usize) -> Result<()> {
    let counts = Arc::new(Mutex::new(Counts::default()));
    let listener = TcpListener::bind("0.0.0.0:8081").await.context("listen on port 8081")?;
    let app = Router::new()
        .route("/counts", get(told))
        .route("/metrics", get(told_to_prometheus))
        .with_state(Arc::clone(&counts));
    let mut asking = JoinSet::new();
    for _ in 0..parallel {
        let (target, counts) = (target.clone(), Arc::clone(&counts));
        asking.spawn(async move {
            loop {
                let bad = fetch(&target, "/", "").await.is_err();
                counts.lock().unwrap_or_else(PoisonError::into_inner).add(bad);
                sleep(every).await;
            }
        });
    }
    axum::serve(listener, app).await.context("serve")
}

async fn told(State(counts): State<Arc<Mutex<Counts>>>) -> String {
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let recent = counts.last.iter().filter(|bad| **bad).count();
    let ago = counts
        .last_bad
        .map_or_else(|| "never".to_owned(), |at| clock::now().duration_since(at).as_millis().to_string());
    format!("good {} bad {} recently {recent} of {} last {ago}\n", counts.good, counts.bad, counts.last.len())
}

async fn told_to_prometheus(State(counts): State<Arc<Mutex<Counts>>>) -> String {
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    counted(counts.good, counts.bad)
}

/// One question on a connection of its own, so that every answer meets the Service's choice anew.
async fn fetch(target: &str, path: &str, password: &str) -> Result<()> {
    let asked = async {
        let mut stream = TcpStream::connect(target).await?;
        let question = format!("GET {path} HTTP/1.0\r\nHost: patient\r\n{PASSWORD}: {password}\r\n\r\n");
        stream.write_all(question.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.lines().next().unwrap_or_default();
        ensure!(status.contains(" 200 "), "{status}");
        Ok(())
    };
    timeout(PATIENCE, asked).await.context("no answer in time")?
}
