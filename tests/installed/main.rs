//! Homeostat installed as its users install it: by Helm, as pods on real kubelets, under restricted Pod Security, with
//! the shipped rights and in-cluster configuration. A real application falls ill there for real reasons, and a client
//! counts what its users would have felt. Skipped, saying so, where real nodes are not possible.

#[path = "../e2e/story/mod.rs"]
mod story;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, Options, eventually, skip_real_nodes};
use homeostat::api::{Journal, Outcome, Phase, Reason, RecoveryPolicy, StableState};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::ListParams;
use serde_json::json;

use story::shop::{SETTINGS, Shop, WEB};
use story::{SOON, Story, image, installed, shop};

/// The operator's program, as it was built with this test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_homeostat");
/// Longer than a bad ConfigMap can go unnoticed, or it is earned as stable and there is no way back: the kubelets of the
/// rig take up to 8.5 s to bring it to running pods, which then crash after a second.
const SOAK: &str = "20s";

#[test]
fn installed() -> Result<()> {
    if let Some(reason) = skip_real_nodes()? {
        // Past the test runner, which would hide it.
        writeln!(std::io::stderr(), "test of the installed operator skipped: {reason}")?;
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let cluster = Arc::new(Cluster::start(Options::real("installed")).await?);
        let told = tell(Arc::clone(&cluster)).await;
        if told.is_err() {
            eprintln!("{}", installed::last_words(&cluster).await);
        }
        cluster.stop().await?;
        told
    })
}

async fn tell(cluster: Arc<Cluster>) -> Result<()> {
    installed::begin(&cluster, Path::new(PROGRAM)).await?;
    cluster.load_image(&image::patient()?).await?;

    let story = Story::beside_installed(Arc::clone(&cluster), "shop", Path::new(PROGRAM)).await?;
    shop::open(&story, Shop { policy: json!({"stability": {"soak": SOAK}}), ..Shop::default() }).await?;
    let stable = story.await_stable().await?;

    broken_configuration(&story).await?;
    missing_image(&story).await?;
    upgraded_in_the_middle(&story, &cluster).await?;
    uninstalled_and_back(&story, &cluster, &stable).await
}

/// The file in the ConfigMap makes the running pods crash; nothing else is touched, and nothing is played.
async fn broken_configuration(story: &Story) -> Result<()> {
    let before = shop::counts(story).await?;
    story.change::<ConfigMap>(SETTINGS, json!({"data": {"mode": "crash-after-1s", "added": "by the release"}})).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    let journal = recovery.journal();
    ensure!(journal.decision.reason == Reason::ChangeReverted, "{:?}", journal.decision);
    let data = story.api::<ConfigMap>().get(SETTINGS).await?.data.unwrap_or_default();
    ensure!(data.len() == 1 && data.get("mode").is_some_and(|mode| mode == "ok"), "{data:?}");
    let after = shop::counts(story).await?;
    eprintln!("installed: broken configuration: {}; the client saw {}", seconds(journal)?, after.since(&before));
    // It answers again: the client's next answers are all good.
    shop::serves(story).await
}

/// A real kubelet cannot find the image; the pods of the verified revision go on serving meanwhile.
async fn missing_image(story: &Story) -> Result<()> {
    let before = shop::counts(story).await?;
    let known = story.recoveries().await?.len();
    shop::release(story, json!({"image": "homeostat.test/patient:absent"})).await?;
    closed_after(story, known, Outcome::Recovered).await?;
    let after = shop::counts(story).await?;
    eprintln!("installed: missing image: the client saw {}", after.since(&before));
    ensure!(after.bad == before.bad, "a release that never served cost {} answers", after.bad - before.bad);
    shop::serves(story).await
}

/// The operator's own pods are replaced while a recovery is open: the same incident, the same end.
async fn upgraded_in_the_middle(story: &Story, cluster: &Cluster) -> Result<()> {
    let known = story.recoveries().await?.len();
    story.change::<RecoveryPolicy>(WEB, json!({"spec": {"verification": {"window": "15s"}}})).await?;
    shop::release(story, json!({"image": "homeostat.test/patient:absent-2"})).await?;
    eventually("a new Recovery to verify", SOON, async || {
        let all = story.recoveries().await?;
        let newest = all.get(known).context("there is none")?;
        ensure!(newest.journal().phase == Phase::Verifying, "{:?}", newest.journal().phase);
        Ok(())
    })
    .await?;
    installed::upgrade(cluster, &["--set", "logLevel=debug"]).await?;
    closed_after(story, known, Outcome::Recovered).await?;
    let incidents = story.recoveries().await?.len();
    ensure!(incidents == known + 1, "{incidents} incidents instead of {}", known + 1);
    shop::serves(story).await
}

/// Without the operator everything of the users' goes on; a reinstalled one knows its seal and carries on.
async fn uninstalled_and_back(story: &Story, cluster: &Cluster, stable: &StableState) -> Result<()> {
    installed::uninstall(cluster).await?;
    let policies = story.api::<RecoveryPolicy>().list(&ListParams::default()).await?.items;
    let states = story.api::<StableState>().list(&ListParams::default()).await?.items;
    ensure!(policies.len() == 1 && !states.is_empty(), "{} policies and {} states", policies.len(), states.len());
    let finalizers = policies.iter().flat_map(|policy| policy.metadata.finalizers.iter().flatten()).count();
    ensure!(finalizers == 0, "{finalizers} finalizers are left");
    shop::serves(story).await?;
    installed::install(cluster).await?;
    let again = story.await_stable().await?;
    ensure!(again.metadata.uid == stable.metadata.uid, "the stable state was not recognised");
    let known = story.recoveries().await?.len();
    shop::release(story, json!({"image": "homeostat.test/patient:absent-3"})).await?;
    closed_after(story, known, Outcome::Recovered).await
}

async fn closed_after(story: &Story, known: usize, outcome: Outcome) -> Result<()> {
    eventually("a new Recovery to be closed", SOON, async || {
        let all = story.recoveries().await?;
        let newest = all.get(known).context("there is none")?;
        let journal = newest.journal();
        ensure!(journal.phase == Phase::Closed, "{:?}: {}", journal.phase, journal.message);
        anyhow::Ok(journal.outcome)
    })
    .await
    .and_then(|found| {
        ensure!(found == Some(outcome), "the outcome is {found:?}");
        Ok(())
    })
}

fn seconds(journal: &Journal) -> Result<String> {
    let timeline = &journal.timeline;
    let detected = timeline.detected.as_ref().context("not detected")?.0;
    let verified = timeline.verified.as_ref().context("not verified")?.0;
    Ok(format!("verified {:.1} s after it was detected", verified.duration_since(detected).as_secs_f64()))
}
