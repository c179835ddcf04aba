//! Policies that nobody should write: each is refused with a sentence, or explained in a condition. Nothing crashes.

use anyhow::{Context, Result, bail, ensure};
use homeostat::api::{Reason, RecoveryPolicy};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};

use crate::story::Story;
use crate::story::app::{self, WEB};

/// What becomes of a policy.
enum Fate {
    /// The API server refuses it, and says this.
    Refused(&'static str),
    /// It is taken, and `Ready` or `TargetHealthy` gives this reason.
    Explained(Reason),
}
use Fate::{Explained, Refused};

fn target(kind: &str, api_version: &str, name: &str) -> Value {
    json!({"targetRef": {"apiVersion": api_version, "kind": kind, "name": name}})
}

fn failover(standby: &str, service: &str) -> Value {
    let standby = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": standby});
    json!({"actions": {"failover": {"standby": standby, "via": {"service": service}}}})
}

fn policies() -> Vec<(&'static str, Value, Fate)> {
    let long = "x".repeat(10_000);
    vec![
        ("a wrong kind", target("ConfigMap", "v1", WEB), Refused("must name a Deployment")),
        ("a kind of another group", target("Deployment", "extensions/v1beta1", WEB), Refused("must name a Deployment")),
        ("a ReplicaSet", target("ReplicaSet", "apps/v1", WEB), Refused("must name a Deployment")),
        ("no name", target("Deployment", "apps/v1", ""), Refused("targetRef.name")),
        ("a very long name", target("Deployment", "apps/v1", &long), Refused("targetRef.name")),
        ("a name that is a path", target("Deployment", "apps/v1", "../../secrets/x"), Refused("targetRef.name")),
        ("a name in odd letters", target("Deployment", "apps/v1", "wéb\u{202e}\u{0}"), Refused("targetRef.name")),
        ("no mode", json!({"mode": null}), Refused("mode")),
        ("a mode in lower case", json!({"mode": "enforce"}), Refused("mode")),
        ("a mode that is a number", json!({"mode": 3}), Refused("mode")),
        ("a negative soak", json!({"stability": {"soak": "-5m"}}), Refused("soak")),
        ("a soak without a unit", json!({"stability": {"soak": "300"}}), Refused("soak")),
        ("a soak in words", json!({"stability": {"soak": "five minutes"}}), Refused("soak")),
        ("an endless duration", json!({"detection": {"unavailableFor": long}}), Refused("unavailableFor")),
        ("a huge duration", json!({"stability": {"soak": "99999999999999999h"}}), Refused("soak")),
        ("a negative window", json!({"verification": {"window": "-1s"}}), Refused("window")),
        ("more than all pods", json!({"stability": {"minReady": "101%"}}), Refused("minReady")),
        ("a share without a sign", json!({"stability": {"minReady": "90"}}), Refused("minReady")),
        ("negative restarts", json!({"stability": {"maxRestarts": -1}}), Refused("maxRestarts")),
        ("restarts beyond counting", json!({"stability": {"maxRestarts": 4_294_967_296_u64}}), Refused("maxRestarts")),
        ("no crash at all", json!({"detection": {"crashLoops": 0}}), Refused("crashLoops")),
        ("endless attempts", json!({"limits": {"maxAttempts": 1000}}), Refused("maxAttempts")),
        ("no attempt", json!({"limits": {"maxAttempts": 0}}), Refused("maxAttempts")),
        ("a list for an object", json!({"actions": [{"isolate": {}}]}), Refused("actions")),
        ("a hundred thousand pods", json!({"actions": {"isolate": {"maxPods": 100_000}}}), Refused("maxPods")),
        ("itself as its standby", failover(WEB, WEB), Refused("standby")),
        ("an unknown member policy", json!({"closure": {"configMaps": "Delete"}}), Refused("configMaps")),
        ("an unknown field", json!({"stabilty": {"soak": "5m"}}), Refused("stabilty")),
        ("an unknown field inside", json!({"actions": {"rollback": {"maxAgee": "1h"}}}), Refused("maxAgee")),
        ("a target that is not there", target("Deployment", "apps/v1", "nowhere"), Explained(Reason::TargetNotFound)),
        ("a target of another controller", target("Deployment", "apps/v1", "owned"), Explained(Reason::TargetOwned)),
        ("a target scaled to zero", target("Deployment", "apps/v1", "zero"), Explained(Reason::ScaledToZero)),
        ("a standby that is not there", failover("nowhere", "nowhere"), Explained(Reason::Armed)),
    ]
}

pub async fn policies_are_refused_or_explained(story: &mut Story) -> Result<()> {
    story.start_operator(&[]).await?;
    story.create::<Deployment>(app::deployment("zero", "v1", 0)).await?;
    let owner = story.create::<Deployment>(app::deployment(WEB, "v1", 1)).await?;
    let mut owned = app::deployment("owned", "v1", 1);
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "Deployment", "name": WEB, "uid": owner.metadata.uid, "controller": true,
    }]);
    story.create::<Deployment>(owned).await?;
    for (number, (what, spec, fate)) in policies().into_iter().enumerate() {
        let mut policy = app::policy(spec);
        let name = format!("hostile-{number}");
        policy["metadata"] = json!({"name": name, "namespace": story.namespace.name()});
        meets(story, &name, &policy, fate).await.context(what)?;
    }
    story.check_operator()
}

/// By kubectl, whose validation is strict by default, as a person would.
async fn meets(story: &Story, name: &str, policy: &Value, fate: Fate) -> Result<()> {
    let applied = story.cluster.kubectl_with_input(&["create", "-f", "-"], &policy.to_string()).await;
    match (applied, fate) {
        (Ok(_), Refused(_)) => bail!("it was accepted"),
        (Err(error), Refused(sentence)) => {
            let said = format!("{error:#}");
            ensure!(said.contains(sentence), "refused, but not for {sentence}: {said}");
            Ok(())
        }
        (Err(error), Explained(_)) => Err(error),
        (Ok(_), Explained(reason)) => {
            let api = story.api::<RecoveryPolicy>();
            cluster::eventually(&format!("reason {reason}"), crate::story::SOON, async || {
                let status = api.get(name).await?.status.unwrap_or_default();
                let said = status.conditions.iter().any(|condition| condition.reason == reason.as_str());
                ensure!(said, "{}", serde_json::to_string(&status.conditions)?);
                Ok(())
            })
            .await?;
            // Each alone: several for one target would be in conflict.
            Ok(api.delete(name, &Default::default()).await.map(drop)?)
        }
    }
}
