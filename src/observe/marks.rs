//! Marks of ours on objects, found by the Recovery that they name: also where that one is gone.
//!
//! This module must not judge.

use super::kind::Kind;
use super::links::Link;
use super::world::Namespace;
use crate::api::mark;
use crate::plan::forgotten::{Mark, is_of};

/// What may carry a mark, but for pods.
const MARKED: [Kind; 7] = [
    Kind::Deployment,
    Kind::CronJob,
    Kind::Service,
    Kind::NetworkPolicy,
    Kind::HorizontalPodAutoscaler,
    Kind::HttpRoute,
    Kind::GrpcRoute,
];

/// All that name a Recovery of this policy, but for those on the target and on nodes.
pub(super) fn marks(world: &Namespace, policy: &str) -> Vec<Mark> {
    let pods = of_policy(world, Link::QuarantinedPods, policy);
    let pods = pods.filter(|(name, _)| world.pod(name).is_some_and(|pod| !pod.deleting));
    let pods = pods.map(|(name, recovery)| found(Kind::Pod, name, mark::QUARANTINED_BY, recovery));
    let others = of_policy(world, Link::Marked, policy).flat_map(|(name, recovery)| {
        let kinds = MARKED.into_iter();
        kinds.filter_map(move |kind| Some(found(kind, name, carried(world, kind, name, recovery)?, recovery)))
    });
    pods.chain(others).collect()
}

/// Names of what is linked to a Recovery of the policy, each with the name of that.
fn of_policy<'a>(
    world: &'a Namespace,
    link: Link,
    policy: &'a str,
) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let linked = world.all_linked(link).filter(move |(recovery, _)| is_of(policy, recovery));
    linked.flat_map(|(recovery, names)| names.map(move |name| (name, recovery)))
}

/// The mark of this Recovery that an object carries. What was scaled up again after it was stopped is free of it.
fn carried(world: &Namespace, kind: Kind, name: &str, recovery: &str) -> Option<&'static str> {
    let (mark, by) = match kind {
        Kind::Deployment => {
            let stopped = world.workload(kind, name).filter(|workload| workload.replicas == 0)?;
            (mark::STOPPED_BY, stopped.stopped_by.as_deref()?)
        }
        Kind::CronJob => {
            let stopped = world.cron_job(name).filter(|job| job.load == 0)?;
            (mark::STOPPED_BY, stopped.stopped_by.as_deref()?)
        }
        Kind::Service => (mark::SWITCHED_BY, world.service(name)?.switched_by.as_deref()?),
        kind => world.member(kind, name)?.mark()?,
    };
    (by == recovery).then_some(mark)
}

fn found(kind: Kind, name: &str, mark: &str, recovery: &str) -> Mark {
    Mark { kind: kind.name().to_owned(), name: name.to_owned(), mark: mark.to_owned(), recovery: recovery.to_owned() }
}
