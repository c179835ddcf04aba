//! What a pod template allows: to the pod, and to each of its containers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{CONTAINER, INIT_CONTAINER, POD, Place, capabilities};
use crate::plan::content::{each, text};

pub(super) const PRIVILEGED: &str = "privileged";
pub(super) const ESCALATION: &str = "more rights than its parent";
pub(super) const ROOT: &str = "root";
pub(super) const WRITABLE: &str = "a writable root file system";
pub(super) const SYSTEM_CALLS: &str = "any system call";
pub(super) const UNMASKED: &str = "an unmasked /proc";
pub(super) const HOST_PORT: &str = "host port ";

/// Fields of the pod that give it a part of its host, and what that is.
pub(super) const OF_THE_HOST: [(&str, &str); 3] =
    [("hostNetwork", "the host's network"), ("hostPID", "the host's processes"), ("hostIPC", "the host's IPC")];

/// Lists of containers in a pod's spec, and how their places begin.
pub(super) const LISTS: [(&str, &str); 2] = [("containers", CONTAINER), ("initContainers", INIT_CONTAINER)];

/// Every place of a pod's spec.
pub(super) fn places(spec: &Value) -> BTreeMap<String, Place> {
    let mut places = BTreeMap::from([(POD.to_owned(), pod(spec))]);
    for (list, begins) in LISTS {
        for container in spec.get(list).and_then(Value::as_array).into_iter().flatten() {
            let name = text(container, "/name").unwrap_or_default();
            places.insert(format!("{begins}{name}"), of_container(spec, container));
        }
    }
    places
}

fn pod(spec: &Value) -> Place {
    let of_the_host = OF_THE_HOST.into_iter().filter(|(field, _)| spec.get(*field) == Some(&Value::Bool(true)));
    let paths = each(spec, "/volumes").filter_map(|volume| text(volume, "/hostPath/path"));
    let allows = of_the_host.map(|(_, what)| what.to_owned()).chain(paths.map(|path| format!("host path {path}")));
    Place { allows: allows.collect(), ..Place::default() }
}

fn of_container(spec: &Value, container: &Value) -> Place {
    let nothing = json!({});
    let context = container.get("securityContext").unwrap_or(&nothing);
    let is = |field: &str, value: bool| context.get(field) == Some(&Value::Bool(value));
    let (non_root, user) = (effective(spec, container, "runAsNonRoot"), effective(spec, container, "runAsUser"));
    let profile = effective(spec, container, "seccompProfile");
    let confined =
        profile.as_ref().and_then(|profile| text(profile, "/type")).is_some_and(|type_| type_ != "Unconfined");
    let no_root = non_root == Some(json!(true)) || user.as_ref().and_then(Value::as_i64).is_some_and(|user| user != 0);
    let loose = [
        (PRIVILEGED, is("privileged", true)),
        (ESCALATION, !is("allowPrivilegeEscalation", false)),
        (ROOT, !no_root),
        (WRITABLE, !is("readOnlyRootFilesystem", true)),
        (SYSTEM_CALLS, !confined),
        (UNMASKED, text(context, "/procMount").is_some_and(|mount| mount != "Default")),
    ];
    let mut allows: BTreeSet<String> =
        loose.into_iter().filter(|(_, loose)| *loose).map(|(what, _)| what.to_owned()).collect();
    allows.extend(each(container, "/ports").filter_map(host_port));
    let said = [(ROOT, json!([non_root, user])), (SYSTEM_CALLS, json!(profile))];
    let said = said.into_iter().map(|(what, value)| (what.to_owned(), value.to_string())).collect();
    Place { allows, capabilities: capabilities::of(context), said }
}

/// What counts for a container: what it says itself, else what the pod says.
pub(super) fn effective(spec: &Value, container: &Value, field: &str) -> Option<Value> {
    let own = container.get("securityContext").and_then(|context| context.get(field));
    own.or_else(|| spec.get("securityContext")?.get(field)).filter(|value| !value.is_null()).cloned()
}

/// The port of the host that a container's port takes, in the words of a posture.
pub(super) fn host_port(port: &Value) -> Option<String> {
    let number = port.get("hostPort").and_then(Value::as_i64).filter(|number| *number != 0)?;
    Some(format!("{HOST_PORT}{number}/{}", text(port, "/protocol").unwrap_or_else(|| "TCP".to_owned())))
}
