//! Autoscalers of a standby, and those that the recoveries of a policy raised.
//!
//! This module must not judge.

use super::kind::Kind;
use super::slim::{Member, Tie};
use super::world::Namespace;
use crate::plan::facts::{RecoveryFacts, Workload};
use crate::plan::pre_scale::AutoscalerFacts;

/// Every such autoscaler, by name.
pub(super) fn autoscalers(
    world: &Namespace,
    standby: Option<&Workload>,
    recoveries: &[RecoveryFacts],
) -> Vec<AutoscalerFacts> {
    let all = world.all(Kind::HorizontalPodAutoscaler);
    let found = all.filter_map(|(name, stored)| {
        facts(name, &stored.uid, world.member(Kind::HorizontalPodAutoscaler, name)?, standby)
    });
    let ours = |found: &AutoscalerFacts| recoveries.iter().any(|own| Some(&own.name) == found.scaled_by.as_ref());
    found.filter(|found| found.of_standby || ours(found)).collect()
}

fn facts(name: &str, uid: &str, member: &Member, standby: Option<&Workload>) -> Option<AutoscalerFacts> {
    let Tie::Scales { scaling, raised_by, owner, .. } = &member.tie else { return None };
    Some(AutoscalerFacts {
        name: name.to_owned(),
        uid: uid.to_owned(),
        of_standby: standby.is_some_and(|standby| member.attached_to(standby)),
        least: scaling.least,
        most: scaling.most,
        scaled_by: raised_by.as_deref().map(str::to_owned),
        field_owner: owner.clone(),
        git_ops: member.git_ops.map(str::to_owned),
    })
}
