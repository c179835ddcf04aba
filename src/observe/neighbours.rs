//! Workloads that a policy declares may be stopped for its target, and those that its recoveries stopped.
//!
//! This module must not judge.

use std::collections::BTreeSet;

use super::kind::Kind;
use super::links::Link;
use super::slim::Policy;
use super::world::Namespace;
use crate::api::recovery::Remediation;
use crate::plan::facts::{RecoveryFacts, Workload};
use crate::plan::neighbours::NeighbourFacts;

/// Every neighbour that exists.
pub(super) fn neighbours(
    world: &Namespace,
    policy: Option<&Policy>,
    recoveries: &[RecoveryFacts],
) -> Vec<NeighbourFacts> {
    let declared = declared(policy);
    let all: BTreeSet<(&str, &str)> = declared.iter().copied().chain(stopped(recoveries)).collect();
    let found = all.into_iter().filter_map(|(kind, name)| {
        let neighbour = match kind {
            "CronJob" => world.cron_job(name).cloned(),
            _ => world.workload(Kind::Deployment, name).map(|workload| of_workload(world, workload)),
        };
        Some(NeighbourFacts { declared: declared.contains(&(kind, name)), ..neighbour? })
    });
    found.collect()
}

/// Whether what is known of CronJobs matters to a policy.
pub(super) fn minds_cron_jobs(world: &Namespace, policy: &str) -> bool {
    let known = world.policy(policy);
    let mut own = world.linked(Link::Recoveries, policy).filter_map(|name| world.recovery(name));
    declared(known).iter().any(|(kind, _)| *kind == "CronJob")
        || own.any(|incident| of_journal(&incident.facts).any(|(kind, _)| kind == "CronJob"))
}

fn declared(policy: Option<&Policy>) -> BTreeSet<(&str, &str)> {
    let isolate = policy.and_then(|policy| policy.spec.actions.isolate.as_ref());
    let named = isolate.into_iter().flat_map(|isolate| &isolate.neighbours);
    named.map(|other| (other.kind.as_str(), other.name.as_str())).collect()
}

fn stopped(recoveries: &[RecoveryFacts]) -> impl Iterator<Item = (&str, &str)> {
    recoveries.iter().flat_map(of_journal)
}

fn of_journal(recovery: &RecoveryFacts) -> impl Iterator<Item = (&str, &str)> {
    let steps = recovery.journal.steps.iter().filter(|step| step.remediation == Remediation::StopNeighbour);
    steps.map(|step| (step.object.kind.as_str(), step.object.name.as_str()))
}

/// It began to be what it is when it was created, or when the newest revision of its present template was.
fn of_workload(world: &Namespace, workload: &Workload) -> NeighbourFacts {
    let revisions = world.linked(Link::Revisions, &workload.uid);
    let revisions = revisions.filter_map(|name| world.revision(Kind::ReplicaSet, name));
    let present = revisions.filter(|revision| *revision.template == *workload.template).map(|found| found.created);
    NeighbourFacts {
        kind: workload.kind.name().to_owned(),
        name: workload.name.clone(),
        uid: workload.uid.clone(),
        declared: false,
        load: workload.replicas,
        digest: workload.template.clone(),
        began: present.chain([workload.created]).max().unwrap_or(workload.created),
        stopped_by: workload.stopped_by.clone(),
        git_ops: workload.git_ops.clone(),
        owner: workload.owner.clone(),
        deleting: workload.deleting,
        field_owner: workload.field_owner.clone(),
    }
}
