//! ConfigMaps: identity, digest and size. The content itself is not kept.

use serde_json::{Value, json};

use super::field_owner::{DATA, field_owner};
use super::{Parts, part};
use crate::api::mark;
use crate::plan::content;
use crate::plan::facts::ConfigMapFacts;

pub(super) fn config_map(parts: &Parts<'_>) -> Result<ConfigMapFacts, serde_json::Error> {
    let (data, binary_data): (Value, Value) = (part(parts.data)?, part(parts.binary_data)?);
    let content = content::canonical(&content::config_map(&json!({"data": data, "binaryData": binary_data})));
    let metadata = &parts.metadata;
    Ok(ConfigMapFacts {
        name: metadata.name.clone(),
        uid: metadata.uid(),
        digest: content::digest(&content),
        size: content.len(),
        sealed_copy: metadata.label(mark::COPY_OF).map(|_| parts.immutable == Some(true)),
        field_owner: field_owner(metadata.managed_fields, &DATA),
    })
}
