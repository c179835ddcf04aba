//! The cause lies beside the target: a declared neighbour is stopped, and goes on when a person says so or we let go.

use anyhow::{Context, Result, bail, ensure};
use cluster::eventually;
use homeostat::api::recovery::{Remediation, Remedy, StepState, Suspect};
use homeostat::api::{Journal, Outcome, Phase, Reason, Recovery, RecoveryPolicy, mark};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::CronJob;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::Tale;
use crate::story::app::{self, WEB};
use crate::story::{SOON, Story, lines};

const SCANNER: &str = "scanner";
const TUNER: &str = "tuner";
/// From the moment the target fails at least so many writes follow, records of ours included; a kill comes after each.
const WRITES: usize = 5;

pub async fn a_neighbour_is_stopped_until_a_person_lets_it_go_on(story: &mut Story) -> Result<()> {
    stopped(story).await?;
    let recovery = ends(story).await?;
    let name = recovery.metadata.name.clone().context("no name")?;
    story.change::<Recovery>(&name, json!({"spec": {"release": true}})).await?;
    runs_again(story, 2).await?;
    eventually("its fields to be handed back", SOON, async || {
        story.nothing_is_owned_by_us(&["deployments/scanner"]).await
    })
    .await?;
    // Stopped, let go on, fields handed back.
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes == vec!["patch deployments/scanner"; 3], "{writes:?}");
    Ok(())
}

pub async fn abort_lets_a_stopped_neighbour_go_on(story: &mut Story) -> Result<()> {
    stopped(story).await?;
    let name = story.recoveries().await?.pop().and_then(|recovery| recovery.metadata.name).context("none")?;
    story.change::<Recovery>(&name, json!({"spec": {"abort": true}})).await?;
    runs_again(story, 2).await?;
    let recovery = story.recovery("to be closed", |journal| journal.phase == Phase::Closed).await?;
    let journal = recovery.journal();
    let ended = (journal.outcome, journal.reason);
    ensure!(ended == (Some(Outcome::Abandoned), Reason::AbortedByUser), "{ended:?}");
    Ok(())
}

pub async fn a_fix_while_a_neighbour_is_stopped_wins(story: &mut Story) -> Result<()> {
    stopped(story).await?;
    story.change::<Deployment>(WEB, app::new_image("v3-fixed")).await?;
    story.closed(Outcome::Superseded).await?;
    runs_again(story, 2).await?;
    story.await_serving("v3-fixed", 2).await?;
    story.await_stable().await?;
    story.nothing_is_owned_by_us(&["deployments/scanner", "deployments/web"]).await?;
    // Stopped, let go on, fields handed back.
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes == vec!["patch deployments/scanner"; 3], "{writes:?}");
    Ok(())
}

/// Neither declared nor, in the second half, granted.
pub async fn an_undeclared_neighbour_is_not_touched(story: &mut Story) -> Result<()> {
    begin(story, json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "another"}])).await?;
    story.create::<Deployment>(app::deployment(SCANNER, "v1", 2)).await?;
    fail(story).await?;
    story.recovery("to hold", |journal| journal.reason == Reason::NoChangeToRevert).await?;
    // It is looked at once more with a policy that declares it, by an operator that may not.
    story.kill_operator().await?;
    story.neighbours_not_allowed();
    let declared = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": SCANNER}]);
    let isolate = json!({"spec": {"actions": {"isolate": {"neighbours": declared}}}});
    story.change::<RecoveryPolicy>(WEB, isolate).await?;
    story.start_operator(&[]).await?;
    story.recovery("to say what is missing", |journal| journal.reason == Reason::RightMissing).await?;
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes.is_empty(), "{writes:?}");
    Ok(())
}

/// The job is suspended in the same Recovery as the second rollback, and resumed when the policy is deleted.
pub async fn a_job_that_breaks_it_again_is_suspended(story: &mut Story) -> Result<()> {
    begin(story, json!([{"apiVersion": "batch/v1", "kind": "CronJob", "name": TUNER}])).await?;
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": TUNER, "image": app::image("v1")}]});
    story
        .create::<CronJob>(json!({
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": TUNER},
            "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": {"spec": pod}}}},
        }))
        .await?;
    for round in 1..=2 {
        let as_tuner = PatchParams { field_manager: Some(TUNER.to_owned()), ..PatchParams::default() };
        story.api::<Deployment>().patch(WEB, &as_tuner, &Patch::Merge(app::new_image("crash"))).await?;
        eventually("the target to be repaired again", SOON, async || {
            let recoveries = story.recoveries().await?;
            ensure!(recoveries.len() == round, "{} incidents", recoveries.len());
            let journal = recoveries.last().context("none")?.journal();
            ensure!(journal.phase == Phase::Closed && journal.outcome == Some(Outcome::Recovered), "{journal:?}");
            Ok(())
        })
        .await?;
        ensure!(suspended(story).await? == (round == 2), "after round {round}");
    }
    let recovery = story.recoveries().await?.pop().context("no Recovery")?;
    ensure!(recovery.journal().decision.remedy == Remedy::Rollback, "{:?}", recovery.journal().decision);
    ensure!(stops(recovery.journal()) == 1, "{:?}", recovery.journal().steps);
    story.api::<RecoveryPolicy>().delete(WEB, &DeleteParams::default()).await?;
    eventually("the job to be resumed", SOON, async || match suspended(story).await? {
        true => bail!("it is suspended"),
        false => story.nothing_is_owned_by_us(&["cronjobs/tuner"]).await,
    })
    .await
}

/// One story for each write after which the operator is killed.
pub fn kills() -> Vec<Tale> {
    crate::kills("neighbours::killed_after_write_{n}_the_end_is_the_same", WRITES, killed_after)
}

async fn killed_after(story: &mut Story, n: usize) -> Result<()> {
    begin(story, json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": SCANNER}])).await?;
    story.create::<Deployment>(app::deployment(SCANNER, "v1", 2)).await?;
    let hold = story.proxy.hold_after_write(n);
    fail(story).await?;
    hold.reached(SOON).await.with_context(|| format!("a recovery that is never killed has fewer than {n} writes"))?;
    story.kill_operator().await?;
    story.start_operator(&[]).await?;
    stands_still(story).await?;
    ends(story).await?;
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes == ["patch deployments/scanner"], "{writes:?}");
    Ok(())
}

/// `web` is in its stable state, and these may be stopped for it.
async fn begin(story: &mut Story, neighbours: Value) -> Result<()> {
    story.allow_neighbours().await?;
    story.stable(2, json!({"actions": {"isolate": {"neighbours": neighbours}, "rollback": {}}})).await?;
    Ok(())
}

async fn fail(story: &Story) -> Result<()> {
    story.play(&story.pods(WEB).await?, Some("crash")).await
}

/// The scanner was added, the target fails, and the scanner stands still.
async fn stopped(story: &mut Story) -> Result<()> {
    begin(story, json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": SCANNER}])).await?;
    story.create::<Deployment>(app::deployment(SCANNER, "v1", 2)).await?;
    fail(story).await?;
    stands_still(story).await
}

async fn stands_still(story: &Story) -> Result<()> {
    eventually("the neighbour to stand still", SOON, async || {
        let (replicas, mark) = scanner(story).await?;
        ensure!(replicas == Some(0) && mark.is_some(), "{replicas:?} {mark:?}");
        Ok(())
    })
    .await
}

async fn runs_again(story: &Story, wanted: i32) -> Result<()> {
    eventually("the neighbour to go on", SOON, async || {
        let (replicas, mark) = scanner(story).await?;
        ensure!(replicas == Some(wanted) && mark.is_none(), "{replicas:?} {mark:?}");
        Ok(())
    })
    .await
}

/// The target is well once the neighbour stands still; that is proven, and the neighbour stays where it is.
async fn ends(story: &Story) -> Result<Recovery> {
    story.play(&story.pods(WEB).await?, None).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    let journal = recovery.journal();
    ensure!(journal.suspect == Suspect::Neighbour && stops(journal) == 1, "{journal:?}");
    ensure!(journal.message.contains("Deployment scanner stays stopped"), "{}", journal.message);
    let incidents = story.recoveries().await?.len();
    ensure!(incidents == 1, "{incidents} incidents");
    let (replicas, _) = scanner(story).await?;
    ensure!(replicas == Some(0), "{replicas:?}");
    Ok(recovery)
}

fn stops(journal: &Journal) -> usize {
    let stopped =
        |step: &&homeostat::api::Step| step.remediation == Remediation::StopNeighbour && step.state == StepState::Done;
    journal.steps.iter().filter(stopped).count()
}

/// How many replicas the scanner is to have, and our mark on it.
async fn scanner(story: &Story) -> Result<(Option<i32>, Option<String>)> {
    let scanner = story.api::<Deployment>().get(SCANNER).await?;
    let mark = scanner.metadata.annotations.and_then(|mut annotations| annotations.remove(mark::STOPPED_BY));
    Ok((scanner.spec.and_then(|spec| spec.replicas), mark))
}

async fn suspended(story: &Story) -> Result<bool> {
    let job = story.api::<CronJob>().get(TUNER).await?;
    Ok(job.spec.suspend.unwrap_or(false))
}
