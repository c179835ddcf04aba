//! A remedy must fit the suspect; what cannot help is not tried.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::{Remedy, Suspect};
use crate::plan::member::MemberKind;
use crate::plan::{closure, cuts, floors, parity, pre_scale, rehearsal, stale, standby, triage};

/// Something differs that a rollback writes, or we hold the rollout still, which a rollback ends.
fn restorable(case: &Case) -> bool {
    !closure::restorable(case.facts, case.reference).is_empty()
}

fn guard_rails(case: &Case) -> bool {
    !closure::guard_rails_to_restore(case.facts, case.reference).is_empty()
}

/// Nothing that changed is in the namespace.
fn only_outside(case: &Case) -> bool {
    !closure::only_outside(case.facts, case.reference).is_empty()
}

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let refuse = |reason: Reason, message: String| Err(Refusal::new(reason, message));
    match (remedy, case.triage.suspect) {
        (Remedy::Rollback, Suspect::Change) => rollback(case),
        (Remedy::RollbackLoosening, Suspect::Change) if parity::loosened_by(case.facts, case.reference).is_empty() => {
            refuse(Reason::NotIndicated, "nothing was hardened since the stable state".into())
        }
        (Remedy::RollbackLoosening, Suspect::Change) => Ok(()),
        (Remedy::RollbackLoosening, _) => refuse(case.triage.reason, case.triage.message.clone()),
        (Remedy::RestoreGuardRails, Suspect::Change) if !guard_rails(case) => {
            refuse(Reason::NoChangeToRevert, "no guard rail differs from the stable state".into())
        }
        (Remedy::RestoreGuardRails, Suspect::Change)
        | (Remedy::IsolatePods, Suspect::Pod)
        | (Remedy::Recreate, Suspect::TargetDeleted)
        | (Remedy::Failover, Suspect::Unknown | Suspect::Pod | Suspect::Node | Suspect::Zone)
        | (Remedy::Hold, _) => Ok(()),
        (Remedy::IsolateNode, Suspect::Node) if case.target.kind == MemberKind::DaemonSet => {
            refuse(Reason::NotIndicated, "a DaemonSet has its pods on every node, cordoned or not".into())
        }
        (Remedy::IsolateNode, Suspect::Node) => Ok(()),
        // Where no node may be touched, a bad pod is at least moved.
        (Remedy::IsolatePods, Suspect::Node) if case.triage.few && no_node_may_be_touched(case) => Ok(()),
        (Remedy::IsolateNode, _) => refuse(Reason::NotIndicated, "no single node is suspected".into()),
        (Remedy::Rollback | Remedy::RestoreGuardRails, Suspect::Node | Suspect::Zone | Suspect::Observer)
        | (Remedy::Failover, Suspect::Observer) => refuse(case.triage.reason, case.triage.message.clone()),
        // What cannot be reverted is no reason to let a target stay down.
        (Remedy::Failover, Suspect::Change) if gone(case) || only_outside(case) || standby::first(case).is_some() => {
            Ok(())
        }
        (Remedy::PreScale, _) => where_only_size_is_missing(case),
        (Remedy::Freeze, Suspect::Change) if bad_rollout(case) => Ok(()),
        (Remedy::Freeze, _) => refuse(Reason::NotIndicated, "no bad rollout is under way".into()),
        (Remedy::RenewPods, _) => stale_pods(case),
        (Remedy::Recreate, _) => refuse(Reason::NotIndicated, "the target was not deleted".into()),
        (Remedy::Failover, Suspect::TargetDeleted) => {
            refuse(Reason::NotIndicated, "the target was deleted: there is no home that traffic could return to".into())
        }
        (Remedy::StopNeighbour, Suspect::Neighbour) => Ok(()),
        (Remedy::StopNeighbour, _) => {
            refuse(Reason::NotIndicated, "no single neighbour was added or took more before the symptom began".into())
        }
        // What is stopped costs the target nothing, and may well be the cause: it goes first.
        (Remedy::Failover, Suspect::Neighbour) => refuse(Reason::NotIndicated, case.triage.message.clone()),
        (Remedy::CutDependency, _) => cuts::indicated(case),
        // A standby may do without it; whether it does is asked later.
        (Remedy::Failover, Suspect::Dependency) if case.triage.reason == Reason::DependencyFailing => Ok(()),
        // Elsewhere traffic would only meet the same dependency.
        (Remedy::Failover, Suspect::Dependency)
        | (Remedy::Rollback | Remedy::RestoreGuardRails, Suspect::Dependency | Suspect::Unknown) => {
            refuse(case.triage.reason, case.triage.message.clone())
        }
        (Remedy::Rollback | Remedy::RestoreGuardRails, _) => {
            refuse(Reason::NoChangeToRevert, case.triage.message.clone())
        }
        (Remedy::IsolatePods, _) => refuse(
            Reason::NotIndicated,
            "the symptom is not that of single pods among good ones of the same revision".into(),
        ),
        (Remedy::Failover, Suspect::Change) => refuse(
            Reason::NotIndicated,
            "a change explains the symptom; reverting it comes before moving traffic".into(),
        ),
    }
}

fn rollback(case: &Case) -> Result<(), Refusal> {
    let said = &case.triage.message;
    match () {
        () if restorable(case) => unless_traffic_moves_first(case),
        () if only_outside(case) => {
            Err(Refusal::new(Reason::NotAllowed, format!("{said}; nothing of it is ever written")))
        }
        () => Err(Refusal::new(Reason::NoChangeToRevert, format!("{said}; a rollback writes none of it"))),
    }
}

fn stale_pods(case: &Case) -> Result<(), Refusal> {
    let message = "it is not that bad pods, and only they, started before something changed which they read only then, and \
                   nothing else explains it";
    stale::found(case).map(drop).ok_or_else(|| Refusal::new(Reason::NotIndicated, message))
}

fn unless_traffic_moves_first(case: &Case) -> Result<(), Refusal> {
    match standby::first(case) {
        Some(why) if standby_can(case) => {
            Err(Refusal::new(Reason::NotIndicated, format!("{why}: traffic moves to the standby first")))
        }
        _ => Ok(()),
    }
}

/// Traffic would move but for the size of the standby, and its autoscaler can bring more of it.
fn where_only_size_is_missing(case: &Case) -> Result<(), Refusal> {
    let refuse = |why: String| Err(Refusal::new(Reason::NotIndicated, why));
    match super::allowed(case, Remedy::Failover) {
        Err(refusal) if refusal.reason == Reason::StandbyTooSmall => match pre_scale::possible(case) {
            Ok(_) => Ok(()),
            Err(why) => refuse(why),
        },
        Err(refusal) => refuse(format!("more pods of the standby would not help: {}", refusal.message)),
        Ok(()) => refuse("the standby is large enough".into()),
    }
}

/// A rollout is under way that takes more pods to what is bad. Pods that are missing because a guard rail refuses them are
/// none, nor is a restart of ours.
fn bad_rollout(case: &Case) -> bool {
    let own = triage::explaining(case.facts, case.reference).iter().any(|difference| !difference.of_others());
    case.assessment.rolling && own && !stale::renewed(case)
}

fn no_node_may_be_touched(case: &Case) -> bool {
    case.facts.fleet.limits.max_cordoned == 0
}

/// The standby could take over, now or after a moment.
fn standby_can(case: &Case) -> bool {
    match super::allowed(case, Remedy::Failover) {
        Ok(()) => true,
        Err(refusal) => refusal.reason == Reason::Settling,
    }
}

/// The state that a rollback would go back to is not possible any more.
fn gone(case: &Case) -> bool {
    let allowed = rehearsal::allows(case, Remedy::Rollback);
    let below = !floors::judge(case.facts, case.reference, case.now).below.is_empty();
    below || allowed.is_err_and(|refusal| rehearsal::refuses(refusal.reason))
}
