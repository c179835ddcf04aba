//! Second step: what most likely caused the symptom, from named evidence only.
//!
//! | in this order | suspect |
//! |---|---|
//! | nothing changed, no rollout, few bad pods that do run among more good ones of the same revision | `Pod` |
//! | the live closure differs from the stable state, and the symptom began after | `Change` |
//! | anything else | `Unknown` |

use super::assess::{Assessment, Symptom};
use super::closure::differences;
use super::facts::{Facts, PodFacts, StateFacts};
use super::relapse;
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
}

/// Names the suspect of `symptom`, compared with the `reference` state.
#[must_use]
pub fn triage(facts: &Facts, assessment: &Assessment, symptom: &Symptom, reference: &StateFacts) -> Triage {
    let mut changed = differences(facts, reference);
    // What was added and takes nothing away from the target's pods explains nothing.
    changed.retain(|difference| !difference.added() || difference.kind.removable());
    if changed.is_empty() {
        // What keeps one pod from being made keeps its successor from it as well: a registry, a quota, a missing right.
        let of_the_pod = !matches!(symptom.reason, Reason::ImagePull | Reason::PodCreation);
        return match few_among_good(facts, assessment).filter(|_| of_the_pod) {
            Some(message) => Triage { suspect: Suspect::Pod, reason: Reason::PodIsolated, message },
            None => {
                let message = format!("nothing differs from StableState {}", reference.name);
                Triage { suspect: Suspect::Unknown, reason: Reason::NoChangeToRevert, message }
            }
        };
    }
    let names: Vec<_> = changed.iter().map(|d| format!("{} {}", d.kind, d.name)).collect();
    let names = names.join(", ");
    if symptom.closure == reference.digest {
        let message = format!("{names} changed, but the symptom began before");
        return Triage { suspect: Suspect::Unknown, reason: Reason::SymptomBeforeChange, message };
    }
    let mut message = format!("{names} changed since StableState {}, and the symptom began after", reference.name);
    if let Some(before) = relapse::proven_bad(facts, &symptom.closure) {
        message.push_str(&format!("; Recovery {} went back from the same content before", before.name));
    }
    Triage { suspect: Suspect::Change, reason: Reason::ChangeReverted, message }
}

/// Some pods are bad while more pods of the same revision are good, and no rollout explains it. One that has no place to
/// run is not bad itself: its successor would have none either.
fn few_among_good(facts: &Facts, assessment: &Assessment) -> Option<String> {
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
