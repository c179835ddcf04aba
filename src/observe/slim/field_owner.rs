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
pub(super) const RULES: [&[&str]; 1] = [&["f:spec", "f:rules"]];
pub(super) const MIN_REPLICAS: [&[&str]; 1] = [&["f:spec", "f:minReplicas"]];
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

/// The manager that wrote something in these places last, ourselves and subresources excepted. Times are whole seconds:
/// of two that wrote in the same one it cannot be told.
pub(super) fn last_writer(managed_fields: Option<&RawValue>, places: &Places) -> Option<String> {
    let entries: Vec<Entry> = serde_json::from_str(managed_fields?.get()).ok()?;
    let mut wrote: Vec<(Timestamp, String)> = entries
        .into_iter()
        .filter(|entry| entry.subresource.as_deref().is_none_or(str::is_empty))
        .filter(|entry| places.iter().any(|place| entry.fields_v1.as_ref().is_some_and(|f| at(f, place).is_some())))
        .filter_map(|entry| Some((entry.time?, entry.manager?)))
        .filter(|(_, manager)| manager != FIELD_MANAGER)
        .collect();
    wrote.sort();
    let (last, manager) = wrote.pop()?;
    let alone = wrote.iter().all(|(at, other)| *at < last || *other == manager);
    alone.then_some(manager)
}

#[derive(Deserialize)]
struct Stamp {
    subresource: Option<String>,
    time: Option<Timestamp>,
}

/// When the object was written last (whole seconds, the API server's clock), subresources excepted.
pub(super) fn last_written(managed_fields: Option<&RawValue>) -> Option<Timestamp> {
    let stamps: Vec<Stamp> = serde_json::from_str(managed_fields?.get()).ok()?;
    let of_object = stamps.iter().filter(|stamp| stamp.subresource.as_deref().is_none_or(str::is_empty));
    of_object.filter_map(|stamp| stamp.time).max()
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
