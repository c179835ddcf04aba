//! One operator for the whole cluster, with ClusterRoles. It sees every policy there is, so it is told alone.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use homeostat::api::Outcome;
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use crate::BINARY;
use crate::story::Story;
use crate::story::app::{self, WEB};

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
