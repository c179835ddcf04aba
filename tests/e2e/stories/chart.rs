//! The chart and the manifest that is generated from it, on the real API server.

use anyhow::{Context, Result, ensure};

use crate::story::Story;
use crate::story::operator::CHART;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Installed as a server-side dry run: admission, schema and strict field validation included.
pub async fn installs(story: &mut Story) -> Result<()> {
    let cluster = &story.cluster;
    let arguments = ["install", "homeostat", CHART, "--namespace", "homeostat-dry", "--create-namespace"];
    // The CRDs are there already, applied by another manager.
    let answer = cluster.helm(&[&arguments[..], &["--dry-run=server", "--set", "crds.enabled=false"]].concat()).await;
    let rendered = answer.context("helm install --dry-run=server")?;
    for kind in ["ClusterRole", "Deployment", "ServiceAccount", "Secret", "PodDisruptionBudget"] {
        ensure!(rendered.contains(&format!("kind: {kind}\n")), "no {kind} is rendered");
    }
    cluster.helm(&["lint", "--strict", CHART]).await.map(drop).context("helm lint")
}

/// Applied for real, twice; with replicas that never start, because there is no image here.
pub async fn install_yaml_applies(story: &mut Story) -> Result<()> {
    let cluster = &story.cluster;
    let manifest = format!("{ROOT}/deploy/install.yaml");
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", &manifest];
    cluster.kubectl(&apply).await.context("kubectl apply of deploy/install.yaml")?;
    let again = cluster.kubectl(&apply).await.context("kubectl apply of deploy/install.yaml, again")?;
    ensure!(again.contains("deployment.apps/homeostat"), "what was applied:\n{again}");
    cluster.kubectl(&["create", "namespace", "shop"]).await?;
    for sample in ["minimal", "observe", "full", "route", "budget"] {
        let file = format!("{ROOT}/deploy/samples/{sample}.yaml");
        let dry = ["apply", "--dry-run=server", "--namespace", "shop", "-f", &file];
        cluster.kubectl(&dry).await.with_context(|| format!("the sample {sample}"))?;
    }
    cluster.kubectl(&["delete", "--wait=false", "deployment/homeostat", "-n", "homeostat-system"]).await.map(drop)
}
