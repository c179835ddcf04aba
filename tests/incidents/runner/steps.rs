//! The steps of a file, carried out on the real API server in the name of the application's owner.

use std::net::TcpListener;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cluster::{Cut, PLAY, eventually};
use homeostat::api::RecoveryPolicy;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Service};
use kube::api::{Api, DeleteParams, DynamicObject, EvictParams, ListParams, Patch as KubePatch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery;
use serde_json::{Value, json};

use crate::file::{self, Cure, Fault, Label, Patch, Play, Ready, Step, Target, Wait, Web};
use crate::oracle;
use crate::story::app::{self, WEB};
use crate::story::{OWNER, SOON, Story, is_ready, shop};

/// How often it is looked whether the cause is gone.
const AGAIN: Duration = Duration::from_millis(200);

/// Carries out one step after the other. `operated` tells whether an operator runs: a baseline has none.
pub async fn take_all(story: &mut Story, what: &str, steps: &[Step], operated: bool) -> Result<()> {
    let mut held = None;
    for (number, step) in steps.iter().enumerate() {
        let place = || format!("{what}, step {}", number + 1);
        match step {
            Step::HoldAfterWrite(path) => held = operated.then(|| story.proxy.hold_after_write_to(path)),
            Step::KillHeld => {
                if let Some(hold) = held.take() {
                    hold.reached(SOON).await.with_context(place)?;
                    story.kill_operator().await?;
                    story.start_operator(&[]).await.with_context(place)?;
                }
            }
            step => take(story, step, operated).await.with_context(place)?,
        }
    }
    Ok(())
}

/// Carries out one step.
pub async fn take(story: &mut Story, step: &Step, operated: bool) -> Result<()> {
    match step {
        Step::Web(web) => deploy(story, web).await,
        Step::Shop(shop) => shop::open(story, plan(story, shop)?).await,
        Step::Standby(tag) => story.deploy_standby(tag, 2).await,
        Step::Apply(object) => apply(story, object).await,
        Step::Patch(patch) => change(story, patch).await,
        Step::Delete(target) => delete(story, target).await,
        Step::Scale(scale) => {
            story.change::<Deployment>(&scale.name, json!({"spec": {"replicas": scale.replicas}})).await.map(drop)
        }
        Step::Fault(fault) => play(story, fault).await,
        Step::Label(label) => put_labels(story, label).await,
        Step::Drain(node) => drain(story, node).await,
        Step::Cordon(node) => node_patch(story, node, json!({"spec": {"unschedulable": true}})).await,
        Step::Uncordon(node) => node_patch(story, node, json!({"spec": {"unschedulable": null}})).await,
        Step::StopNode(node) if story.cluster.kernel_name().is_some() => story.cluster.stop_node(number(node)?).await,
        Step::StartNode(node) if story.cluster.kernel_name().is_some() => story.cluster.start_node(number(node)?).await,
        Step::StopNode(node) => node_patch(story, node, json!({"metadata": {"labels": {PLAY: "not-ready"}}})).await,
        Step::StartNode(node) => node_patch(story, node, json!({"metadata": {"labels": {PLAY: null}}})).await,
        Step::Wait(wait) => await_condition(story, wait, operated).await,
        Step::KillOperator if operated => {
            story.kill_operator().await?;
            story.start_operator(&[]).await
        }
        Step::CutApi(seconds) if operated => {
            story.proxy.cut(Cut::Refuse);
            // How long it is cut is what the file says; there is no condition to wait for.
            tokio::time::sleep(Duration::from_secs(*seconds)).await;
            story.proxy.restore();
            Ok(())
        }
        Step::SilenceProvider if operated => story.silence_provider(),
        Step::SilenceProvider | Step::KillOperator | Step::CutApi(_) | Step::HoldAfterWrite(_) | Step::KillHeld => {
            Ok(())
        }
    }
}

fn plan(story: &Story, shop: &file::Shop) -> Result<shop::Shop> {
    let file::Shop { tiers, standby, policy, deployment, every, parallel } = shop.clone();
    let policy = filled(story, &policy)?;
    Ok(shop::Shop { tiers, standby, policy, web: filled(story, &deployment)?, every, parallel })
}

async fn deploy(story: &Story, web: &Web) -> Result<()> {
    let mut deployment = app::deployment(WEB, &web.tag, web.replicas);
    app::merge(&mut deployment, web.deployment.clone());
    story.create::<ConfigMap>(app::config_map("5s")).await?;
    story.create::<Service>(app::service()).await?;
    story.create::<Deployment>(deployment).await?;
    story.create::<RecoveryPolicy>(app::policy(web.policy.clone())).await.map(drop)
}

async fn apply(story: &Story, object: &Value) -> Result<()> {
    let parsed: DynamicObject = serde_json::from_value(filled(story, object)?).context("apply needs a whole object")?;
    let types = parsed.types.clone().context("apply needs apiVersion and kind")?;
    let name = parsed.metadata.name.clone().context("apply needs metadata.name")?;
    let api = dynamic(story, &types.api_version, &types.kind).await?;
    let parameters = PatchParams::apply(OWNER).force();
    api.patch(&name, &parameters, &KubePatch::Apply(&parsed)).await.map(drop).with_context(|| format!("apply {name}"))
}

async fn change(story: &Story, patch: &Patch) -> Result<()> {
    let api = dynamic(story, &patch.api_version, &patch.kind).await?;
    let manager = patch.manager.clone().unwrap_or_else(|| OWNER.to_owned());
    let parameters = PatchParams { field_manager: Some(manager), ..PatchParams::default() };
    let content = filled(story, &patch.patch)?;
    let body = match content {
        Value::Array(_) => KubePatch::Json(serde_json::from_value(content).context("a list of operations")?),
        _ if patch.by_name => KubePatch::Strategic(content),
        _ => KubePatch::Merge(content),
    };
    let changed = api.patch(&with_names(story, &patch.name)?, &parameters, &body).await;
    changed.map(drop).with_context(|| format!("patch {} {}", patch.kind, patch.name))
}

async fn delete(story: &Story, target: &Target) -> Result<()> {
    let api = dynamic(story, &target.api_version, &target.kind).await?;
    let deleted = api.delete(&with_names(story, &target.name)?, &DeleteParams::background()).await;
    deleted.map(drop).with_context(|| format!("delete {} {}", target.kind, target.name))
}

/// Puts in what a file cannot know: `${namespace}`, and `${silent}`, an address that takes connections and is silent.
pub fn with_names(story: &Story, text: &str) -> Result<String> {
    static SILENT: OnceLock<TcpListener> = OnceLock::new();
    let text = text.replace("${namespace}", story.namespace.name());
    if !text.contains("${silent}") {
        return Ok(text);
    }
    let listener = match SILENT.get() {
        Some(listener) => listener,
        None => {
            let bound = TcpListener::bind("127.0.0.1:0")?;
            SILENT.get_or_init(|| bound)
        }
    };
    Ok(text.replace("${silent}", &listener.local_addr()?.to_string()))
}

fn filled(story: &Story, value: &Value) -> Result<Value> {
    Ok(serde_json::from_str(&with_names(story, &value.to_string())?)?)
}

/// Objects of a kind that is known by name only; in the namespace of the story unless the kind has none.
pub async fn dynamic(story: &Story, api_version: &str, kind: &str) -> Result<Api<DynamicObject>> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let kind = GroupVersionKind::gvk(group, version, kind);
    let found = discovery::pinned_kind(&story.client(), &kind).await;
    let (resource, capabilities) = found.with_context(|| format!("{api_version} {} is not served", kind.kind))?;
    Ok(match capabilities.scope {
        discovery::Scope::Namespaced => Api::namespaced_with(story.client(), story.namespace.name(), &resource),
        discovery::Scope::Cluster => Api::all_with(story.client(), &resource),
    })
}

async fn play(story: &Story, fault: &Fault) -> Result<()> {
    let pods = chosen(story, &fault.app, fault.pods, fault.node.as_deref()).await?;
    let by_hand = match fault.fault {
        Play::Crash => Some("crash-after-0s"),
        Play::NotReady => Some("not-ready"),
        Play::Heal => Some("none"),
        Play::Unpullable | Play::Evicted | Play::Deleted => None,
    };
    // A real program is told; a fake kubelet plays.
    if let Some(mode) = by_hand.filter(|_| story.cluster.kernel_name().is_some()) {
        for pod in &pods {
            shop::set_fault(story, pod, mode).await?;
        }
        return Ok(());
    }
    match fault.fault {
        Play::Crash => story.play(&pods, Some("crash")).await,
        Play::NotReady => story.play(&pods, Some("not-ready")).await,
        Play::Heal => story.play(&pods, None).await,
        Play::Unpullable => {
            for pod in &pods {
                let spec = pod.spec.as_ref().context("a pod without spec")?;
                let containers = spec.containers.iter();
                let images: Vec<Value> =
                    containers.map(|c| json!({"name": c.name, "image": app::image("unpullable")})).collect();
                let patch = KubePatch::Strategic(json!({"spec": {"containers": images}}));
                story.api::<Pod>().patch(&name_of(pod), &PatchParams::default(), &patch).await?;
            }
            Ok(())
        }
        Play::Evicted => {
            let why = "The node was low on resource: memory.";
            let status = json!({"status": {"phase": "Failed", "reason": "Evicted", "message": why}});
            for pod in &pods {
                let patch = KubePatch::Merge(&status);
                story.api::<Pod>().patch_status(&name_of(pod), &PatchParams::default(), &patch).await?;
            }
            Ok(())
        }
        Play::Deleted => {
            for pod in &pods {
                story.api::<Pod>().delete(&name_of(pod), &DeleteParams::default()).await?;
            }
            Ok(())
        }
    }
}

/// So many pods of an app, by name; all if no number is given.
async fn chosen(story: &Story, app: &str, count: Option<usize>, node: Option<&str>) -> Result<Vec<Pod>> {
    let mut pods = story.pods(app).await?;
    pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    pods.retain(|pod| node.is_none() || on_node(pod) == node);
    pods.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let count = count.unwrap_or(pods.len());
    ensure!(count <= pods.len(), "{count} pods of {app} are meant, and there are {}", pods.len());
    pods.truncate(count);
    Ok(pods)
}

fn name_of(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

fn on_node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

async fn put_labels(story: &Story, label: &Label) -> Result<()> {
    let patch = KubePatch::Merge(json!({"metadata": {"labels": label.labels}}));
    for pod in chosen(story, &label.app, Some(label.pods), None).await? {
        story.api::<Pod>().patch(&name_of(&pod), &PatchParams::default(), &patch).await?;
    }
    Ok(())
}

async fn drain(story: &Story, node: &str) -> Result<()> {
    let pods = story.api::<Pod>().list(&ListParams::default()).await?;
    for pod in pods.iter().filter(|pod| on_node(pod) == Some(node)) {
        story.api::<Pod>().evict(&name_of(pod), &EvictParams::default()).await?;
    }
    Ok(())
}

/// Heals the pods as soon as the cause is gone.
pub async fn cure(story: &Story, cure: &Cure) -> Result<()> {
    while oracle::hold(story, std::slice::from_ref(&cure.when)).await.is_err() {
        tokio::time::sleep(AGAIN).await;
    }
    let pods = chosen(story, &cure.app, None, None).await?;
    story.play(&pods, None).await
}

/// The number in a node's name, as in `node-2`.
fn number(node: &str) -> Result<usize> {
    let digits = node.rsplit('-').next().unwrap_or_default();
    digits.parse().with_context(|| format!("{node} is not named like node-1"))
}

async fn node_patch(story: &Story, node: &str, patch: Value) -> Result<()> {
    let nodes: Api<Node> = Api::all(story.client());
    nodes.patch(node, &PatchParams::default(), &KubePatch::Merge(patch)).await.map(drop).context(node.to_owned())
}

async fn await_condition(story: &Story, wait: &Wait, operated: bool) -> Result<()> {
    match wait {
        Wait::Stable(policy) if operated => {
            eventually(&format!("policy {policy} to be Stable"), SOON, async || {
                let status = story.api::<RecoveryPolicy>().get(policy).await?.status.unwrap_or_default();
                let stable = format!("{:?}", status.state) == "Stable" && !status.stable_state.is_empty();
                ensure!(stable, "{}", serde_json::to_string(&status)?);
                Ok(())
            })
            .await
        }
        Wait::Stable(policy) => {
            let target = story.api::<RecoveryPolicy>().get(policy).await?.spec.target_ref.name;
            eventually(&format!("Deployment {target} to be available"), SOON, async || {
                let deployment = story.api::<Deployment>().get(&target).await?;
                let wanted = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
                let available = deployment.status.and_then(|status| status.available_replicas).unwrap_or(0);
                ensure!(available == wanted, "{available} of {wanted}");
                Ok(())
            })
            .await
        }
        Wait::Ready(ready) => eventually("ready pods", SOON, async || serving(story, ready).await).await,
        Wait::Unready(app) => {
            eventually(&format!("a pod of {app} that is not ready"), SOON, async || {
                match story.pods(app).await?.iter().all(is_ready) {
                    true => bail!("all are ready"),
                    false => Ok(()),
                }
            })
            .await
        }
        Wait::Recovery(reason) if operated => {
            story.recovery(&format!("with reason {reason}"), |journal| journal.reason == *reason).await.map(drop)
        }
        Wait::Recovery(_) => Ok(()),
        Wait::So(oracle) => {
            eventually("what the file waits for", SOON, async || {
                oracle::hold(story, std::slice::from_ref(oracle)).await
            })
            .await
        }
    }
}

/// An error unless exactly so many pods of an app are there, ready, and of the tag.
pub async fn serving(story: &Story, ready: &Ready) -> Result<()> {
    let pods: Vec<Pod> = story.pods(&ready.app).await?;
    let pods: Vec<Pod> = pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
    let image = ready.tag.as_deref().map(app::image);
    let of_tag = |pod: &&Pod| {
        let spec = pod.spec.as_ref().and_then(|spec| spec.containers.first()).and_then(|c| c.image.as_deref());
        image.is_none() || spec == image.as_deref()
    };
    let good = pods.iter().filter(|pod| is_ready(pod)).filter(of_tag).count();
    ensure!(good == ready.pods && pods.len() == ready.pods, "{good} good pods of {}, {}", ready.app, pods.len());
    Ok(())
}
