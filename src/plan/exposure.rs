//! Whether traffic still reaches the target as it did in its stable state, as far as objects show it.
//!
//! A difference alone is no symptom: people move traffic on purpose. It is one only together with evidence that it does
//! harm. Nothing here looks at pods' health.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::closure::{self, Difference};
use super::facts::{Facts, ObjectFacts, ServiceFacts, StateFacts, Workload};
use super::member::MemberKind;

/// What keeps traffic from the target, in a sentence; `None` while nothing shows that anything does.
#[must_use]
pub fn broken(facts: &Facts, target: &Workload, state: &StateFacts, now: Timestamp) -> Option<String> {
    let differences = closure::differences(facts, state);
    let of_target = |difference: &&Difference| !closure::listed(facts, difference.kind, difference.name);
    let mut changed = differences.iter().filter(|difference| !difference.added()).filter(of_target);
    changed.find_map(|difference| match difference.kind {
        MemberKind::Service => service(facts, target, difference.name),
        MemberKind::Ingress | MemberKind::HttpRoute | MemberKind::GrpcRoute => {
            route(facts, difference.kind, difference.name)
        }
        MemberKind::Secret => certificate(facts, state, difference, now),
        _ => None,
    })
}

/// | a Service that differs from the stable state and | is |
/// |---|---|
/// | does not exist | broken |
/// | offers no ready pod at all, while the target has some | broken |
/// | offers pods of others beside ours | broken: some of its answers are another program's |
/// | offers a node only the pods on it, and some node that takes pods has none | broken, for who asks from there |
/// | sends to a port that no container declares, though they declare others | broken |
/// | offers only pods of others | moved on purpose, as in a blue-green switch |
fn service(facts: &Facts, target: &Workload, name: &str) -> Option<String> {
    let Some(service) = facts.services.iter().find(|service| service.name == name) else {
        let gone = facts.object(MemberKind::Service, name).is_none_or(|object| object.uid.is_empty());
        return gone.then(|| format!("Service {name}, which led to the target, does not exist"));
    };
    let ready: BTreeSet<&str> = facts.live_pods().filter(|pod| pod.ready).map(|pod| pod.uid.as_str()).collect();
    let ours = |uid: &String| facts.pods.iter().chain(&facts.quarantined).any(|pod| pod.uid == *uid);
    let others = service.offered.iter().filter(|uid| !ours(uid)).count();
    let own = service.offered.len() - others;
    if service.offered.is_empty() && !ready.is_empty() {
        return Some(format!("Service {name} was changed and offers none of {} ready pods", ready.len()));
    }
    if own > 0 && others > 0 {
        return Some(format!("Service {name} was changed and offers {others} pods that are not the target's"));
    }
    if let Some(lonely) = without_local_pods(facts, service).filter(|_| own > 0) {
        return Some(format!(
            "Service {name} was changed and offers a node only the pods on it, and {lonely} nodes have none"
        ));
    }
    let stray = stray_port(target, service).filter(|_| own > 0)?;
    Some(format!("Service {name} was changed and sends to port {stray}, which no container declares"))
}

/// How many nodes that take pods have no pod of a Service that offers them only their own.
fn without_local_pods(facts: &Facts, service: &ServiceFacts) -> Option<usize> {
    let nodes = facts.nodes.seen().filter(|_| service.local_only)?;
    let hosts = |name: &str| facts.pods.iter().any(|pod| pod.node == name && service.offered.contains(&pod.uid));
    let served = nodes.known.iter().filter(|node| node.schedulable() && hosts(&node.name)).count();
    let lonely = usize::try_from(nodes.schedulable).unwrap_or(usize::MAX).saturating_sub(served);
    (lonely > 0).then_some(lonely)
}

fn stray_port<'a>(target: &Workload, service: &'a ServiceFacts) -> Option<&'a String> {
    service.target_ports.iter().find(|port| !target.ports.is_empty() && !target.ports.contains(*port))
}

fn route(facts: &Facts, kind: MemberKind, name: &str) -> Option<String> {
    let route = facts.object(kind, name).filter(|object| !object.uid.is_empty());
    let Some(route) = route else { return Some(format!("{kind} {name}, which led to the target, does not exist")) };
    let missing = route.dangling.first()?;
    Some(format!("{kind} {name} was changed and leads to Service {missing}, which does not exist"))
}

/// The certificate of a route was changed, and is of no use now while the recorded one still is. One that runs out by
/// itself is not a change, and nothing could be put back.
fn certificate(facts: &Facts, state: &StateFacts, difference: &Difference, now: Timestamp) -> Option<String> {
    let (kind, name) = (MemberKind::Secret, difference.name);
    let shows = |object: &&ObjectFacts| object.kind == MemberKind::Ingress && object.belongs;
    let route = facts.objects.iter().filter(shows).find(|route| route.shows.contains(name))?;
    let recorded = state.member(kind, name)?;
    let before = facts.object(kind, &recorded.copy)?.certificate?;
    if before.trouble(now).is_some() {
        return None;
    }
    let live = facts.object(kind, name).filter(|live| !live.uid.is_empty());
    let trouble = match live.map(|live| live.certificate) {
        None => "does not exist any more",
        Some(None) => "was replaced by something else",
        Some(Some(present)) => present.trouble(now)?,
    };
    Some(format!("the certificate that Ingress {} shows, in Secret {name}, was changed and {trouble}", route.name))
}
