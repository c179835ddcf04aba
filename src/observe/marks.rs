//! Marks of ours on objects, found by the Recovery that they name: also where that one is gone.
//!
//! This module must not judge.

use super::kind::Kind;
use super::links::Link;
use super::slim::Tie;
use super::world::Namespace;
use crate::api::mark;
use crate::plan::forgotten::{Mark, is_of};

/// All that name a Recovery of this policy, but for those on the target and on nodes.
pub(super) fn marks(world: &Namespace, policy: &str) -> Vec<Mark> {
    let pods = world.all_linked(Link::QuarantinedPods).filter(|(recovery, _)| is_of(policy, recovery));
    let pods = pods.flat_map(|(recovery, names)| names.iter().map(move |name| (name, recovery)));
    let pods = pods.filter(|(name, _)| world.pod(name).is_some_and(|pod| !pod.deleting));
    let pods = pods.map(|(name, recovery)| found("Pod", name, mark::QUARANTINED_BY, recovery));
    let stopped = world.all_linked(Link::Stopped).filter(|(recovery, _)| is_of(policy, recovery));
    let stopped = stopped.flat_map(|(recovery, names)| names.iter().map(move |name| (name, recovery)));
    let stopped = stopped.flat_map(|(name, recovery)| of_stopped(world, name, recovery));
    let services = world.all(Kind::Service).filter_map(|(name, _)| {
        let recovery = world.service(name)?.switched_by.as_deref().filter(|recovery| is_of(policy, recovery))?;
        Some(found("Service", name, mark::SWITCHED_BY, recovery))
    });
    let marked = policies(world, policy).chain(autoscalers(world, policy)).chain(routes(world, policy));
    pods.chain(stopped).chain(services).chain(marked).collect()
}

fn policies<'a>(world: &'a Namespace, policy: &'a str) -> impl Iterator<Item = Mark> + 'a {
    world.all(Kind::NetworkPolicy).filter_map(move |(name, _)| {
        let Tie::Limits { cut_by, denies_for, .. } = &world.member(Kind::NetworkPolicy, name)?.tie else { return None };
        let cut = cut_by.as_deref().map(|recovery| (mark::CUT_BY, recovery));
        let denied = denies_for.as_deref().map(|recovery| (mark::QUARANTINED_BY, recovery));
        let (mark, recovery) = cut.or(denied).filter(|(_, recovery)| is_of(policy, recovery))?;
        Some(found("NetworkPolicy", name, mark, recovery))
    })
}

fn autoscalers<'a>(world: &'a Namespace, policy: &'a str) -> impl Iterator<Item = Mark> + 'a {
    world.all(Kind::HorizontalPodAutoscaler).filter_map(move |(name, _)| {
        let member = world.member(Kind::HorizontalPodAutoscaler, name)?;
        let Tie::Scales { raised_by: Some(recovery), .. } = &member.tie else { return None };
        is_of(policy, recovery).then(|| found("HorizontalPodAutoscaler", name, mark::SCALED_BY, recovery))
    })
}

fn routes<'a>(world: &'a Namespace, policy: &'a str) -> impl Iterator<Item = Mark> + 'a {
    let all = [Kind::HttpRoute, Kind::GrpcRoute]
        .into_iter()
        .flat_map(|kind| world.all(kind).map(move |(name, _)| (kind, name)));
    all.filter_map(move |(kind, name)| {
        let Tie::Routes(routing) = &world.member(kind, name)?.tie else { return None };
        let recovery = routing.switched_by.as_deref().filter(|recovery| is_of(policy, recovery))?;
        Some(found(kind.name(), name, mark::SWITCHED_BY, recovery))
    })
}

/// Deployments and CronJobs of this name that stand still because of that Recovery.
fn of_stopped(world: &Namespace, name: &str, recovery: &str) -> Vec<Mark> {
    let deployment = world.workload(Kind::Deployment, name);
    let deployment = deployment.filter(|it| it.stopped_by.as_deref() == Some(recovery) && it.replicas == 0);
    let job = world.cron_job(name).filter(|it| it.stopped_by.as_deref() == Some(recovery) && it.load == 0);
    let kinds = [deployment.map(|_| "Deployment"), job.map(|_| "CronJob")];
    kinds.into_iter().flatten().map(|kind| found(kind, name, mark::STOPPED_BY, recovery)).collect()
}

fn found(kind: &str, name: &str, mark: &str, recovery: &str) -> Mark {
    Mark { kind: kind.to_owned(), name: name.to_owned(), mark: mark.to_owned(), recovery: recovery.to_owned() }
}
