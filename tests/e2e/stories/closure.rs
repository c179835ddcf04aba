//! What belongs to a workload beside its template and its ConfigMaps is put back as well, each kind by its own rules.

use anyhow::{Context, Result, ensure};
use cluster::eventually;
use homeostat::api::recovery::Remedy;
use homeostat::api::{Journal, Outcome, Phase, Reason, Recovery, RecoveryPolicyStatus, StableState};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ResourceQuota, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Resource;
use kube::api::DeleteParams;
use kube::core::NamespaceResourceScope;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Tale;
use crate::story::app::{self, SETTINGS, WEB};
use crate::story::{SOON, Story, lines};

/// The ServiceAccount in whose name guard rails are written.
pub(super) const MENDER: &str = "mender";

/// What an application of some size brings along, beside what every story has.
fn surroundings() -> [Value; 8] {
    let selector = json!({"matchLabels": {"app": WEB}});
    [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "shop"},
            "automountServiceAccountToken": false}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "shop"},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]}),
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "shop"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "shop"},
            "subjects": [{"kind": "ServiceAccount", "name": "shop"}]}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "shop"},
            "spec": {"podSelector": selector, "ingress": [{}], "policyTypes": ["Ingress"]}}),
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "shop"},
            "spec": {"hard": {"pods": "20"}}}),
        json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "shop"},
            "spec": {"limits": [{"type": "PersistentVolumeClaim", "max": {"storage": "8Gi"}}]}}),
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": WEB},
            "spec": {"minAvailable": 1, "selector": selector}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": WEB},
            "spec": {"defaultBackend": {"service": {"name": WEB, "port": {"number": 80}}}}}),
    ]
}

fn autoscaler(most: i32) -> Value {
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": WEB}, "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": WEB},
        "minReplicas": 2, "maxReplicas": most,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 80}}}]}})
}

/// The application with everything around it, in the only stable state that it earns.
pub(super) async fn stable(story: &mut Story, policy: Value) -> Result<StableState> {
    for object in surroundings() {
        story.apply(object).await?;
    }
    story.apply(autoscaler(4)).await?;
    story.start_operator(&[]).await?;
    let mut deployment = app::deployment(WEB, "v1", 2);
    deployment["spec"]["template"]["spec"]["serviceAccountName"] = json!("shop");
    story.create::<ConfigMap>(app::config_map("5s")).await?;
    story.create::<Service>(app::service()).await?;
    story.create::<Deployment>(deployment).await?;
    story.create::<homeostat::api::RecoveryPolicy>(app::policy(policy)).await?;
    let state = story.await_stable().await?;
    story.earn_no_more().await?;
    Ok(state)
}

/// The policy may have its own ServiceAccount write guard rails.
pub(super) async fn with_mender(story: &Story) -> Result<()> {
    story.apply(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": MENDER}})).await?;
    story
        .apply(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": MENDER},
            "rules": [
                {"apiGroups": [""], "resources": ["resourcequotas"], "verbs": ["create", "patch", "delete"]},
                {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"],
                    "verbs": ["create", "patch", "delete"]},
                {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["rolebindings"], "verbs": ["create", "patch"]},
                {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "resourceNames": ["shop"],
                    "verbs": ["bind"]}]}))
        .await?;
    story
        .apply(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": MENDER},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": MENDER},
            "subjects": [{"kind": "ServiceAccount", "name": MENDER}]}))
        .await?;
    story.grant(&["capabilities.guardRails=true"]).await
}

pub(super) fn mending(guard_rails: &str) -> Value {
    json!({"closure": {"guardRails": guard_rails}, "serviceAccountName": MENDER})
}

async fn delete<K>(story: &Story, name: &str) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    story.api::<K>().delete(name, &DeleteParams::default()).await.map(drop).context("delete")
}

/// Plays an outage of every pod until `healed`; a fake kubelet cannot see what was broken.
pub(super) async fn outage(story: &Story, what: &str, healed: impl AsyncFn() -> Result<()>) -> Result<Recovery> {
    story.play(&story.pods(WEB).await?, Some("not-ready")).await?;
    eventually(what, SOON, healed).await?;
    story.play(&story.pods(WEB).await?, None).await?;
    story.closed(Outcome::Recovered).await
}

async fn change_everything(story: &Story) -> Result<()> {
    story.change::<ServiceAccount>("shop", json!({"automountServiceAccountToken": true})).await?;
    story.change::<Service>(WEB, json!({"spec": {"sessionAffinity": "ClientIP"}})).await?;
    story.change::<Ingress>(WEB, json!({"spec": {"ingressClassName": "other"}})).await?;
    story.change::<PodDisruptionBudget>(WEB, json!({"spec": {"minAvailable": 2}})).await?;
    story.change::<HorizontalPodAutoscaler>(WEB, json!({"spec": {"maxReplicas": 9}})).await.map(drop)
}

async fn as_it_was(story: &Story) -> Result<()> {
    let account = story.api::<ServiceAccount>().get("shop").await?.automount_service_account_token;
    let service = story.api::<Service>().get(WEB).await?.spec.and_then(|spec| spec.session_affinity);
    let ingress = story.api::<Ingress>().get(WEB).await?.spec.and_then(|spec| spec.ingress_class_name);
    let scale = story.api::<HorizontalPodAutoscaler>().get(WEB).await?.spec.max_replicas;
    let found = (account, service.as_deref(), ingress.as_deref(), scale);
    ensure!(found == (Some(false), Some("None"), None, 4), "{found:?}");
    Ok(())
}

pub async fn everything_that_was_changed_is_put_back(story: &mut Story) -> Result<()> {
    stable(story, json!({})).await?;
    change_everything(story).await?;
    let recovery = outage(story, "everything to be as it was", async || as_it_was(story).await).await?;
    ensure!(recovery.journal().decision.remedy == Remedy::Rollback, "{:?}", recovery.journal().decision);
    let writes = lines(&story.workload_writes().await?);
    let first = writes.first().map(String::as_str);
    ensure!(first == Some("patch serviceaccounts/shop"), "what is needed first goes first: {writes:?}");
    story.nothing_is_owned_by_us(&["serviceaccount/shop", "service/web", "ingress/web", "pdb/web", "hpa/web"]).await
}

/// The longest saga writes this often, records of ours included.
const WRITES: usize = 17;

pub fn kills() -> Vec<Tale> {
    crate::kills("closure::killed_after_write_{n}_of_the_longest_saga_the_end_is_the_same", WRITES, killed_after)
}

async fn killed_after(story: &mut Story, n: usize) -> Result<()> {
    stable(story, json!({})).await?;
    change_everything(story).await?;
    story.change::<ConfigMap>(SETTINGS, json!({"data": {"TIMEOUT": "never"}})).await?;
    // The status says so before the hold is set: from here on, every write belongs to the incident.
    story.policy("to see the change", |status| status.drift.as_ref().is_some_and(|d| d.distance != "0.00")).await?;
    let hold = story.proxy.hold_after_write(n);
    let bad = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": app::image("crash")}]}}}});
    story.change::<Deployment>(WEB, bad).await?;
    let held = hold.reached(SOON).await;
    held.with_context(|| format!("a recovery that is never killed has fewer than {n} writes"))?;
    story.kill_operator().await?;
    story.start_operator(&[]).await?;
    story.closed(Outcome::Recovered).await?;
    story.await_serving("v1", 2).await?;
    as_it_was(story).await?;
    let writes = story.workload_writes().await?;
    let restored = writes.iter().filter(|write| !write.touches("/metadata/managedFields"));
    let restored = lines(&restored.cloned().collect::<Vec<_>>());
    let expected = [
        "patch serviceaccounts/shop",
        "patch configmaps/web-settings",
        "patch deployments/web",
        "patch poddisruptionbudgets/web",
        "patch horizontalpodautoscalers/web",
        "patch services/web",
        "patch ingresses/web",
    ];
    ensure!(restored == expected, "each once, in this order: {restored:?}");
    ensure!(story.recoveries().await?.len() == 1, "more than one incident");
    story.nothing_is_owned_by_us(&["serviceaccount/shop", "service/web", "ingress/web", "pdb/web", "hpa/web"]).await
}

pub async fn everything_that_was_deleted_is_created_again(story: &mut Story) -> Result<()> {
    stable(story, json!({})).await?;
    let address = |service: Service| service.spec.and_then(|spec| spec.cluster_ip);
    let before = address(story.api::<Service>().get(WEB).await?);
    delete::<PodDisruptionBudget>(story, WEB).await?;
    delete::<HorizontalPodAutoscaler>(story, WEB).await?;
    delete::<ServiceAccount>(story, "shop").await?;
    // These two are a symptom: what goes after it is somebody's change in the middle of a recovery.
    tokio::try_join!(delete::<Service>(story, WEB), delete::<Ingress>(story, WEB))?;
    let recovery = story.closed(Outcome::Recovered).await?;
    ensure!(recovery.journal().symptom.reason == Reason::CutOff, "{:?}", recovery.journal().symptom);
    let after = address(story.api::<Service>().get(WEB).await?);
    ensure!(before == after, "the Service had {before:?} and has {after:?}");
    story.api::<Ingress>().get(WEB).await?;
    story.api::<PodDisruptionBudget>().get(WEB).await?;
    story.api::<HorizontalPodAutoscaler>().get(WEB).await?;
    story.api::<ServiceAccount>().get("shop").await?;
    story.nothing_is_owned_by_us(&["serviceaccount/shop", "service/web", "ingress/web", "pdb/web", "hpa/web"]).await
}

pub async fn an_autoscaler_that_was_added_is_deleted(story: &mut Story) -> Result<()> {
    story.stable(2, json!({})).await?;
    story.earn_no_more().await?;
    story.apply(autoscaler(2)).await?;
    outage(story, "the autoscaler to be gone", async || {
        let found = story.api::<HorizontalPodAutoscaler>().get_opt(WEB).await?;
        ensure!(found.is_none(), "it is there");
        Ok(())
    })
    .await
    .map(drop)
}

async fn ingress_rules(story: &Story) -> Result<Option<usize>> {
    let policy = story.api::<NetworkPolicy>().get("shop").await?;
    Ok(policy.spec.and_then(|spec| spec.ingress).map(|rules| rules.len()))
}

/// Everything is written with the rights of the policy's own account, which the audit log tells.
pub async fn guard_rails_are_put_back_with_the_rights_of_the_policys_account(story: &mut Story) -> Result<()> {
    with_mender(story).await?;
    stable(story, mending("Restore")).await?;
    story.change::<NetworkPolicy>("shop", json!({"spec": {"ingress": []}})).await?;
    story.change::<RoleBinding>("shop", json!({"subjects": []})).await?;
    story
        .apply(json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "added"},
        "spec": {"hard": {"pods": "1"}}}))
        .await?;
    outage(story, "the guard rails to be as they were", async || {
        let quota = story.api::<ResourceQuota>().get_opt("added").await?;
        let subjects = story.api::<RoleBinding>().get("shop").await?.subjects.map_or(0, |subjects| subjects.len());
        let found = (quota.is_some(), subjects, ingress_rules(story).await?);
        ensure!(found == (false, 1, Some(1)), "{found:?}");
        Ok(())
    })
    .await?;
    let user = cluster::service_account(story.namespace.name(), MENDER);
    let events = story.cluster.audit().await?;
    let impersonated = events
        .iter()
        .filter(|event| event.impersonated.as_ref() == Some(&user) && event.is_write() && event.succeeded());
    let mut written: Vec<_> = impersonated.map(|event| format!("{} {}", event.verb, event.resource)).collect();
    written.sort();
    written.dedup();
    let expected = ["delete resourcequotas", "patch networkpolicies", "patch rolebindings"];
    ensure!(written == expected, "{written:?}");
    Ok(())
}

pub async fn a_policys_account_can_do_no_more_than_its_rights(story: &mut Story) -> Result<()> {
    with_mender(story).await?;
    stable(story, mending("Restore")).await?;
    let widened = json!({"rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]});
    story.change::<Role>("shop", widened).await?;
    story.play(&story.pods(WEB).await?, Some("not-ready")).await?;
    let refused = |journal: &Journal| journal.phase == Phase::Holding && journal.reason == Reason::WriteRefused;
    let recovery = story.recovery("to be held because a write was refused", refused).await?;
    let message = &recovery.journal().message;
    ensure!(message.contains(MENDER) && message.contains("roles"), "it does not say who lacks which right: {message}");
    Ok(())
}

pub async fn hardening_since_survives_a_rollback(story: &mut Story) -> Result<()> {
    with_mender(story).await?;
    stable(story, mending("Restore")).await?;
    story.change::<NetworkPolicy>("shop", json!({"spec": {"ingress": []}})).await?;
    let bad = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": app::image("crash")}]}}}});
    story.change::<Deployment>(WEB, bad).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    ensure!(ingress_rules(story).await? != Some(1), "the hardening was taken back");
    let message = &recovery.journal().message;
    ensure!(message.contains("NetworkPolicy shop"), "it does not say what was left: {message}");
    let pods = story.api::<Pod>().list(&Default::default()).await?.items.len();
    ensure!(pods == 2, "{pods} pods");
    Ok(())
}

/// Pods run on with what they read at their start; what was changed since is no part of a stable state, whoever of us saw
/// the change, and goes back with a release that fails.
pub async fn what_no_pod_has_read_is_not_earned(story: &mut Story) -> Result<()> {
    let first = story.stable(2, json!({})).await?.metadata.name.context("a state without a name")?;
    story.change::<ConfigMap>(SETTINGS, json!({"data": {"TIMEOUT": "never"}})).await?;
    let unread = |status: &RecoveryPolicyStatus, ready: &str| {
        let told = status.conditions.iter().find(|condition| condition.type_ == "TargetHealthy");
        let message = told.map(|told| told.message.as_str()).unwrap_or_default();
        message.starts_with(ready) && message.contains("2 pods started before ConfigMap web-settings")
    };
    story.policy("to say what no pod has read", |status| unread(status, "2 of 2")).await?;
    story.kill_operator().await?;
    story.change::<Deployment>(WEB, json!({"spec": {"replicas": 3}})).await?;
    story.start_operator(&[]).await?;
    let again = |status: &RecoveryPolicyStatus| unread(status, "3 of 3") && status.stable_state == first;
    story.policy("to be told so by one that did not see the change", again).await?;
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    story.closed(Outcome::Recovered).await?;
    story.await_serving("v1", 3).await?;
    let map = story.api::<ConfigMap>().get(SETTINGS).await?.data.unwrap_or_default();
    ensure!(map.get("TIMEOUT").map(String::as_str) == Some("5s"), "{map:?}");
    Ok(())
}

/// Another workload serves with the ConfigMap as it is now: it is not put back from under it.
pub async fn a_config_map_that_others_serve_with_is_left_alone(story: &mut Story) -> Result<()> {
    story.stable(2, json!({})).await?;
    story.create::<Deployment>(app::deployment("cart", "v1", 1)).await?;
    eventually("the other workload to serve", SOON, async || {
        let status = story.api::<Deployment>().get("cart").await?.status.unwrap_or_default();
        ensure!(status.available_replicas == Some(1), "{:?} available", status.available_replicas);
        Ok(())
    })
    .await?;
    story.change::<ConfigMap>(SETTINGS, json!({"data": {"TIMEOUT": "1s"}})).await?;
    story.play(&story.pods(WEB).await?, Some("crash")).await?;
    let contested = |journal: &Journal| journal.phase == Phase::Holding && journal.reason == Reason::Contested;
    let recovery = story.recovery("to be held because of the other workload", contested).await?;
    let message = &recovery.journal().message;
    ensure!(message.contains("Deployment cart") && message.contains(SETTINGS), "{message}");
    let writes = story.workload_writes().await?;
    ensure!(writes.is_empty(), "{:?}", lines(&writes));
    Ok(())
}
