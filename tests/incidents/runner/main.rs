//! `make incidents`: every incident is one file that names the right outcome; see tests/incidents/README.md.
//!
//! Reads DIR (default: the project's own files), runs each in a namespace of its own, and prints a table. With
//! BASELINE=none no operator runs; with BASELINE=undo a script does what a person does first: wait for the rollout,
//! undo it, restart. The same files and the same oracle judge all three.

mod baseline;
mod file;
mod oracle;
mod reading;
mod steps;
mod table;

#[path = "../../e2e/story/mod.rs"]
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use cluster::{Cluster, Options, eventually, skip_real_nodes};
use futures::StreamExt;
use homeostat::api::{Phase, Recovery};
use homeostat::clock;

use baseline::Baseline;
use file::{Capability, Ideal, Incident, Nodes};
use reading::Choice;
use story::{Story, image, shop};
use table::{Row, Table};

/// Files that run side by side; they mostly wait.
const AT_ONCE: usize = 8;
/// On real nodes every process of every pod is one more on these cores.
const AT_ONCE_FOR_REAL: usize = 3;
/// When a silent node is lost, where a file waits for it.
const QUICK_LOSS: Duration = Duration::from_secs(20);
/// What a file may take beside its own deadline.
const AROUND: Duration = Duration::from_secs(120);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every file that must pass did, and nothing was harmful.
async fn run() -> Result<bool> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/incidents");
    let folder = variable("DIR").map_or_else(|| PathBuf::from(own), PathBuf::from);
    let baseline = Baseline::of(variable("BASELINE").as_deref())?;
    let sample = ["ALL", "DIR", "ONLY"].iter().all(|name| variable(name).is_none());
    let incidents = Choice { folder: folder.clone(), only: variable("ONLY"), sample }.read()?;
    eprintln!("incidents: {} files of {}, {}", incidents.len(), folder.display(), baseline.title());
    let (real, fake): (Vec<_>, Vec<_>) = incidents.into_iter().partition(|incident| incident.nodes == Nodes::Real);
    let skip = if real.is_empty() { None } else { skip_real_nodes()? };
    let mut rows = vec![];
    if !fake.is_empty() {
        rows.extend(tell_all(start(Options::test("incidents")).await?, fake, baseline, AT_ONCE).await?);
    }
    match skip {
        Some(reason) => {
            eprintln!("incidents: {} files need real nodes: {reason}", real.len());
            rows.extend(real.iter().map(|incident| Row::skipped(incident, &reason)));
        }
        None => rows.extend(tell_for_real(real, baseline).await?),
    }
    let table = Table::new(baseline, rows);
    print!("{table}");
    if let Some(path) = variable("JSON") {
        std::fs::write(&path, serde_json::to_string_pretty(&table)?).with_context(|| format!("write {path}"))?;
    }
    Ok(table.good())
}

async fn start(options: Options) -> Result<Arc<Cluster>> {
    let cluster = Cluster::start(options).await?;
    story::install_kinds(&cluster).await?;
    Ok(Arc::new(cluster))
}

/// On real nodes. Those that lose a node have a cluster of their own, in which a node is lost sooner: the usual time is
/// long because many files at once make kubelets slow.
async fn tell_for_real(incidents: Vec<Incident>, baseline: Baseline) -> Result<Vec<Row>> {
    let (alone, together): (Vec<_>, Vec<_>) = incidents.into_iter().partition(Incident::touches_the_cluster);
    let usual = Options::real("incidents-real");
    let quick = Options { node_monitor_grace: QUICK_LOSS, ..usual.clone() };
    let mut rows = vec![];
    for (options, incidents) in [(usual, together), (quick, alone)] {
        if incidents.is_empty() {
            continue;
        }
        let cluster = start(options).await?;
        for image in [image::patient()?, image::slow()?, image::foreign(), image::coredns().await?] {
            cluster.load_image(&image).await?;
        }
        rows.extend(tell_all(cluster, incidents, baseline, AT_ONCE_FOR_REAL).await?);
    }
    Ok(rows)
}

/// All files of one cluster, those that touch what is everybody's last and alone.
async fn tell_all(
    cluster: Arc<Cluster>,
    incidents: Vec<Incident>,
    baseline: Baseline,
    at_once: usize,
) -> Result<Vec<Row>> {
    let (alone, together): (Vec<_>, Vec<_>) = incidents.into_iter().partition(Incident::touches_the_cluster);
    let mut rows: Vec<Row> = futures::stream::iter(together)
        .map(|incident| tell(Arc::clone(&cluster), incident, baseline))
        .buffer_unordered(at_once)
        .collect()
        .await;
    for incident in alone {
        rows.push(tell(Arc::clone(&cluster), incident, baseline).await);
    }
    cluster.stop().await?;
    Ok(rows)
}

/// Runs one file. What goes wrong in the rig itself is a row of its own kind, and fails the run.
async fn tell(cluster: Arc<Cluster>, incident: Incident, baseline: Baseline) -> Row {
    let longest = incident.expect.deadline() + AROUND;
    let told = tokio::time::timeout(longest, judge(cluster, &incident, baseline)).await;
    let row = match told.context("the file does not come to an end").flatten() {
        Ok(row) => row,
        Err(error) => Row::broken(&incident, &format!("{error:#}")),
    };
    eprintln!("incidents: {:<40} {}", row.incident, row.verdict);
    row
}

async fn judge(cluster: Arc<Cluster>, incident: &Incident, baseline: Baseline) -> Result<Row> {
    let mut story = Story::begin(cluster, &incident.name, Path::new(env!("CARGO_BIN_EXE_homeostat"))).await?;
    let row = play(&mut story, incident, baseline).await;
    let after = put_back(&mut story, incident).await;
    let row = row?;
    after?;
    story.end().await?;
    Ok(row)
}

async fn play(story: &mut Story, incident: &Incident, baseline: Baseline) -> Result<Row> {
    let operated = baseline == Baseline::Homeostat;
    if operated {
        for capability in &incident.capabilities {
            match capability {
                Capability::Secrets => story.allow_secrets().await?,
                Capability::Nodes => story.allow_nodes().await?,
                Capability::Neighbours => story.allow_neighbours().await?,
            }
        }
        if incident.measured {
            story.measure().await?;
        }
        story.start_operator(&[]).await?;
    }
    steps::take_all(story, "given", &incident.given, operated).await?;
    let counted = match incident.has_client() {
        true => Some(shop::counts(story).await?),
        false => None,
    };
    let injected = clock::now();
    steps::take_all(story, "inject", &incident.inject, operated).await?;
    let awaited = match operated && incident.waits_for_a_recovery() {
        true => story.recoveries().await?.iter().filter(|found| found.journal().phase == Phase::Closed).count(),
        false => 0,
    };
    baseline.act(story, incident).await?;
    let last = tokio::select! {
        last = watch(story, incident, operated, awaited) => last,
        Err(error) = cure(story, incident) => return Err(error.context("cure")),
    };
    let writes = story.workload_writes().await?;
    let recoveries: Vec<Recovery> = story.recoveries().await?;
    let mut row = Row::judged(incident, baseline, injected, &recoveries, &writes, last.err());
    if let Some(before) = counted {
        row.bad_answers = Some(shop::counts(story).await?.since(&before).bad);
    }
    Ok(row)
}

async fn cure(story: &Story, incident: &Incident) -> Result<()> {
    match &incident.cure {
        Some(cure) => steps::cure(story, cure).await,
        None => Ok(()),
    }
}

/// Every step is tried, also after one that fails.
async fn put_back(story: &mut Story, incident: &Incident) -> Result<()> {
    let mut last = Ok(());
    for (number, step) in incident.after.iter().enumerate() {
        let taken = steps::take(story, step, false).await;
        last = last.and(taken.with_context(|| format!("after, step {}", number + 1)));
    }
    last
}

/// Waits until the right outcome is there. Where that is to hold, nothing may happen for as long as the file says.
async fn watch(story: &Story, incident: &Incident, operated: bool, awaited: usize) -> Result<()> {
    let within = incident.expect.deadline();
    if incident.ideal == Ideal::Hold {
        // That nothing is done is no condition that could be awaited: it is watched for the time that the file gives.
        tokio::time::sleep(within).await;
        return match operated {
            true => oracle::settled(story, incident).await,
            false => oracle::hold(story, &incident.expect.finally).await,
        };
    }
    // A claim to have recovered is judged when it is made: that it comes true later does not make it true.
    let ended = eventually("the right outcome", within, async || {
        if let Some(lie) = oracle::claim(story, incident, awaited).await? {
            return Ok(Err(anyhow::anyhow!(lie)));
        }
        match operated {
            true => oracle::settled(story, incident).await.map(Ok),
            false => oracle::hold(story, &incident.expect.finally).await.map(Ok),
        }
    });
    let ended: Result<Result<()>> = ended.await;
    ended?
}
