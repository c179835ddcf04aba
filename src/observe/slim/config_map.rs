//! ConfigMaps: identity, digest and size. The content itself is not kept.

use super::Parts;
use super::field_owner::{DATA, field_owner, last_written};
use super::git_ops::git_ops;
use super::member::object;
use crate::api::mark;
use crate::plan::content;
use crate::plan::facts::ConfigMapFacts;
use crate::plan::member::MemberKind;

pub(super) fn config_map(parts: &Parts<'_>) -> Result<ConfigMapFacts, serde_json::Error> {
    let content = content::canonical(&content::of(MemberKind::ConfigMap, &object(parts)?));
    let metadata = &parts.metadata;
    Ok(ConfigMapFacts {
        name: metadata.name.clone(),
        uid: metadata.uid(),
        digest: content::digest(&content),
        size: content.len(),
        written: last_written(metadata.managed_fields),
        sealed_copy: metadata.label(mark::COPY_OF).map(|_| parts.immutable == Some(true)),
        serving_others: Default::default(),
        field_owner: field_owner(metadata.managed_fields, &DATA),
        git_ops: git_ops(metadata).map(str::to_owned),
    })
}
