//! `make demo`: a bad release and the way back, on a real control plane; then a quarantined pod, and a failover with
//! its way home. Prints what happens as it happens, and what kubectl says about it. Exit code 0 only if verified.
//!
//! On Linux as root the nodes are real: kubelets and containers, a shop of three tiers whose front falls ill for real
//! reasons, and a client that counts its answers all the time. Elsewhere, or with HOMEOSTAT_REAL_NODES=0, they are fake (kwok): what a
//! pod does is chosen by its image tag, and where a fake kubelet cannot see a cause, the demo plays the pods' part.

mod application;

#[path = "../../tests/e2e/story/mod.rs"]
mod story;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, Options, eventually, why_no_real_nodes};
use homeostat::api::recovery::Timeline;
use homeostat::api::{Journal, Outcome, Phase, Reason, Recovery};
use homeostat::clock;
use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::json;

use application::Application;
use story::app::{STANDBY, WEB};
use story::{SOON, Story};

#[tokio::main]
async fn main() -> ExitCode {
    let keep = std::env::var("KEEP").is_ok_and(|word| !word.is_empty() && word != "0");
    match run(keep).await {
        Ok(last_line) => {
            println!("\n{last_line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\nnot verified: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(keep: bool) -> Result<String> {
    let fake = why_no_real_nodes();
    match &fake {
        None => say("A real control plane with two real nodes: kubelet, containerd, runc, kube-proxy"),
        Some(reason) => say(&format!("A real control plane with three fake nodes ({reason})")),
    }
    wait("its programs, which are built once, and then start in seconds");
    let kind = if fake.is_some() { Options::test("demo") } else { Options::real("demo") };
    let cluster = Arc::new(Cluster::start(Options { outlive: keep, ..kind }).await?);
    story::install_kinds(&cluster).await?;

    let mut story = Story::begin(Arc::clone(&cluster), "shop", &binary()?).await?;
    let application = Application::on(fake.is_none());
    let told = tell(&mut story, application).await;
    if keep {
        story.leave().await?;
        println!("\nThe cluster and the operator go on. To look around, and to end them:\n");
        println!("  export KUBECONFIG={}", cluster.kubeconfig().display());
        println!("  kubectl get rp,sst,rec --namespace {}", story.namespace.name());
        println!("  make cluster-down NAME=demo");
    } else {
        story.end().await?;
        cluster.stop().await?;
    }
    told
}

async fn tell(story: &mut Story, application: Application) -> Result<String> {
    earn(story, application).await?;
    let last_line = roll_back(story, application).await?;
    quarantine(story, application).await?;
    fail_over(story, application).await?;
    Ok(last_line)
}

async fn earn(story: &mut Story, application: Application) -> Result<()> {
    say("The operator starts, with the rights that the chart renders and no others");
    story.start_operator(&[]).await?;
    say("An application with its configuration, a standby, and a policy that looks after it");
    let standby = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": STANDBY});
    let policy = json!({
        "stability": {"soak": "4s"},
        "verification": {"window": "3s"},
        "detection": {"unavailableFor": "2s"},
        "actions": {
            "isolate": {"maxPods": 1, "inspection": "20s"},
            "rollback": {},
            "failover": {"standby": standby, "via": {"service": WEB}},
        },
    });
    application.deploy(story, policy).await?;
    wait("the application to hold its criteria for the soak of 4 s, and to earn its stable state");
    story.await_stable().await?;
    show(story, &["get", "rp,sst"]).await
}

/// The release changes image and configuration; both come back, the configuration first.
async fn roll_back(story: &mut Story, application: Application) -> Result<String> {
    say(application.bad_release());
    let before = application.counts(story).await?;
    let released = clock::now();
    application.release_badly(story).await?;
    let recovery = follow(story, 0, |journal| journal.phase == Phase::Closed).await?;
    let journal = recovery.journal();
    ensure!(journal.outcome == Some(Outcome::Recovered), "{:?}: {}", journal.outcome, journal.message);
    application.is_back(story).await?;
    application.tell_counts(story, before).await?;
    show(story, &["get", "rp,rec"]).await?;
    let name = recovery.metadata.name.clone().unwrap_or_default();
    describe(story, &name).await?;
    let events = ["get", "events", "--field-selector", "involvedObject.kind=RecoveryPolicy"];
    show(story, &[&events[..], &["-o", "custom-columns=TYPE:.type,REASON:.reason,MESSAGE:.message"]].concat()).await?;
    summary(&journal.timeline, released)
}

/// One pod of four fails for a reason of its own.
async fn quarantine(story: &mut Story, application: Application) -> Result<()> {
    say("One pod of four goes bad by itself; nothing was released");
    let pod = story.pods(WEB).await?.into_iter().next().context("no pod")?;
    let (before, counts) = (story.recoveries().await?.len(), application.counts(story).await?);
    application.fail(story, &[pod], true).await?;
    newer(story, before).await?;
    let recovery = follow(story, 0, |journal| journal.phase == Phase::Closed).await?;
    ensure!(recovery.journal().decision.reason == Reason::PodIsolated, "{:?}", recovery.journal().decision);
    ensure!(recovery.journal().outcome == Some(Outcome::Recovered), "{}", recovery.journal().message);
    application.tell_counts(story, counts).await?;
    let of_web = "app notin (web-standby,client,api,store)";
    show(story, &["get", "pods", "-l", of_web, "-L", "app,homeostat.dev/quarantined-by"]).await
}

/// Every pod is unready for a reason that is not here; the standby serves until that is over.
async fn fail_over(story: &mut Story, application: Application) -> Result<()> {
    say("All pods go unready and nothing changed here: the standby takes over");
    let pods: Vec<Pod> = story.pods(WEB).await?;
    let (before, counts) = (story.recoveries().await?.len(), application.counts(story).await?);
    application.fail(story, &pods, true).await?;
    newer(story, before).await?;
    let away = follow(story, 0, |journal| journal.phase == Phase::OnStandby).await?;
    selects(story, STANDBY).await?;
    show(story, &["get", "service", WEB, "-o", "wide"]).await?;
    application.tell_counts(story, counts).await?;
    say("The cause ends; traffic returns once home is verified");
    application.fail(story, &pods, false).await?;
    let told = stages(away.journal()).len();
    let recovery = follow(story, told, |journal| journal.phase == Phase::Closed).await?;
    ensure!(recovery.journal().outcome == Some(Outcome::Recovered), "{}", recovery.journal().message);
    selects(story, WEB).await?;
    show(story, &["get", "service", WEB, "-o", "wide"]).await?;
    show(story, &["get", "rp,rec"]).await
}

async fn selects(story: &Story, app: &str) -> Result<()> {
    let service = story.api::<Service>().get(WEB).await?;
    let selector = service.spec.and_then(|spec| spec.selector).unwrap_or_default();
    ensure!(selector.get("app").is_some_and(|label| label == app), "the Service selects {selector:?}");
    Ok(())
}

/// Waits until there are more Recoveries than before.
async fn newer(story: &Story, before: usize) -> Result<()> {
    wait("Homeostat to see it");
    eventually("a new Recovery", SOON, async || {
        let now = story.recoveries().await?.len();
        ensure!(now > before, "{now} Recoveries");
        Ok(())
    })
    .await
}

/// Tells each stage of the newest Recovery once, as soon as it is on record; the first `told` were told before.
async fn follow(story: &Story, mut told: usize, done: impl Fn(&Journal) -> bool) -> Result<Recovery> {
    eventually("the Recovery to go on", SOON, async || {
        let newest = story.recoveries().await?.pop().context("there is none yet")?;
        let journal = newest.journal();
        let stages = stages(journal);
        for (stage, text) in stages.iter().skip(told) {
            println!("   {stage:<10}{text}");
        }
        told = told.max(stages.len());
        ensure!(done(journal), "{:?}: {}", journal.phase, journal.message);
        Ok(newest.clone())
    })
    .await
}

fn stages(journal: &Journal) -> Vec<(&'static str, String)> {
    let Timeline { detected, decided, contained, acted, converged, verified, .. } = &journal.timeline;
    let done = journal.steps.iter().filter(|step| step.acknowledged.is_some()).count();
    let decision = &journal.decision;
    let stages = [
        ("detected", detected, journal.symptom.message.clone()),
        ("decided", decided, format!("{:?} ({}): {}", decision.remedy, decision.reason, decision.message)),
        ("contained", contained, "the first effect is acknowledged".to_owned()),
        ("acted", acted, format!("{done} of {} steps are acknowledged", journal.steps.len())),
        ("converged", converged, "everything was seen to be back".to_owned()),
        ("verified", verified, journal.message.clone()),
    ];
    stages.into_iter().take_while(|(_, at, _)| at.is_some()).map(|(stage, _, text)| (stage, text)).collect()
}

/// The last line, from the times in the Recovery; only the first of them is counted from the release.
fn summary(timeline: &Timeline, released: jiff::Timestamp) -> Result<String> {
    let detected = timeline.detected.as_ref().context("not detected")?.0;
    let after = |at: &Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime>, what: &str| {
        let at = at.as_ref().with_context(|| format!("not {what}"))?.0;
        anyhow::Ok(at.duration_since(detected).as_secs_f64())
    };
    Ok(format!(
        "recovered: verified in {:.1} s (detect {:.2} s after the release; then decide {:.3} contain {:.3} act {:.3} \
         converge {:.1} verify {:.1})",
        after(&timeline.verified, "verified")?,
        detected.duration_since(released).as_secs_f64(),
        after(&timeline.decided, "decided")?,
        after(&timeline.contained, "contained")?,
        after(&timeline.acted, "acted")?,
        after(&timeline.converged, "converged")?,
        after(&timeline.verified, "verified")?,
    ))
}

fn say(text: &str) {
    println!("\n== {text}");
}

fn wait(what: &str) {
    println!("   waiting for {what}");
    // Nothing is lost if this fails but the order of lines.
    let _ = std::io::stdout().flush();
}

/// What kubectl says.
async fn show(story: &Story, arguments: &[&str]) -> Result<()> {
    let text = story.cluster.kubectl(&[arguments, &["--namespace", story.namespace.name()]].concat()).await?;
    println!("\n   $ kubectl {}", arguments.join(" "));
    text.lines().for_each(|line| println!("   {line}"));
    Ok(())
}

/// What kubectl describes, without the opening, which the status repeats as it stands now.
async fn describe(story: &Story, recovery: &str) -> Result<()> {
    let namespace = story.namespace.name();
    let text = story.cluster.kubectl(&["describe", "rec", recovery, "--namespace", namespace]).await?;
    println!("\n   $ kubectl describe rec {recovery}   # Metadata and Spec left out here");
    let status = text.lines().skip_while(|line| !line.starts_with("Status:"));
    status.for_each(|line| println!("   {line}"));
    Ok(())
}

/// The operator that was built with this demo.
fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.ancestors().nth(2).context("no target folder")?.join("homeostat");
    ensure!(path.is_file(), "{} is not there; run `make demo`, which builds it", path.display());
    Ok(path)
}
