//! What Pod Security admits into the namespace: a guard rail on the namespace itself, which real admission enforces here.

use anyhow::{Context, Result, ensure};
use cluster::eventually;
use homeostat::api::recovery::{Approval, ApprovalDecision, Remedy};
use homeostat::api::{Journal, Outcome, Phase, Reason, Recovery};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::closure::{MENDER, mending, with_mender};
use crate::story::app::WEB;
use crate::story::{OWNER, SOON, Story, lines};

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

async fn enforce(story: &Story, level: Option<&str>) -> Result<()> {
    let parameters = PatchParams { field_manager: Some(OWNER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"metadata": {"labels": {ENFORCE: level}}}));
    let namespaces: Api<Namespace> = Api::all(story.cluster.client());
    namespaces.patch(story.namespace.name(), &parameters, &patch).await.map(drop).context("label the namespace")
}

async fn enforced(story: &Story) -> Result<Option<String>> {
    let namespaces: Api<Namespace> = Api::all(story.cluster.client());
    let labels = namespaces.get(story.namespace.name()).await?.metadata.labels;
    Ok(labels.and_then(|mut labels| labels.remove(ENFORCE)))
}

/// The account may change the namespace as well: what it may be granted by a Role in that namespace.
async fn with_mender_of_the_namespace(story: &Story) -> Result<()> {
    with_mender(story).await?;
    let metadata = json!({"name": "mender-of-the-namespace"});
    let group = "rbac.authorization.k8s.io";
    story
        .apply(json!({"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata,
            "rules": [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["patch"]}]}))
        .await?;
    story
        .apply(json!({"apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "mender-of-the-namespace"},
            "subjects": [{"kind": "ServiceAccount", "name": MENDER}]}))
        .await
}

/// Every write to a workload was that of the namespace's labels, in the name of the policy's account.
async fn only_the_namespace_was_written(story: &Story) -> Result<()> {
    let mut writes = story.workload_writes().await?;
    let own = format!("patch namespaces/{}", story.namespace.name());
    ensure!(!writes.is_empty() && lines(&writes).iter().all(|line| *line == own), "{:?}", lines(&writes));
    writes.retain(|write| write.touches("/metadata/labels"));
    ensure!(writes.len() == 1, "written {} times", writes.len());
    let user = cluster::service_account(story.namespace.name(), MENDER);
    let events = story.cluster.audit().await?;
    let in_its_name = events.iter().filter(|event| {
        event.resource == "namespaces" && event.impersonated.as_ref() == Some(&user) && event.succeeded()
    });
    ensure!(in_its_name.count() > 0, "nothing was written in the name of {user}");
    let shown = ["get", "namespace", story.namespace.name(), "--show-managed-fields", "-o", "yaml"];
    let fields = story.cluster.kubectl(&shown).await?;
    ensure!(!fields.contains("manager: homeostat"), "we still own fields of the namespace:\n{fields}");
    Ok(())
}

/// No kubelet here fails because a namespace admits more: the outage is played.
pub async fn a_namespace_that_was_opened_is_closed_again(story: &mut Story) -> Result<()> {
    with_mender_of_the_namespace(story).await?;
    enforce(story, Some("baseline")).await?;
    story.stable(2, mending("Restore")).await?;
    story.earn_no_more().await?;
    enforce(story, None).await?;
    story
        .policy("to say that parity is lost", |status| {
            let parts = status.drift.iter().flat_map(|drift| &drift.components);
            parts.into_iter().any(|part| part.name == "parity" && part.message.contains("enforce: more than baseline"))
        })
        .await?;
    story.play(&story.pods(WEB).await?, Some("not-ready")).await?;
    eventually("the namespace to be closed again", SOON, async || {
        let level = enforced(story).await?;
        ensure!(level.as_deref() == Some("baseline"), "{level:?}");
        Ok(())
    })
    .await?;
    story.play(&story.pods(WEB).await?, None).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    ensure!(recovery.journal().decision.remedy == Remedy::RestoreGuardRails, "{:?}", recovery.journal().decision);
    only_the_namespace_was_written(story).await
}

/// Admission refuses the successor of a pod. The policy would restore, and waits all the same.
pub async fn a_namespace_that_was_tightened_is_opened_by_a_person_only(story: &mut Story) -> Result<()> {
    with_mender_of_the_namespace(story).await?;
    story.stable(2, mending("Restore")).await?;
    story.earn_no_more().await?;
    enforce(story, Some("restricted")).await?;
    let pods = story.pods(WEB).await?;
    let name = pods.first().and_then(|pod| pod.metadata.name.as_deref()).context("no pod")?;
    story.api::<Pod>().delete(name, &DeleteParams::default()).await?;
    let waiting = |journal: &Journal| journal.phase == Phase::AwaitingApproval;
    let recovery = story.recovery("to wait for approval", waiting).await?;
    let decision = &recovery.journal().decision;
    ensure!(decision.remedy == Remedy::RestoreGuardRails, "{decision:?}");
    ensure!(decision.message.contains("allowed again by it: Namespace"), "{}", decision.message);
    let writes = story.workload_writes().await?;
    ensure!(writes.is_empty(), "written before the approval: {:?}", lines(&writes));
    let approval = Approval { decision: ApprovalDecision::Approve, plan_digest: decision.plan_digest.clone() };
    let name = recovery.metadata.name.clone().context("a Recovery without a name")?;
    story.change::<Recovery>(&name, json!({"spec": {"approval": approval}})).await?;
    story.closed(Outcome::Recovered).await?;
    let level = enforced(story).await?;
    ensure!(level.is_none(), "{level:?}");
    only_the_namespace_was_written(story).await?;
    story.await_serving("v1", 2).await
}

/// The policy's account has its rights, and not that one.
pub async fn an_account_that_may_not_change_the_namespace_is_told(story: &mut Story) -> Result<()> {
    with_mender(story).await?;
    enforce(story, Some("baseline")).await?;
    story.stable(2, mending("Restore")).await?;
    story.earn_no_more().await?;
    enforce(story, None).await?;
    story.play(&story.pods(WEB).await?, Some("not-ready")).await?;
    let refused = |journal: &Journal| journal.phase == Phase::Holding && journal.reason == Reason::WriteRefused;
    let recovery = story.recovery("to be held because a write was refused", refused).await?;
    let message = &recovery.journal().message;
    ensure!(message.contains(MENDER) && message.contains("namespaces"), "it does not say which right: {message}");
    ensure!(enforced(story).await?.is_none(), "the label was written");
    let writes: Vec<Value> = story.workload_writes().await?.into_iter().map(|write| write.body).collect();
    ensure!(writes.is_empty(), "{writes:?}");
    Ok(())
}
