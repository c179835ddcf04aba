//! What we may not do, we do not do, and we say what we would have done.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use homeostat::api::{Journal, Outcome, Phase, Reason, Recovery, RecoveryPolicy};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use serde_json::json;

use crate::story::app::{self, WEB};
use crate::story::{SOON, Story, lines};

async fn no_write(story: &Story) -> Result<()> {
    let writes = story.workload_writes().await?;
    ensure!(writes.is_empty(), "{:?}", lines(&writes));
    Ok(())
}

pub async fn observe_writes_nothing(story: &mut Story) -> Result<()> {
    story.stable(2, json!({"mode": "Observe"})).await?;
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    let seen = |journal: &Journal| journal.reason == Reason::ObserveOnly;
    let recovery = story.recovery("to say what would be done", seen).await?;
    ensure!(recovery.journal().decision.reason == Reason::ChangeReverted, "{:?}", recovery.journal().decision);
    ensure!(!recovery.journal().steps.is_empty(), "the steps that would be taken are not shown");
    // The owner's own fix ends the incident; by then anything forbidden would have been written.
    story.change::<Deployment>(WEB, app::new_image("v3")).await?;
    story.recovery("to end", |journal| journal.phase == Phase::Closed).await?;
    no_write(story).await
}

pub async fn recommend_waits_for_the_approval_of_its_plan(story: &mut Story) -> Result<()> {
    story.stable(2, json!({"mode": "Recommend"})).await?;
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    let waits = |journal: &Journal| journal.phase == Phase::AwaitingApproval;
    let recovery = story.recovery("to wait for approval", waits).await?;
    let name = recovery.metadata.name.clone().context("no name")?;
    let approve = |digest: &str| json!({"spec": {"approval": {"decision": "Approve", "planDigest": digest}}});
    // An approval of another plan is none.
    story.change::<Recovery>(&name, approve("another-plan")).await?;
    let policy = story.policy("to be held", |status| format!("{:?}", status.state) == "Held").await?;
    ensure!(policy.status.is_some_and(|status| status.active_recovery == name), "another Recovery is active");
    no_write(story).await?;
    story.change::<Recovery>(&name, approve(&recovery.journal().decision.plan_digest)).await?;
    story.closed(Outcome::Recovered).await?;
    story.await_serving("v1", 2).await
}

pub async fn suspended_writes_nothing(story: &mut Story) -> Result<()> {
    story.stable(2, json!({})).await?;
    story.change::<RecoveryPolicy>(WEB, json!({"spec": {"suspend": true}})).await?;
    story.policy("to be suspended", |status| format!("{:?}", status.state) == "Suspended").await?;
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    let unhealthy = story.policy("to see the symptom", |status| {
        status.conditions.iter().any(|c| c.type_ == "TargetHealthy" && c.reason == Reason::CrashLoop.as_str())
    });
    unhealthy.await?;
    ensure!(story.recoveries().await?.is_empty(), "an incident was opened while suspended");
    no_write(story).await?;
    // It ends with the suspension.
    story.change::<RecoveryPolicy>(WEB, json!({"spec": {"suspend": false}})).await?;
    story.closed(Outcome::Recovered).await?;
    Ok(())
}

pub async fn two_policies_for_one_target_are_both_refused(story: &mut Story) -> Result<()> {
    story.stable(2, json!({})).await?;
    let mut second = app::policy(json!({}));
    second["metadata"]["name"] = json!("second");
    story.create::<RecoveryPolicy>(second).await?;
    story.policy("to be in conflict", |status| status.conditions.iter().any(|c| c.type_ == "Conflicted")).await?;
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    let unhealthy = story.policy("to see the symptom", |status| {
        status.conditions.iter().any(|c| c.type_ == "TargetHealthy" && c.status == "False")
    });
    unhealthy.await?;
    no_write(story).await?;
    story.api::<RecoveryPolicy>().delete("second", &Default::default()).await?;
    story.closed(Outcome::Recovered).await?;
    story.await_serving("v1", 2).await
}

/// Of three incidents that ended, one is kept.
pub async fn only_as_many_recoveries_are_kept_as_the_policy_says(story: &mut Story) -> Result<()> {
    story.stable(2, json!({"mode": "Observe", "history": {"recoveries": 1}})).await?;
    let mut seen = BTreeSet::new();
    for tag in ["crash", "v3-unpullable", "v5-unpullable"] {
        story.change::<Deployment>(WEB, app::new_image(tag)).await?;
        let unseen = |name: &String| !seen.contains(name);
        let name = cluster::eventually("a new incident", SOON, async || {
            let names = story.recoveries().await?.into_iter().filter_map(|recovery| recovery.metadata.name);
            names.into_iter().find(unseen).context("none")
        })
        .await?;
        seen.insert(name);
        story.change::<Deployment>(WEB, app::new_image("v1")).await?;
        story.recovery("to end", |journal| journal.phase == Phase::Closed).await?;
        story.await_stable().await?;
    }
    cluster::eventually("the old incidents to be gone", SOON, async || {
        let left = story.recoveries().await?;
        ensure!(left.len() == 1, "{} Recoveries", left.len());
        Ok(())
    })
    .await?;
    ensure!(seen.len() == 3, "{seen:?}");
    Ok(())
}

/// A pipeline that applies the same bad release again and again: exactly the allowed attempts, then silence.
pub async fn an_endless_relapse_ends_in_silence(story: &mut Story) -> Result<()> {
    story.stable(2, json!({"actions": {"rollback": {}}, "limits": {"maxAttempts": 2}})).await?;
    for number in 1..=2 {
        story.change::<Deployment>(WEB, app::new_image("crash")).await?;
        let ended = |journal: &Journal| journal.phase == Phase::Closed && journal.tried_before == number - 1;
        let recovery = story.recovery("to bring it back", ended).await?;
        ensure!(recovery.journal().outcome == Some(Outcome::Recovered), "{:?}", recovery.journal().outcome);
        story.await_serving("v1", 2).await?;
    }
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    let handed_over = |journal: &Journal| journal.reason == Reason::AttemptsExhausted;
    let recovery = story.recovery("to be handed to a person", handed_over).await?;
    let journal = recovery.journal();
    ensure!((journal.outcome, journal.tried_before) == (Some(Outcome::Escalated), 2), "{journal:?}");
    ensure!(journal.message.contains("came back"), "{}", journal.message);
    // More of the same changes nothing: new pods crash as well, and that is all.
    let before: BTreeSet<_> = story.pods(WEB).await?.into_iter().filter_map(|pod| pod.metadata.uid).collect();
    story.api::<Pod>().delete_collection(&Default::default(), &ListParams::default().labels("app=web")).await?;
    cluster::eventually("new pods to crash", SOON, async || {
        let restarted = |pod: &Pod| {
            let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
            statuses.into_iter().any(|status| status.restart_count > 0)
        };
        let pods = story.pods(WEB).await?;
        let fresh = pods.iter().filter(|pod| !pod.metadata.uid.as_ref().is_some_and(|uid| before.contains(uid)));
        ensure!(fresh.filter(|pod| restarted(pod)).count() > 0, "none");
        Ok(())
    })
    .await?;
    // Whoever takes over meets no resistance.
    story.change::<Deployment>(WEB, app::new_image("v3")).await?;
    story.closed(Outcome::Superseded).await?;
    story.await_serving("v3", 2).await?;
    let writes = story.workload_writes().await?;
    let restored = writes.iter().filter(|write| write.touches("/spec/template")).count();
    ensure!(restored == 2, "{restored} attempts: {:?}", lines(&writes));
    Ok(())
}
