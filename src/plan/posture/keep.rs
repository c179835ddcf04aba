//! Recorded content with the hardening of the live one: what a restore of the template writes.
//!
//! What is kept is decided twice, for the content here and for its [`Posture`], because a plan knows only the latter;
//! both have to say the same, and the tests compare them.

use serde_json::{Map, Value, json};

use super::pod::{self, HOST_PORT, LISTS, OF_THE_HOST, ROOT, SYSTEM_CALLS};
use super::pod::{ESCALATION, PRIVILEGED, UNMASKED, WRITABLE};
use super::{POD, Place, Posture, capabilities, container, of};
use crate::plan::content::{canonical, digest, text};
use crate::plan::member::MemberKind;

/// Fields of a pod's security context that its containers inherit, and what they decide.
const INHERITED: [(&str, &str); 3] = [("runAsNonRoot", ROOT), ("runAsUser", ROOT), ("seccompProfile", SYSTEM_CALLS)];

/// Fields of a container's own security context, what they decide, and their strict value.
const OWN: [(&str, &str, Value); 4] = [
    ("privileged", PRIVILEGED, Value::Bool(false)),
    ("allowPrivilegeEscalation", ESCALATION, Value::Bool(false)),
    ("readOnlyRootFilesystem", WRITABLE, Value::Bool(true)),
    ("procMount", UNMASKED, Value::Null),
];

/// Whether a restore can leave this forbidden at a place that the live object has as well.
pub(super) fn keepable(place: &str, what: &str) -> bool {
    container(place) || (place == POD && OF_THE_HOST.iter().any(|(_, known)| *known == what))
}

/// One place after a restore that keeps what is stricter in `live`.
pub(super) fn stricter(name: &str, stable: &Place, live: &Place) -> Place {
    let extra = stable.beyond(live);
    let mut place = stable.clone();
    place.capabilities &= !extra.capabilities;
    for what in extra.allows.iter().filter(|what| keepable(name, what)) {
        place.allows.remove(what);
        if let Some(said) = live.said.get(what) {
            place.said.insert(what.clone(), said.clone());
        }
    }
    place
}

/// Digest of the content of an object of this kind without anything that a restore may keep.
#[must_use]
pub fn body(kind: MemberKind, content: &Value) -> String {
    let mut content = content.clone();
    if let Some(Value::Object(spec)) = content.pointer_mut("/spec/template/spec").filter(|_| kind.workload()) {
        for (field, _) in OF_THE_HOST {
            spec.remove(field);
        }
        strip(spec, &INHERITED.map(|(field, _)| field));
        let own = OWN.iter().map(|(field, ..)| *field).chain(INHERITED.map(|(field, _)| field)).chain(["capabilities"]);
        let own: Vec<&str> = own.collect();
        for (list, _) in LISTS {
            for container in elements(spec, list) {
                strip(container, &own);
                ports(container, |_| false);
            }
        }
    }
    digest(&canonical(&content))
}

/// `stable` with what is stricter in `live`.
#[must_use]
pub fn kept(kind: MemberKind, live: &Value, stable: &Value) -> Value {
    let (before, recorded) = (of(kind, live), of(kind, stable));
    let mut content = stable.clone();
    if !kind.workload() || recorded.beyond(&before).is_empty() {
        return content;
    }
    let nothing = Value::Null;
    let live_spec = live.pointer("/spec/template/spec").unwrap_or(&nothing);
    let wanted = recorded.keeping(&before);
    let Some(Value::Object(spec)) = content.pointer_mut("/spec/template/spec") else { return content };
    for (field, what) in OF_THE_HOST {
        if recorded.0.get(POD).is_some_and(|pod| pod.allows.contains(what)) && !allows(&wanted, POD, what) {
            spec.remove(field);
        }
    }
    for (list, begins) in LISTS {
        for container in elements(spec, list) {
            let name = format!("{begins}{}", container.get("name").and_then(Value::as_str).unwrap_or_default());
            let (Some(recorded), Some(wanted), Some(before)) =
                (recorded.0.get(&name), wanted.0.get(&name), before.0.get(&name))
            else {
                continue;
            };
            of_itself(container, recorded, wanted);
            if recorded.capabilities != wanted.capabilities {
                let lived =
                    of_live(live_spec, list, container).and_then(|live| live.pointer("/securityContext/capabilities"));
                let same = wanted.capabilities == before.capabilities;
                let value = if same { lived.cloned().unwrap_or_default() } else { exactly(wanted.capabilities) };
                say(container, "capabilities", value);
            }
        }
    }
    for what in [ROOT, SYSTEM_CALLS] {
        inherit(kind, &mut content, live_spec, &wanted, what);
    }
    content
}

fn allows(posture: &Posture, place: &str, what: &str) -> bool {
    posture.0.get(place).is_some_and(|place| place.allows.contains(what))
}

/// What a container says of itself and does not inherit.
fn of_itself(container: &mut Map<String, Value>, recorded: &Place, wanted: &Place) {
    for (field, what, strict) in OWN {
        if recorded.allows.contains(what) && !wanted.allows.contains(what) {
            say(container, field, strict);
        }
    }
    ports(container, |port| wanted.allows.contains(port));
}

/// What containers may inherit: at the pod if that says it all, as it is there now, else container by container.
fn inherit(kind: MemberKind, content: &mut Value, live: &Value, wanted: &Posture, what: &str) {
    let said = |posture: &Posture| -> Vec<Option<String>> {
        posture.0.values().map(|place| place.said.get(what).cloned()).collect()
    };
    if said(&of(kind, content)) == said(wanted) {
        return;
    }
    let fields: Vec<&str> = INHERITED.iter().filter(|(_, of)| *of == what).map(|(field, _)| *field).collect();
    let mut at_the_pod = content.clone();
    if let Some(Value::Object(spec)) = at_the_pod.pointer_mut("/spec/template/spec") {
        for field in &fields {
            let value = live.get("securityContext").and_then(|context| context.get(*field));
            say(spec, field, value.cloned().unwrap_or_default());
        }
    }
    if said(&of(kind, &at_the_pod)) == said(wanted) {
        *content = at_the_pod;
        return;
    }
    let whole = content.pointer("/spec/template/spec").cloned().unwrap_or_default();
    let Some(Value::Object(spec)) = content.pointer_mut("/spec/template/spec") else { return };
    for (list, begins) in LISTS {
        for container in elements(spec, list) {
            let name = format!("{begins}{}", container.get("name").and_then(Value::as_str).unwrap_or_default());
            let wanted = wanted.0.get(&name).and_then(|place| place.said.get(what)).cloned();
            let source = of_live(live, list, container).filter(|lived| said_by(live, lived, what) == wanted);
            let own = Value::Object(container.clone());
            let (spec, source) = source.map_or((&whole, &own), |lived| (live, lived));
            for field in &fields {
                say(container, field, pod::effective(spec, source, field).unwrap_or_default());
            }
        }
    }
    for field in fields {
        say(spec, field, Value::Null);
    }
}

/// What a container of the live pod says, as its posture has it.
fn said_by(spec: &Value, container: &Value, what: &str) -> Option<String> {
    let alone = json!({"securityContext": spec.get("securityContext"), "containers": [container]});
    let name = format!("{}{}", super::CONTAINER, text(container, "/name").unwrap_or_default());
    pod::places(&alone).get(&name)?.said.get(what).cloned()
}

/// The container of the same name in the live pod.
fn of_live<'v>(live: &'v Value, list: &str, container: &Map<String, Value>) -> Option<&'v Value> {
    let mut all = live.get(list)?.as_array()?.iter();
    all.find(|other| other.get("name").is_some() && other.get("name") == container.get("name"))
}

/// Capabilities written out: all dropped but these.
fn exactly(set: u64) -> Value {
    let names: Vec<&str> = capabilities::names(set).collect();
    if names.is_empty() { json!({"drop": ["ALL"]}) } else { json!({"add": names, "drop": ["ALL"]}) }
}

/// Writes a field of a security context; null removes it. Of nothing, nothing is left.
fn say(of: &mut Map<String, Value>, field: &str, value: Value) {
    if value.is_null() {
        return strip(of, &[field]);
    }
    let context = of.entry("securityContext").or_insert_with(|| json!({}));
    if let Value::Object(context) = context {
        context.insert(field.to_owned(), value);
    }
}

/// Removes fields of a security context, and with the last one the context.
fn strip(of: &mut Map<String, Value>, fields: &[&str]) {
    let Some(Value::Object(context)) = of.get_mut("securityContext") else { return };
    context.retain(|field, _| !fields.contains(&field.as_str()));
    if context.is_empty() {
        of.remove("securityContext");
    }
}

/// Takes the ports of the host away that may not be kept.
fn ports(container: &mut Map<String, Value>, keep: impl Fn(&str) -> bool) {
    for port in elements(container, "ports") {
        let named = pod::host_port(&Value::Object(port.clone()));
        if named.is_some_and(|named| named.starts_with(HOST_PORT) && !keep(&named)) {
            port.remove("hostPort");
        }
    }
}

/// The elements of an array of objects.
fn elements<'v>(of: &'v mut Map<String, Value>, list: &str) -> impl Iterator<Item = &'v mut Map<String, Value>> {
    of.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: MemberKind = MemberKind::Deployment;

    fn pod(spec: Value) -> Value {
        json!({"spec": {"template": {"spec": spec}}})
    }

    fn one(context: Value) -> Value {
        pod(json!({"containers": [{"name": "a", "image": "x", "securityContext": context}]}))
    }

    /// What is kept, where the posture must say the same, nothing stricter may be lost, and doing it again changes nothing.
    fn keep(live: &Value, stable: &Value) -> Value {
        let content = kept(KIND, live, stable);
        let (before, recorded) = (of(KIND, live), of(KIND, stable));
        assert_eq!(of(KIND, &content), recorded.keeping(&before), "{content}");
        assert_eq!(body(KIND, &content), body(KIND, stable), "{content}");
        let left = of(KIND, &content).beyond(&before);
        assert!(left.iter().all(|left| !left.keepable), "{left:?} of {content}");
        assert_eq!(kept(KIND, &content, stable), content);
        content
    }

    #[test]
    fn every_hardening_of_a_container_is_kept_whatever_else_goes_back() {
        let hardened = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "privileged": false,
            "readOnlyRootFilesystem": true, "runAsNonRoot": true, "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"}});
        let mut live = one(hardened.clone());
        live["spec"]["template"]["spec"]["containers"][0]["image"] = json!("bad");
        for stable in [json!({}), json!({"privileged": true, "procMount": "Unmasked"}), json!({"runAsUser": 0})] {
            let content = keep(&live, &one(stable));
            let container = &content["spec"]["template"]["spec"]["containers"][0];
            assert_eq!(container["image"], "x");
            for (field, value) in hardened.as_object().unwrap() {
                let found = &container["securityContext"][field];
                let same = found == value || (field == "privileged" && found.is_null());
                assert!(same, "{field}: {content}");
            }
        }
    }

    #[test]
    fn what_the_pod_says_stays_at_the_pod() {
        let stable = pod(json!({"containers": [{"name": "a"}, {"name": "b"}], "securityContext": {"fsGroup": 7}}));
        let live = pod(json!({"containers": [{"name": "a"}, {"name": "b"}],
            "securityContext": {"runAsNonRoot": true, "runAsUser": 9, "seccompProfile": {"type": "RuntimeDefault"}}}));
        let content = keep(&live, &stable);
        assert_eq!(
            content["spec"]["template"]["spec"]["securityContext"],
            json!({"fsGroup": 7, "runAsNonRoot": true, "runAsUser": 9, "seccompProfile": {"type": "RuntimeDefault"}})
        );
        assert_eq!(content["spec"]["template"]["spec"]["containers"], stable["spec"]["template"]["spec"]["containers"]);
    }

    #[test]
    fn a_container_that_differs_from_its_pod_is_told_by_itself() {
        let stable = pod(json!({"securityContext": {"runAsUser": 0},
            "containers": [{"name": "a"}, {"name": "b", "securityContext": {"runAsUser": 3}}, {"name": "c"}]}));
        let live =
            pod(json!({"containers": [{"name": "a", "securityContext": {"runAsNonRoot": true}}, {"name": "b"}]}));
        let content = keep(&live, &stable);
        let containers = &content["spec"]["template"]["spec"]["containers"];
        assert_eq!(containers[0]["securityContext"], json!({"runAsNonRoot": true}));
        assert_eq!(containers[1]["securityContext"], json!({"runAsUser": 3}));
        assert_eq!(containers[2]["securityContext"], json!({"runAsUser": 0}), "not there now, so as it was");
    }

    #[test]
    fn capabilities_are_those_that_both_have() {
        let stable = one(json!({"capabilities": {"add": ["NET_ADMIN", "SYS_TIME"]}}));
        let live = one(json!({"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "SYS_ADMIN"]}}));
        let content = keep(&live, &stable);
        let found = &content["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilities"];
        assert_eq!(*found, json!({"add": ["NET_ADMIN"], "drop": ["ALL"]}));
    }

    #[test]
    fn the_host_is_kept_away_and_its_paths_are_not_ours_to_take() {
        let stable = pod(json!({"hostNetwork": true, "volumes": [{"name": "v", "hostPath": {"path": "/run"}}],
            "containers": [{"name": "a", "ports": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81}]}]}));
        let live = pod(json!({"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]}));
        let spec = keep(&live, &stable)["spec"]["template"]["spec"].clone();
        assert_eq!(spec["hostNetwork"], Value::Null);
        assert_eq!(spec["containers"][0]["ports"], json!([{"containerPort": 80}, {"containerPort": 81}]));
        assert_eq!(spec["volumes"][0]["hostPath"]["path"], "/run");
    }

    #[test]
    fn what_became_looser_goes_back_whole() {
        let stable = one(json!({"runAsNonRoot": true, "capabilities": {"drop": ["ALL"]}}));
        for live in
            [one(json!({})), one(json!({"privileged": true})), one(json!({"runAsNonRoot": true, "runAsUser": 0}))]
        {
            assert_eq!(
                keep(&live, &stable)["spec"]["template"]["spec"]["containers"][0]["securityContext"]["runAsUser"],
                Value::Null
            );
        }
    }
}
