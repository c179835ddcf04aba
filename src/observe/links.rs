//! By what an object can be found from another one. Links are made and cut with the object that carries them.

use super::slim::Object;

/// A sort of link, named after what it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Link {
    /// From the uid of a workload: its ReplicaSets or ControllerRevisions.
    Revisions,
    /// From the uid of a ReplicaSet, StatefulSet or DaemonSet.
    Pods,
    /// From the name of a node.
    PodsOnNode,
    /// From the name of a Recovery: the pods it took out.
    QuarantinedPods,
    /// From the name of a Recovery: what else carries a mark of it.
    Marked,
    /// From the name of a Service.
    EndpointSlices,
    /// From the name of a ConfigMap: the workloads whose template refers to it.
    Consumers,
    /// From the name of a ConfigMap: the states that record it, or that it is a copy for.
    StatesWithConfigMap,
    /// From the name of a workload: the policies whose target it is.
    Policies,
    /// From the name of a Deployment: the policies whose standby it is.
    StandbyOf,
    /// From the name of a Deployment or CronJob: the policies that declare that it may be stopped.
    NeighbourOf,
    /// From the name of a Service: the policies that move traffic by it.
    MovedBy,
    /// From the name of an object that policies add to their closure.
    Includes,
    /// From the name of a policy.
    States,
    /// From the name of a policy.
    Recoveries,
    /// From the name of a workload: the open Recoveries of it, which may have outlived their policy.
    OpenRecoveries,
}

/// The links that an object carries, each with where it starts.
pub(super) fn links(object: &Object) -> Vec<(Link, &str)> {
    match object {
        Object::Workload(workload) => {
            let consumed = workload.config_maps.iter().map(|name| (Link::Consumers, name.as_str()));
            consumed.chain(marked(workload.stopped_by.as_deref())).collect()
        }
        Object::Revision(revision) => vec![(Link::Revisions, &revision.owner_uid)],
        Object::Pod(pod) => {
            let set = pod.controller.as_ref().map(|controller| (Link::Pods, controller.uid.as_ref()));
            let recovery = pod.quarantined_by.as_deref().map(|recovery| (Link::QuarantinedPods, recovery));
            let node = (!pod.node.is_empty()).then_some((Link::PodsOnNode, pod.node.as_ref()));
            set.into_iter().chain(recovery).chain(node).collect()
        }
        Object::ConfigMap(_) | Object::RecoveryBudget(_) | Object::Node(_) => vec![],
        Object::Service(service) => marked(service.switched_by.as_deref()).collect(),
        Object::Member(member) => marked(member.mark().map(|(_, recovery)| recovery)).collect(),
        Object::CronJob(job) => marked(job.stopped_by.as_deref()).collect(),
        Object::EndpointSlice(slice) => vec![(Link::EndpointSlices, &slice.service)],
        Object::RecoveryPolicy(policy) => {
            let target = (Link::Policies, policy.spec.target_ref.name.as_str());
            let failover = policy.spec.actions.failover.iter();
            let moved = failover.flat_map(|failover| {
                let services = failover.via.services().map(|name| (Link::MovedBy, name));
                services.chain([(Link::StandbyOf, failover.standby.name.as_str())])
            });
            let isolate = policy.spec.actions.isolate.iter().flat_map(|isolate| &isolate.neighbours);
            let neighbours = isolate.map(|neighbour| (Link::NeighbourOf, neighbour.name.as_str()));
            let included = policy.spec.closure.include.iter().map(|object| (Link::Includes, object.name.as_str()));
            moved.chain(neighbours).chain(included).chain([target]).collect()
        }
        Object::StableState(state) => {
            let config_maps = state.facts.members.iter().filter(|member| member.kind == "ConfigMap");
            let names = config_maps.flat_map(|member| [member.name.as_str(), member.copy.as_str()]);
            let named = names.filter(|name| !name.is_empty()).map(|name| (Link::StatesWithConfigMap, name));
            named.chain([(Link::States, state.policy.as_ref())]).collect()
        }
        Object::Recovery(incident) => {
            let journal = &incident.facts.journal;
            let open = incident.facts.open().then_some((Link::OpenRecoveries, journal.target.name.as_str()));
            open.into_iter().chain([(Link::Recoveries, journal.policy.as_str())]).collect()
        }
    }
}

fn marked(by: Option<&str>) -> impl Iterator<Item = (Link, &str)> {
    by.map(|recovery| (Link::Marked, recovery)).into_iter()
}
