//! CronJobs: what they run, and whether they are suspended.

use serde::Deserialize;
use serde_json::{Value, json};

use super::field_owner::field_owner;
use super::git_ops::git_ops;
use super::{Parts, field, part};
use crate::api::mark;
use crate::plan::content;
use crate::plan::neighbours::NeighbourFacts;

const SPEC: [&[&str]; 1] = [&["f:spec"]];

#[derive(Deserialize)]
struct Spec {
    suspend: Option<bool>,
}

pub(super) fn cron_job(parts: &Parts<'_>) -> Result<NeighbourFacts, serde_json::Error> {
    let metadata = &parts.metadata;
    let Spec { suspend } = part(parts.spec)?;
    let spec: Value = part(parts.spec)?;
    let runs = json!([field(&spec, "schedule"), field(&spec, "timeZone"), field(&spec, "jobTemplate")]);
    Ok(NeighbourFacts {
        kind: "CronJob".to_owned(),
        name: metadata.name.clone(),
        uid: metadata.uid(),
        declared: false,
        load: i32::from(!suspend.unwrap_or(false)),
        digest: content::digest(&runs.to_string()),
        began: metadata.created(),
        stopped_by: metadata.annotation(mark::STOPPED_BY).map(str::to_owned),
        git_ops: git_ops(metadata).map(str::to_owned),
        owner: metadata.controller().map(|owner| format!("{}/{}", owner.kind, owner.name)),
        deleting: metadata.deleting(),
        field_owner: field_owner(metadata.managed_fields, &SPEC),
    })
}
