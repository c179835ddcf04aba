//! The shop: the patient with its configuration, Service and policy, and the client that asks it all the time. With
//! three tiers the patient `web` is the front, which calls `api`, which calls `store`, each by the name of its Service.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::eventually;
use homeostat::api::RecoveryPolicy;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::{OWNER, SOON, Story, app};

pub const WEB: &str = app::WEB;
pub const SETTINGS: &str = app::SETTINGS;
/// The tiers behind the front, and the Secret with the password that the one tells the other.
pub const API: &str = "api";
pub const STORE: &str = "store";
const LOGIN: &str = "store-login";
const PASSWORD: &str = "right";

/// What is to be there.
#[derive(Clone, Debug)]
pub struct Shop {
    /// Whether there are tiers behind the front.
    pub tiers: bool,
    /// How many copies stand by, as `web-standby`.
    pub standby: u32,
    /// Changes to the policy's spec.
    pub policy: Value,
    /// Changes to the front's Deployment; lists of things with names are merged by name.
    pub web: Value,
    /// Milliseconds between two questions of the client, and how many it asks side by side.
    pub every: u64,
    pub parallel: u32,
}

impl Default for Shop {
    fn default() -> Self {
        Self { tiers: false, standby: 0, policy: json!({}), web: json!({}), every: 20, parallel: 1 }
    }
}

/// What the client counted.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub good: u64,
    pub bad: u64,
    /// Bad ones among the last answers.
    pub recently: u64,
    /// How long ago the last bad answer came; `None` if there was none.
    pub last_bad: Option<Duration>,
}

impl Counts {
    pub fn since(&self, before: &Self) -> Self {
        Self { good: self.good - before.good, bad: self.bad - before.bad, ..*self }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} good and {} bad answers", self.good, self.bad)?;
        match self.good + self.bad {
            0 => Ok(()),
            all => write!(f, ", {}.{} % good", self.good * 100 / all, self.good * 1000 / all % 10),
        }
    }
}

/// Everything is there, and the client gets good answers.
pub async fn open(story: &Story, shop: Shop) -> Result<()> {
    if shop.tiers {
        open_tiers(story).await?;
    }
    let mut front = deployment(WEB, shop.tiers.then_some(API));
    if shop.standby > 0 {
        let labels = json!({"app": app::STANDBY});
        let mut standby = front.clone();
        let selector = json!({"matchLabels": labels});
        let spec =
            json!({"replicas": shop.standby, "selector": selector, "template": {"metadata": {"labels": labels}}});
        app::merge(&mut standby, json!({"metadata": {"name": app::STANDBY}, "spec": spec}));
        story.create::<Deployment>(standby).await?;
    }
    app::merge_by_name(&mut front, shop.web);
    let address = tier(story, WEB, front).await?;
    story.create::<Deployment>(client(&address, shop.every, shop.parallel)).await?;
    let mut spec = json!({"stability": {"soak": "5s"}, "verification": {"window": "3s"}, "limits": {"cooldown": "1s"}});
    app::merge(&mut spec, shop.policy);
    story.create::<RecoveryPolicy>(app::policy(spec)).await?;
    serves(story).await?;
    if story.is_measured() {
        story.cluster.scrape(story.namespace.name(), &[format!("{}:8081", client_address(story).await?)])?;
    }
    Ok(())
}

/// The tiers behind the front. `api` is ready only as long as `store` answers, and reads the password for it from a
/// mounted Secret.
async fn open_tiers(story: &Story) -> Result<()> {
    let mut store = deployment(STORE, None);
    let accepts = json!({"name": STORE, "env": [{"name": "ACCEPTS", "value": PASSWORD}]});
    app::merge_by_name(&mut store, json!({"spec": {"replicas": 1, "template": {"spec": {"containers": [accepts]}}}}));
    tier(story, STORE, store).await?;
    let login = json!({"metadata": {"name": LOGIN}, "stringData": {"password": PASSWORD}});
    story.create::<Secret>(login).await?;
    let mut api = deployment(API, Some(STORE));
    let container = json!({
        "name": API,
        "args": ["serve", "--login", "/etc/login"],
        "env": [{"name": "READY", "value": "with-dependency"}],
        "volumeMounts": [{"name": "login", "mountPath": "/etc/login"}],
    });
    let volume = json!({"name": "login", "secret": {"secretName": LOGIN}});
    let pod = json!({"containers": [container], "volumes": [volume]});
    app::merge_by_name(&mut api, json!({"spec": {"template": {"spec": pod}}}));
    tier(story, API, api).await.map(drop)
}

/// A Deployment with its configuration and its Service; gives the Service's address.
async fn tier(story: &Story, name: &str, deployment: Value) -> Result<String> {
    let settings = json!({"metadata": {"name": format!("{name}-settings")}, "data": {"mode": "ok"}});
    story.create::<ConfigMap>(settings).await?;
    let service = story.create::<Service>(app::service_of(name)).await?;
    story.create::<Deployment>(deployment).await?;
    service.spec.and_then(|spec| spec.cluster_ip).context("the Service has no address")
}

/// Sets a fault of a patient by hand, over its configuration; `none` takes it back.
pub async fn set_fault(story: &Story, pod: &Pod, mode: &str) -> Result<()> {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).context("a pod has no address")?;
    let ask = format!("curl --silent --fail --max-time 2 -X POST http://{address}:8080/fault/{mode}");
    story.cluster.run_inside("sh", &["-c", &ask]).await.map(drop)
}

fn pod(app: &str, container: Value, volumes: Value) -> Value {
    json!({
        "replicas": if app == "client" { 1 } else { 2 },
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

/// A Deployment of the patient; `calls` is the tier that it depends on.
pub fn deployment(name: &str, calls: Option<&str>) -> Value {
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": 8080}, "periodSeconds": 1});
    let mut container = json!({
        "name": name,
        "image": "homeostat.test/patient:1",
        "args": ["serve"],
        "securityContext": unprivileged(),
        "readinessProbe": probe("/ready"),
        "livenessProbe": probe("/live"),
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/patient"}],
    });
    if let Some(calls) = calls {
        container["env"] = json!([{"name": "CALLS", "value": format!("{calls}:80")}]);
    }
    let volumes = json!([{"name": "settings", "configMap": {"name": format!("{name}-settings")}}]);
    json!({"metadata": {"name": name}, "spec": pod(name, container, volumes)})
}

fn client(address: &str, every: u64, parallel: u32) -> Value {
    let (every, parallel) = (every.to_string(), parallel.to_string());
    let container = json!({
        "name": "client",
        "image": "homeostat.test/patient:1",
        "args": ["client", "--target", format!("{address}:80"), "--every", every, "--parallel", parallel],
        "securityContext": unprivileged(),
    });
    let mut client = json!({"metadata": {"name": "client"}, "spec": pod("client", container, json!([]))});
    // The nodes that files stop are others.
    client["spec"]["template"]["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "node-1"});
    client
}

/// Changes something of the front's container, in the name of its owner.
pub async fn release(story: &Story, mut container: Value) -> Result<()> {
    container["name"] = json!(WEB);
    let patch = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    let parameters = PatchParams { field_manager: Some(OWNER.to_owned()), ..PatchParams::default() };
    story.api::<Deployment>().patch(WEB, &parameters, &Patch::Strategic(patch)).await.map(drop).context("release")
}

async fn client_address(story: &Story) -> Result<String> {
    let pods = story.api::<Pod>().list(&ListParams::default().labels("app=client")).await?.items;
    pods.iter().find_map(|pod| pod.status.as_ref()?.pod_ip.clone()).context("the client has no address")
}

/// What the client counted so far.
pub async fn counts(story: &Story) -> Result<Counts> {
    let address = client_address(story).await?;
    let ask = format!("curl --silent --fail --max-time 15 http://{address}:8081/counts");
    let text = story.cluster.run_inside("sh", &["-c", &ask]).await?;
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["good", good, "bad", bad, "recently", recently, "of", _, "last", ago] => Ok(Counts {
            good: good.parse()?,
            bad: bad.parse()?,
            recently: recently.parse()?,
            last_bad: ago.parse().ok().map(Duration::from_millis),
        }),
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
