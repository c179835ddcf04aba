//! The target itself is deleted: created again with what was lost beside it, or left alone where that was meant.

use anyhow::{Context, Result, ensure};
use cluster::eventually;
use homeostat::api::recovery::{Approval, ApprovalDecision, Remedy, Step, StepState};
use homeostat::api::{Journal, Outcome, Phase, Reason, Recovery, RecoveryPolicy, Remediation, mark};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use kube::Resource;
use kube::api::{DeleteParams, PropagationPolicy};
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Tale;
use crate::story::app::{self, SETTINGS, WEB};
use crate::story::{SOON, Story, lines};

fn restoring() -> Value {
    json!({"actions": {"rollback": {"recreate": "Restore"}}})
}

async fn delete<K>(story: &Story, name: &str) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let gone = DeleteParams { propagation_policy: Some(PropagationPolicy::Background), ..DeleteParams::default() };
    story.api::<K>().delete(name, &gone).await?;
    Ok(())
}

/// Neither our mark nor our ownership is left on it.
async fn is_theirs_again(story: &Story) -> Result<()> {
    let annotations = story.web().await?.metadata.annotations.unwrap_or_default();
    ensure!(!annotations.contains_key(mark::RECREATED_BY), "our mark is left: {annotations:?}");
    story.nothing_is_owned_by_us(&["deployment/web"]).await
}

pub async fn a_deleted_target_is_created_again_with_what_was_lost(story: &mut Story) -> Result<()> {
    story.stable(3, restoring()).await?;
    story.change::<Deployment>(WEB, json!({"metadata": {"labels": {"team": "a"}}, "spec": {"replicas": 2}})).await?;
    story.await_serving("v1", 2).await?;
    let before = story.web().await?;
    // What goes after the symptom counts is somebody's change in the middle of a recovery.
    delete::<ConfigMap>(story, SETTINGS).await?;
    tokio::try_join!(delete::<Deployment>(story, WEB), delete::<Service>(story, WEB))?;
    let recovery = story.closed(Outcome::Recovered).await?;
    let journal = recovery.journal();
    ensure!(journal.symptom.reason == Reason::TargetDeleted, "{:?}", journal.symptom);
    ensure!(journal.decision.remedy == Remedy::Recreate, "{:?}", journal.decision);
    story.await_serving("v1", 2).await?;
    let after = story.web().await?;
    ensure!(after.metadata.uid.as_ref() == Some(&journal.target.uid), "the journal speaks of another object");
    ensure!(before.metadata.uid != after.metadata.uid, "it was never gone");
    let spec = |web: &Deployment| {
        web.spec.clone().map(|spec| (spec.selector, spec.revision_history_limit, spec.progress_deadline_seconds))
    };
    ensure!(spec(&before) == spec(&after), "not as it was: {:?}", after.spec);
    ensure!(story.api::<ConfigMap>().get(SETTINGS).await?.data.is_some(), "the ConfigMap has no content");
    let writes = lines(&story.workload_writes().await?);
    let created: Vec<_> = writes.iter().filter(|line| line.starts_with("create ")).map(String::as_str).collect();
    let expected = ["create configmaps/web-settings", "create deployments/web", "create services/web"];
    ensure!(created == expected, "what is needed first goes first: {writes:?}");
    is_theirs_again(story).await
}

pub async fn a_fix_while_it_is_created_again_wins(story: &mut Story) -> Result<()> {
    let mut policy = restoring();
    app::merge(&mut policy, json!({"verification": {"window": "20s"}}));
    story.stable(2, policy).await?;
    delete::<Deployment>(story, WEB).await?;
    // The target that it created is adopted by one more step.
    let adopted = |step: &Step| step.remediation == Remediation::HandBackFields && step.state == StepState::Done;
    let verifying = |journal: &Journal| journal.phase == Phase::Verifying && journal.steps.iter().any(adopted);
    story.recovery("to verify", verifying).await?;
    let before = story.workload_writes().await?.len();
    story.change::<Deployment>(WEB, app::new_image("v3-fixed")).await?;
    story.closed(Outcome::Superseded).await?;
    story.await_serving("v3-fixed", 2).await?;
    story.await_stable().await?;
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes.len() == before, "we wrote after the fix: {:?}", &writes[before..]);
    is_theirs_again(story).await
}

/// Somebody else creates it first: that one is theirs.
pub async fn a_person_who_creates_it_again_wins(story: &mut Story) -> Result<()> {
    story.stable(2, json!({})).await?;
    delete::<Deployment>(story, WEB).await?;
    story.recovery("to wait for approval", |journal| journal.phase == Phase::AwaitingApproval).await?;
    story.create::<Deployment>(app::deployment(WEB, "v3-fixed", 2)).await?;
    story.closed(Outcome::Superseded).await?;
    story.await_serving("v3-fixed", 2).await?;
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes.is_empty(), "{writes:?}");
    Ok(())
}

async fn by_kind<K>(story: &mut Story, kind: &str) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + serde::Serialize,
{
    story.start_operator(&[]).await?;
    story.create::<ConfigMap>(app::config_map("5s")).await?;
    story.create::<Service>(app::service()).await?;
    let mut workload = app::deployment(WEB, "v1", 2);
    workload["kind"] = json!(kind);
    match kind {
        "StatefulSet" => workload["spec"]["serviceName"] = json!(WEB),
        _ => drop(workload["spec"].as_object_mut().and_then(|spec| spec.remove("replicas"))),
    }
    story.create::<K>(workload).await?;
    let mut policy = app::policy(restoring());
    policy["spec"]["targetRef"]["kind"] = json!(kind);
    story.create::<RecoveryPolicy>(policy).await?;
    story.await_stable().await?;
    delete::<K>(story, WEB).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    let steps: Vec<_> = recovery.journal().steps.iter().map(|step| step.remediation).collect();
    ensure!(steps == [Remediation::RecreateWorkload, Remediation::HandBackFields], "{steps:?}");
    let after = story.api::<K>().get(WEB).await?;
    ensure!(after.meta().uid.as_ref() == Some(&recovery.journal().target.uid), "the journal speaks of another object");
    story.nothing_is_owned_by_us(&[&format!("{}/web", kind.to_lowercase())]).await
}

pub async fn a_deleted_stateful_set_is_created_again(story: &mut Story) -> Result<()> {
    by_kind::<StatefulSet>(story, "StatefulSet").await
}

pub async fn a_deleted_daemon_set_is_created_again(story: &mut Story) -> Result<()> {
    by_kind::<DaemonSet>(story, "DaemonSet").await
}

/// Also after the operator was started anew, which knows of the target only from its journal.
pub async fn by_default_the_plan_waits_for_approval(story: &mut Story) -> Result<()> {
    story.stable(2, json!({})).await?;
    delete::<Deployment>(story, WEB).await?;
    let waiting = |journal: &Journal| journal.phase == Phase::AwaitingApproval;
    let recovery = story.recovery("to wait for approval", waiting).await?;
    ensure!(story.workload_writes().await?.is_empty(), "something was written before the approval");
    story.kill_operator().await?;
    story.start_operator(&[]).await?;
    let plan_digest = recovery.journal().decision.plan_digest.clone();
    let approval = Approval { decision: ApprovalDecision::Approve, plan_digest };
    let name = recovery.metadata.name.context("a Recovery without a name")?;
    story.change::<Recovery>(&name, json!({"spec": {"approval": approval}})).await?;
    story.closed(Outcome::Recovered).await?;
    story.await_serving("v1", 2).await?;
    is_theirs_again(story).await
}

pub async fn what_was_scaled_to_zero_before_stays_deleted(story: &mut Story) -> Result<()> {
    story.stable(2, restoring()).await?;
    story.change::<Deployment>(WEB, json!({"spec": {"replicas": 0}})).await?;
    let asleep = |status: &homeostat::api::RecoveryPolicyStatus| {
        status.conditions.iter().any(|condition| condition.reason == Reason::ScaledToZero.as_str())
    };
    story.policy("to see that nothing is wanted", asleep).await?;
    delete::<Deployment>(story, WEB).await?;
    let held = |journal: &Journal| journal.phase == Phase::Holding && journal.reason == Reason::DeletionIntended;
    story.recovery("to be held because the deletion was meant", held).await?;
    let writes = story.workload_writes().await?;
    ensure!(writes.is_empty(), "{:?}", lines(&writes));
    Ok(())
}

/// A namespace that goes takes the target with it, sooner or later than the policy: nothing is created there.
pub async fn in_a_namespace_that_is_deleted_nothing_is_created(story: &mut Story) -> Result<()> {
    story.stable(2, restoring()).await?;
    // Somebody's finalizer keeps the namespace going for as long as we look.
    story.change::<ConfigMap>(SETTINGS, json!({"metadata": {"finalizers": ["story.test/wait"]}})).await?;
    story.cluster.kubectl(&["delete", "namespace", story.namespace.name(), "--wait=false"]).await?;
    eventually("the target to be gone", SOON, async || {
        let found = story.api::<Deployment>().get_opt(WEB).await?;
        ensure!(found.is_none(), "it is there");
        Ok(())
    })
    .await?;
    let policy = async || {
        let found = story.api::<RecoveryPolicy>().get_opt(WEB).await?;
        ensure!(found.is_none(), "it is there");
        Ok(())
    };
    eventually("the policy to be gone", SOON, policy).await?;
    let writes = story.workload_writes().await?;
    ensure!(writes.iter().all(|write| write.verb != "create"), "{:?}", lines(&writes));
    story.change::<ConfigMap>(SETTINGS, json!({"metadata": {"finalizers": null}})).await.map(drop)
}

/// So many writes are made to create the target and its ConfigMap again, records of ours included.
const WRITES: usize = 8;

pub fn kills() -> Vec<Tale> {
    crate::kills("deletion::killed_after_write_{n}_of_its_saga_the_end_is_the_same", WRITES, killed_after)
}

async fn killed_after(story: &mut Story, n: usize) -> Result<()> {
    // Through a Service the pods of what was deleted serve until the garbage collector comes to them: its deletion looks
    // meant so long, and after a kill nothing is known any more by which to think again.
    story.deploy("v1", 2, restoring()).await?;
    delete::<Service>(story, WEB).await?;
    story.start_operator(&[]).await?;
    story.await_stable().await?;
    delete::<ConfigMap>(story, SETTINGS).await?;
    let hold = story.proxy.hold_after_write_of_incident(n);
    delete::<Deployment>(story, WEB).await?;
    let held = hold.reached(SOON).await;
    held.with_context(|| format!("a recovery that is never killed has fewer than {n} writes"))?;
    story.kill_operator().await?;
    story.start_operator(&[]).await?;
    story.closed(Outcome::Recovered).await?;
    story.await_serving("v1", 2).await?;
    let writes = lines(&story.workload_writes().await?);
    for line in ["create deployments/web", "create configmaps/web-settings"] {
        let times = writes.iter().filter(|write| *write == line).count();
        ensure!(times == 1, "{line} {times} times: {writes:?}");
    }
    is_theirs_again(story).await
}
