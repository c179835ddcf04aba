//! What a GitOps tool keeps like its repository it would put back: we do not fight with it. Where the policy says so it is
//! written all the same, once; what was undone before is not written again, whoever undid it. Isolating a pod touches
//! nothing that a tool keeps, and stays possible.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::policy::GitOps;
use crate::api::recovery::{Remedy, Step};
use crate::plan::facts::RecoveryFacts;
use crate::plan::{closure, neighbours, owners, pre_scale, traffic};

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    match remedy {
        Remedy::Rollback | Remedy::RollbackLoosening | Remedy::Recreate | Remedy::RestoreGuardRails => {
            content(case, remedy)
        }
        Remedy::Freeze => freeze(case),
        Remedy::RenewPods => target(case),
        Remedy::Failover => failover(case),
        Remedy::PreScale => autoscaler(case),
        Remedy::StopNeighbour => neighbour(case),
        // A NetworkPolicy of our own is in no repository.
        Remedy::IsolatePods | Remedy::IsolateNode | Remedy::CutDependency | Remedy::Hold => Ok(()),
    }
}

fn respects(case: &Case) -> bool {
    case.policy.spec.git_ops == GitOps::Respect
}

fn kept(tool: &str, object: &str) -> Refusal {
    let message = format!("{tool} keeps {object} like its repository and would undo our change: revert it there");
    Refusal::new(Reason::GitOwned, message)
}

fn undone(case: &Case, (before, step): (&RecoveryFacts, &Step)) -> Refusal {
    let message = format!("in Recovery {} {}", before.name, owners::told(case.facts, &before.journal, step));
    Refusal::new(Reason::RevertedByGitOps, message)
}

fn content(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let differing = match remedy {
        Remedy::RestoreGuardRails => closure::guard_rails_to_restore(case.facts, case.reference),
        _ => closure::restorable(case.facts, case.reference),
    };
    if let Some(found) = owners::undone(case.facts, &differing) {
        return Err(undone(case, found));
    }
    let Some((tool, found)) = differing.iter().find_map(|found| Some((owners::keeper_of(case.facts, found)?, found)))
    else {
        return Ok(());
    };
    let object = format!("{} {}", found.kind, found.name);
    if respects(case) {
        return Err(kept(tool, &object));
    }
    match case.relapse.filter(|relapse| relapse.last.journal.decision.remedy.restores()) {
        Some(relapse) if case.open.is_none_or(|open| open.journal.attempt == 0) => {
            let message = format!(
                "{tool} brought back what Recovery {} had replaced in {object}; we do not write that again. The steps of that \
                 Recovery say what is to be changed in the repository",
                relapse.last.name
            );
            Err(Refusal::new(Reason::RevertedByGitOps, message))
        }
        _ => Ok(()),
    }
}

fn freeze(case: &Case) -> Result<(), Refusal> {
    // Where a rollback would only be undone again, there is silence.
    if let Err(refusal) = content(case, Remedy::Rollback)
        && refusal.reason == Reason::RevertedByGitOps
    {
        return Err(refusal);
    }
    target(case)
}

fn target(case: &Case) -> Result<(), Refusal> {
    match &case.target.git_ops {
        Some(tool) if respects(case) => Err(kept(tool, "the target")),
        _ => Ok(()),
    }
}

/// A selector or weights would be written.
fn failover(case: &Case) -> Result<(), Refusal> {
    let failover = case.policy.spec.actions.failover.as_ref();
    let found = failover.and_then(|failover| traffic::find(case.facts, failover, case.target).ok());
    let Some(means) = found else { return Ok(()) };
    let (kind, name) = (means.kind(), means.name());
    if let Some(found) = owners::undone_before(case.facts, kind, name, &means.position()) {
        return Err(undone(case, found));
    }
    match means.git_ops() {
        Some(tool) if respects(case) => Err(kept(tool, &format!("{kind} {name}"))),
        _ => Ok(()),
    }
}

fn autoscaler(case: &Case) -> Result<(), Refusal> {
    let Ok((found, _)) = pre_scale::possible(case) else { return Ok(()) };
    match &found.git_ops {
        Some(tool) => Err(kept(tool, &found.title())),
        None => Ok(()),
    }
}

fn neighbour(case: &Case) -> Result<(), Refusal> {
    let Some(neighbour) = neighbours::suspect(case.facts, case.reference) else { return Ok(()) };
    match &neighbour.git_ops {
        Some(tool) => Err(kept(tool, &neighbour.title())),
        None => Ok(()),
    }
}
