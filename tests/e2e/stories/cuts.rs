//! A dependency fails that its client can do without: the client is cut off from it, and from nothing else, until it is well.

use anyhow::{Context, Result, bail, ensure};
use cluster::eventually;
use homeostat::api::recovery::{Remedy, Suspect};
use homeostat::api::{Outcome, Phase, Reason, Recovery, RecoveryPolicy, mark};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use crate::Tale;
use crate::story::app::{self, WEB};
use crate::story::{SOON, Story, lines};

pub const STORE: &str = "store";
/// From the record of the first of both incidents at least so many writes follow while both fail; a kill comes after each.
const WRITES: usize = 5;

pub async fn a_dependency_is_cut_off_until_it_is_well(story: &mut Story) -> Result<()> {
    begin(story, json!({})).await?;
    fail(story).await?;
    let policy = cut(story).await?;
    let spec = serde_json::to_value(policy.spec.context("no spec")?)?;
    ensure!(spec["podSelector"] == json!({"matchLabels": {"app": WEB}}), "{spec}");
    ensure!(spec["policyTypes"] == json!(["Egress"]), "{spec}");
    let to = spec.pointer("/egress/0/to").and_then(Value::as_array).context("no rule")?;
    let addresses: Vec<_> = story.pods(STORE).await?.into_iter().filter_map(|pod| pod.status?.pod_ip).collect();
    ensure!(addresses.len() == 2, "{addresses:?}");
    let excepted = to.iter().filter_map(|to| to.pointer("/ipBlock/except")?.as_array()).flatten();
    let excepted: Vec<String> = excepted.filter_map(|range| range.as_str().map(str::to_owned)).collect();
    ensure!(addresses.iter().all(|address| excepted.contains(&format!("{address}/32"))), "{excepted:?}");
    ends(story).await
}

/// What NetworkPolicies allow adds up: beside one that limits what the client calls, ours would only loosen that.
pub async fn beside_a_network_policy_of_somebody_else_nothing_is_cut_off(story: &mut Story) -> Result<()> {
    let inside = json!([{"to": [{"podSelector": {}}]}]);
    story
        .create::<NetworkPolicy>(json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "inside-only"},
            "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": inside},
        }))
        .await?;
    begin(story, json!({})).await?;
    fail(story).await?;
    held(story, Reason::CutNotExact).await?;
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes.is_empty(), "{writes:?}");
    Ok(())
}

/// A person who deletes it, when the incident is closed already, is not worked against.
pub async fn a_person_who_deletes_the_cut_is_heard(story: &mut Story) -> Result<()> {
    begin(story, json!({})).await?;
    fail(story).await?;
    let policy = cut(story).await?.metadata.name.context("no name")?;
    story.play(&story.pods(WEB).await?, None).await?;
    closed(story).await?;
    story.api::<NetworkPolicy>().delete(&policy, &DeleteParams::default()).await?;
    eventually("the Recovery to know it", SOON, async || {
        let first = of(story, WEB).await?.into_iter().next().context("no Recovery")?;
        let planned = first.journal().steps.iter().any(|step| step.state == homeostat::api::StepState::Planned);
        ensure!(!planned, "{:?}", first.journal().steps);
        Ok(())
    })
    .await?;
    story.play(&story.pods(WEB).await?, Some("crash")).await?;
    held(story, Reason::AlreadyTried).await?;
    let writes = lines(&story.workload_writes().await?);
    ensure!(writes == [format!("create networkpolicies/{policy}")], "{writes:?}");
    Ok(())
}

/// One story for each write after which the operator is killed.
pub fn kills() -> Vec<Tale> {
    crate::kills("cuts::killed_after_write_{n}_the_end_is_the_same", WRITES, killed_after)
}

async fn killed_after(story: &mut Story, n: usize) -> Result<()> {
    begin(story, json!({})).await?;
    let hold = story.proxy.hold_after_write_of_incident(n);
    fail(story).await?;
    hold.reached(SOON).await.with_context(|| format!("a recovery that is never killed has fewer than {n} writes"))?;
    story.kill_operator().await?;
    story.start_operator(&[]).await?;
    cut(story).await?;
    ends(story).await
}

/// `web`, whose policy is changed by `spec`, calls `store` and can do without it; both are stable.
pub async fn begin(story: &mut Story, spec: Value) -> Result<()> {
    story.allow_pod_network().await?;
    let mut store = app::policy(json!({"targetRef": {"name": STORE}}));
    store["metadata"]["name"] = json!(STORE);
    story.create::<Deployment>(app::deployment(STORE, "v1", 2)).await?;
    story.create::<RecoveryPolicy>(store).await?;
    let store = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": STORE}]);
    let mut policy = json!({"dependsOn": store, "actions": {"isolate": {"dependencies": store}, "rollback": {}}});
    app::merge(&mut policy, spec);
    story.stable(2, policy).await?;
    eventually("the store to be stable", SOON, async || {
        let status = story.api::<RecoveryPolicy>().get(STORE).await?.status.unwrap_or_default();
        ensure!(!status.stable_state.is_empty(), "{status:?}");
        Ok(())
    })
    .await
}

/// Nothing changed; the store does not answer, and its client fails with it.
pub async fn fail(story: &Story) -> Result<()> {
    story.play(&story.pods(STORE).await?, Some("crash")).await?;
    story.play(&story.pods(WEB).await?, Some("crash")).await
}

/// The NetworkPolicy of the cut, once it is there.
pub async fn cut(story: &Story) -> Result<NetworkPolicy> {
    eventually("the store to be cut off", SOON, async || {
        let found = story.api::<NetworkPolicy>().list(&ListParams::default().labels(mark::CUT_BY)).await?.items;
        let said = of(story, WEB).await?.pop().map(|recovery| recovery.journal().message.clone());
        found.into_iter().next().with_context(|| format!("no cut: {said:?}"))
    })
    .await
}

pub async fn await_uncut(story: &Story) -> Result<()> {
    eventually("the cut to be ended", SOON, async || {
        let left = story.api::<NetworkPolicy>().list(&ListParams::default()).await?.items;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
    .await
}

async fn held(story: &Story, reason: Reason) -> Result<()> {
    eventually("the client to be held", SOON, async || {
        let newest = of(story, WEB).await?.pop().context("no Recovery of the client")?;
        let journal = newest.journal();
        ensure!(journal.phase == Phase::Holding && journal.reason == reason, "{journal:?}");
        ensure!(journal.suspect == Suspect::Dependency, "{journal:?}");
        Ok(())
    })
    .await
}

async fn closed(story: &Story) -> Result<()> {
    eventually("the client to be well in part", SOON, async || {
        let newest = of(story, WEB).await?.pop().context("no Recovery of the client")?;
        let journal = newest.journal();
        ensure!(journal.phase == Phase::Closed, "{journal:?}");
        ensure!(journal.outcome == Some(Outcome::PartiallyRecovered), "{journal:?}");
        ensure!(journal.decision.remedy == Remedy::CutDependency, "{journal:?}");
        let isolation = journal.isolation.as_ref().map(|isolation| isolation.reason);
        ensure!(isolation == Some(Reason::Unproven), "{isolation:?}");
        Ok(())
    })
    .await
}

/// The client is well without the store; when that is well again, the cut goes, and nothing else was written.
async fn ends(story: &Story) -> Result<()> {
    story.play(&story.pods(WEB).await?, None).await?;
    closed(story).await?;
    let policy = cut(story).await?.metadata.name.context("no name")?;
    story.play(&story.pods(STORE).await?, None).await?;
    await_uncut(story).await?;
    eventually("the Recovery to say so", SOON, async || {
        let recoveries = of(story, WEB).await?;
        let [only] = recoveries.as_slice() else { bail!("{} incidents", recoveries.len()) };
        let isolation = only.journal().isolation.as_ref().map(|isolation| isolation.reason);
        ensure!(isolation == Some(Reason::Released), "{isolation:?}");
        Ok(())
    })
    .await?;
    let writes = lines(&story.workload_writes().await?);
    let expected = [format!("create networkpolicies/{policy}"), format!("delete networkpolicies/{policy}")];
    ensure!(writes == expected, "{writes:?}");
    Ok(())
}

async fn of(story: &Story, policy: &str) -> Result<Vec<Recovery>> {
    let mut recoveries = story.recoveries().await?;
    recoveries.retain(|recovery| recovery.journal().policy == policy);
    Ok(recoveries)
}
