//! The application of the demo: a shop of three tiers with its client on real nodes, or pods that are played on fake
//! ones.

use anyhow::{Result, ensure};
use cluster::eventually;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use serde_json::{Value, json};

use crate::picture;
use crate::story::app::{self, SETTINGS, WEB};
use crate::story::shop::{self, Counts, Shop};
use crate::story::{SOON, Story, image};

/// How pods come to be ill.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Application {
    /// They are.
    Real,
    /// They are marked, and a fake kubelet plays it.
    Played,
}

impl Application {
    /// Four pods and a standby of two; the tiers behind them, if they are real.
    pub async fn deploy(self, story: &Story, policy: Value) -> Result<()> {
        if self == Self::Played {
            story.deploy_standby("v1", 2).await?;
            return story.deploy("v1", 4, policy).await;
        }
        story.cluster.load_image(&image::patient()?).await?;
        let web = json!({"spec": {"replicas": 4}});
        shop::open(story, Shop { tiers: true, standby: 2, policy, web, ..Shop::default() }).await
    }

    pub fn what(self) -> &'static str {
        match self {
            Self::Real => {
                "Three tiers (web, api, store), a standby, a policy with short times, and a client that asks the front \
                 fifty times a second."
            }
            Self::Played => "A Deployment of four, a standby, and a policy with short times; nobody can ask fake pods.",
        }
    }

    pub fn nodes(self) -> &'static str {
        match self {
            Self::Real => "real nodes, operator in pods",
            Self::Played => "fake nodes, operator as a process",
        }
    }

    pub fn bad_release(self) -> &'static str {
        match self {
            Self::Real => "A program that does not start, and a ConfigMap with a bad and an added key.",
            Self::Played => "An image that crashes, and a ConfigMap with a bad and an added key.",
        }
    }

    /// What the owner of a cluster that is kept can do to it.
    pub fn bad_command(self) -> &'static str {
        match self {
            Self::Real => "kubectl set image deployment/web web=homeostat.test/patient:absent",
            Self::Played => "kubectl set image deployment/web web=registry.example/shop/web:crash",
        }
    }

    pub async fn release_badly(self, story: &Story) -> Result<()> {
        match self {
            Self::Real => {
                let settings = json!({"mode": "crash-after-2s", "debug": "1"});
                story.change::<ConfigMap>(SETTINGS, json!({"data": settings})).await?;
                shop::release(story, json!({"args": ["serve", "--configuration", "/no"]})).await
            }
            Self::Played => {
                let settings = json!({"TIMEOUT": "never", "DEBUG": "1"});
                story.change::<ConfigMap>(SETTINGS, json!({"data": settings})).await?;
                story.change::<Deployment>(WEB, app::new_image("crash")).await.map(drop)
            }
        }
    }

    /// Image, arguments and configuration are what they were, and nothing is left of what the release added.
    pub async fn is_back(self, story: &Story) -> Result<()> {
        let data = story.api::<ConfigMap>().get(SETTINGS).await?.data.unwrap_or_default();
        let template = serde_json::to_value(story.web().await?)?;
        let container = &template["spec"]["template"]["spec"]["containers"][0];
        match self {
            Self::Real => {
                ensure!(data.len() == 1 && data.get("mode").is_some_and(|mode| mode == "ok"), "ConfigMap: {data:?}");
                ensure!(container["args"] == json!(["serve"]), "arguments: {}", container["args"]);
            }
            Self::Played => {
                ensure!(!data.contains_key("DEBUG") && data.get("TIMEOUT").is_some_and(|t| t == "5s"), "{data:?}");
                ensure!(container["image"] == json!(app::image("v1")), "image: {}", container["image"]);
            }
        }
        Ok(())
    }

    /// Makes pods not ready, or well again.
    pub async fn fail(self, story: &Story, pods: &[Pod], ill: bool) -> Result<()> {
        if self == Self::Played {
            picture::tell("(played by the demo: a fake kubelet has no program that could fail)");
            return story.play(pods, ill.then_some("not-ready")).await;
        }
        for pod in pods {
            shop::set_fault(story, pod, if ill { "not-ready" } else { "none" }).await?;
        }
        Ok(())
    }

    /// What the client counted so far, if there is one.
    pub async fn counts(self, story: &Story) -> Result<Option<Counts>> {
        match self {
            Self::Real => eventually("the client's counts", SOON, async || shop::counts(story).await).await.map(Some),
            Self::Played => Ok(None),
        }
    }

    /// Says what the client saw since then.
    pub async fn tell_counts(self, story: &Story, before: Option<Counts>) -> Result<()> {
        if let (Some(before), Some(after)) = (before, self.counts(story).await?) {
            println!();
            picture::tell(&format!("The client saw {} meanwhile.", after.since(&before)));
        }
        Ok(())
    }
}
