//! Who looks after the application while an incident runs.

use anyhow::{Result, bail};
use k8s_openapi::api::apps::v1::Deployment;

use crate::file::Incident;
use crate::story::Story;
use crate::story::app::WEB;

/// Who looks after the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// Homeostat.
    Homeostat,
    /// Kubernetes alone: also what always holding would score.
    None,
    /// What a person does first: wait for the rollout, and undo it if it does not get through; then restart.
    Undo,
}

impl Baseline {
    pub fn of(name: Option<&str>) -> Result<Self> {
        match name {
            None | Some("homeostat") => Ok(Self::Homeostat),
            Some("none") => Ok(Self::None),
            Some("undo") => Ok(Self::Undo),
            Some(other) => bail!("BASELINE={other} is not known: write none or undo, or leave it out for Homeostat"),
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Homeostat => "looked after by Homeostat",
            Self::None => "with Kubernetes alone",
            Self::Undo => "with kubectl rollout undo and restart",
        }
    }

    /// What the baseline does about the incident, if it is a script.
    pub async fn act(self, story: &Story, _: &Incident) -> Result<()> {
        if self != Self::Undo || story.api::<Deployment>().get_opt(WEB).await?.is_none() {
            return Ok(());
        }
        let (target, namespace) = (format!("deployment/{WEB}"), story.namespace.name());
        let kubectl = async |arguments: &[&str]| {
            story.cluster.kubectl(&[arguments, &[target.as_str(), "--namespace", namespace]].concat()).await
        };
        if kubectl(&["rollout", "status", "--timeout=15s"]).await.is_ok() && ready(story).await? {
            return Ok(());
        }
        // Nothing to undo is an error that says so; then only the restart is left.
        if kubectl(&["rollout", "undo"]).await.is_err() || !ready(story).await? {
            kubectl(&["rollout", "status", "--timeout=15s"]).await.ok();
        }
        if !ready(story).await? {
            kubectl(&["rollout", "restart"]).await?;
        }
        Ok(())
    }
}

async fn ready(story: &Story) -> Result<bool> {
    let deployment = story.api::<Deployment>().get(WEB).await?;
    let wanted = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
    Ok(deployment.status.and_then(|status| status.ready_replicas).unwrap_or(0) >= wanted)
}
