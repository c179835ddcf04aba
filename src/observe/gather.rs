//! Facts about one policy, put together from what is known of its namespace.
//!
//! Only by links, never by searching all there is. This module must not judge, and leaves nothing out because it looks
//! harmless.

use std::collections::BTreeSet;

use super::PolicyKey;
use super::autoscalers;
use super::kind::Kind;
use super::links::Link;
use super::marks;
use super::members::{self, Around};
use super::neighbours;
use super::network;
use super::slim::Policy;
use super::world::Namespace;
use crate::api::policy::{Included, IncludedKind, MemberPolicy};
use crate::plan::Fleet;
use crate::plan::facts::{
    Ceiling, ConfigMapFacts, Facts, ObjectFacts, PodFacts, PolicyFacts, RecoveryFacts, Rehearsals, Revision,
    ServiceFacts, Sight, StateFacts, Workload,
};
use crate::plan::member::MemberKind;
use crate::plan::nodes::NodeSight;

/// The longest name that is its own label.
const LONGEST_LABEL: usize = 63;

/// Everything known about a policy. `cluster` is what belongs to no namespace, if that may be a member; `nameless` are
/// kinds of which an object cannot even be named.
pub(super) fn facts(
    world: &Namespace,
    cluster: Option<&Namespace>,
    key: &PolicyKey,
    ceiling: Ceiling,
    blind: Vec<String>,
    nameless: impl Iterator<Item = Kind>,
) -> Option<Facts> {
    let policy = world.policy(&key.name);
    let recoveries = recoveries(world, &key.name);
    if policy.is_none() && recoveries.is_empty() {
        return None;
    }
    let target = match policy {
        Some(policy) => Some((policy.spec.target_ref.kind.as_str(), policy.spec.target_ref.name.as_str())),
        None => recoveries.last().map(|r| (r.journal.target.kind.as_str(), r.journal.target.name.as_str())),
    };
    let (kind, target) = target.unwrap_or_default();
    let kind = Kind::of("apps/v1", kind).unwrap_or(Kind::Deployment);
    let look = Look { world, cluster, key, policy, kind, target: target.to_owned(), recoveries: &recoveries };
    let target = world.workload(kind, &look.target).cloned();
    let standby = look.standby().and_then(|(kind, name)| world.workload(kind, name)).cloned();
    let states: Vec<StateFacts> =
        world.linked(Link::States, &key.name).filter_map(|name| world.state(name)).map(|s| s.facts.clone()).collect();
    let config_maps = look.config_map_names(target.as_ref(), &states);
    let around = Around { namespace: &key.namespace, world, cluster };
    let objects = members::objects(around, target.as_ref(), look.included(), &states);
    Some(Facts {
        namespace: key.namespace.clone(),
        policy_name: key.name.clone(),
        policy: look.policy_facts(),
        sight: look.sight(blind, &config_maps, &objects, nameless),
        ceiling,
        revisions: target.as_ref().map(|target| look.revisions(target)).unwrap_or_default(),
        pods: target.as_ref().map(|target| look.pods(target)).unwrap_or_default(),
        quarantined: look.quarantined(),
        config_maps: config_maps.iter().filter_map(|name| look.config_map(name)).collect(),
        services: look.services(target.as_ref(), &states),
        objects,
        standby_pods: standby.as_ref().map(|standby| look.pods(standby)).unwrap_or_default(),
        standby_autoscalers: autoscalers::autoscalers(world, standby.as_ref(), &recoveries),
        standby,
        neighbours: neighbours::neighbours(world, policy, &recoveries),
        marks: marks::marks(world, &key.name),
        network: network::network(world, policy, target.as_ref(), &recoveries),
        states,
        target,
        recoveries,
        rehearsals: Rehearsals::default(),
        checks: vec![],
        fleet: Fleet::default(),
        nodes: NodeSight::Off,
        lost: None,
    })
}

/// Whether a policy says that Secrets are looked at; where it does not, nothing about them matters.
pub(super) fn minds_secrets(world: &Namespace, policy: &str) -> bool {
    world.policy(policy).is_some_and(|policy| policy.spec.closure.secrets != MemberPolicy::Ignore)
}

/// Whether a state of the policy has a member of this kind, or its traffic is moved by one.
pub(super) fn minds(world: &Namespace, policy: &str, kind: Kind) -> bool {
    let states = world.linked(Link::States, policy).filter_map(|name| world.state(name));
    let recorded = states.flat_map(|state| &state.facts.members).any(|member| member.kind == kind.name());
    let failover = world.policy(policy).and_then(|policy| policy.spec.actions.failover.as_ref());
    recorded || failover.and_then(|failover| failover.via.route()).is_some_and(|(named, _)| named == kind.name())
}

struct Look<'a> {
    world: &'a Namespace,
    cluster: Option<&'a Namespace>,
    key: &'a PolicyKey,
    policy: Option<&'a Policy>,
    /// Kind and name of the target.
    kind: Kind,
    target: String,
    recoveries: &'a [RecoveryFacts],
}

impl Look<'_> {
    fn policy_facts(&self) -> Option<PolicyFacts> {
        let named = self.world.linked(Link::Policies, &self.target).filter(|name| *name != self.key.name);
        let rivals = named.filter(|name| {
            self.world
                .policy(name)
                .is_some_and(|rival| !rival.deleting && rival.spec.target_ref.kind == self.kind.name())
        });
        let uid = &self.world.get(Kind::RecoveryPolicy, &self.key.name)?.uid;
        let mut facts = self.policy?.facts(uid, rivals.map(str::to_owned).collect());
        // Whoever deletes a namespace deletes the policies in it, and its pods first.
        facts.deleting |= self.world.is_ending();
        Some(facts)
    }

    fn standby(&self) -> Option<(Kind, &str)> {
        let standby = &self.policy?.spec.actions.failover.as_ref()?.standby;
        Some((Kind::of(&standby.api_version, &standby.kind)?, &standby.name))
    }

    fn moves(&self, service: &str) -> bool {
        let failover = self.policy.and_then(|policy| policy.spec.actions.failover.as_ref());
        failover.is_some_and(|failover| failover.via.services().any(|name| name == service))
    }

    fn included(&self) -> &[Included] {
        self.policy.map(|policy| policy.spec.closure.include.as_slice()).unwrap_or_default()
    }

    fn is_ours(&self, recovery: &str) -> bool {
        self.recoveries.iter().any(|own| own.name == recovery)
    }

    /// By uid: a workload that was created anew has nothing of the one before it.
    fn revisions(&self, workload: &Workload) -> Vec<Revision> {
        let kind = match workload.kind {
            MemberKind::Deployment => Kind::ReplicaSet,
            _ => Kind::ControllerRevision,
        };
        let names = self.world.linked(Link::Revisions, &workload.uid);
        let kept = names.filter_map(|name| self.world.revision(kind, name));
        kept.map(|kept| Revision {
            name: kept.name.to_string(),
            template: kept.template.to_string(),
            created: kept.created,
        })
        .collect()
    }

    fn pods(&self, workload: &Workload) -> Vec<PodFacts> {
        let sets = self.world.linked(Link::Revisions, &workload.uid);
        let uids = sets.filter_map(|set| self.world.get(Kind::ReplicaSet, set)).map(|stored| stored.uid.as_ref());
        let uids = uids.chain([workload.uid.as_str()]);
        let pods = uids.flat_map(|uid| self.world.linked(Link::Pods, uid)).filter_map(|name| self.pod(name));
        pods.filter(|pod| pod.quarantined_by.as_ref().is_none_or(|recovery| !self.is_ours(recovery))).collect()
    }

    fn quarantined(&self) -> Vec<PodFacts> {
        let names = self.recoveries.iter().flat_map(|own| self.world.linked(Link::QuarantinedPods, &own.name));
        let pods = names.filter_map(|name| self.pod(name));
        pods.map(|pod| PodFacts { reached_by: self.reaching(&pod), ..pod }).collect()
    }

    /// Services that select a pod, or that still offer it.
    fn reaching(&self, pod: &PodFacts) -> BTreeSet<String> {
        let all = self.world.all(Kind::Service).filter_map(|(name, _)| self.world.service(name));
        let reaching =
            all.filter(|service| service.selects(&pod.labels) || self.offered(&service.name).contains(&pod.uid));
        reaching.map(|service| service.name.clone()).collect()
    }

    fn pod(&self, name: &str) -> Option<PodFacts> {
        let uid = &self.world.get(Kind::Pod, name)?.uid;
        self.world.pod(name).map(|pod| pod.facts(name, uid))
    }

    fn config_map(&self, name: &str) -> Option<(String, ConfigMapFacts)> {
        let known = self.world.config_map(name)?.clone();
        let consumers = self.world.linked(Link::Consumers, name).flat_map(|name| self.world.workloads(name));
        let others = consumers.filter(|workload| {
            let own = workload.kind.name() == self.kind.name() && workload.name == self.target;
            let standby =
                self.standby().is_some_and(|(kind, name)| workload.kind.name() == kind.name() && workload.name == name);
            !own && !standby && workload.available_replicas > 0 && workload.config_maps.contains(name)
        });
        let serving_others = others.map(Workload::title).collect();
        Some((name.to_owned(), ConfigMapFacts { serving_others, ..known }))
    }

    fn config_map_names(&self, target: Option<&Workload>, states: &[StateFacts]) -> BTreeSet<String> {
        let referred = target.into_iter().flat_map(|target| target.config_maps.iter().cloned());
        let members = states.iter().flat_map(|state| &state.members).filter(|member| member.kind == "ConfigMap");
        let recorded = members.flat_map(|member| [member.name.clone(), member.copy.clone()]);
        let listed = self.included().iter().filter(|object| object.kind == IncludedKind::ConfigMap);
        let listed = listed.map(|object| object.name.clone());
        referred.chain(recorded).chain(listed).filter(|name| !name.is_empty()).collect()
    }

    fn services(&self, target: Option<&Workload>, states: &[StateFacts]) -> Vec<ServiceFacts> {
        let members = states.iter().flat_map(|state| &state.members);
        let recorded: BTreeSet<&str> =
            members.filter(|member| member.kind == Kind::Service.name()).map(|member| member.name.as_str()).collect();

        let all = self.world.all(Kind::Service).filter_map(|(name, _)| self.world.service(name));
        let concerned = all.filter(|service| {
            target.is_some_and(|target| service.selects(&target.labels))
                || recorded.contains(service.name.as_str())
                || self.moves(&service.name)
                || service.switched_by.as_ref().is_some_and(|recovery| self.is_ours(recovery))
        });
        concerned.map(|service| ServiceFacts { offered: self.offered(&service.name), ..service.clone() }).collect()
    }

    fn offered(&self, service: &str) -> BTreeSet<String> {
        let slices = self.world.linked(Link::EndpointSlices, service);
        let slices = slices.filter_map(|name| self.world.endpoint_slice(name));
        slices.flat_map(|slice| slice.offered.iter().map(ToString::to_string)).collect()
    }

    fn sight(
        &self,
        mut blind: Vec<String>,
        config_maps: &BTreeSet<String>,
        objects: &[ObjectFacts],
        nameless: impl Iterator<Item = Kind>,
    ) -> Sight {
        let unread = |kind, name: &str| self.world.malformed().any(|(of, named, _)| of == kind && named == name);
        let namespace = &self.key.namespace;
        // A policy or a target that exists and was never read must not be taken for one that is gone.
        let needed = [
            (Kind::RecoveryPolicy, self.key.name.as_str(), self.policy.is_none()),
            (self.kind, self.target.as_str(), self.world.workload(self.kind, &self.target).is_none()),
        ];
        let never_read = needed.into_iter().filter(|(kind, name, unknown)| *unknown && unread(*kind, name));
        blind.extend(never_read.map(|(kind, name, _)| format!("{kind} {namespace}/{name} cannot be read")));
        let secrets = minds_secrets(self.world, &self.key.name);
        let mattering = self.world.malformed().filter(|(kind, name, malformed)| match kind {
            Kind::Secret if !secrets => false,
            // One that cannot be read is never a suspect; nothing else depends on it.
            Kind::CronJob => false,
            Kind::ConfigMap => config_maps.contains(*name),
            Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet => {
                (self.kind == *kind && self.target == *name) || self.standby() == Some((*kind, *name))
            }
            // What was never read may be anybody's; what was is known to concern us or not.
            kind if kind.member().is_some() && *kind != Kind::Service => {
                let known = self.world.get(*kind, name).is_some();
                !known || objects.iter().any(|object| Some(object.kind) == kind.member() && object.name == *name)
            }
            Kind::StableState | Kind::Recovery => self.may_be_of_ours(malformed.policy.as_deref()),
            _ => true,
        });
        let named = mattering.map(|(kind, name, _)| format!("{kind} {namespace}/{name}"));
        let named = named.chain(self.unread_outside(objects));
        let nameless = nameless.filter(|kind| (secrets || *kind != Kind::Secret) && *kind != Kind::CronJob);
        let malformed = named.chain(nameless.map(|kind| format!("some {kind} without a name"))).collect();
        Sight { blind, malformed }
    }

    /// Members that belong to no namespace and cannot be read; what was never read may be anybody's.
    fn unread_outside(&self, objects: &[ObjectFacts]) -> impl Iterator<Item = String> {
        let cluster = self.cluster.into_iter();
        let unread = cluster.flat_map(|cluster| cluster.malformed().map(move |(kind, name, _)| (cluster, kind, name)));
        let mattering = unread.filter(move |(cluster, kind, name)| {
            let member = |object: &ObjectFacts| Some(object.kind) == kind.member() && object.name == *name;
            Kind::OUTSIDE.contains(kind) && (cluster.get(*kind, name).is_none() || objects.iter().any(member))
        });
        mattering.map(|(_, kind, name)| format!("{kind} {name}"))
    }

    /// Whether a record with this label may belong to the policy. Long names are cut in labels.
    fn may_be_of_ours(&self, label: Option<&str>) -> bool {
        self.key.name.len() > LONGEST_LABEL || label.is_none_or(|label| label == self.key.name)
    }
}

/// Oldest first. Creation times are whole seconds, so detection and name decide between equals.
fn recoveries(world: &Namespace, policy: &str) -> Vec<RecoveryFacts> {
    let linked = world.linked(Link::Recoveries, policy);
    let mut found: Vec<_> =
        linked.filter_map(|name| Some((world.get(Kind::Recovery, name)?.version, world.recovery(name)?))).collect();
    found.sort_by_key(|(_, incident)| {
        let detected = incident.facts.journal.timeline.detected.as_ref().map(|at| at.0);
        (incident.created, detected, incident.facts.name.clone())
    });
    let facts = found.into_iter().map(|(version, incident)| (version, incident.facts.clone()));
    facts.map(|(version, facts)| RecoveryFacts { version: version.to_string(), ..facts }).collect()
}
