//! What keeps nodes alive is not ours to touch. A target that another controller makes is that controller's business: it would undo what we do.

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::Remedy;
use crate::plan::member::MemberKind;
use crate::plan::neighbours;

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    if case.target.kind == MemberKind::DaemonSet && case.target.node_critical {
        let message = "a DaemonSet that nodes cannot work without (system-node-critical) is never touched";
        return Err(Refusal::new(Reason::TargetProtected, message));
    }
    let neighbour = neighbours::suspect(case.facts, case.reference).filter(|_| remedy == Remedy::StopNeighbour);
    if let Some((neighbour, owner)) = neighbour.and_then(|neighbour| Some((neighbour, neighbour.owner.as_ref()?))) {
        let message = format!("{} is controlled by {owner}, which would undo our change", neighbour.title());
        return Err(Refusal::new(Reason::TargetOwned, message));
    }
    match &case.target.owner {
        Some(owner) => Err(Refusal::new(
            Reason::TargetOwned,
            format!(
                "the target is controlled by {owner}, which would undo our changes; look after that object instead"
            ),
        )),
        None => Ok(()),
    }
}
