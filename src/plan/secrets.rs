//! Which Secrets may belong to a closure, and by what a workload refers to them.
//!
//! Their content leaves the process only into immutable copies and back into the Secret itself. What is compared and
//! recorded elsewhere is a digest that is keyed, because from a plain one a short password could be guessed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::content::{each, text};

/// The type of a Secret that holds a certificate and its key.
pub const TLS: &str = "kubernetes.io/tls";

/// Types that Kubernetes and Helm keep for themselves, and that no workload can be brought back by.
const NEVER: [&str; 3] = ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token", "helm.sh/release.v1"];

/// Whether Secrets of this type are ever looked at, recorded or written.
#[must_use]
pub fn looked_at(type_: &str) -> bool {
    !NEVER.contains(&type_)
}

/// Names of the Secrets that a pod template refers to: environment, volumes, projections, and those to pull images with.
#[must_use]
pub fn references(template: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let containers = each(template, "/spec/containers").chain(each(template, "/spec/initContainers"));
    for container in containers {
        names.extend(each(container, "/env").filter_map(|it| text(it, "/valueFrom/secretKeyRef/name")));
        names.extend(each(container, "/envFrom").filter_map(|it| text(it, "/secretRef/name")));
    }
    for volume in each(template, "/spec/volumes") {
        names.extend(text(volume, "/secret/secretName"));
        names.extend(each(volume, "/projected/sources").filter_map(|it| text(it, "/secret/name")));
    }
    names.extend(each(template, "/spec/imagePullSecrets").filter_map(|it| text(it, "/name")));
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_found_everywhere() {
        let template = json!({"spec": {
            "initContainers": [{"envFrom": [{"secretRef": {"name": "a"}}, {"configMapRef": {"name": "x"}}]}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "b", "key": "k"}}}, {"value": "x"}]}],
            "volumes": [{"secret": {"secretName": "c"}}, {"projected": {"sources": [{"secret": {"name": "d"}}, {}]}}],
            "imagePullSecrets": [{"name": "e"}],
        }});
        assert_eq!(references(&template), ["a", "b", "c", "d", "e"].map(str::to_owned).into());
        assert!(references(&json!({"spec": 3})).is_empty());
    }

    #[test]
    fn what_belongs_to_kubernetes_is_never_looked_at() {
        assert!(!looked_at("kubernetes.io/service-account-token") && !looked_at("helm.sh/release.v1"));
        assert!(looked_at("Opaque") && looked_at(TLS) && looked_at(""));
    }
}
