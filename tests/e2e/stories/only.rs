//! A single thing was changed, deleted or added, and it is no workload and no ConfigMap that pods refer to: just that is put
//! back, and nothing else is written.

use anyhow::{Context, Result, ensure};
use cluster::eventually;
use homeostat::api::recovery::{Approval, ApprovalDecision, Remedy};
use homeostat::api::{Journal, Outcome, Phase, Reason, Recovery};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ResourceQuota, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::closure::{mending, outage, stable, with_mender};
use crate::Tale;
use crate::story::app::{self, WEB};
use crate::story::{SOON, Story, lines};

/// What somebody did to a guard rail.
#[derive(Clone, Copy, Debug)]
enum Meddling {
    ChangedNetworkPolicy,
    AddedNetworkPolicy,
    ChangedRoleBinding,
    ChangedQuota,
    AddedQuota,
}

impl Meddling {
    const ALL: [Self; 5] = [
        Self::ChangedNetworkPolicy,
        Self::AddedNetworkPolicy,
        Self::ChangedRoleBinding,
        Self::ChangedQuota,
        Self::AddedQuota,
    ];

    const fn title(self) -> &'static str {
        match self {
            Self::ChangedNetworkPolicy => "a_changed_network_policy",
            Self::AddedNetworkPolicy => "an_added_network_policy",
            Self::ChangedRoleBinding => "a_changed_role_binding",
            Self::ChangedQuota => "a_changed_quota",
            Self::AddedQuota => "an_added_quota",
        }
    }

    /// The one write that undoes it.
    const fn remedy(self) -> &'static str {
        match self {
            Self::ChangedNetworkPolicy => "patch networkpolicies/shop",
            Self::AddedNetworkPolicy => "delete networkpolicies/added",
            Self::ChangedRoleBinding => "patch rolebindings/shop",
            Self::ChangedQuota => "patch resourcequotas/shop",
            Self::AddedQuota => "delete resourcequotas/added",
        }
    }

    async fn meddle(self, story: &Story) -> Result<()> {
        match self {
            Self::ChangedNetworkPolicy => {
                story.change::<NetworkPolicy>("shop", json!({"spec": {"ingress": []}})).await.map(drop)
            }
            Self::AddedNetworkPolicy => {
                let spec = json!({"podSelector": {}, "policyTypes": ["Ingress"]});
                let kind = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"});
                added(story, kind, spec).await
            }
            Self::ChangedRoleBinding => story.change::<RoleBinding>("shop", json!({"subjects": []})).await.map(drop),
            Self::ChangedQuota => {
                story.change::<ResourceQuota>("shop", json!({"spec": {"hard": {"pods": "1"}}})).await.map(drop)
            }
            Self::AddedQuota => {
                added(story, json!({"apiVersion": "v1", "kind": "ResourceQuota"}), json!({"hard": {"pods": "1"}})).await
            }
        }
    }

    /// A quota is enforced here, and the pod that is deleted cannot be made anew. What is not is played.
    async fn enforced(self, story: &Story) -> Result<bool> {
        if !matches!(self, Self::ChangedQuota | Self::AddedQuota) {
            return Ok(false);
        }
        let pods = story.pods(WEB).await?;
        let name = pods.first().and_then(|pod| pod.metadata.name.as_deref()).context("no pod")?;
        story.api::<Pod>().delete(name, &DeleteParams::default()).await?;
        Ok(true)
    }

    async fn undone(self, story: &Story) -> Result<()> {
        let found = match self {
            Self::ChangedNetworkPolicy => {
                let spec = story.api::<NetworkPolicy>().get("shop").await?.spec;
                spec.and_then(|spec| spec.ingress).is_some_and(|rules| rules.len() == 1)
            }
            Self::AddedNetworkPolicy => story.api::<NetworkPolicy>().get_opt("added").await?.is_none(),
            Self::ChangedRoleBinding => story.api::<RoleBinding>().get("shop").await?.subjects.is_some(),
            Self::ChangedQuota => {
                let hard = story.api::<ResourceQuota>().get("shop").await?.spec.and_then(|spec| spec.hard);
                hard.is_some_and(|hard| hard.get("pods").is_some_and(|pods| pods.0 == "20"))
            }
            Self::AddedQuota => story.api::<ResourceQuota>().get_opt("added").await?.is_none(),
        };
        ensure!(found, "not yet");
        Ok(())
    }
}

async fn added(story: &Story, mut object: serde_json::Value, spec: serde_json::Value) -> Result<()> {
    app::merge(&mut object, json!({"metadata": {"name": "added"}, "spec": spec}));
    story.apply(object).await
}

/// Each guard rail, where the policy restores it and where it asks first.
pub fn guard_rails() -> Vec<Tale> {
    let each = Meddling::ALL.into_iter().flat_map(|meddling| [(meddling, false), (meddling, true)]);
    let tale = |(meddling, asked): (Meddling, bool)| {
        let how = if asked { "waits_for_the_approval_of_its_plan" } else { "is_put_back_where_the_policy_says_so" };
        Tale::new(format!("only::{}_{how}", meddling.title()), move |story| Box::pin(mended(story, meddling, asked)))
    };
    each.map(tale).collect()
}

async fn mended(story: &mut Story, meddling: Meddling, asked: bool) -> Result<()> {
    with_mender(story).await?;
    stable(story, mending(if asked { "Approve" } else { "Restore" })).await?;
    meddling.meddle(story).await?;
    let enforced = meddling.enforced(story).await?;
    if !enforced {
        story.play(&story.pods(WEB).await?, Some("not-ready")).await?;
    }
    if asked {
        approve(story).await?;
    }
    eventually("the guard rail to be as it was", SOON, async || meddling.undone(story).await).await?;
    if !enforced {
        story.play(&story.pods(WEB).await?, None).await?;
    }
    let recovery = story.closed(Outcome::Recovered).await?;
    ensure!(recovery.journal().decision.remedy == Remedy::RestoreGuardRails, "{:?}", recovery.journal().decision);
    only_written(story, meddling.remedy()).await?;
    story.await_serving("v1", 2).await
}

/// Whoever puts the guard rail back by hand needs no approval of anybody.
pub async fn a_fix_while_guard_rails_wait_for_approval_wins(story: &mut Story) -> Result<()> {
    with_mender(story).await?;
    stable(story, mending("Approve")).await?;
    Meddling::AddedNetworkPolicy.meddle(story).await?;
    story.play(&story.pods(WEB).await?, Some("not-ready")).await?;
    story.recovery("to wait for approval", |journal| journal.phase == Phase::AwaitingApproval).await?;
    story.api::<NetworkPolicy>().delete("added", &DeleteParams::default()).await?;
    story.play(&story.pods(WEB).await?, None).await?;
    story.closed(Outcome::Superseded).await?;
    story.await_serving("v1", 2).await?;
    story.await_stable().await?;
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes.is_empty(), "{writes:?}");
    Ok(())
}

/// Approval of another plan changes nothing; of this one, everything.
async fn approve(story: &Story) -> Result<()> {
    let waiting = |journal: &Journal| journal.phase == Phase::AwaitingApproval;
    let recovery = story.recovery("to wait for approval", waiting).await?;
    let name = recovery.metadata.name.clone().context("a Recovery without a name")?;
    let answer = async |plan_digest: String| {
        let approval = Approval { decision: ApprovalDecision::Approve, plan_digest };
        story.change::<Recovery>(&name, json!({"spec": {"approval": approval}})).await
    };
    answer("another-plan".into()).await?;
    story.policy("to be held", |status| format!("{:?}", status.state) == "Held").await?;
    ensure!(story.workload_writes().await?.is_empty(), "something was written before the approval");
    answer(recovery.journal().decision.plan_digest.clone()).await.map(drop)
}

pub async fn a_service_selector_is_put_back(story: &mut Story) -> Result<()> {
    story.stable(2, json!({})).await?;
    story.change::<Service>(WEB, json!({"spec": {"selector": {"app": "nobody"}}})).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    ensure!(recovery.journal().symptom.reason == Reason::CutOff, "{:?}", recovery.journal().symptom);
    only_written(story, "patch services/web").await?;
    story.nothing_is_owned_by_us(&["service/web"]).await
}

/// Every write to a workload was this one.
async fn only_written(story: &Story, expected: &str) -> Result<()> {
    let mut writes = lines(&story.workload_writes().await?);
    writes.dedup();
    ensure!(writes == [expected], "{writes:?}");
    Ok(())
}

/// As an autoscaler does that has metrics.
async fn scale(story: &Story, replicas: u32) -> Result<()> {
    let parameters = PatchParams { field_manager: Some("horizontal-pod-autoscaler".into()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    story.api::<Deployment>().patch_scale(WEB, &parameters, &patch).await.map(drop).context("scale")
}

async fn replicas(story: &Story) -> Result<Option<i32>> {
    Ok(story.api::<Deployment>().get(WEB).await?.spec.and_then(|spec| spec.replicas))
}

pub async fn an_autoscaler_that_went_to_its_most_is_put_back(story: &mut Story) -> Result<()> {
    stable(story, json!({})).await?;
    let greedy = json!({"spec": {"metrics": [{"type": "Resource", "resource": {"name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 5}}}]}});
    story.change::<HorizontalPodAutoscaler>(WEB, greedy).await?;
    scale(story, 4).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    ensure!(recovery.journal().symptom.reason == Reason::AtLimit, "{:?}", recovery.journal().symptom);
    only_written(story, "patch horizontalpodautoscalers/web").await?;
    ensure!(replicas(story).await? == Some(4), "its replicas are the autoscaler's");
    story.nothing_is_owned_by_us(&["hpa/web"]).await
}

/// Nobody owns the replicas meanwhile, and nobody but the autoscaler writes them afterwards.
pub async fn an_autoscaler_that_was_pointed_elsewhere_is_put_back(story: &mut Story) -> Result<()> {
    stable(story, json!({})).await?;
    let elsewhere = json!({"spec": {"scaleTargetRef": {"name": "nothing"}}});
    story.change::<HorizontalPodAutoscaler>(WEB, elsewhere).await?;
    scale(story, 3).await?;
    story.await_serving("v1", 3).await?;
    outage(story, "the autoscaler to scale it again", async || {
        let scaled = story.api::<HorizontalPodAutoscaler>().get(WEB).await?.spec.scale_target_ref.name;
        ensure!(scaled == WEB, "it scales {scaled}");
        Ok(())
    })
    .await?;
    only_written(story, "patch horizontalpodautoscalers/web").await?;
    ensure!(replicas(story).await? == Some(3), "its replicas were written");
    Ok(())
}

pub async fn a_config_map_that_only_the_policy_names_is_put_back(story: &mut Story) -> Result<()> {
    let flags = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "flags"}, "data": {"fast": "no"}});
    story.apply(flags).await?;
    story.stable(2, json!({"closure": {"include": [{"kind": "ConfigMap", "name": "flags"}]}})).await?;
    story.earn_no_more().await?;
    story.change::<ConfigMap>("flags", json!({"data": {"fast": "yes"}})).await?;
    outage(story, "the flags to be as they were", async || {
        let fast = story.api::<ConfigMap>().get("flags").await?.data.and_then(|mut data| data.remove("fast"));
        ensure!(fast.as_deref() == Some("no"), "{fast:?}");
        Ok(())
    })
    .await?;
    only_written(story, "patch configmaps/flags").await?;
    story.nothing_is_owned_by_us(&["configmap/flags"]).await
}
