//! The patient with its configuration, Service and policy, and the client that asks it all the time.

use std::fmt;

use anyhow::{Context, Result, ensure};
use cluster::eventually;
use homeostat::api::RecoveryPolicy;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::api::ListParams;
use serde_json::{Value, json};

use super::{SOON, Story, app};

pub const WEB: &str = app::WEB;
pub const SETTINGS: &str = app::SETTINGS;

/// What the client counted.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub good: u64,
    pub bad: u64,
}

impl Counts {
    pub fn since(&self, before: &Self) -> Self {
        Self { good: self.good - before.good, bad: self.bad - before.bad }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} good and {} bad answers", self.good, self.bad)
    }
}

/// Everything is there, and the client gets good answers. `policy` changes the policy's spec, `web` the Deployment.
pub async fn open(story: &Story, policy: Value, web: Value) -> Result<()> {
    story.create::<ConfigMap>(json!({"metadata": {"name": SETTINGS}, "data": {"mode": "ok"}})).await?;
    let service = story.create::<Service>(app::service()).await?;
    let mut deployment = deployment();
    app::merge(&mut deployment, web);
    story.create::<Deployment>(deployment).await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip).context("the Service has no address")?;
    story.create::<Deployment>(client(&address)).await?;
    let mut spec = json!({"stability": {"soak": "5s"}, "verification": {"window": "3s"}, "limits": {"cooldown": "1s"}});
    app::merge(&mut spec, policy);
    story.create::<RecoveryPolicy>(app::policy(spec)).await?;
    serves(story).await
}

/// Sets a fault of a patient by hand, over its configuration; `none` takes it back.
pub async fn set_fault(story: &Story, pod: &Pod, mode: &str) -> Result<()> {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("a pod has no address")?;
    let ask = format!("curl --silent --fail --max-time 2 -X POST http://{address}:8080/fault/{mode}");
    story.cluster.run_inside("sh", &["-c", &ask]).await.map(drop)
}

fn pod(app: &str, container: Value, volumes: Value) -> Value {
    json!({
        "replicas": if app == WEB { 2 } else { 1 },
        "selector": {"matchLabels": {"app": app}},
        "template": {
            "metadata": {"labels": {"app": app}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [container],
                "volumes": volumes,
            },
        },
    })
}

fn unprivileged() -> Value {
    json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}})
}

/// The Deployment of the patient.
pub fn deployment() -> Value {
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": 8080}, "periodSeconds": 1});
    let container = json!({
        "name": "web",
        "image": "homeostat.test/patient:1",
        "args": ["serve"],
        "securityContext": unprivileged(),
        "readinessProbe": probe("/ready"),
        "livenessProbe": probe("/live"),
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/patient"}],
    });
    let volumes = json!([{"name": "settings", "configMap": {"name": SETTINGS}}]);
    json!({"metadata": {"name": WEB}, "spec": pod(WEB, container, volumes)})
}

fn client(address: &str) -> Value {
    let container = json!({
        "name": "client",
        "image": "homeostat.test/patient:1",
        "args": ["client", "--target", format!("{address}:80")],
        "securityContext": unprivileged(),
    });
    json!({"metadata": {"name": "client"}, "spec": pod("client", container, json!([]))})
}

/// Another image, as a JSON merge patch; it names the container's other fields, which the merge would drop.
pub fn new_image(image: &str) -> Value {
    let mut container = deployment()["spec"]["template"]["spec"]["containers"][0].clone();
    container["image"] = json!(image);
    json!({"spec": {"template": {"spec": {"containers": [container]}}}})
}

/// What the client counted so far.
pub async fn counts(story: &Story) -> Result<Counts> {
    let pods = story.api::<Pod>().list(&ListParams::default().labels("app=client")).await?.items;
    let address =
        pods.iter().find_map(|pod| pod.status.as_ref()?.pod_ip.clone()).context("the client has no address")?;
    let ask = format!("curl --silent --fail --max-time 2 http://{address}:8081/counts");
    let text = story.cluster.run_inside("sh", &["-c", &ask]).await?;
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["good", good, "bad", bad] => Ok(Counts { good: good.parse()?, bad: bad.parse()? }),
        _ => anyhow::bail!("the client said {text:?}"),
    }
}

/// Waits until the client gets ten good answers and no bad one.
pub async fn serves(story: &Story) -> Result<()> {
    eventually("the client to get good answers only", SOON, async || {
        let before = counts(story).await?;
        let after = eventually("ten more answers", SOON, async || {
            let now = counts(story).await?;
            ensure!(now.good + now.bad >= before.good + before.bad + 10, "{now}");
            anyhow::Ok(now)
        })
        .await?;
        let seen = after.since(&before);
        ensure!(seen.bad == 0, "{seen}");
        Ok(())
    })
    .await
}
