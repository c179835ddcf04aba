//! What the operator would do, asked from the command line: against the cluster, and from a folder of recorded objects.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cluster::eventually;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::BINARY;
use crate::story::app::{self, WEB};
use crate::story::{SOON, Story, lines};

async fn homeostat(kubeconfig: Option<&Path>, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(BINARY);
    command.args(arguments).env_remove("KUBECONFIG");
    if let Some(kubeconfig) = kubeconfig {
        command.env("KUBECONFIG", kubeconfig);
    }
    let output = command.output().await?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

pub async fn plan_says_what_would_be_done(story: &mut Story) -> Result<()> {
    story.stable(2, json!({})).await?;
    story.kill_operator().await?;
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    eventually("a pod that restarts again and again", SOON, async || {
        let pods = story.pods(WEB).await?;
        let statuses =
            pods.iter().flat_map(|pod| pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten()));
        let most = statuses.map(|container| container.restart_count).max().unwrap_or(0);
        ensure!(most >= 2, "{most} restarts");
        Ok(())
    })
    .await?;
    let before = story.writes().await?;
    let folder = story.cluster.run_directory().join(format!("{}-facts", story.namespace.name()));
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("policy.json");
    std::fs::write(&file, app::policy(json!({})).to_string())?;
    let (file, namespace) = (file.to_str().context("not UTF-8")?, story.namespace.name().to_owned());

    let asked = ["plan", "-f", file, "-n", &namespace, "--operator-namespace", &namespace];
    let text = homeostat(Some(story.cluster.kubeconfig()), &asked).await?;
    ensure!(text.contains("Rollback (ChangeReverted)") && text.contains("restore Deployment web"), "{text}");
    ensure!(text.contains("IsolatePods (NotIndicated)"), "no rejected alternative:\n{text}");
    ensure!(text.lines().all(|line| line.chars().count() <= 100), "too wide:\n{text}");
    let json = homeostat(Some(story.cluster.kubeconfig()), &[&asked[..], &["-o", "json"]].concat()).await?;
    let online = decision(&serde_json::from_str(&json)?)?;

    // Offline, from what kubectl wrote; no cluster can be reached.
    let kinds = "deploy,rs,pods,configmaps,services,endpointslices,rp,sst,rec";
    let recorded = story.cluster.kubectl(&["get", kinds, "-n", &namespace, "-o", "yaml"]).await?;
    std::fs::write(folder.join("facts.yaml"), recorded)?;
    let folder = folder.to_str().context("not UTF-8")?;
    let offline = homeostat(None, &["plan", "-f", file, "-n", &namespace, "--facts", folder, "-o", "json"]).await?;
    ensure!(decision(&serde_json::from_str(&offline)?)? == online, "{offline}");

    let wrong = homeostat(None, &["plan", "-f", &format!("{folder}/facts.yaml"), "--facts", folder]).await;
    let said = wrong.err().context("a list was taken for a policy")?.to_string();
    ensure!(said.contains("is not one RecoveryPolicy"), "{said}");
    let after = story.writes().await?;
    ensure!(lines(&before) == lines(&after), "plan wrote: {:?}", lines(&after));
    Ok(())
}

/// The decision of a report, now or later, without its times.
fn decision(report: &Value) -> Result<Value> {
    let recovery = [&report["now"]["recovery"], &report["later"]["recovery"]].into_iter().find(|r| !r.is_null());
    let recovery = recovery.with_context(|| format!("no decision in {report:#}"))?;
    Ok(json!([recovery["remedy"], recovery["reason"], recovery["planDigest"], recovery["alternatives"]]))
}

pub async fn check_tells_whether_the_installation_is_whole(story: &mut Story) -> Result<()> {
    let text = homeostat(Some(story.cluster.kubeconfig()), &["check"]).await?;
    ensure!(text.contains("ok: the kinds are served"), "{text}");
    let crds = homeostat(None, &["crds"]).await?;
    ensure!(crds.matches("kind: CustomResourceDefinition").count() == 4, "{crds}");
    Ok(())
}
