//! Which field manager owns most of what we would restore, so that it can be handed back to it.

use serde_json::Value;

use crate::api::FIELD_MANAGER;
use crate::api::stable_state::FieldOwner;
use crate::plan::member::MemberKind;

/// The manager of most of the content of an object of this kind, by its `metadata.managedFields`. Never ourselves, and
/// never the entry of a subresource. `None` if nobody owns any of it.
#[must_use]
pub fn field_owner(kind: MemberKind, managed_fields: &Value) -> Option<FieldOwner> {
    let paths: Vec<Vec<String>> =
        kind.parts().iter().map(|part| part.iter().map(|key| format!("f:{key}")).collect()).collect();
    let entries = managed_fields.as_array().into_iter().flatten();
    let counted = entries.filter_map(|entry| {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let manager = text("manager").filter(|manager| *manager != FIELD_MANAGER)?;
        if !text("subresource").unwrap_or_default().is_empty() {
            return None;
        }
        let found =
            paths.iter().filter_map(|path| path.iter().try_fold(entry.get("fieldsV1")?, |inner, key| inner.get(key)));
        let fields: usize = found.map(leaves).sum();
        let owner = FieldOwner { manager: manager.to_owned(), operation: text("operation")?.to_owned() };
        (fields > 0).then_some((fields, owner))
    });
    // Of equals the one whose name sorts first, so that the answer does not depend on the order of entries.
    counted.min_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.cmp(y))).map(|(_, owner)| owner)
}

/// How many fields a set of fields names: an empty set is one field as a whole.
fn leaves(fields: &Value) -> usize {
    match fields.as_object() {
        Some(inner) if !inner.is_empty() => inner.values().map(leaves).sum(),
        _ => 1,
    }
}
