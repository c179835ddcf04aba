//! How strict an object is about security: what it allows, so that two contents can be compared, and the stricter kept.
//!
//! Only what is looser and what is stricter is said here, over plain content; what follows from it is for the guard
//! `parity`, and for the proof of a recovery. What cannot be told counts as allowed.

mod around;
mod capabilities;
mod keep;
mod pod;
mod pod_security;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::member::MemberKind;

pub use keep::{body, kept};
pub(super) use pod_security::ENFORCE;

/// Where a pod template says something for the pod as a whole.
const POD: &str = "pod";
/// Places of containers begin with this, or with that.
const CONTAINER: &str = "container ";
const INIT_CONTAINER: &str = "init container ";
/// Places of hosts that a route answers for.
const HOST: &str = "host ";
/// Places of Gateways that a route is attached to.
const GATEWAY: &str = "gateway ";

/// What an object allows, place by place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posture(pub BTreeMap<String, Place>);

/// What is allowed at one place: to a container, to the pod, on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// What is allowed, each in a few words. The strictest place allows nothing.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub allows: BTreeSet<String>,
    /// Linux capabilities, one bit each.
    #[serde(default)]
    pub capabilities: u64,
    /// What is written for things that have more than two values, as JSON: which user, which profile.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub said: BTreeMap<String, String>,
}

/// Something that one content allows and the other does not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loosening {
    /// Where.
    pub place: String,
    /// What.
    pub what: String,
    /// A restore can leave it forbidden.
    pub keepable: bool,
}

impl fmt::Display for Loosening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// What the content of an object of this kind allows; of most kinds, nothing is known.
#[must_use]
pub fn of(kind: MemberKind, content: &Value) -> Posture {
    let places = match kind {
        _ if kind.workload() => pod::places(content.pointer("/spec/template/spec").unwrap_or(&Value::Null)),
        MemberKind::Service => around::service(content),
        MemberKind::Ingress => around::ingress(content),
        MemberKind::HttpRoute | MemberKind::GrpcRoute => around::gateway_route(content),
        MemberKind::ServiceAccount => around::account(content),
        MemberKind::Namespace => pod_security::places(content),
        _ => BTreeMap::new(),
    };
    Posture(places)
}

impl Place {
    /// Everything that is allowed here.
    fn all(&self) -> impl Iterator<Item = String> {
        let capabilities = capabilities::names(self.capabilities).map(|name| format!("capability {name}"));
        self.allows.iter().cloned().chain(capabilities)
    }

    /// What this allows and `other` does not.
    fn beyond(&self, other: &Self) -> Self {
        let allows = self.allows.difference(&other.allows).cloned().collect();
        Self { allows, capabilities: self.capabilities & !other.capabilities, said: BTreeMap::new() }
    }
}

impl Posture {
    /// What this allows and `other` does not. A container that `other` does not have is compared with all that it has; a
    /// host that it does not answer for, and a Gateway that it is not attached to, with nothing.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Vec<Loosening> {
        let mut found = vec![];
        for (name, place) in &self.0 {
            let known = other.0.get(name);
            let extra = match known {
                Some(known) => place.beyond(known),
                None if name.starts_with(HOST) || name.starts_with(GATEWAY) => continue,
                None => place.beyond(&other.any_container()),
            };
            let keepable = |what: &str| known.is_some() && keep::keepable(name, what);
            found.extend(extra.all().map(|what| Loosening { place: name.clone(), keepable: keepable(&what), what }));
        }
        found
    }

    /// Everything that is allowed, each as a [`Loosening`] is shown.
    pub fn allowed(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(name, place)| place.all().map(move |what| format!("{name}: {what}")))
    }

    /// What there is after a restore of content with this posture that keeps what is stricter in `live`.
    #[must_use]
    pub fn keeping(&self, live: &Self) -> Self {
        let places = self.0.iter().map(|(name, stable)| {
            let place = live.0.get(name).map_or_else(|| stable.clone(), |live| keep::stricter(name, stable, live));
            (name.clone(), place)
        });
        Self(places.collect())
    }

    /// What some container or other is allowed.
    fn any_container(&self) -> Place {
        let containers = self.0.iter().filter(|(name, _)| container(name));
        containers.fold(Place::default(), |mut all, (_, place)| {
            all.allows.extend(place.allows.iter().cloned());
            all.capabilities |= place.capabilities;
            all
        })
    }
}

fn container(place: &str) -> bool {
    place.starts_with(CONTAINER) || place.starts_with(INIT_CONTAINER)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workload(spec: Value) -> Value {
        json!({"spec": {"template": {"spec": spec}}})
    }

    fn one(context: Value) -> Value {
        workload(json!({"containers": [{"name": "a", "securityContext": context}]}))
    }

    /// What `stable` allows and `live` does not, shortly.
    fn beyond(stable: &Value, live: &Value) -> Vec<String> {
        let kind = MemberKind::Deployment;
        of(kind, stable).beyond(&of(kind, live)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_hardening_of_a_container_is_seen_and_nothing_else() {
        let cases = [
            (json!({"privileged": true}), json!({}), vec!["container a: privileged"]),
            (json!({}), json!({"allowPrivilegeEscalation": false}), vec!["container a: more rights than its parent"]),
            (json!({}), json!({"readOnlyRootFilesystem": true}), vec!["container a: a writable root file system"]),
            (json!({}), json!({"runAsNonRoot": true}), vec!["container a: root"]),
            (json!({"runAsUser": 0}), json!({"runAsUser": 1000}), vec!["container a: root"]),
            (json!({"runAsUser": 5}), json!({"runAsUser": 1000}), vec![]),
            (json!({}), json!({"seccompProfile": {"type": "RuntimeDefault"}}), vec!["container a: any system call"]),
            (json!({}), json!({"seccompProfile": {"type": "Unconfined"}}), vec![]),
            (json!({"capabilities": {"add": ["NET_ADMIN"]}}), json!({}), vec!["container a: capability NET_ADMIN"]),
            (json!({}), json!({"capabilities": {"drop": ["CHOWN"]}}), vec!["container a: capability CHOWN"]),
            (json!({"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}), json!({}), vec![]),
            (json!({"procMount": "Unmasked"}), json!({}), vec!["container a: an unmasked /proc"]),
        ];
        for (stable, live, expected) in cases {
            assert_eq!(beyond(&one(stable.clone()), &one(live.clone())), expected, "{stable} {live}");
        }
        let every = beyond(&one(json!({})), &one(json!({"capabilities": {"drop": ["ALL"]}})));
        assert_eq!(every.len(), 14, "the capabilities that a runtime gives by itself: {every:?}");
    }

    #[test]
    fn what_the_pod_says_counts_for_containers_that_say_nothing() {
        let stable =
            workload(json!({"containers": [{"name": "a"}, {"name": "b", "securityContext": {"runAsUser": 7}}]}));
        let live = workload(json!({"securityContext": {"runAsNonRoot": true},
            "containers": [{"name": "a"}, {"name": "b", "securityContext": {"runAsUser": 7}}]}));
        assert_eq!(beyond(&stable, &live), ["container a: root"]);
        assert!(beyond(&live, &stable).is_empty());
    }

    #[test]
    fn the_host_is_not_given_back() {
        let stable = workload(json!({"hostNetwork": true, "hostPID": true, "hostIPC": true,
            "volumes": [{"name": "v", "hostPath": {"path": "/run"}}],
            "containers": [{"name": "a", "ports": [{"containerPort": 80, "hostPort": 80}]}]}));
        let live = workload(json!({"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]}));
        let expected = [
            "container a: host port 80/TCP",
            "pod: host path /run",
            "pod: the host's IPC",
            "pod: the host's network",
            "pod: the host's processes",
        ];
        assert_eq!(beyond(&stable, &live), expected);
    }

    #[test]
    fn a_container_that_is_not_there_now_may_what_others_may() {
        let two = |context: Value| {
            workload(json!({"containers": [{"name": "a"}, {"name": "b", "securityContext": context}]}))
        };
        let live = workload(json!({"containers": [{"name": "a"}]}));
        assert!(beyond(&two(json!({})), &live).is_empty());
        assert_eq!(beyond(&two(json!({"privileged": true})), &live), ["container b: privileged"]);
    }

    #[test]
    fn a_service_opens_and_a_route_answers() {
        let service = |spec: Value| of(MemberKind::Service, &json!({"spec": spec}));
        let open = service(json!({"type": "LoadBalancer", "externalIPs": ["10.0.0.1"]}));
        let ranged = service(json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]}));
        let shut = service(json!({"type": "ClusterIP"}));
        let shown = |found: Vec<Loosening>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            shown(open.beyond(&shut)),
            [
                "service: a load balancer",
                "service: a load balancer for 0.0.0.0/0",
                "service: external address 10.0.0.1",
                "service: ports of every node"
            ]
        );
        assert_eq!(shown(open.beyond(&ranged)).len(), 2, "{:?}", open.beyond(&ranged));
        assert!(shut.beyond(&open).is_empty());

        let route = |tls: Value| {
            let rules = json!([{"host": "shop.example"}, {"host": "a.b.example"}]);
            of(MemberKind::Ingress, &json!({"spec": {"rules": rules, "tls": tls}}))
        };
        let secured = route(json!([{"hosts": ["shop.example", "*.b.example"]}]));
        assert_eq!(
            shown(route(json!([])).beyond(&secured)),
            ["host a.b.example: plain HTTP", "host shop.example: plain HTTP"]
        );
        assert!(
            route(json!([])).beyond(&of(MemberKind::Ingress, &json!({"spec": {}}))).is_empty(),
            "gone, not secured"
        );
    }

    #[test]
    fn a_route_that_was_kept_to_one_listener_stays_there() {
        let route = |parents: Value| of(MemberKind::HttpRoute, &json!({"spec": {"parentRefs": parents}}));
        let every = route(json!([{"name": "edge"}]));
        let one = route(json!([{"name": "edge", "sectionName": "https"}]));
        let shown: Vec<String> = every.beyond(&one).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["gateway edge: every listener"]);
        assert!(one.beyond(&every).is_empty());
        let elsewhere = route(json!([{"name": "edge", "namespace": "infra", "port": 443}]));
        assert!(every.beyond(&elsewhere).is_empty(), "moved, not secured");
        let other = route(json!([{"name": "edge", "sectionName": "http"}]));
        assert!(other.beyond(&one).is_empty(), "what a listener is cannot be told from here");
    }

    #[test]
    fn a_namespace_that_admits_less_is_stricter_and_another_version_is_not_known_to_be() {
        let namespace = |labels: &[(&str, &str)]| {
            let named = |(label, value): &(&str, &str)| (format!("pod-security.kubernetes.io/{label}"), json!(value));
            let labels: serde_json::Map<String, Value> = labels.iter().map(named).collect();
            of(MemberKind::Namespace, &json!({"metadata": {"labels": labels}}))
        };
        let shown = |a: &Posture, b: &Posture| a.beyond(b).iter().map(ToString::to_string).collect::<Vec<_>>();
        let open = of(MemberKind::Namespace, &json!({}));
        let baseline = namespace(&[("enforce", "baseline"), ("warn", "restricted")]);
        let restricted = namespace(&[("enforce", "restricted")]);
        assert_eq!(shown(&open, &restricted), ["enforce: more than baseline", "enforce: more than restricted"]);
        assert_eq!(
            shown(&open, &baseline),
            ["enforce: more than baseline", "warn: more than baseline", "warn: more than restricted"]
        );
        assert_eq!(shown(&baseline, &restricted), ["enforce: more than restricted"]);
        assert_eq!(open.beyond(&namespace(&[("enforce", "privileged"), ("enforce-version", "v1.30")])), []);
        let pinned = namespace(&[("enforce", "restricted"), ("enforce-version", "v1.30")]);
        let other = namespace(&[("enforce", "restricted"), ("enforce-version", "v1.31")]);
        assert_eq!(shown(&pinned, &other), ["enforce: what v1.30 allows"]);
        assert_eq!(shown(&other, &pinned), ["enforce: what v1.31 allows"]);
    }

    #[test]
    fn odd_content_has_a_posture_and_no_panic() {
        for odd in [json!(null), json!(3), workload(json!({"containers": 3})), workload(json!({"containers": [1, {}]}))]
        {
            for kind in MemberKind::ALL {
                let _ = (of(kind, &odd), body(kind, &odd), kept(kind, &odd, &odd));
            }
        }
    }
}
