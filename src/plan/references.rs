//! What a pod template cannot do without: the objects that must exist for its pods to start.

use std::collections::BTreeSet;

use serde_json::Value;

use super::content::each;

/// Names of objects that pods of a template need, by kind. What is marked as optional is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// ConfigMaps.
    pub config_maps: BTreeSet<String>,
    /// Secrets.
    pub secrets: BTreeSet<String>,
    /// PersistentVolumeClaims.
    pub claims: BTreeSet<String>,
}

/// The references of a pod template. Admission looks at none of them.
#[must_use]
pub fn required(template: &Value) -> References {
    let mut found = References::default();
    let containers = each(template, "/spec/containers").chain(each(template, "/spec/initContainers"));
    for container in containers {
        for variable in each(container, "/env") {
            found.config_maps.extend(named(variable, "/valueFrom/configMapKeyRef", "name"));
            found.secrets.extend(named(variable, "/valueFrom/secretKeyRef", "name"));
        }
        for source in each(container, "/envFrom") {
            found.config_maps.extend(named(source, "/configMapRef", "name"));
            found.secrets.extend(named(source, "/secretRef", "name"));
        }
    }
    for volume in each(template, "/spec/volumes") {
        found.config_maps.extend(named(volume, "/configMap", "name"));
        found.secrets.extend(named(volume, "/secret", "secretName"));
        found.claims.extend(named(volume, "/persistentVolumeClaim", "claimName"));
        for source in each(volume, "/projected/sources") {
            found.config_maps.extend(named(source, "/configMap", "name"));
            found.secrets.extend(named(source, "/secret", "name"));
        }
    }
    found
}

/// The name in the reference at `pointer`, unless the pod can do without.
fn named(value: &Value, pointer: &str, key: &str) -> Option<String> {
    let reference = value.pointer(pointer)?;
    let optional = reference.get("optional") == Some(&Value::Bool(true));
    let name = reference.get(key)?.as_str().filter(|name| !name.is_empty() && !optional)?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn references_are_found_everywhere_and_optional_ones_left_out() {
        let template = json!({"spec": {
            "initContainers": [{"envFrom": [
                {"configMapRef": {"name": "a"}}, {"secretRef": {"name": "s"}}, {"secretRef": {"name": "x", "optional": true}},
            ]}],
            "containers": [{"env": [
                {"valueFrom": {"configMapKeyRef": {"name": "b", "key": "k"}}},
                {"valueFrom": {"secretKeyRef": {"name": "t", "key": "k"}}},
                {"valueFrom": {"configMapKeyRef": {"name": "y", "key": "k", "optional": true}}},
            ]}],
            "volumes": [
                {"configMap": {"name": "c"}}, {"secret": {"secretName": "u"}},
                {"persistentVolumeClaim": {"claimName": "data"}},
                {"projected": {"sources": [{"configMap": {"name": "d"}}, {"secret": {"name": "v", "optional": true}}]}},
            ],
        }});
        let found = required(&template);
        assert_eq!(found.config_maps, set(&["a", "b", "c", "d"]));
        assert_eq!(found.secrets, set(&["s", "t", "u"]));
        assert_eq!(found.claims, set(&["data"]));
    }
}
