//! Secrets: put back where a policy asks for it, out of reach where nobody granted it, and never seen anywhere else.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use cluster::{eventually, service_account};
use homeostat::api::recovery::Remediation;
use homeostat::api::{Outcome, RecoveryPolicy};
use homeostat::plan::content;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::story::app::{self, WEB};
use crate::story::operator::{self, ACCOUNT};
use crate::story::{SOON, Story};

const LOGIN: &str = "web-login";
const SEAL: &str = "homeostat-seal";
const GOOD: &str = "correct-horse-4711";
const BAD: &str = "wrong-horse-0815";

fn base64(value: &str) -> String {
    json!(ByteString(value.as_bytes().to_vec())).as_str().unwrap_or_default().to_owned()
}

/// The Secret, with an annotation that repeats what it holds, as tools leave them.
fn login(value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "data": {"PASSWORD": base64(value)}, "metadata": {"name": LOGIN,
        "annotations": {"example.com/original": format!("PASSWORD={value}")}, "labels": {"part-of": "shop"}}})
}

/// The application with a password in its environment, in its stable state.
async fn stable(story: &mut Story, mut policy: Value) -> Result<()> {
    story.apply(login(GOOD)).await?;
    story.start_operator(&["--log-level", "debug"]).await?;
    let mut deployment = app::deployment(WEB, "v1", 2);
    deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": LOGIN}}]);
    policy["closure"] = json!({"secrets": "Restore"});
    story.create::<ConfigMap>(app::config_map("5s")).await?;
    story.create::<Service>(app::service()).await?;
    story.create::<k8s_openapi::api::apps::v1::Deployment>(deployment).await?;
    story.create::<RecoveryPolicy>(app::policy(policy)).await?;
    story.await_stable().await.map(drop)
}

async fn password(story: &Story) -> Result<Option<String>> {
    let secret = story.api::<Secret>().get_opt(LOGIN).await?;
    let value = secret.and_then(|secret| secret.data?.remove("PASSWORD"));
    Ok(value.map(|value| String::from_utf8_lossy(&value.0).into_owned()))
}

/// Plays a crash of every pod until the password is right again: a real container reads it when it starts again.
async fn crash(story: &Story) -> Result<()> {
    story.play(&story.pods(WEB).await?, Some("crash")).await?;
    eventually("the password to be as it was", SOON, async || {
        let found = password(story).await?;
        ensure!(found.as_deref() == Some(GOOD), "{found:?}");
        Ok(())
    })
    .await?;
    story.play(&story.pods(WEB).await?, None).await
}

pub async fn a_changed_secret_is_put_back_and_seen_nowhere(story: &mut Story) -> Result<()> {
    story.allow_secrets().await?;
    stable(story, json!({})).await?;
    story.change::<Secret>(LOGIN, json!({"data": {"PASSWORD": base64(BAD)}})).await?;
    crash(story).await?;
    let recovery = story.closed(Outcome::Recovered).await?;
    let restored = recovery.journal().steps.iter().filter(|step| step.remediation == Remediation::RestoreObject);
    let restored: Vec<_> = restored.map(|step| step.object.to_string()).collect();
    ensure!(restored == ["Secret web-login"], "{restored:?}");
    story.nothing_is_owned_by_us(&["secret/web-login"]).await?;
    nothing_is_seen(story).await
}

pub async fn a_deleted_secret_is_created_again_and_seen_nowhere(story: &mut Story) -> Result<()> {
    story.allow_secrets().await?;
    stable(story, json!({})).await?;
    story.api::<Secret>().delete(LOGIN, &DeleteParams::default()).await?;
    crash(story).await?;
    story.closed(Outcome::Recovered).await?;
    let secret = story.api::<Secret>().get(LOGIN).await?;
    let part = secret.metadata.labels.and_then(|mut labels| labels.remove("part-of"));
    ensure!(part.as_deref() == Some("shop") && secret.type_.as_deref() == Some("Opaque"), "{part:?}");
    nothing_is_seen(story).await
}

/// Everything that somebody might tell the values by: themselves, in every form, and digests without a key.
fn hints() -> BTreeSet<String> {
    let mut hints = BTreeSet::new();
    for value in [GOOD, BAD] {
        let canonical = content::canonical(&json!({"data": {"PASSWORD": base64(value)}, "type": "Opaque"}));
        for text in [value, &base64(value), &canonical, &json!({"PASSWORD": base64(value)}).to_string()] {
            hints.insert(text.to_owned());
            hints.insert(content::digest(text).chars().take(16).collect());
        }
        // Somewhere in the middle of something longer that was encoded as a whole.
        for before in 0..3 {
            let whole = base64(&format!("{}{value}", "x".repeat(before)));
            hints.insert(whole.chars().skip(4).take(16).collect());
        }
    }
    hints
}

/// A search of everything that the operator made or said. What it wrote into the Secret and its copies is left out, and
/// is what the search is tried on first.
async fn nothing_is_seen(story: &Story) -> Result<()> {
    let (hints, mut places) = (hints(), vec![]);
    let namespace = story.namespace.name();
    let kinds = "rp,sst,rec,events,events.events.k8s.io,configmaps,deploy,rs,pods,services,endpointslices,leases";
    let shown = ["get", kinds, "-n", namespace, "-o", "json", "--show-managed-fields"];
    let objects = story.cluster.kubectl(&shown).await?;
    ensure!(objects.contains("StableState") && objects.contains("homeostat.dev/v1alpha1"), "nothing was searched");
    places.push(("an object".to_owned(), objects));
    places.push(("the metrics".to_owned(), story.metrics().await?));
    for number in 1..=story.started() {
        let log = std::fs::read_to_string(story.log(number))?;
        ensure!(log.contains("DEBUG"), "the log says nothing of debugging");
        places.push(("the log".to_owned(), log));
    }
    let (mut kept, mut written) = (0, 0);
    for event in story.cluster.audit_of(&service_account(namespace, ACCOUNT)).await? {
        let body = event.request_body.as_ref().map(Value::to_string).unwrap_or_default();
        let name = event.request_body.as_ref().and_then(|body| body.pointer("/metadata/name")?.as_str());
        let name = name.unwrap_or(&event.name).to_owned();
        let own = name == LOGIN || (name.starts_with("homeostat-") && name != SEAL);
        if event.resource == "secrets" && own {
            kept += usize::from(hints.iter().any(|hint| body.contains(hint)));
        } else {
            written += usize::from(!body.is_empty());
            places.push((format!("{} {}/{name}", event.verb, event.resource), format!("{} {body}", event.uri)));
        }
    }
    ensure!(kept >= 2 && written >= 5, "the search finds {kept} values where they are, among {written} other bodies");
    for (place, text) in &places {
        if let Some(hint) = hints.iter().find(|hint| text.contains(*hint)) {
            let at = text.find(hint).unwrap_or_default();
            let around: String = text[..at].chars().rev().take(120).collect::<Vec<_>>().into_iter().rev().collect();
            bail!("{hint} is in {place}, after {around}");
        }
    }
    Ok(())
}

async fn copies(story: &Story) -> Result<Vec<Secret>> {
    let labelled = ListParams::default().labels("homeostat.dev/copy-of=Secret");
    Ok(story.api::<Secret>().list(&labelled).await?.items)
}

async fn only_copy(story: &Story, value: &str) -> Result<Secret> {
    eventually("one copy of the password", SOON, async || {
        let mut found = copies(story).await?;
        ensure!(found.len() == 1, "{} copies", found.len());
        let copy = found.pop().context("no copy")?;
        let same = copy.data.as_ref().and_then(|data| data.get("PASSWORD")).is_some_and(|it| it.0 == value.as_bytes());
        ensure!(same && copy.immutable == Some(true), "another content, or not immutable");
        Ok(copy)
    })
    .await
}

pub async fn copies_of_secrets_live_as_long_as_their_states(story: &mut Story) -> Result<()> {
    story.allow_secrets().await?;
    stable(story, json!({"history": {"stableStates": 1}})).await?;
    let first = only_copy(story, GOOD).await?;
    // What is gone is noticed, and earned again.
    let name = first.metadata.name.context("a copy without a name")?;
    story.api::<Secret>().delete(&name, &DeleteParams::default()).await?;
    let again = only_copy(story, GOOD).await?;
    ensure!(again.metadata.uid != first.metadata.uid, "it was not deleted");
    // A rotation that pods have read and that does no harm is stable after the soak, and the copy that only the old state
    // needed goes with it.
    story.change::<Secret>(LOGIN, json!({"data": {"PASSWORD": base64("next-horse-0001")}})).await?;
    story.restart().await?;
    only_copy(story, "next-horse-0001").await?;
    ensure!(story.workload_writes().await?.is_empty(), "something was written to a workload");
    story.api::<Secret>().get(SEAL).await.map(drop).context("the key is gone")
}

pub async fn without_the_right_secrets_are_out_of_reach(story: &mut Story) -> Result<()> {
    let namespace = story.namespace.name().to_owned();
    rules_are_as_few_as_can_be(story, &namespace).await?;
    story.apply(login(GOOD)).await?;
    stable(story, json!({})).await?;
    let missing = story.policy("to say that the right is missing", |status| {
        let said = status.conditions.iter().map(|condition| {
            [condition.type_.as_str(), condition.status.as_str(), condition.reason.as_str()].join(" ")
        });
        let said: BTreeSet<String> = said.collect();
        said.contains("Ready True Armed") && said.contains("Recoverable False RightMissing")
    });
    missing.await?;
    // Everything else is looked after as ever.
    let mut bad = app::new_image("crash");
    bad["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": LOGIN}}]);
    story.change::<k8s_openapi::api::apps::v1::Deployment>(WEB, bad).await?;
    story.closed(Outcome::Recovered).await?;
    let asked = story.cluster.audit_of(&service_account(&namespace, ACCOUNT)).await?;
    let secrets: BTreeSet<_> =
        asked.iter().filter(|event| event.resource == "secrets").map(|event| event.name.as_str()).collect();
    ensure!(secrets == [SEAL].into(), "{secrets:?}");
    ensure!(copies(story).await?.is_empty(), "a copy was made");
    Ok(())
}

/// By default nothing but the key; with the capability not more than it takes, and only where it is watched.
async fn rules_are_as_few_as_can_be(story: &Story, namespace: &str) -> Result<()> {
    const WITH: &str = "capabilities.secrets=true";
    let cluster = &story.cluster;
    for watched in [&[][..], &[namespace]] {
        let off = secret_rules(&operator::render_with(cluster, namespace, watched, &[]).await?)?;
        ensure!(off.iter().all(|(_, rule)| rule.resource_names.as_deref() == Some(&[SEAL.to_owned()])), "{off:?}");
        let on = secret_rules(&operator::render_with(cluster, namespace, watched, &[WITH]).await?)?;
        let kind = if watched.is_empty() { "ClusterRole" } else { "Role" };
        let added: Vec<_> = on.iter().filter(|rule| !off.contains(rule)).collect();
        ensure!(added.len() == 2 && added.iter().all(|(of, _)| of == kind), "{added:?}");
        let to = format!("watchNamespaces={{{namespace}}}");
        let looking = ["template", "homeostat", operator::CHART, "--namespace", namespace, "--set", &to, "--set", WITH];
        let rbac = ["--set", "modeCeiling=Observe", "--show-only", "templates/rbac.yaml"];
        let looking = secret_rules(&cluster.helm(&[&looking[..], &rbac].concat()).await?)?;
        let patches = looking.iter().filter(|(_, rule)| rule.resource_names.is_none());
        ensure!(patches.clone().all(|(_, rule)| !rule.verbs.contains(&"patch".to_owned())), "{looking:?}");
    }
    Ok(())
}

/// The rules about Secrets, each with the kind of its role.
fn secret_rules(rendered: &str) -> Result<Vec<(String, PolicyRule)>> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(rendered)?;
    let mut found = vec![];
    for role in objects.iter().filter(|object| object["rules"].is_array()) {
        let rules: Vec<PolicyRule> = serde_json::from_value(role["rules"].clone())?;
        let about = |rule: &PolicyRule| rule.resources.iter().flatten().any(|resource| resource == "secrets");
        let kind = role["kind"].as_str().unwrap_or_default();
        found.extend(rules.into_iter().filter(about).map(|rule| (kind.to_owned(), rule)));
    }
    ensure!(!found.is_empty(), "no rule is about Secrets, not even about the key");
    Ok(found)
}
