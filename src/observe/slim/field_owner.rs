//! Who owns the part of an object that we would restore: a reading of `metadata.managedFields`.
//!
//! Only the answer is kept; managedFields themselves are several times the size of everything else.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::FIELD_MANAGER;
use crate::api::stable_state::FieldOwner;

/// Where fields are looked for: any of several paths.
pub(super) type Places = [&'static [&'static str]];

pub(super) const TEMPLATE: [&[&str]; 1] = [&["f:spec", "f:template"]];
pub(super) const DATA: [&[&str]; 2] = [&["f:data"], &["f:binaryData"]];
pub(super) const SELECTOR: [&[&str]; 1] = [&["f:spec", "f:selector"]];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    manager: Option<String>,
    operation: Option<String>,
    subresource: Option<String>,
    time: Option<Timestamp>,
    fields_v1: Option<Value>,
}

/// The manager that owns the most fields in these places; of equals the one that wrote last. Never ourselves, and never
/// an entry of a subresource. `None` if nobody does, or if that cannot be read.
pub(super) fn field_owner(managed_fields: Option<&RawValue>, places: &Places) -> Option<FieldOwner> {
    let entries: Vec<Entry> = serde_json::from_str(managed_fields?.get()).ok()?;
    let candidates = entries.into_iter().filter_map(|entry| {
        if entry.subresource.is_some_and(|subresource| !subresource.is_empty()) {
            return None;
        }
        let owner = FieldOwner { manager: entry.manager?, operation: entry.operation? };
        let fields = entry.fields_v1?;
        let owned: usize = places.iter().filter_map(|place| at(&fields, place)).map(leaves).sum();
        (owned > 0 && owner.manager != FIELD_MANAGER).then_some((owned, entry.time, owner))
    });
    candidates.max().map(|(_, _, owner)| owner)
}

fn at<'a>(fields: &'a Value, place: &[&str]) -> Option<&'a Value> {
    place.iter().try_fold(fields, |fields, key| fields.get(key))
}

/// How many fields a set names: one without members is one field as a whole. `.` names the parent and is no leaf.
fn leaves(fields: &Value) -> usize {
    match fields.as_object() {
        Some(members) if members.keys().any(|key| key != ".") => {
            members.iter().filter(|(key, _)| *key != ".").map(|(_, inner)| leaves(inner)).sum()
        }
        _ => 1,
    }
}
