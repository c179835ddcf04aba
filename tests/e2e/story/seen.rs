//! What is so, by the API server and its audit log: never by the operator's word alone.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use cluster::{AuditEvent, PLAY, eventually, service_account};
use futures::future::try_join_all;
use homeostat::api::{Journal, Outcome, Phase, Recovery, RecoveryPolicy, StableState};
use homeostat::clock;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::app::{self, STANDBY, WEB};
use super::operator::ACCOUNT;
use super::{SOON, Story};

/// An acknowledged write of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// `create`, `patch`, …
    pub verb: String,
    /// Resource, with its subresource if there is one.
    pub resource: String,
    /// Name of the object.
    pub name: String,
    /// What was sent.
    pub body: Value,
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.verb, self.resource, self.name)
    }
}

impl Write {
    fn of(event: AuditEvent) -> Self {
        let resource = match event.subresource.as_str() {
            "" => event.resource,
            subresource => format!("{}/{subresource}", event.resource),
        };
        let body = event.request_body.unwrap_or_default();
        let created = body.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let name = if event.name.is_empty() { created } else { event.name };
        Self { verb: event.verb, resource, name, body }
    }

    /// Whether it is to a workload or what belongs to it: not to a record of ours.
    pub fn is_to_workload(&self) -> bool {
        let ours = ["recoveries", "recoverypolicies", "recoverybudgets", "stablestates"];
        let record = ours.iter().any(|kind| self.resource.starts_with(kind));
        // Copies, and the Secret with the key.
        let kept = ["configmaps", "secrets"].contains(&self.resource.as_str()) && self.name.starts_with("homeostat-");
        !record && !kept
    }

    /// Whether a JSON Patch of it touches this path.
    pub fn touches(&self, path: &str) -> bool {
        let operations = self.body.as_array().into_iter().flatten();
        operations.filter(|o| o["op"] != "test").any(|o| o["path"].as_str().is_some_and(|p| p.starts_with(path)))
    }
}

/// One line for each write, as in `patch deployments/web`.
pub fn lines(writes: &[Write]) -> Vec<String> {
    writes.iter().map(ToString::to_string).collect()
}

impl Story {
    /// Everything that this story's operator was allowed to write so far, in order; without its lease and its Events.
    pub async fn writes(&self) -> Result<Vec<Write>> {
        self.writes_that(AuditEvent::succeeded).await
    }

    /// The writes in the middle of which the operator died: each may have been stored or not.
    pub async fn writes_left_open(&self) -> Result<Vec<Write>> {
        self.writes_that(AuditEvent::left_open).await
    }

    /// The writes that lost a race with somebody else's, and changed nothing.
    pub async fn writes_lost(&self) -> Result<Vec<Write>> {
        self.writes_that(|event| matches!(event.code, 409 | 422)).await
    }

    async fn writes_that(&self, answered: impl Fn(&AuditEvent) -> bool) -> Result<Vec<Write>> {
        let events = self.cluster.audit_of(&service_account(self.namespace.name(), ACCOUNT)).await?;
        let found = events.into_iter().filter(|e| e.is_write() && !e.is_background() && answered(e));
        Ok(found.map(Write::of).collect())
    }

    /// Of those, the ones to workloads.
    pub async fn workload_writes(&self) -> Result<Vec<Write>> {
        Ok(self.writes().await?.into_iter().filter(Write::is_to_workload).collect())
    }

    /// An application `web` with `replicas` pods, its Service, its ConfigMap and its policy.
    pub async fn deploy(&self, tag: &str, replicas: u32, policy: Value) -> Result<()> {
        self.create::<ConfigMap>(app::config_map("5s")).await?;
        self.create::<Service>(app::service()).await?;
        self.create::<Deployment>(app::deployment(WEB, tag, replicas)).await?;
        self.create::<RecoveryPolicy>(app::policy(policy)).await?;
        Ok(())
    }

    /// A Deployment that can stand in for `web`.
    pub async fn deploy_standby(&self, tag: &str, replicas: u32) -> Result<()> {
        self.create::<Deployment>(app::deployment(STANDBY, tag, replicas)).await.map(drop)
    }

    /// Starts the operator, deploys the application, and waits until it has earned its stable state.
    pub async fn stable(&mut self, replicas: u32, policy: Value) -> Result<StableState> {
        self.start_operator(&[]).await?;
        self.deploy("v1", replicas, policy).await?;
        self.await_stable().await
    }

    /// Waits until the policy says that its target is in its stable state.
    pub async fn await_stable(&self) -> Result<StableState> {
        let policy = self.policy("to be Stable", |status| {
            format!("{:?}", status.state) == "Stable" && !status.stable_state.is_empty()
        });
        let name = policy.await?.status.unwrap_or_default().stable_state;
        Ok(self.api::<StableState>().get(&name).await?)
    }

    /// Nothing more earns a state from now on: what is changed stays a change, however long it takes to show.
    pub async fn earn_no_more(&self) -> Result<()> {
        let soak = json!({"spec": {"stability": {"soak": "1h"}}});
        let generation = self.change::<RecoveryPolicy>(WEB, soak).await?.metadata.generation;
        let seen = self.policy("to be seen as it is now", |status| Some(status.observed_generation) >= generation);
        seen.await.map(drop)
    }

    /// Waits until the policy's status is as expected.
    pub async fn policy(
        &self,
        what: &str,
        expected: impl Fn(&homeostat::api::RecoveryPolicyStatus) -> bool,
    ) -> Result<RecoveryPolicy> {
        eventually(&format!("the policy {what}"), SOON, async || {
            let policy = self.api::<RecoveryPolicy>().get(WEB).await?;
            match policy.status.as_ref().is_some_and(&expected) {
                true => Ok(policy),
                false => bail!("{}", serde_json::to_string(&policy.status)?),
            }
        })
        .await
    }

    /// All Recoveries of the story, oldest first.
    pub async fn recoveries(&self) -> Result<Vec<Recovery>> {
        let mut found = self.api::<Recovery>().list(&ListParams::default()).await?.items;
        found.sort_by_key(|recovery| recovery.journal().timeline.detected.as_ref().map(|at| at.0));
        Ok(found)
    }

    /// Waits until the newest Recovery is as expected.
    pub async fn recovery(&self, what: &str, expected: impl Fn(&Journal) -> bool) -> Result<Recovery> {
        eventually(&format!("a Recovery {what}"), SOON, async || {
            let newest = self.recoveries().await?.pop().context("there is none")?;
            match expected(newest.journal()) {
                true => Ok(newest),
                false => bail!("{}", serde_json::to_string(newest.journal())?),
            }
        })
        .await
    }

    /// Waits until the newest Recovery is closed, and checks its outcome.
    pub async fn closed(&self, outcome: Outcome) -> Result<Recovery> {
        let recovery = self.recovery("to be closed", |journal| journal.phase == Phase::Closed).await?;
        let journal = recovery.journal();
        ensure!(journal.outcome == Some(outcome), "outcome {:?}: {}", journal.outcome, journal.message);
        Ok(recovery)
    }

    /// An error if we own a field of one of these, each as `kubectl get` takes it.
    pub async fn nothing_is_owned_by_us(&self, objects: &[&str]) -> Result<()> {
        for object in objects {
            let shown = ["get", object, "-n", self.namespace.name(), "--show-managed-fields", "-o", "yaml"];
            let fields = self.cluster.kubectl(&shown).await?;
            ensure!(!fields.contains("manager: homeostat"), "we still own fields of {object}:\n{fields}");
        }
        Ok(())
    }

    /// The Deployment `web`.
    pub async fn web(&self) -> Result<Deployment> {
        Ok(self.api::<Deployment>().get(WEB).await?)
    }

    /// The image that the Deployment `web` asks for.
    pub async fn image(&self) -> Result<String> {
        let spec = self.web().await?.spec.and_then(|spec| spec.template.spec).context("no template")?;
        spec.containers.first().and_then(|container| container.image.clone()).context("no image")
    }

    /// Makes the pods of `web` anew, as `kubectl rollout restart` does.
    pub async fn restart(&self) -> Result<()> {
        let annotations = json!({"kubectl.kubernetes.io/restartedAt": clock::now().to_string()});
        let restarted = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        self.change::<Deployment>(WEB, restarted).await.map(drop)
    }

    /// Waits until every pod of `web` runs this tag, is ready and stays, and nothing of another revision is left.
    pub async fn await_serving(&self, tag: &str, replicas: usize) -> Result<()> {
        eventually(&format!("{replicas} ready pods of {tag}"), SOON, async || {
            let pods = self.pods(WEB).await?;
            let wanted = app::image(tag);
            let stays = |pod: &Pod| pod.metadata.deletion_timestamp.is_none() && image_of(pod) == Some(wanted.as_str());
            let good = pods.iter().filter(|pod| is_ready(pod) && stays(pod)).count();
            ensure!(good == replicas && pods.len() == replicas, "{good} of {} pods", pods.len());
            Ok(())
        })
        .await
    }

    /// The pods with the label of this application.
    pub async fn pods(&self, app: &str) -> Result<Vec<Pod>> {
        Ok(self.api::<Pod>().list(&ListParams::default().labels(&format!("app={app}"))).await?.items)
    }

    /// Lets pods play a fault (`crash`, `not-ready`), or heals them, all at once: one after the other would be another story.
    /// Stands in for what a fake kubelet cannot do.
    pub async fn play(&self, pods: &[Pod], fault: Option<&str>) -> Result<()> {
        let patch = Patch::Merge(json!({"metadata": {"labels": {PLAY: fault}}}));
        let played = pods.iter().map(async |pod| {
            let name = pod.metadata.name.clone().unwrap_or_default();
            match self.api::<Pod>().patch(&name, &PatchParams::default(), &patch).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                played => played.map(drop),
            }
        });
        Ok(try_join_all(played).await.map(drop)?)
    }
}

/// Whether a pod's Ready condition is true.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn image_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.containers.first()?.image.as_deref()
}
