//! One operator for the whole cluster, with ClusterRoles. It sees every policy there is, so it is told alone.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use cluster::eventually;
use homeostat::api::{Outcome, RecoveryPolicy, StableState};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use serde_json::json;

use crate::BINARY;
use crate::story::app::{self, WEB};
use crate::story::{SOON, Story};

/// The operator lives in the namespace of the first; the second has no operator of its own.
pub async fn one_operator_looks_after_all_namespaces(story: &mut Story) -> Result<()> {
    let second = Story::begin(Arc::clone(&story.cluster), "elsewhere", Path::new(BINARY)).await?;
    story.start_operator_everywhere().await?;
    for place in [&*story, &second] {
        place.deploy("v1", 2, json!({})).await?;
    }
    for place in [&*story, &second] {
        place.await_stable().await?;
        place.change::<Deployment>(WEB, app::new_image("crash")).await?;
    }
    for place in [&*story, &second] {
        place.closed(Outcome::Recovered).await?;
        place.await_serving("v1", 2).await?;
    }
    second.end().await
}

/// Its pods go first, and everything else in it a moment later. With one target in three gone so, the brake stays off, no
/// Recovery is opened for what is going, and the others are helped as ever.
pub async fn a_namespace_that_is_deleted_is_no_trouble(story: &mut Story) -> Result<()> {
    let going = Story::begin(Arc::clone(&story.cluster), "going", Path::new(BINARY)).await?;
    story.start_operator_everywhere().await?;
    for place in [&*story, &going] {
        place.deploy("v1", 2, json!({})).await?;
    }
    for name in ["two", "three"] {
        going.create::<Deployment>(app::deployment(name, "v1", 2)).await?;
        let mut policy = app::policy(json!({"targetRef": {"name": name}}));
        policy["metadata"]["name"] = json!(name);
        going.create::<RecoveryPolicy>(policy).await?;
    }
    eventually("all to be armed", SOON, async || {
        let states = going.api::<StableState>().list(&ListParams::default()).await?.items.len();
        ensure!(states == 3, "{states} states");
        Ok(())
    })
    .await?;
    story.await_stable().await?;
    let gone = going.namespace.name().to_owned();
    going.end().await?;
    story.cluster.await_no_ending_namespace(SOON).await?;
    ensure!(story.metrics().await?.contains("homeostat_brake_on 0"), "the brake is on because of a deleted namespace");
    let opened = story.cluster.audit().await?.into_iter();
    let opened =
        opened.filter(|event| event.namespace == gone && event.resource == "recoveries" && event.verb == "create");
    ensure!(opened.count() == 0, "a Recovery was opened for what was being deleted");
    story.change::<Deployment>(WEB, app::new_image("crash")).await?;
    story.closed(Outcome::Recovered).await?;
    Ok(())
}
