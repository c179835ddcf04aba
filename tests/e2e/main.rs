//! Full stories on a real control plane: the real API server, its controllers and scheduler, and fake nodes.
//!
//! Each story has a namespace and an operator of its own; most share one cluster. Those that touch a whole cluster come
//! afterwards, alone in one, and at last what only the whole run can tell: rights granted and used.

mod clusters;
mod rights;
mod stories;
mod story;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use cluster::Cluster;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Handle, Runtime};

use clusters::Clusters;
use story::Story;

/// The operator under test.
const BINARY: &str = env!("CARGO_BIN_EXE_homeostat");
/// Stories mostly wait, so more of them than there are cores may run at once.
const AT_ONCE: usize = 8;
/// No story takes longer; one that hangs must not hang the run.
const LONGEST: Duration = Duration::from_secs(240);

/// What went wrong, a line each: told once more at the end, because a log is often read from there.
static WRONG: Mutex<Vec<String>> = Mutex::new(vec![]);

type Told<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// A story: its name, and how it is told.
pub struct Tale {
    name: String,
    tell: Box<dyn for<'a> Fn(&'a mut Story) -> Told<'a> + Send + Sync>,
}

impl Tale {
    /// A story of this name.
    pub fn new(
        name: impl Into<String>,
        tell: impl for<'a> Fn(&'a mut Story) -> Told<'a> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), tell: Box::new(tell) }
    }
}

/// One story for each write after which the operator is killed, up to the last; for every fifth of them unless
/// HOMEOSTAT_EVERY_KILL=1 (`make test-all`). `{n}` in the name stands for the write.
pub fn kills(
    name: &str,
    last: usize,
    killed_after: impl AsyncFn(&mut Story, usize) -> Result<()> + Copy + Send + Sync + 'static,
) -> Vec<Tale> {
    let every = std::env::var("HOMEOSTAT_EVERY_KILL").is_ok_and(|value| value == "1");
    let tale = |n: usize| {
        Tale::new(name.replace("{n}", &n.to_string()), move |story| {
            Box::pin(async move { killed_after(story, n).await })
        })
    };
    (1..=last).step_by(if every { 1 } else { 5 }).map(tale).collect()
}

/// Names a story after its function.
#[macro_export]
macro_rules! tales {
    ($($module:ident :: $name:ident,)*) => {
        vec![$($crate::Tale::new(concat!(stringify!($module), "::", stringify!($name)), |story| Box::pin($module::$name(story))),)*]
    };
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    if arguments.list {
        let all = stories::all().into_iter().chain(stories::alone());
        return libtest_mimic::run(&arguments, all.map(listed).collect()).exit_code();
    }
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("the stories cannot be told: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let runtime = Runtime::new()?;
    let clusters = Arc::new(Clusters::default());
    let shared = runtime.block_on(clusters.take())?;
    let trials = stories::all().into_iter().map(|tale| trial(tale, &shared, runtime.handle())).collect();
    let mut failed = libtest_mimic::run(arguments, trials).has_failed();
    clusters.give_back(shared);
    let at_once = |threads: usize| Arguments { test_threads: Some(threads), ..arguments.clone() };
    let trials = stories::alone().into_iter().map(|tale| alone(tale, &clusters, runtime.handle())).collect();
    failed |= libtest_mimic::run(&at_once(Clusters::at_once()), trials).has_failed();
    // Names given on the command line choose stories: then the run as a whole proves nothing about rights.
    let whole = arguments.filter.is_none() && arguments.skip.is_empty();
    failed |= libtest_mimic::run(&at_once(1), afterwards(&clusters, runtime.handle(), whole)).has_failed();
    for cluster in clusters.free() {
        runtime.block_on(cluster.stop())?;
    }
    for line in WRONG.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        eprintln!("wrong: {line}");
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn trial(tale: Tale, cluster: &Arc<Cluster>, runtime: &Handle) -> Trial {
    let (cluster, runtime) = (Arc::clone(cluster), runtime.clone());
    Trial::test(tale.name.clone(), move || {
        runtime.block_on(tell(&tale, cluster)).map_err(|error| failed(&tale.name, &error))
    })
}

fn listed(tale: Tale) -> Trial {
    Trial::test(tale.name, || Ok(()))
}

/// A story that sees the whole cluster: it begins when nothing is left of those before it.
fn alone(tale: Tale, clusters: &Arc<Clusters>, runtime: &Handle) -> Trial {
    let (clusters, runtime) = (Arc::clone(clusters), runtime.clone());
    let tell = async move |tale: &Tale| {
        let cluster = clusters.take().await?;
        let told = match cluster.await_no_ending_namespace(LONGEST).await {
            Ok(()) => tell(tale, Arc::clone(&cluster)).await,
            Err(error) => Err(error),
        };
        clusters.give_back(cluster);
        told
    };
    Trial::test(tale.name.clone(), move || runtime.block_on(tell(&tale)).map_err(|error| failed(&tale.name, &error)))
}

async fn tell(tale: &Tale, cluster: Arc<Cluster>) -> Result<()> {
    let name = tale.name.rsplit("::").next().unwrap_or_default();
    let mut story = Story::begin(cluster, name, Path::new(BINARY)).await?;
    let told = tokio::time::timeout(LONGEST, (tale.tell)(&mut story)).await;
    let told = told.context("the story does not come to an end").flatten().and_then(|()| story.check_operator());
    match told {
        Ok(()) => story.end().await,
        Err(error) => {
            let error = error.context(told_wrong(&story).await);
            // What it left must not be seen by those that look at the whole cluster.
            let _ = story.end().await;
            Err(error)
        }
    }
}

/// What helps to see what went wrong.
async fn told_wrong(story: &Story) -> String {
    let writes = story.writes().await.map(|writes| story::lines(&writes).join("\n  ")).unwrap_or_default();
    let text = std::fs::read_to_string(story.log(story.started())).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let log = lines[lines.len().saturating_sub(25)..].join("\n  ");
    format!("namespace {}; writes:\n  {writes}\nlast words of the operator:\n  {log}\n", story.namespace.name())
}

fn afterwards(clusters: &Arc<Clusters>, runtime: &Handle, whole: bool) -> Vec<Trial> {
    let check = |name: &str, check: fn(Vec<Arc<Cluster>>) -> Told<'static>| {
        let (clusters, runtime) = (Arc::clone(clusters), runtime.clone());
        let own = name.to_owned();
        Trial::test(name, move || runtime.block_on(check(clusters.free())).map_err(|error| failed(&own, &error)))
    };
    vec![
        check("rights::nothing_was_forbidden", |clusters| Box::pin(rights::nothing_was_forbidden(clusters))),
        check("rights::every_right_was_used", |clusters| Box::pin(rights::every_right_was_used(clusters)))
            .with_ignored_flag(!whole),
    ]
}

fn failed(name: &str, error: &anyhow::Error) -> Failed {
    let line: String = error.root_cause().to_string().lines().take(1).collect();
    WRONG.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{name}: {line}"));
    // The causes, and no backtrace: a story tells where it went wrong in words.
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join("\n  caused by: ").into()
}
