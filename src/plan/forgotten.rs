//! Fences that nobody remembers: marks of ours on objects whose Recovery is gone, or is closed without having planned their
//! end. Nothing is done about them: what they were put there for is not known any more. They are named, with what to do.
//!
//! Only where every kind is in sight: a Recovery that is not seen is not gone.

use serde::{Deserialize, Serialize};

use super::due::planned_removal;
use super::facts::{Facts, RecoveryFacts};
use super::traffic;
use crate::api::mark;
use crate::api::recovery::{ObjectRef, Remediation, Step, StepState};

/// A mark of ours that no Recovery that we know of stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// The label or annotation.
    pub mark: String,
    /// The Recovery that it names.
    pub recovery: String,
}

/// Whether a Recovery of this name is one of this policy: its name, five letters of its target's uid, and a number.
#[must_use]
pub fn is_of(policy: &str, recovery: &str) -> bool {
    let policy: String = policy.chars().take(200).collect();
    let rest = recovery.strip_prefix(&policy).and_then(|rest| rest.strip_prefix('-'));
    let Some((uid, number)) = rest.and_then(|rest| rest.split_once('-')) else { return false };
    let letters = uid.len() <= 5 && uid.bytes().all(|byte| byte.is_ascii_alphanumeric());
    letters && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// What is left behind, for people: each object, and how to free it.
#[must_use]
pub fn left_behind(facts: &Facts) -> Vec<String> {
    if !facts.sight.blind.is_empty() {
        return vec![];
    }
    let mut marks: Vec<Mark> = marks(facts).chain(facts.marks.iter().cloned()).collect();
    marks.sort();
    marks.dedup();
    marks.iter().filter(|mark| !remembered(facts, mark)).map(said).collect()
}

/// What is seen of the target and of what belongs to it. Others are looked for where their Recovery is not known.
fn marks(facts: &Facts) -> impl Iterator<Item = Mark> {
    let mark = |kind: &str, name: &str, mark: &str, recovery: &Option<String>| {
        let (kind, name, mark) = (kind.to_owned(), name.to_owned(), mark.to_owned());
        recovery.clone().map(|recovery| Mark { kind, name, mark, recovery })
    };
    let target = facts.target.iter().flat_map(move |target| {
        let kind = target.kind.name();
        let frozen = mark(kind, &target.name, mark::FROZEN_BY, &target.frozen_by);
        [frozen, mark(kind, &target.name, mark::RECREATED_BY, &target.recreated_by)]
    });
    let moved = traffic::moved(facts);
    let moved = moved.map(move |(kind, name, by)| mark(kind, name, mark::SWITCHED_BY, &Some(by.clone())));
    let pods = facts.quarantined.iter().filter(|pod| !pod.deleting);
    let pods = pods.map(move |it| mark("Pod", &it.name, mark::QUARANTINED_BY, &it.quarantined_by));
    let neighbours = facts.neighbours.iter().filter(|neighbour| neighbour.load == 0);
    let neighbours = neighbours.map(move |it| mark(&it.kind, &it.name, mark::STOPPED_BY, &it.stopped_by));
    let cuts = facts.network.cuts.iter();
    let cuts = cuts.map(move |it| mark("NetworkPolicy", &it.name, mark::CUT_BY, &Some(it.recovery.clone())));
    let raised = facts.standby_autoscalers.iter();
    let raised = raised.map(move |it| mark("HorizontalPodAutoscaler", &it.name, mark::SCALED_BY, &it.scaled_by));
    let raised = raised.flatten().filter(|mark| is_of(&facts.policy_name, &mark.recovery)).map(Some);
    let here = format!("{}/", facts.namespace);
    let nodes = facts.nodes.seen().into_iter().flat_map(|nodes| &nodes.known).filter(|node| node.unschedulable);
    let nodes = nodes.map(move |node| {
        let recovery = node.cordoned_by.as_ref().and_then(|by| by.strip_prefix(&here)).map(str::to_owned);
        let own = recovery.filter(|recovery| is_of(&facts.policy_name, recovery));
        mark("Node", &node.name, mark::CORDONED_BY, &own)
    });
    target.chain(moved).chain(pods).chain(neighbours).chain(cuts).chain(raised).chain(nodes).flatten()
}

/// Its Recovery is open, or has planned to end it.
fn remembered(facts: &Facts, mark: &Mark) -> bool {
    let known = facts.recoveries.iter().find(|recovery| recovery.name == mark.recovery);
    known.is_some_and(|recovery| recovery.open() || ends_later(recovery, mark))
}

fn ends_later(recovery: &RecoveryFacts, mark: &Mark) -> bool {
    let steps = &recovery.journal.steps;
    let same = |object: &ObjectRef| object.kind == mark.kind && object.name == mark.name;
    let stands = |step: &Step| matches!(step.remediation, Remediation::StopNeighbour | Remediation::PreScaleStandby);
    let of_it = |step: &&Step| stands(step) && same(&step.object);
    // A neighbour stands still until a person says so, and a standby is let go with its traffic: nothing is planned before.
    steps.iter().filter(of_it).any(|step| step.state == StepState::Done)
        || steps.iter().any(|step| planned_removal(&recovery.journal, step) && same(&step.object))
}

fn said(found: &Mark) -> String {
    let Mark { kind, name, mark, recovery } = found;
    let what = match mark.as_str() {
        mark::QUARANTINED_BY if kind == "Pod" => "is in quarantine: delete it",
        mark::QUARANTINED_BY => "denies all network to pods in quarantine: delete it",
        mark::CUT_BY => "cuts the target off from a dependency: delete it",
        mark::CORDONED_BY => "is cordoned: uncordon it",
        mark::FROZEN_BY => "is held still: let its rollout go on",
        mark::SWITCHED_BY if kind == "Service" => "leads to the standby: give it its selector back",
        mark::SWITCHED_BY => "leads to the standby: give it its weights back",
        mark::SCALED_BY => "is raised: put its minReplicas back",
        mark::STOPPED_BY => "is stopped: scale it up, or resume it",
        _ => "was created again: nothing but the mark is left",
    };
    format!("{kind} {name} {what}, and take {mark} ({recovery}) off what stays")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_is_told_by_its_name() {
        for (policy, recovery, expected) in [
            ("web", "web-ab12c-1", true),
            ("web", "web-ab12c-17", true),
            ("web", "web-api-ab12c-1", false),
            ("web-api", "web-api-ab12c-1", true),
            ("web", "web-ab12c-x", false),
            ("web", "web-ab12c-", false),
            ("web", "webber-ab12c-1", false),
            ("web", "other-ab12c-1", false),
        ] {
            assert_eq!(is_of(policy, recovery), expected, "{policy} {recovery}");
        }
    }
}
