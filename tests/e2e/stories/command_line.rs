//! What the operator would do, asked from the command line: against the cluster, and from a folder of recorded objects.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cluster::eventually;
use homeostat::api::RecoveryPolicy;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
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

/// Lists states and shows what differs: between two of them, and from what is live, against the cluster and offline.
pub async fn states_are_listed_and_compared(story: &mut Story) -> Result<()> {
    story.allow_secrets().await?;
    let login = |value: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web-login"},
        "stringData": {"PASSWORD": value}})
    };
    story.create::<Secret>(login("correct-horse-4711")).await?;
    let mut deployment = app::deployment(WEB, "v1", 2);
    let sources = json!([{"configMapRef": {"name": app::SETTINGS}}, {"secretRef": {"name": "web-login"}}]);
    deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"] = sources;
    story.start_operator(&[]).await?;
    story.create::<ConfigMap>(app::config_map("5s")).await?;
    story.create::<Service>(app::service()).await?;
    story.create::<Deployment>(deployment).await?;
    let policy = json!({"closure": {"secrets": "Restore"}});
    story.create::<RecoveryPolicy>(app::policy(policy)).await?;
    let first = story.await_stable().await?.metadata.name.context("a state without a name")?;
    story.change::<ConfigMap>(app::SETTINGS, json!({"data": {"TIMEOUT": "7s\n\u{1b}[31m"}})).await?;
    story.change::<Secret>("web-login", json!({"stringData": {"PASSWORD": "next-horse-0001"}})).await?;
    story.restart().await?;
    let second = story.policy("to have another state", |status| status.stable_state != first).await?;
    let second = second.status.unwrap_or_default().stable_state;
    story.kill_operator().await?;
    story.change::<Deployment>(WEB, json!({"spec": {"minReadySeconds": 3}})).await?;
    let before = story.writes().await?;

    let namespace = story.namespace.name().to_owned();
    let kubeconfig = Some(story.cluster.kubeconfig().to_owned());
    let online = async |arguments: &[&str]| {
        let all = [arguments, &["-n", &namespace, "--operator-namespace", &namespace]].concat();
        homeostat(kubeconfig.as_deref(), &all).await
    };
    let listed = online(&["states"]).await?;
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    ensure!(line(&second).ends_with("reference") && line(&first).ends_with("usable"), "{listed}");
    ensure!(line(&first).contains("Deployment web"), "{listed}");
    fits(&listed)?;

    let differing = online(&["states", "diff", &first, &second]).await?;
    ensure!(differing.contains("ConfigMap web-settings differs\n  data.TIMEOUT\n"), "{differing}");
    ensure!(differing.contains("  - \"5s\"") || differing.contains("  - 5s"), "{differing}");
    ensure!(differing.contains("Secret web-login differs\n  (what a Secret holds is never shown)"), "{differing}");
    ensure!(!differing.contains("horse") && !differing.contains("Deployment web differs"), "{differing}");
    fits(&differing)?;

    let live = online(&["states", "diff", &second, "--live"]).await?;
    ensure!(live.contains("Deployment web differs\n  spec.minReadySeconds\n  + 3\n"), "{live}");
    ensure!(live.contains("members that differ: 1;"), "{live}");
    let json: Value = serde_json::from_str(&online(&["states", "diff", &second, "--live", "-o", "json"]).await?)?;
    ensure!(json["members"][0]["places"][0] == json!({"path": "spec.minReadySeconds", "to": 3}), "{json:#}");
    let wrong = online(&["states", "diff", &first, "web-unknown"]).await.err().context("it is there")?.to_string();
    ensure!(wrong.contains("\"web-unknown\" does not exist") && wrong.contains("homeostat states -n"), "{wrong}");
    let alone = online(&["states", "diff", &first]).await.err().context("it has nothing to compare with")?.to_string();
    ensure!(alone.contains("or give --live"), "{alone}");

    let kinds = "deploy,rs,pods,configmaps,services,endpointslices,rp,sst,rec";
    let recorded = story.cluster.kubectl(&["get", kinds, "-n", &namespace, "-o", "yaml"]).await?;
    let folder = story.cluster.run_directory().join(format!("{namespace}-states"));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("facts.yaml"), recorded)?;
    let folder = folder.to_str().context("not UTF-8")?;
    let there = ["-n", &namespace, "--facts", folder];
    let offline = homeostat(None, &[&["states", "diff", &first, &second][..], &there].concat()).await?;
    let without_notes =
        |text: &str| text.lines().filter(|line| !line.starts_with("note")).collect::<Vec<_>>().join("\n");
    ensure!(without_notes(&offline) == without_notes(&differing), "{offline}");
    let offline = homeostat(None, &[&["states", "diff", &second, "--live"][..], &there].concat()).await?;
    ensure!(offline.contains("spec.minReadySeconds") && offline.contains("Secrets are not compared"), "{offline}");
    let offline = homeostat(None, &[&["states"][..], &there].concat()).await?;
    ensure!(offline.contains(&first) && offline.contains("reference"), "{offline}");
    ensure!(lines(&before) == lines(&story.writes().await?), "states wrote something");
    Ok(())
}

/// No line is wider than a terminal, and nothing in it commands one.
fn fits(text: &str) -> Result<()> {
    let good = |line: &str| line.chars().count() <= 80 && !line.chars().any(char::is_control);
    ensure!(text.lines().all(good), "{text:?}");
    Ok(())
}

pub async fn check_tells_whether_the_installation_is_whole(story: &mut Story) -> Result<()> {
    let text = homeostat(Some(story.cluster.kubeconfig()), &["check"]).await?;
    ensure!(text.contains("ok: the kinds are served"), "{text}");
    let crds = homeostat(None, &["crds"]).await?;
    ensure!(crds.matches("kind: CustomResourceDefinition").count() == 4, "{crds}");
    Ok(())
}
