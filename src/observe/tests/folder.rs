//! Stores from files.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::observe::folder::read_folder;

/// A folder of its own for each test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("homeostat-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn of_kind(api_version: &str, kind: &str, mut object: Value) -> Value {
    object["apiVersion"] = json!(api_version);
    object["kind"] = json!(kind);
    object
}

#[test]
fn lists_documents_and_json_are_read_and_the_rest_is_left_out() {
    let folder = Folder::new("mixed");
    let policy = of_kind("homeostat.dev/v1alpha1", "RecoveryPolicy", policy("checkout", 1, "checkout"));
    folder.write("policy.json", &policy.to_string());
    let typed = json!({"apiVersion": "v1", "kind": "PodList", "items": [pod("a", 4, "checkout-1")]});
    folder.write("typed.json", &typed.to_string());
    folder.write("notes.txt", ": not : yaml");
    folder.write(
        "live.yaml",
        r#"
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: checkout, namespace: shop, uid: checkout-uid, resourceVersion: "12"}
  spec:
    replicas: 2
    selector: {matchLabels: {app: checkout}}
    template:
      metadata: {labels: {app: checkout}}
      spec: {containers: [{name: main, image: "a:1"}]}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: checkout-1
  namespace: shop
  uid: checkout-1-uid
  creationTimestamp: "2026-01-01T00:00:00Z"
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: checkout, uid: checkout-uid, controller: true}]
spec: {template: {metadata: {labels: {app: checkout, pod-template-hash: x}}}}
---
apiVersion: v1
kind: Secret
metadata: {name: unseen, namespace: shop}
"#,
    );
    let stores = stores();
    assert_eq!(read_folder(&folder.0, &stores).unwrap(), 4);
    let facts = facts(&stores, "checkout");
    assert_eq!((facts.pods.len(), facts.revisions.len()), (1, 1));
    assert_eq!(facts.target.map(|target| target.replicas), Some(2));
}

#[test]
fn an_error_names_the_file() {
    let folder = Folder::new("broken");
    folder.write("broken.yaml", "a: [1");
    let error = read_folder(&folder.0, &stores()).unwrap_err().to_string();
    assert!(error.contains("broken.yaml"), "{error}");
    let missing = read_folder(&folder.0.join("missing"), &stores()).unwrap_err().to_string();
    assert!(missing.contains("missing"), "{missing}");
}
