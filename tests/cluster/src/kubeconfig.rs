//! Kubeconfig files: for the components, for the administrator, and for an operator under test.
//!
//! Written as JSON, which every reader of kubeconfig files takes for the YAML it is.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::certificates::Identity;

/// Writes a kubeconfig with a client certificate.
pub(crate) fn with_certificate(path: &Path, server: &str, authority: &Path, identity: &Identity) -> Result<()> {
    let user = json!({"client-certificate": identity.certificate, "client-key": identity.key});
    write(path, json!({"server": server, "certificate-authority": authority}), user, "default")
}

/// Writes a kubeconfig with a bearer token. `authority` is needed for https only.
pub(crate) fn with_token(
    path: &Path,
    server: &str,
    authority: Option<&Path>,
    token: &str,
    namespace: &str,
) -> Result<()> {
    let mut cluster = json!({"server": server});
    if let Some(authority) = authority {
        cluster["certificate-authority"] = json!(authority);
    }
    write(path, cluster, json!({"token": token}), namespace)
}

fn write(path: &Path, cluster: Value, user: Value, namespace: &str) -> Result<()> {
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": "user", "namespace": namespace}}],
        "current-context": "cluster",
    });
    std::fs::write(path, serde_json::to_vec_pretty(&kubeconfig)?).with_context(|| format!("write {}", path.display()))
}
