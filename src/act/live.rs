//! An object as it was read a moment ago, and the guarded edit of it.

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, PatchOperation, RemoveOperation, ReplaceOperation, TestOperation};
use serde_json::{Value, json};

/// An object as read from the API server.
#[derive(Clone, Debug)]
pub(super) struct Live {
    object: Value,
}

impl Live {
    pub(super) fn new(object: Value) -> Self {
        Self { object }
    }

    pub(super) fn object(&self) -> &Value {
        &self.object
    }

    pub(super) fn into_object(self) -> Value {
        self.object
    }

    pub(super) fn uid(&self) -> &str {
        self.text(&["metadata", "uid"]).unwrap_or_default()
    }

    pub(super) fn resource_version(&self) -> &str {
        self.text(&["metadata", "resourceVersion"]).unwrap_or_default()
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.text(&["metadata", "annotations", key])
    }

    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.text(&["metadata", "labels", key])
    }

    /// Marked for deletion: whatever is written to it now is lost.
    pub(super) fn deleting(&self) -> bool {
        self.text(&["metadata", "deletionTimestamp"]).is_some()
    }

    /// Whether a Deployment is paused.
    pub(super) fn paused(&self) -> bool {
        at(&self.object, &["spec", "paused"]) == Some(&Value::Bool(true))
    }

    /// The type of a Secret.
    pub(super) fn type_(&self) -> &str {
        self.text(&["type"]).unwrap_or_default()
    }

    /// Nobody may change the content of a ConfigMap or Secret.
    pub(super) fn immutable(&self) -> bool {
        at(&self.object, &["immutable"]) == Some(&Value::Bool(true))
    }

    /// The `spec`; null if there is none.
    pub(super) fn spec(&self) -> &Value {
        at(&self.object, &["spec"]).unwrap_or(&Value::Null)
    }

    pub(super) fn managed_fields(&self) -> &Value {
        at(&self.object, &["metadata", "managedFields"]).unwrap_or(&Value::Null)
    }

    fn text(&self, path: &[&str]) -> Option<&str> {
        at(&self.object, path)?.as_str()
    }
}

/// One JSON Patch that applies only to exactly the object that was read.
///
/// Only whole parts are replaced: a merge would keep keys that the bad release added.
#[derive(Debug)]
pub(super) struct Edit {
    /// The object as it will be so far, to know which parents and members exist.
    object: Value,
    operations: Vec<PatchOperation>,
}

impl Edit {
    pub(super) fn of(live: &Live) -> Self {
        let test = |key: &str, value: &str| {
            PatchOperation::Test(TestOperation { path: pointer(&["metadata", key]), value: json!(value) })
        };
        let operations = vec![test("uid", live.uid()), test("resourceVersion", live.resource_version())];
        Self { object: live.object.clone(), operations }
    }

    /// Puts a value at `path`, whether or not there is one, and makes the maps that lead to it.
    pub(super) fn set(&mut self, path: &[&str], value: Value) {
        for length in 1..path.len() {
            let parent = path.get(..length).unwrap_or_default();
            if at(&self.object, parent).is_none_or(Value::is_null) {
                self.push(PatchOperation::Add(AddOperation { path: pointer(parent), value: json!({}) }));
            }
        }
        let target = pointer(path);
        self.push(match at(&self.object, path) {
            Some(_) => PatchOperation::Replace(ReplaceOperation { path: target, value }),
            None => PatchOperation::Add(AddOperation { path: target, value }),
        });
    }

    /// Applies only if this is at `path`, which may lead through lists by index.
    pub(super) fn expect(&mut self, path: &[&str], value: Value) {
        self.push(PatchOperation::Test(TestOperation { path: pointer(path), value }));
    }

    /// Puts a value at `path`, which may lead through lists by index; everything but its last part has to be there.
    pub(super) fn put(&mut self, path: &[&str], value: Value) {
        self.push(PatchOperation::Add(AddOperation { path: pointer(path), value }));
    }

    /// Removes what is at `path`, if there is anything.
    pub(super) fn remove(&mut self, path: &[&str]) {
        if at(&self.object, path).is_some() {
            self.push(PatchOperation::Remove(RemoveOperation { path: pointer(path) }));
        }
    }

    pub(super) fn operations(&self) -> &[PatchOperation] {
        &self.operations
    }

    fn push(&mut self, operation: PatchOperation) {
        // It cannot fail for the paths made here; if it did, the API server would refuse the same operation.
        let _ = json_patch::patch(&mut self.object, std::slice::from_ref(&operation));
        self.operations.push(operation);
    }
}

/// The value at a path of keys.
pub(super) fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |inner, key| inner.get(*key))
}

/// A JSON pointer, with `/` and `~` in keys escaped.
pub(super) fn pointer(path: &[&str]) -> PointerBuf {
    PointerBuf::from_tokens(path.iter().copied())
}
