//! A node is everybody's: only one that has been bad for long enough, while no other has just come back, never the last one that takes pods, and never more
//! than the RecoveryBudgets allow in the whole cluster. Moving traffic away from a target that is down comes first.
//!
//! What counts is what the nodes say themselves; `act` counts once more, live, before it writes.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;
use crate::plan::nodes;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let (Remedy::IsolateNode, Some(node)) = (remedy, nodes::suspected(case)) else { return Ok(()) };
    let refuse = |reason, message: String| Err(Refusal::new(reason, message));
    let name = &node.name;
    let enough = case.policy.spec.detection.unavailable_for;
    let seen = case.facts.nodes.seen();
    let changed = [node.since.filter(|_| !node.ready), seen.and_then(|nodes| nodes.last_back)];
    let settled = changed.into_iter().flatten().max().map(|changed| changed + enough.signed());
    if let Some(until) = settled.filter(|until| case.now < *until) {
        // After an outage of many nodes the last one to come back is not to blame.
        let message = format!("Node {name} or another has changed within {enough}: it may be back in a moment");
        return Err(Refusal { until: Some(until), ..Refusal::new(Reason::Settling, message) });
    }
    if standby_first(case) {
        return refuse(Reason::NotIndicated, "the target is down: its traffic moves to the standby first".into());
    }
    if nodes::isolate(case, "").is_empty() {
        let message = format!("Node {name} is isolated already, and nothing on it can be moved");
        return refuse(Reason::NotIndicated, message);
    }
    let Some(all) = seen.filter(|_| !node.unschedulable) else { return Ok(()) };
    if all.unread > 0 {
        return refuse(Reason::Malformed, format!("{} nodes cannot be read", all.unread));
    }
    let most = case.facts.fleet.limits.max_cordoned as usize;
    if all.cordoned.len() >= most {
        let names: Vec<&str> = all.cordoned.iter().map(String::as_str).collect();
        let message = format!("{} of {most} nodes that may be are cordoned by us: {}", names.len(), names.join(", "));
        return refuse(Reason::NodesExhausted, message);
    }
    if all.schedulable == u32::from(node.schedulable()) {
        let message = format!("no other node than {name} would be left for new pods");
        return refuse(Reason::LastSchedulableNode, message);
    }
    Ok(())
}

/// Nothing of the target serves, and a standby could, now or after a moment.
fn standby_first(case: &Case) -> bool {
    let down = case.assessment.ready == 0 && case.policy.spec.actions.failover.is_some();
    down && match super::allowed(case, Remedy::Failover) {
        Ok(()) => true,
        Err(refusal) => refusal.reason == Reason::Settling,
    }
}
