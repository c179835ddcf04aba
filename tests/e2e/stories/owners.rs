//! Others that keep what we would write: one write, and no fight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::eventually;
use homeostat::api::{Outcome, Phase, Reason, RecoveryPolicyStatus};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::task::JoinSet;

use crate::story::app::{self, WEB};
use crate::story::{SOON, Story, lines};

/// How often the tool looks.
const EVERY: Duration = Duration::from_secs(2);
/// So many more rounds of it have to meet silence.
const ROUNDS: usize = 8;

/// A tool that applies a bad release every two seconds. Ends when it is dropped.
struct Tool {
    rounds: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

impl Tool {
    fn keeps(story: &Story, tag: &str) -> Self {
        let (rounds, api) = (Arc::new(AtomicUsize::new(0)), story.api::<Deployment>());
        let (counted, release) = (Arc::clone(&rounds), app::new_image(tag));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let parameters =
                PatchParams { field_manager: Some("argocd-controller".to_owned()), ..PatchParams::default() };
            let mut every = tokio::time::interval(EVERY);
            loop {
                every.tick().await;
                if api.patch(WEB, &parameters, &Patch::Merge(&release)).await.is_ok() {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { rounds, _task: task }
    }

    fn rounds(&self) -> usize {
        self.rounds.load(Ordering::Relaxed)
    }
}

fn not_recoverable(reason: Reason) -> impl Fn(&RecoveryPolicyStatus) -> bool {
    move |status| {
        let said = status.conditions.iter().find(|condition| condition.type_ == "Recoverable");
        said.is_some_and(|said| (said.status.as_str(), said.reason.as_str()) == ("False", reason.as_str()))
    }
}

pub async fn a_loop_that_applies_the_bad_release_again_meets_one_action(story: &mut Story) -> Result<()> {
    let marked =
        json!({"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/web"}}});
    story.stable(2, json!({"actions": {"rollback": {}}, "limits": {"cooldown": "0s"}})).await?;
    story.change::<Deployment>(WEB, marked).await?;
    story.policy("to say that the target is kept", not_recoverable(Reason::GitOwned)).await?;
    story.change::<homeostat::api::RecoveryPolicy>(WEB, json!({"spec": {"gitOps": "Override"}})).await?;
    let ready = |status: &RecoveryPolicyStatus| {
        status.conditions.iter().any(|c| c.type_ == "Recoverable" && c.reason == Reason::StateReady.as_str())
    };
    story.policy("to be able to act", ready).await?;

    let tool = Tool::keeps(story, "crash");
    let ended = |journal: &homeostat::api::Journal| journal.phase == Phase::Closed;
    let recovery = story.recovery("to end", ended).await?;
    let journal = recovery.journal();
    let found = (journal.outcome, journal.reason);
    ensure!(found == (Some(Outcome::Escalated), Reason::RevertedByGitOps), "{found:?}: {}", journal.message);
    let snippet = format!("spec.template.spec.containers[web].image: \"{}\"", app::image("v1"));
    ensure!(journal.message.contains("Argo CD put"), "{}", journal.message);
    ensure!(journal.message.contains(&snippet), "the message does not say what to change: {}", journal.message);

    let before = tool.rounds();
    eventually("more rounds of the tool", SOON, async || {
        ensure!(tool.rounds() >= before + ROUNDS, "{} of {ROUNDS}", tool.rounds() - before);
        Ok(())
    })
    .await?;
    let writes = story.workload_writes().await?;
    let restored = writes.iter().filter(|write| write.touches("/spec")).count();
    ensure!(restored == 1, "{restored} writes of the content: {:?}", lines(&writes));
    let all = story.recoveries().await?;
    ensure!(all.len() == 1, "{} Recoveries: not silent", all.len());
    let policy = story.policy("to say that it was reverted", not_recoverable(Reason::RevertedByGitOps)).await?;
    let conditions = policy.status.context("no status")?.conditions;
    ensure!(conditions.iter().any(|c| c.message.contains(&snippet)), "{conditions:?}");

    // The fix in the repository.
    drop(tool);
    story.change::<Deployment>(WEB, app::new_image("v1")).await?;
    story.await_serving("v1", 2).await?;
    story.policy("to be recoverable again", ready).await?;
    ensure!(story.workload_writes().await?.len() == writes.len(), "something was written after the fix");
    Ok(())
}
