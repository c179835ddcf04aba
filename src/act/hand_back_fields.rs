//! Give the fields we wrote back to the manager that owned them, so that its next apply meets no conflict.

use serde_json::{Map, Value, json};

use super::live::{Edit, Live};
use super::{Change, Error, Task};
use crate::api::FIELD_MANAGER;
use crate::api::mark::{FROZEN_BY, FROZEN_FROM, RECREATED_BY, SCALED_BY, STOPPED_BY, SWITCHED_BY};
use crate::api::stable_state::FieldOwner;

/// Changes nothing but `metadata.managedFields`: our entry's paths go to the owner's, and our entry goes. Of what we
/// created again our mark goes as well; who owned it may not be known (`null`).
pub(super) fn change(task: &Task<'_>, live: &Live) -> Result<Change, Error> {
    let owner: Option<FieldOwner> = serde_json::from_str(&task.step.to)
        .map_err(|_| Error::Invalid(format!("{:?} does not name the field manager to hand back to", task.step.to)))?;
    let marked = live.annotation(RECREATED_BY) == Some(task.recovery);
    let given = owner.map(|owner| given(live, &owner)).unwrap_or_default();
    if !marked && given.is_empty() {
        return Ok(Change::AlreadyDone);
    }
    let mut edit = Edit::of(live);
    if marked {
        edit.remove(&["metadata", "annotations", RECREATED_BY]);
    }
    // An empty list would make the API server keep the entries as they are.
    if !given.is_empty() {
        edit.set(&["metadata", "managedFields"], Value::Array(given));
    }
    Ok(Change::Write(edit))
}

/// All entries as they are when ours belong to the owner; none if none is ours, or nothing would be left.
fn given(live: &Live, owner: &FieldOwner) -> Vec<Value> {
    let entries = live.managed_fields().as_array();
    let (ours, mut others): (Vec<Value>, Vec<Value>) =
        entries.into_iter().flatten().cloned().partition(|entry| belongs_to(entry, FIELD_MANAGER));
    if ours.is_empty() {
        return vec![];
    }
    for entry in &ours {
        give(&mut others, entry, owner);
    }
    others
}

/// Whether an entry is a manager's own, not one of a subresource such as `status` or `scale`.
fn belongs_to(entry: &Value, manager: &str) -> bool {
    text(entry, "manager") == manager && text(entry, "subresource").is_empty()
}

fn text<'e>(entry: &'e Value, key: &str) -> &'e str {
    entry.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn give(entries: &mut Vec<Value>, ours: &Value, owner: &FieldOwner) {
    let Some(Value::Object(mut fields)) = ours.get("fieldsV1").cloned() else { return };
    forget_marks(&mut fields);
    if fields.is_empty() {
        return;
    }
    let theirs = entries.iter_mut().find(|entry| {
        belongs_to(entry, &owner.manager)
            && text(entry, "operation") == owner.operation
            && text(entry, "apiVersion") == text(ours, "apiVersion")
    });
    match theirs.and_then(Value::as_object_mut) {
        Some(entry) => match entry.get_mut("fieldsV1").and_then(Value::as_object_mut) {
            Some(known) => merge(known, fields),
            None => {
                entry.insert("fieldsV1".into(), Value::Object(fields));
            }
        },
        None => entries.push(json!({
            "manager": owner.manager,
            "operation": owner.operation,
            "apiVersion": ours.get("apiVersion"),
            "time": ours.get("time"),
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        })),
    }
}

/// The union of two sets of fields.
fn merge(known: &mut Map<String, Value>, added: Map<String, Value>) {
    for (key, value) in added {
        match (known.get_mut(&key), value) {
            (Some(Value::Object(inner)), Value::Object(value)) => merge(inner, value),
            (Some(_), _) => {}
            (None, value) => {
                known.insert(key, value);
            }
        }
    }
}

/// Our marks and our pause are nobody's to inherit: an apply that does not mention them would remove them.
fn forget_marks(fields: &mut Map<String, Value>) {
    for mark in [FROZEN_BY, FROZEN_FROM, RECREATED_BY, SCALED_BY, STOPPED_BY, SWITCHED_BY] {
        forget(fields, &["f:metadata", "f:annotations", &format!("f:{mark}")]);
    }
    forget(fields, &["f:metadata", "f:annotations", "."]);
    forget(fields, &["f:spec", "f:paused"]);
}

/// Removes a path, and every parent that has nothing left: an empty set of fields means the whole field.
fn forget(fields: &mut Map<String, Value>, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        fields.remove(*first);
        return;
    }
    let Some(inner) = fields.get_mut(*first).and_then(Value::as_object_mut) else { return };
    if inner.is_empty() {
        return;
    }
    forget(inner, rest);
    if inner.is_empty() {
        fields.remove(*first);
    }
}
