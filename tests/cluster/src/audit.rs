//! The audit log of the API server: the ground truth for what a user wrote and what was refused to it.
//!
//! Requests of the control plane's own components are not in it, nor are reads by anybody but ServiceAccounts.

use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// One finished request.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    /// Who asked, for example `system:serviceaccount:<namespace>:<name>`.
    pub user: String,
    /// As whom, where the request was an impersonation.
    pub impersonated: Option<String>,
    /// The client's own name for itself.
    pub user_agent: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// API group; empty for the core group and for what is no resource.
    pub api_group: String,
    /// Plural name of the resource; empty for what is no resource.
    pub resource: String,
    /// For example `status`, `eviction`; else empty.
    pub subresource: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// Empty for lists, and for a create with a generated name.
    pub name: String,
    /// Path and query as sent.
    pub uri: String,
    /// HTTP status of the answer.
    pub code: u16,
    /// `allow` or `forbid`; a 403 without `forbid` is admission, not a missing right.
    pub decision: String,
    /// What was sent, for writes by ServiceAccounts: the object, or the patch as it was.
    pub request_body: Option<Value>,
    /// When the answer was complete.
    pub stage_timestamp: Timestamp,
    /// Whether nothing was to be stored.
    pub dry_run: bool,
}

impl AuditEvent {
    /// Whether the request was to change something: a writing verb, no dry run, and no mere question (reviews).
    pub fn is_write(&self) -> bool {
        let question = matches!(self.api_group.as_str(), "authentication.k8s.io" | "authorization.k8s.io");
        let verbs = ["create", "update", "patch", "delete", "deletecollection"];
        !self.dry_run && !question && verbs.contains(&self.verb.as_str())
    }

    /// Whether it is a lease or an event: written all the time, with no effect on workloads.
    pub fn is_background(&self) -> bool {
        matches!(self.resource.as_str(), "leases" | "events")
    }

    /// Whether the answer was a success.
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether the answer leaves open what became of the request. A client that dies in the middle of a write leaves a
    /// 500 or 504 behind (its request ends as canceled), while the store may have taken the write.
    pub fn left_open(&self) -> bool {
        self.code >= 500
    }

    /// Whether this ServiceAccount asked.
    pub fn by_service_account(&self, namespace: &str, name: &str) -> bool {
        self.user == service_account(namespace, name)
    }
}

/// The user name of a ServiceAccount.
pub fn service_account(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// Reads the log. With `containing`, lines without that text are left out before they are parsed, which is a lot
/// quicker on a long log.
pub(crate) fn read(log: &Path, containing: Option<&str>) -> Result<Vec<AuditEvent>> {
    let bytes = std::fs::read(log).with_context(|| format!("read {}", log.display()))?;
    parse(&String::from_utf8_lossy(&bytes), containing).with_context(|| format!("parse {}", log.display()))
}

fn parse(log: &str, containing: Option<&str>) -> Result<Vec<AuditEvent>> {
    // What follows the last line feed is still being written.
    let complete = log.rsplit_once('\n').map_or("", |(complete, _)| complete);
    let wanted = |line: &&str| !line.is_empty() && containing.is_none_or(|text| line.contains(text));
    complete.lines().filter(wanted).map(|line| Ok(serde_json::from_str::<Entry>(line)?.into())).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectReference,
    response_status: Option<ResponseStatus>,
    request_object: Option<Value>,
    stage_timestamp: Timestamp,
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectReference {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

#[derive(Default, Deserialize)]
struct Annotations {
    #[serde(rename = "authorization.k8s.io/decision", default)]
    decision: String,
}

impl From<Entry> for AuditEvent {
    fn from(entry: Entry) -> Self {
        let query = entry.request_uri.split_once('?').map_or("", |(_, query)| query);
        Self {
            dry_run: query.split('&').any(|parameter| parameter.starts_with("dryRun=")),
            user: entry.user.username,
            impersonated: entry.impersonated_user.map(|user| user.username),
            user_agent: entry.user_agent,
            verb: entry.verb,
            api_group: entry.object_ref.api_group,
            resource: entry.object_ref.resource,
            subresource: entry.object_ref.subresource,
            namespace: entry.object_ref.namespace,
            name: entry.object_ref.name,
            uri: entry.request_uri,
            code: entry.response_status.map_or(0, |status| status.code),
            decision: entry.annotations.decision,
            request_body: entry.request_object,
            stage_timestamp: entry.stage_timestamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    const LINE: &str = r#"{"kind":"Event","requestURI":"/apis/apps/v1/namespaces/shop/deployments/checkout?dryRun=All","verb":"patch","user":{"username":"system:serviceaccount:shop:operator"},"objectRef":{"resource":"deployments","namespace":"shop","name":"checkout","apiGroup":"apps"},"responseStatus":{"code":403},"requestObject":[{"op":"test"}],"stageTimestamp":"2024-05-01T10:00:00.000001Z","annotations":{"authorization.k8s.io/decision":"forbid"}}"#;

    #[test]
    fn reads_complete_lines_only() {
        let events = parse(&format!("{LINE}\n{}", &LINE[..40]), None).expect("the first line is complete");
        assert_eq!(events.len(), 1);
        let event = &events[0];
        assert!(event.by_service_account("shop", "operator"));
        assert_eq!((event.code, event.decision.as_str(), event.dry_run), (403, "forbid", true));
        assert!(!event.is_write());
        assert!(event.request_body.is_some());
    }

    #[test]
    fn leaves_out_what_was_not_asked_for() {
        assert!(parse(&format!("{LINE}\n"), Some("nobody")).expect("parses").is_empty());
    }
}
