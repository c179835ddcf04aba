//! Which GitOps tool keeps an object like its repository: by the marks that the tools leave on what they keep, and by
//! their names as field managers.
//!
//! Whether a tool really undoes what others write is its own configuration, which is not looked at.

use serde::Deserialize;

use super::Metadata;
use crate::plan::owners::{ARGO_CD, FLUX, tool};

/// Where Flux says of an object that it leaves it alone, and the word.
const LEFT_ALONE: [(&str, &str); 2] =
    [("kustomize.toolkit.fluxcd.io/reconcile", "disabled"), ("kustomize.toolkit.fluxcd.io/ssa", "Ignore")];

#[derive(Deserialize)]
struct Entry {
    manager: Option<String>,
    subresource: Option<String>,
}

/// The tool, by name.
pub(super) fn git_ops(metadata: &Metadata<'_>) -> Option<&'static str> {
    let marked = |key: &str| metadata.annotation(key).or_else(|| metadata.label(key));
    if marked("argocd.argoproj.io/tracking-id").is_some() {
        return Some(ARGO_CD);
    }
    if LEFT_ALONE.iter().any(|(key, word)| marked(key).is_some_and(|found| found.eq_ignore_ascii_case(word))) {
        return None;
    }
    let labels = ["kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"];
    if labels.iter().any(|label| metadata.label(label).is_some()) {
        return Some(FLUX);
    }
    let entries: Vec<Entry> = serde_json::from_str(metadata.managed_fields?.get()).ok()?;
    let of_content = |entry: &Entry| entry.subresource.as_deref().is_none_or(str::is_empty);
    entries.into_iter().filter(of_content).find_map(|entry| tool(&entry.manager?))
}
