//! Second step: what most likely caused the symptom, from named evidence only.
//!
//! | in this order | suspect |
//! |---|---|
//! | most nodes are not ready | `Observer` |
//! | the target itself was deleted | `TargetDeleted` |
//! | nothing changed, and all bad pods are on one node, on which no good one is, and which is not ready while others are, or ready while several bad pods, or other workloads that are good elsewhere, are bad on it | `Node` |
//! | nothing changed, and all bad pods are on several nodes of one zone, in which no good one is | `Zone` |
//! | nothing changed, no rollout, few bad pods that do run among more good ones of the same revision | `Pod` |
//! | the live closure differs from the stable state, and the symptom began after | `Change` |
//! | nothing changed, but exactly one declared dependency did, not long before | `Dependency` |
//! | nothing changed, nor in a dependency, but exactly one of them fails itself, since not long before | `Dependency` |
//! | nothing changed, nor a dependency, but exactly one declared neighbour was added or took more | `Neighbour` |
//! | anything else | `Unknown` |

use super::assess::{Assessment, Symptom};
use super::bonds::{Dependency, Finding};
use super::closure::{Difference, differences};
use super::facts::{Facts, PodFacts, StateFacts};
use super::nodes::{self, Suspicion};
use super::{bonds, closure, neighbours, parity, relapse};
use crate::api::Reason;
use crate::api::recovery::Suspect;

/// The suspect, with the evidence for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Triage {
    /// What most likely caused it.
    pub suspect: Suspect,
    /// The branch that was taken.
    pub reason: Reason,
    /// The evidence, for people.
    pub message: String,
    /// Name of the node, if one is suspected.
    pub node: Option<String>,
    /// Kind and name of the dependency, if one is suspected.
    pub dependency: Option<String>,
    /// Few pods are bad among more good ones of the same revision.
    pub few: bool,
}

impl Triage {
    fn of(suspect: Suspect, reason: Reason, message: String) -> Self {
        Self { suspect, reason, message, node: None, dependency: None, few: suspect == Suspect::Pod }
    }

    fn of_dependency(found: &Dependency, reason: Reason, message: String) -> Self {
        Self { dependency: Some(found.title.clone()), ..Self::of(Suspect::Dependency, reason, message) }
    }

    fn by_nodes(suspicion: Suspicion, few: bool) -> Self {
        let Suspicion { suspect, reason, message, node } = suspicion;
        Self { suspect, reason, message, node, dependency: None, few }
    }
}

/// Names the suspect of `symptom`, compared with the `reference` state.
#[must_use]
pub fn triage(facts: &Facts, assessment: &Assessment, symptom: &Symptom, reference: &StateFacts) -> Triage {
    if let Some(suspicion) = nodes::observer(facts) {
        return Triage::by_nodes(suspicion, false);
    }
    if let Some(lost) = &facts.lost {
        let message = format!(
            "{} was deleted, and its policy was not; StableState {} has it",
            lost.workload.title(),
            reference.name
        );
        return Triage::of(Suspect::TargetDeleted, Reason::TargetDeleted, message);
    }
    let changed = explaining(facts, reference);
    if changed.is_empty() {
        // What keeps one pod from being made keeps its successor from it as well: a registry, a quota, a missing right.
        let of_the_pod = !matches!(symptom.reason, Reason::ImagePull | Reason::PodCreation);
        let few = few_among_good(facts, assessment).filter(|_| of_the_pod);
        if let Some(suspicion) = nodes::shared(facts, assessment) {
            return Triage::by_nodes(suspicion, few.is_some());
        }
        return match few {
            Some(message) => Triage::of(Suspect::Pod, Reason::PodIsolated, message),
            None => elsewhere(facts, reference),
        };
    }
    let names = closure::named(&changed);
    if symptom.closure == reference.digest {
        let message = format!("{names} changed, but the symptom began before");
        return Triage::of(Suspect::Unknown, Reason::SymptomBeforeChange, message);
    }
    let mut message = format!("{names} changed since StableState {}, and the symptom began after", reference.name);
    let outside: Vec<_> = changed.into_iter().filter(|difference| difference.kind.outside()).collect();
    if !outside.is_empty() {
        message.push_str(&format!("; outside of the namespace, for an administrator: {}", closure::named(&outside)));
    }
    if let Some(before) = relapse::proven_bad(facts, &symptom.closure) {
        message.push_str(&format!("; Recovery {} went back from the same content before", before.name));
        if let Some(actor) = neighbours::actor(facts) {
            message.push_str(&format!(", and {} wrote it", actor.title()));
        }
    }
    Triage::of(Suspect::Change, Reason::ChangeReverted, message)
}

/// What differs from `reference` and could explain a symptom: what was added and takes nothing away from the target's
/// pods explains nothing.
pub(super) fn explaining<'a>(facts: &'a Facts, reference: &'a StateFacts) -> Vec<Difference<'a>> {
    let mut found = differences(facts, reference);
    found.retain(|difference| {
        (!difference.added() || difference.kind.removable()) && parity::explains(facts, reference, difference)
    });
    found
}

/// Nothing changed here: did a dependency?
fn elsewhere(facts: &Facts, reference: &StateFacts) -> Triage {
    let unknown = |reason, message| Triage::of(Suspect::Unknown, reason, message);
    let nothing = format!("nothing differs from StableState {}", reference.name);
    let ties = &facts.fleet.ties;
    match neighbours::judge(facts, reference) {
        neighbours::Finding::Nothing => {}
        neighbours::Finding::Suspect(found) => {
            let message = format!(
                "{nothing}, but {}, which the policy declares may be stopped, was added or took more before the symptom \
                 began",
                found.title()
            );
            return Triage::of(Suspect::Neighbour, Reason::NeighbourStopped, message);
        }
        neighbours::Finding::Several(names) => {
            let message = format!("{nothing}; added, changed, or not to be judged, are {}", names.join(", "));
            return unknown(Reason::SeveralSuspects, message);
        }
    }
    match ties.ill.map_or(Finding::Nothing, |ill| bonds::judge(ill, &ties.dependencies)) {
        Finding::Nothing => unknown(Reason::NoChangeToRevert, nothing),
        Finding::Suspect(found) => {
            let Dependency { title, policy, .. } = found;
            let message = format!(
                "{nothing}, but {title}, which it depends on, changed before the symptom began; RecoveryPolicy {policy} \
                 decides what is done about it"
            );
            Triage::of_dependency(found, Reason::DependencyChanged, message)
        }
        Finding::Failing(found) => {
            let Dependency { title, policy, .. } = found;
            let message = format!(
                "{nothing}, but {title}, which it depends on, fails, with nothing of its own changed; RecoveryPolicy \
                 {policy} decides what is done about it"
            );
            Triage::of_dependency(found, Reason::DependencyFailing, message)
        }
        Finding::Several(found) => {
            let names: Vec<_> = found.iter().map(|found| found.title.as_str()).collect();
            let message = format!("{nothing}; changed, or not to be judged, are {}", names.join(", "));
            unknown(Reason::SeveralSuspects, message)
        }
        Finding::Later(found) => {
            let message = format!("{}, which it depends on, changed, but the symptom began before", found.title);
            unknown(Reason::SymptomBeforeChange, message)
        }
        Finding::OthersFine(found) => {
            let message = format!(
                "{}, which it depends on, changed before, but only {} of {} that depend on it fail",
                found.title,
                found.failing + 1,
                found.others + 1
            );
            unknown(Reason::DependentsFine, message)
        }
    }
}

/// Some pods are bad while more pods of the same revision are good, and no rollout explains it. One that has no place to
/// run is not bad itself: its successor would have none either.
pub(super) fn few_among_good(facts: &Facts, assessment: &Assessment) -> Option<String> {
    let present = facts.present_revisions();
    let (bad, others): (Vec<&PodFacts>, Vec<&PodFacts>) =
        facts.live_pods().partition(|pod| assessment.bad_pods.contains(&pod.uid));
    let good = others.iter().filter(|pod| pod.ready && present.contains(pod.revision.as_str())).count();
    let same_revision = bad.iter().all(|pod| present.contains(pod.revision.as_str()));
    let placed = bad.iter().all(|pod| !pod.node.is_empty());
    let first = bad.first()?;
    (same_revision && placed && !assessment.rolling && good > bad.len()).then(|| {
        format!(
            "{} of {} pods of one revision are bad, for example {}; {good} are good",
            bad.len(),
            bad.len() + others.len(),
            first.name
        )
    })
}
