//! Recovery is no way around security: what was hardened stays hardened, and a state that we did not seal is worth nothing.

use anyhow::{Context, Result, ensure};
use cluster::eventually;
use homeostat::api::recovery::{Approval, ApprovalDecision, Remedy};
use homeostat::api::{Journal, Outcome, Phase, Reason, Recovery, RecoveryPolicy, StableState};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::story::app::{self, WEB};
use crate::story::{SOON, Story};

/// What an administrator forbids.
fn strict() -> Value {
    json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
        "runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"},
    })
}

/// The application with this image and this security context of its container.
fn release(tag: &str, context: Value) -> Value {
    let mut patch = app::new_image(tag);
    patch["spec"]["template"]["spec"]["containers"][0]["securityContext"] = context;
    patch
}

async fn rolled_out(story: &Story) -> Result<()> {
    eventually("the hardened release to be there", SOON, async || {
        let web = story.web().await?;
        let status = web.status.unwrap_or_default();
        let caught_up = status.observed_generation == web.metadata.generation;
        let counts = (status.replicas, status.updated_replicas, status.available_replicas);
        ensure!(caught_up && counts == (Some(2), Some(2), Some(2)), "{counts:?}");
        Ok(())
    })
    .await
}

async fn container(story: &Story) -> Result<Value> {
    let web = serde_json::to_value(story.web().await?)?;
    web.pointer("/spec/template/spec/containers/0").cloned().context("no container")
}

pub async fn hardening_of_the_template_survives_a_rollback(story: &mut Story) -> Result<()> {
    story.stable(2, json!({})).await?;
    story.earn_no_more().await?;
    story.change::<Deployment>(WEB, release("v1", strict())).await?;
    rolled_out(story).await?;
    story.change::<Deployment>(WEB, release("v2-never-ready", strict())).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    story.await_serving("v1", 2).await?;
    let found = container(story).await?;
    ensure!(found["securityContext"] == strict(), "the hardening was taken back: {found}");
    let journal = recovery.journal();
    ensure!(journal.hardened.len() > 4, "{:?}", journal.hardened);
    ensure!(journal.message.contains("left so: Deployment web"), "it does not say so: {}", journal.message);
    story.nothing_is_owned_by_us(&["deployment/web"]).await
}

pub async fn what_cannot_be_kept_waits_for_a_person(story: &mut Story) -> Result<()> {
    story.start_operator(&[]).await?;
    let mut open = app::deployment(WEB, "v1", 2);
    let volume = json!({"name": "run", "hostPath": {"path": "/run"}});
    open["spec"]["template"]["spec"]["volumes"] = json!([volume]);
    story.create::<Deployment>(open).await?;
    story.create::<RecoveryPolicy>(app::policy(json!({}))).await?;
    story.await_stable().await?;
    story.earn_no_more().await?;
    let mut shut = app::new_image("v2-never-ready");
    shut["spec"]["template"]["spec"]["volumes"] = json!(null);
    story.change::<Deployment>(WEB, shut).await?;
    let waiting = |journal: &Journal| journal.phase == Phase::AwaitingApproval;
    let recovery = story.recovery("to wait for an approval", waiting).await?;
    let decision = &recovery.journal().decision;
    ensure!(decision.remedy == Remedy::RollbackLoosening, "{decision:?}");
    ensure!(decision.message.contains("host path /run"), "it does not say what: {}", decision.message);
    ensure!(story.workload_writes().await?.is_empty(), "something was written before the approval");
    let approval = Approval { decision: ApprovalDecision::Approve, plan_digest: decision.plan_digest.clone() };
    let name = recovery.metadata.name.clone().context("a Recovery without a name")?;
    story.change::<Recovery>(&name, json!({"spec": {"approval": approval}})).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    story.await_serving("v1", 2).await?;
    let steps = &recovery.journal().steps;
    let left: Vec<&String> = steps.iter().flat_map(|step| &step.leftovers).collect();
    ensure!(left == ["spec.template.spec.volumes"], "what only the state had: {left:?}");
    Ok(())
}

/// The same state under another name, with `change` made to it.
fn forged(state: &StableState, name: &str, change: impl FnOnce(&mut Value)) -> Result<Value> {
    let mut forged = serde_json::to_value(state)?;
    let labels = forged.pointer("/metadata/labels").cloned();
    forged["metadata"] = json!({"name": name, "labels": labels});
    forged["apiVersion"] = json!("homeostat.dev/v1alpha1");
    forged["kind"] = json!("StableState");
    change(&mut forged["spec"]["record"]);
    Ok(forged)
}

/// The record as if another image had been stable.
fn with_another_image(record: &mut Value) {
    for member in record["members"].as_array_mut().into_iter().flatten() {
        if let Some(evil) = member["content"].as_str().map(|content| content.replace("web:v1", "web:evil")) {
            member["content"] = json!(evil);
        }
    }
}

pub async fn a_forged_edited_or_moved_state_is_never_used(story: &mut Story) -> Result<()> {
    let state = story.stable(2, json!({})).await?;
    story.earn_no_more().await?;
    let own = state.metadata.name.clone().context("a state without a name")?;
    let edited = story.change::<StableState>(&own, json!({"spec": {"record": {"policy": "other"}}})).await;
    let said = edited.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(said.contains("sealed record"), "a sealed record was edited: {said}");

    // Newer than ours: one with another image, and ours under another name.
    story.create::<StableState>(forged(&state, "web-forged", with_another_image)?).await?;
    story.create::<StableState>(forged(&state, "web-moved", |_| {})?).await?;
    // And one for another policy, whose target was never stable.
    story.create::<Deployment>(app::deployment("other", "v2-never-ready", 1)).await?;
    let mut other = app::policy(json!({}));
    other["metadata"]["name"] = json!("other");
    other["spec"]["targetRef"]["name"] = json!("other");
    story.create::<RecoveryPolicy>(other).await?;
    let to_other = forged(&state, "other-moved", |record| {
        record["policy"] = json!("other");
        record["target"]["name"] = json!("other");
    })?;
    story.create::<StableState>(to_other).await?;
    eventually("the other policy to refuse it", SOON, async || {
        let status = story.api::<RecoveryPolicy>().get("other").await?.status.unwrap_or_default();
        let recoverable = status.conditions.iter().find(|condition| condition.type_ == "Recoverable");
        let (reason, used) = (recoverable.map(|condition| condition.reason.as_str()), &status.stable_state);
        ensure!(reason == Some(Reason::SealInvalid.as_str()) && used.is_empty(), "{reason:?} {used}");
        Ok(())
    })
    .await?;

    story.change::<Deployment>(WEB, app::new_image("v2-never-ready")).await?;
    let recovery =
        story.recovery("of web to be closed", |journal| journal.policy == WEB && journal.phase == Phase::Closed);
    let recovery = recovery.await?;
    ensure!(recovery.journal().outcome == Some(Outcome::Recovered), "{:?}", recovery.journal());
    ensure!(recovery.journal().stable_state == own, "restored {}", recovery.journal().stable_state);
    story.await_serving("v1", 2).await?;

    // Ours is replaced by one with the same name and other content: then there is no way back.
    let before = story.workload_writes().await?.len();
    story.api::<StableState>().delete(&own, &DeleteParams::default()).await?;
    story.create::<StableState>(forged(&state, &own, with_another_image)?).await?;
    story
        .policy("to have no way back: what is there soaks, and what is left is not ours", |status| {
            let recoverable = status.conditions.iter().find(|condition| condition.type_ == "Recoverable");
            recoverable.is_some_and(|condition| condition.status == "False") && status.stable_state.is_empty()
        })
        .await?;
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    let held = |journal: &Journal| journal.policy == WEB && journal.phase == Phase::Holding;
    let recovery = story.recovery("of web to be held", held).await?;
    ensure!(recovery.journal().reason == Reason::SealInvalid, "{:?}", recovery.journal());
    let after = story.workload_writes().await?;
    ensure!(after.len() == before, "something was written: {:?}", after.get(before..));
    Ok(())
}
