//! `make bench-latency`: from "the fault is visible on a watch" to "the first action is acknowledged", on the real
//! control plane, beside a bare client that patches at once when it sees the same event: the floor that nothing with
//! an API server can go below. Figures of one run are compared with each other, never with those of another machine.
//!
//! Incidents and probes take turns. Each incident is another policy and another Deployment, whose new image cannot be
//! pulled: a failure that counts at once. Homeostat's time ends at `timeline.contained` of the Recovery, which is when
//! the answer to its first effect had come; both clocks are this machine's.

#[path = "../tests/e2e/story/mod.rs"]
mod story;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cluster::{Cluster, Options, eventually};
use futures::{Stream, StreamExt, TryStreamExt};
use homeostat::api::{Outcome, Phase, Recovery, RecoveryBudget, RecoveryPolicy};
use homeostat::clock;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use story::{Story, app};

/// Distinct incidents; each needs a policy, a Deployment and a stable state of its own.
const INCIDENTS: usize = 200;
/// Deployments that the probe breaks and mends by turns.
const PROBES: usize = 10;
const SETTLED: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<()> {
    let incidents = std::env::var("INCIDENTS").ok().map(|n| n.parse()).transpose().context("INCIDENTS is a number")?;
    let figures = measure(incidents.unwrap_or(INCIDENTS)).await?;
    figures.print();
    Ok(())
}

async fn measure(incidents: usize) -> Result<Figures> {
    let cluster = Arc::new(Cluster::start(Options { nodes: 10, ..Options::test("bench") }).await?);
    story::install_kinds(&cluster).await?;
    let mut story = Story::begin(Arc::clone(&cluster), "latency", Path::new(env!("CARGO_BIN_EXE_homeostat"))).await?;
    // No proxy between: it would be measured as well.
    story.connect_directly().await?;
    unlimited(&cluster).await?;
    story.start_operator(&["--lease-duration", "15s"]).await?;
    prepare(&story, incidents).await?;

    let mut figures = Figures::default();
    let pods: Api<Pod> = story.api();
    for number in 0..incidents {
        let probe = format!("probe-{}", number % PROBES);
        figures.probe.push(probed(&story, &pods, &probe, number).await.with_context(|| probe.clone())?);
        let name = format!("web-{number}");
        figures.homeostat.push(recovered(&story, &pods, &name).await.with_context(|| name.clone())?);
        if number % 20 == 19 {
            eprintln!("bench: {} of {incidents} incidents", number + 1);
        }
    }
    verified(&story, incidents).await?;
    story.end().await?;
    cluster.stop().await?;
    Ok(figures)
}

/// Everything breaks here, one after the other: that is to be measured, and not restrained.
async fn unlimited(cluster: &Cluster) -> Result<()> {
    let budgets: Api<RecoveryBudget> = Api::all(cluster.client());
    let limit = json!({"maxTargets": 10_000, "maxPercent": 100});
    let spec = json!({"cluster": limit, "namespace": limit, "brake": {"minTargets": 10_000}});
    let budget = serde_json::from_value(json!({"metadata": {"name": "bench"}, "spec": spec}))?;
    budgets.create(&PostParams::default(), &budget).await.map(drop).context("create a RecoveryBudget")
}

/// All Deployments and policies, each in a verified stable state.
async fn prepare(story: &Story, incidents: usize) -> Result<()> {
    eprintln!("bench: {incidents} policies and Deployments earn their stable states");
    for number in 0..incidents {
        let name = format!("web-{number}");
        story.create::<Deployment>(app::deployment(&name, "v1", 1)).await?;
        let mut policy = app::policy(json!({"targetRef": {"name": name}}));
        policy["metadata"]["name"] = json!(name);
        story.create::<RecoveryPolicy>(policy).await?;
    }
    for number in 0..PROBES {
        story.create::<Deployment>(app::deployment(&format!("probe-{number}"), "v1", 1)).await?;
    }
    eventually("every policy to be stable", SETTLED, async || {
        let policies = story.api::<RecoveryPolicy>().list(&ListParams::default()).await?.items;
        let stable = |policy: &&RecoveryPolicy| policy.status.as_ref().is_some_and(|s| !s.stable_state.is_empty());
        let count = policies.iter().filter(stable).count();
        ensure!(count == incidents, "{count} of {incidents}");
        Ok(())
    })
    .await
}

/// Breaks a Deployment and waits until its fault is visible on a watch; gives the moment.
async fn broken(story: &Story, pods: &Api<Pod>, name: &str, tag: &str) -> Result<Timestamp> {
    let selected = WatchParams::default().labels(&format!("app={name}"));
    let newest = pods.list(&ListParams::default().limit(1)).await?.metadata.resource_version.unwrap_or_default();
    let watch = pods.watch(&selected, &newest).await?.boxed();
    story.change::<Deployment>(name, app::new_image(tag)).await?;
    tokio::time::timeout(SOON, fault(watch)).await.context("the fault does not become visible")?
}

async fn fault(mut watch: impl Stream<Item = kube::Result<WatchEvent<Pod>>> + Unpin) -> Result<Timestamp> {
    while let Some(event) = watch.try_next().await? {
        let now = clock::now();
        if let WatchEvent::Added(pod) | WatchEvent::Modified(pod) = event
            && waits_for_image(&pod)
        {
            return Ok(now);
        }
    }
    bail!("the watch ended")
}

fn waits_for_image(pod: &Pod) -> bool {
    let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let waiting = containers.filter_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.as_deref());
    waiting.into_iter().any(|reason| matches!(reason, "ErrImagePull" | "ImagePullBackOff"))
}

/// The bare client: event seen, patch acknowledged.
async fn probed(story: &Story, pods: &Api<Pod>, name: &str, number: usize) -> Result<Duration> {
    let visible = broken(story, pods, name, &format!("v{number}-unpullable")).await?;
    let deployments: Api<Deployment> = story.api();
    let mend = Patch::Merge(app::new_image("v1"));
    deployments.patch(name, &PatchParams::default(), &mend).await?;
    Ok(since(visible, clock::now()))
}

/// Homeostat: event seen here, first action acknowledged there.
async fn recovered(story: &Story, pods: &Api<Pod>, name: &str) -> Result<Duration> {
    let visible = broken(story, pods, name, "v2-unpullable").await?;
    let of_policy = ListParams::default().labels(&format!("homeostat.dev/policy={name}"));
    let contained = eventually("the first action", SOON, async || {
        let found = story.api::<Recovery>().list(&of_policy).await?.items;
        let newest = found.first().context("there is no Recovery")?;
        newest.journal().timeline.contained.as_ref().map(|at| at.0).context("nothing was done yet")
    })
    .await?;
    Ok(since(visible, contained))
}

/// Acting fast and wrong would be no figure: every incident must end recovered.
async fn verified(story: &Story, incidents: usize) -> Result<()> {
    eventually("every Recovery to be verified", SETTLED, async || {
        let found = story.api::<Recovery>().list(&ListParams::default()).await?.items;
        let mut ends: BTreeMap<String, usize> = BTreeMap::new();
        for journal in found.iter().map(Recovery::journal) {
            *ends.entry(format!("{:?} {:?}", journal.phase, journal.outcome)).or_default() += 1;
        }
        let good = format!("{:?} {:?}", Phase::Closed, Some(Outcome::Recovered));
        ensure!(ends.get(&good) == Some(&incidents) && ends.len() == 1, "{ends:?}");
        Ok(())
    })
    .await
}

fn since(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[derive(Default)]
struct Figures {
    probe: Vec<Duration>,
    homeostat: Vec<Duration>,
}

impl Figures {
    fn print(mut self) {
        self.probe.sort();
        self.homeostat.sort();
        println!("fault visible on a watch -> first action acknowledged, {} incidents, ms", self.homeostat.len());
        println!("{:<12}{:>9}{:>9}{:>9}{:>9}", "", "p50", "p90", "p99", "max");
        for (name, times) in [("homeostat", &self.homeostat), ("bare client", &self.probe)] {
            print!("{name:<12}");
            [50, 90, 99, 100].iter().for_each(|percent| print!("{:>9.2}", milliseconds(times, *percent)));
            println!();
        }
        print!("{:<12}", "ratio");
        for percent in [50, 90, 99, 100] {
            print!("{:>9.2}", milliseconds(&self.homeostat, percent) / milliseconds(&self.probe, percent));
        }
        println!();
    }
}

/// The nearest rank.
fn milliseconds(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}
