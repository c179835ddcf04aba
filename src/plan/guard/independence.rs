//! A standby that shares with the target what broke it is no standby: it would fail as well, or already does and does not
//! show it yet.
//!
//! What matters depends on the suspect: of a change what was changed, of a node or zone where the pods are, and of what
//! nothing explains whatever nobody can look into, and what changed all the same. That a standby is ready now is no proof:
//! pods read their configuration when they start.

use std::collections::BTreeSet;

use super::{Case, Refusal};
use crate::api::Reason;
use crate::api::recovery::{Remedy, Suspect};
use crate::plan::facts::Workload;
use crate::plan::member::MemberKind;
use crate::plan::{nodes, standby, triage};

pub(super) fn check(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    let Some(standby) = case.facts.standby.as_ref().filter(|_| remedy == Remedy::Failover) else { return Ok(()) };
    match shared(case, standby) {
        Some((what, why)) => {
            let title = standby.title();
            let message = format!("standby {title} shares {what} with the target, {why}: it would break as well");
            Err(Refusal::new(Reason::StandbyNotIndependent, message))
        }
        None => Ok(()),
    }
}

/// What both have of what is suspected, and why it is.
fn shared(case: &Case, standby: &Workload) -> Option<(String, &'static str)> {
    match case.triage.suspect {
        Suspect::Change => changed(case, standby).or_else(|| volume(case, standby)),
        Suspect::Node | Suspect::Zone => place(case).map(|place| (place, "where all bad pods are")),
        Suspect::Unknown | Suspect::Pod | Suspect::Dependency => {
            volume(case, standby).or_else(|| dependency(case)).or_else(|| changed(case, standby))
        }
        Suspect::Observer | Suspect::Neighbour | Suspect::TargetDeleted => None,
    }
}

fn changed(case: &Case, standby: &Workload) -> Option<(String, &'static str)> {
    let mut names = vec![];
    for difference in triage::explaining(case.facts, case.reference) {
        let name = difference.name;
        let both = match difference.kind {
            MemberKind::ConfigMap => standby.config_maps.contains(name),
            MemberKind::Secret => standby.secrets.contains(name),
            MemberKind::ServiceAccount => standby.service_account.as_deref() == Some(name),
            // Rights come by the account; which of its bindings give which of them is not asked.
            MemberKind::ClusterRole | MemberKind::ClusterRoleBinding => {
                standby.service_account.is_some() && standby.service_account == case.target.service_account
            }
            MemberKind::PriorityClass => standby.priority_class.as_deref() == Some(name),
            kind if kind.workload() => {
                names.extend(new_images(case, standby).into_iter().map(|image| format!("image {image}")));
                false
            }
            _ => false,
        };
        if both {
            names.push(format!("{} {name}", difference.kind));
        }
    }
    let when = match case.triage.suspect {
        Suspect::Change => "which changed before the symptom began",
        _ => "which changed, and whether that is the cause is not known",
    };
    (!names.is_empty()).then(|| (names.join(", "), when))
}

/// Images that the target has only since the change.
fn new_images<'a>(case: &'a Case, standby: &Workload) -> BTreeSet<&'a String> {
    let before = case.reference.itself(case.target).map(|member| &member.images);
    let added = case.target.images.iter().filter(|image| before.is_none_or(|before| !before.contains(*image)));
    added.filter(|image| standby.images.contains(*image)).collect()
}

/// Nobody sees what is in a volume.
fn volume(case: &Case, standby: &Workload) -> Option<(String, &'static str)> {
    let claim = case.target.claims.intersection(&standby.claims).next()?;
    Some((format!("PersistentVolumeClaim {claim}"), "whose content is not seen"))
}

/// All that could serve is where the suspect is.
fn place(case: &Case) -> Option<String> {
    let places: Option<BTreeSet<String>> =
        standby::serving(case.facts).map(|pod| nodes::shares_place(case, pod)).collect();
    places?.pop_first()
}

/// A declared dependency fails itself, or several are suspected. What the standby calls is the same, unless a policy of its
/// own says otherwise.
fn dependency(case: &Case) -> Option<(String, &'static str)> {
    let ties = &case.facts.fleet.ties;
    let several = case.triage.reason == Reason::SeveralSuspects;
    let suspect =
        ties.dependencies.iter().filter(|dependency| dependency.ill.is_some() || (several && dependency.moved()));
    let mut called = suspect.filter(|it| ties.standby.as_ref().is_none_or(|calls| calls.contains(&it.title)));
    called.next().map(|found| (found.title.clone(), "on which it depends and which fails or changed"))
}
