//! Pods that run with configuration as it was: what they read at their start has changed since, and is to stay as it is.
//!
//! What it was before is known from the last state, from what this process saw, and from what the open incident put back
//! itself. What pods read live from a volume is no part of this. Whether pods may be made anew is for the guards.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::closure::{self, Difference};
use super::content::{each, text};
use super::facts::{Facts, PodFacts, StateFacts, Workload};
use super::guard::Case;
use super::member::MemberKind;
use super::memory::{Memory, Since};
use super::{states, steps, triage};
use crate::api::Reason;
use crate::api::policy::MemberPolicy;
use crate::api::recovery::{Remediation, Step, StepState, Suspect};

/// A change that was longer before the symptom does not explain it.
const WINDOW: SignedDuration = SignedDuration::from_secs(600);
/// The starts of containers are whole seconds.
const SECOND: SignedDuration = SignedDuration::from_secs(1);
/// So are the times of writes: some moment within the second.
const WITHIN: SignedDuration = SignedDuration::from_millis(500);
/// What happens is seen sooner than this.
const LAG: SignedDuration = SignedDuration::from_secs(10);
/// So many contents of one object are remembered.
const REMEMBERED: usize = 8;

/// An object that pods read at their start, and what it was seen to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its kind.
    pub kind: MemberKind,
    /// Its name.
    pub name: String,
    /// Its digests, oldest first, and since when; one is empty while it is not there.
    pub seen: Vec<Since<String>>,
    /// It is known when it became what it is; else it was found so, and that is the time.
    #[serde(default)]
    pub dated: bool,
}

impl Content {
    fn live(&self) -> &str {
        self.seen.last().map_or("", |last| &last.value)
    }

    /// When it became what it is; `None` if it was that when it was first seen, or if nobody knows.
    fn changed(&self) -> Option<Timestamp> {
        self.seen.last().filter(|_| self.dated && self.seen.len() > 1).map(|last| last.at)
    }

    /// Takes in what it is now. A watch may tell late, and pods that started meanwhile have read it: what the API server says
    /// of its last write counts if it can be true. Who takes a field away, or gives it back to its former manager as we do,
    /// leaves an older time behind.
    fn becomes(&mut self, live: &str, written: Option<Timestamp>, seen_to_happen: bool, now: Timestamp) {
        let before = self.seen.iter().rfind(|seen| !seen.value.is_empty()).map(|seen| seen.at);
        // What was not there may have been there unseen, when we began to look.
        let any_age = !seen_to_happen || self.live().is_empty();
        let can_be =
            |at: &Timestamp| before.is_none_or(|before| before < *at) && (any_age || now.duration_since(*at) <= LAG);
        let written = written.map(|second| second + WITHIN).filter(can_be);
        let at = written.unwrap_or(now);
        self.dated = seen_to_happen || written.is_some();
        self.seen.retain(|seen| !seen.value.is_empty() || seen.at <= at);
        self.seen.push(Since { value: live.to_owned(), at });
        self.seen.drain(..self.seen.len().saturating_sub(REMEMBERED));
    }

    /// What it was then. Before it was first seen it is taken to have been the same: that blames nothing on it.
    fn at(&self, when: Timestamp) -> &str {
        let then = self.seen.iter().rfind(|seen| seen.at <= when).or(self.seen.first());
        then.map_or("", |then| &then.value)
    }

    /// Whether a pod that started then holds something else; `None` if it changed within the same second.
    fn outdated(&self, started: Timestamp) -> Option<bool> {
        let other = |when| self.at(when) != self.live();
        (other(started) == other(started + SECOND)).then(|| other(started))
    }
}

/// Bad pods that all hold what is no more.
pub(super) struct Stale {
    /// How many.
    pub pods: usize,
    /// What they hold: kind and name.
    pub content: Vec<(MemberKind, String)>,
}

impl Stale {
    /// What is so, for people.
    pub(super) fn message(&self) -> String {
        let names: Vec<_> = self.content.iter().map(|(kind, name)| format!("{kind} {name}")).collect();
        format!("{} bad pods started before {} changed, which they read only then", self.pods, names.join(", "))
    }
}

/// The ConfigMaps and Secrets that pods of a template read at their start, and never again: environment, and volumes that
/// are mounted by a path inside of them.
#[must_use]
pub fn read_at_start(template: &Value) -> BTreeSet<(MemberKind, String)> {
    let mut found = BTreeSet::new();
    let mut read = |kind, name: Option<String>| found.extend(name.map(|name| (kind, name)));
    let mut frozen = BTreeSet::new();
    let containers = each(template, "/spec/containers").chain(each(template, "/spec/initContainers"));
    for container in containers {
        for variable in each(container, "/env") {
            read(MemberKind::ConfigMap, text(variable, "/valueFrom/configMapKeyRef/name"));
            read(MemberKind::Secret, text(variable, "/valueFrom/secretKeyRef/name"));
        }
        for source in each(container, "/envFrom") {
            read(MemberKind::ConfigMap, text(source, "/configMapRef/name"));
            read(MemberKind::Secret, text(source, "/secretRef/name"));
        }
        let by_path = |mount: &&Value| text(mount, "/subPath").or_else(|| text(mount, "/subPathExpr")).is_some();
        frozen.extend(each(container, "/volumeMounts").filter(by_path).filter_map(|mount| text(mount, "/name")));
    }
    let volumes = each(template, "/spec/volumes");
    for volume in volumes.filter(|volume| text(volume, "/name").is_some_and(|name| frozen.contains(&name))) {
        read(MemberKind::ConfigMap, text(volume, "/configMap/name"));
        read(MemberKind::Secret, text(volume, "/secret/secretName"));
        for source in each(volume, "/projected/sources") {
            read(MemberKind::ConfigMap, text(source, "/configMap/name"));
            read(MemberKind::Secret, text(source, "/secret/name"));
        }
    }
    found
}

/// Brings up to date what is remembered of what pods read at their start. After a gap in sight nothing is.
pub(super) fn note(facts: &Facts, memory: &mut Memory, now: Timestamp) {
    let before = std::mem::take(&mut memory.read_at_start);
    let in_sight = facts.sight.blind.is_empty() && facts.sight.malformed.is_empty();
    let Some(target) = facts.target.as_ref().filter(|_| in_sight) else { return };
    for (kind, name) in &target.read_at_start {
        let ignored = |group| closure::member_policy(facts, group) == MemberPolicy::Ignore;
        if kind.group().is_some_and(ignored) {
            continue;
        }
        let live = closure::live_of(facts, *kind, name).1;
        let known = before.iter().find(|known| known.kind == *kind && known.name == *name);
        let mut content = known.cloned().unwrap_or_else(|| first_seen(facts, *kind, name));
        if content.seen.last().is_none_or(|last| last.value != live) {
            content.becomes(live, written(facts, *kind, name), known.is_some(), now);
        }
        memory.read_at_start.push(content);
    }
}

/// All that is known of it when this process begins to look.
fn first_seen(facts: &Facts, kind: MemberKind, name: &str) -> Content {
    Content { kind, name: name.to_owned(), seen: recorded(facts, kind, name).into_iter().collect(), dated: true }
}

/// What it was when the last state was recorded.
fn recorded(facts: &Facts, kind: MemberKind, name: &str) -> Option<Since<String>> {
    let last = states::by_age(facts).into_iter().find(|state| state.sealed)?;
    last.member(kind, name).map(|member| Since { value: member.digest.clone(), at: last.created })
}

fn written(facts: &Facts, kind: MemberKind, name: &str) -> Option<Timestamp> {
    match kind {
        MemberKind::ConfigMap => facts.config_maps.get(name)?.written,
        _ => facts.object(kind, name)?.written,
    }
}

/// What was earned with other content, and pods have not read yet that read it only at their start, for people. Where both
/// happened in one second, they have.
pub(super) fn unread(facts: &Facts, known: &[Content]) -> Option<String> {
    let changed = known.iter().filter(|content| {
        recorded(facts, content.kind, &content.name).is_some_and(|earned| earned.value != content.live())
    });
    let mut unread = changed.filter_map(|content| {
        let old = |pod: &&PodFacts| content.outdated(pod.started.unwrap_or(pod.created)) == Some(true);
        let pods = facts.live_pods().filter(old).count();
        (pods > 0).then_some((content, pods))
    });
    let (Content { kind, name, .. }, pods) = unread.next()?;
    Some(format!(
        "{pods} pods started before {kind} {name} became what it is, and read it only then: no state is earned with it \
         before they are restarted"
    ))
}

/// Bad pods that all hold what is no more, while every good one has what is there now, if nothing else explains the symptom
/// and nothing is left to be put back.
pub(super) fn found(case: &Case) -> Option<Stale> {
    if case.assessment.rolling || !open_to_it(case) {
        return None;
    }
    let content = changed_lately(case);
    let outdated = |pod: &PodFacts| {
        let each: Vec<Option<bool>> = content.iter().map(|content| content.outdated(pod.started?)).collect();
        // One that surely is settles it; else one that cannot be told leaves it open.
        [Some(true), None].into_iter().find(|one| each.contains(one)).unwrap_or(Some(false))
    };
    let (bad, others): (Vec<&PodFacts>, Vec<&PodFacts>) = case.facts.live_pods().partition(|pod| shows(case, pod));
    let hold_old = !bad.is_empty() && bad.iter().all(|pod| outdated(pod) == Some(true));
    let good_are_new = others.iter().filter(|pod| pod.ready).all(|pod| outdated(pod) == Some(false));
    if !hold_old || !good_are_new {
        return None;
    }
    let held = |content: &&Content| {
        bad.iter().filter_map(|pod| pod.started).any(|started| content.outdated(started) == Some(true))
    };
    let content = content.iter().filter(held).map(|content| (content.kind, content.name.clone())).collect();
    let stale = Stale { pods: bad.len(), content };
    explains(case, &stale).then_some(stale)
}

/// The rollout that is under way is ours, of the same content.
pub(super) fn renewed(case: &Case) -> bool {
    let done = |step: &Step| step.remediation == Remediation::RenewPods && step.state == StepState::Done;
    case.open.is_some_and(|open| open.journal.steps.iter().any(done))
}

/// A bad pod; where only a check of metrics fails, any may be one.
fn shows(case: &Case, pod: &PodFacts) -> bool {
    let bad = &case.assessment.bad_pods;
    bad.contains(&pod.uid) || (bad.is_empty() && case.symptom.reason == Reason::CheckFailing)
}

/// What triage found leaves room for it: no node, dependency or neighbour is to blame.
fn open_to_it(case: &Case) -> bool {
    let ours = matches!(case.triage.suspect, Suspect::Change | Suspect::Pod | Suspect::Unknown);
    ours && match case.triage.reason {
        Reason::ChangeReverted | Reason::NoChangeToRevert | Reason::PodIsolated => true,
        // Who changes a password may begin with the other side.
        Reason::SymptomBeforeChange => !triage::explaining(case.facts, case.reference).is_empty(),
        _ => false,
    }
}

/// Nothing differs from the reference but what the pods hold, and none of that is ours to put back.
fn explains(case: &Case, stale: &Stale) -> bool {
    let held = |difference: &Difference| {
        stale.content.iter().any(|(kind, name)| *kind == difference.kind && name == difference.name)
    };
    closure::restorable(case.facts, case.reference).is_empty()
        && triage::explaining(case.facts, case.reference).iter().all(held)
}

/// What pods read at their start, is there, and became what it is since shortly before the symptom.
fn changed_lately(case: &Case) -> Vec<Content> {
    let detected = case.open.and_then(|open| open.journal.timeline.detected.as_ref()).map(|at| at.0);
    let since = detected.unwrap_or(case.symptom.since) - WINDOW;
    let known = case.read_at_start.iter().map(|content| with_restore(case, content));
    known.filter(|content| !content.live().is_empty() && content.changed().is_some_and(|at| at >= since)).collect()
}

/// What the open incident put back, which a restart does not make us forget.
fn with_restore(case: &Case, content: &Content) -> Content {
    let steps = case.open.iter().flat_map(|open| &open.journal.steps);
    let of_it = |step: &&Step| {
        step.remediation == Remediation::RestoreObject
            && step.state == StepState::Done
            && step.object.kind == content.kind.name()
            && step.object.name == content.name
            && step.to == content.live()
    };
    let restore = steps.rev().find(of_it).filter(|_| content.changed().is_none());
    let Some((step, at)) = restore.and_then(|step| Some((step, step.acknowledged.as_ref()?.0))) else {
        return content.clone();
    };
    let seen = vec![Since { value: step.from.clone(), at: at - SECOND }, Since { value: step.to.clone(), at }];
    Content { seen, dated: true, ..content.clone() }
}

/// Whether the target is in `state` but for what its pods read at their start and the policy only compares.
pub(super) fn at_home(facts: &Facts, state: &StateFacts) -> bool {
    let Some(target) = &facts.target else { return false };
    closure::at_home_but_for(facts, state, |difference| {
        target.read_at_start.iter().any(|(kind, name)| *kind == difference.kind && name == difference.name)
    })
}

/// The step that makes the pods of `target` anew.
pub(super) fn renew(target: &Workload, now: Timestamp) -> Step {
    let object = steps::workload_ref(target);
    let intent = format!("make the pods of {object} anew, as a restart of its rollout does");
    steps::step(Remediation::RenewPods, object, intent, target.digest.clone(), now.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_read_at_the_start_is_told_from_what_is_read_live() {
        let template = json!({"spec": {
            "initContainers": [{"envFrom": [{"secretRef": {"name": "a"}}]}],
            "containers": [{
                "env": [{"valueFrom": {"configMapKeyRef": {"name": "b", "key": "k"}}}, {"value": "x"}],
                "volumeMounts": [{"name": "live"}, {"name": "file", "subPath": "f"}, {"name": "both", "subPathExpr": "$(X)"}],
            }],
            "volumes": [
                {"name": "live", "configMap": {"name": "x"}},
                {"name": "file", "configMap": {"name": "c"}},
                {"name": "unused", "secret": {"secretName": "y"}},
                {"name": "both", "projected": {"sources": [{"configMap": {"name": "d"}}, {"secret": {"name": "e"}}]}},
            ],
        }});
        let found = read_at_start(&template);
        let names: Vec<_> = found.iter().map(|(kind, name)| format!("{kind} {name}")).collect();
        assert_eq!(names, ["ConfigMap b", "ConfigMap c", "ConfigMap d", "Secret a", "Secret e"]);
        assert!(read_at_start(&json!({"spec": 3})).is_empty());
    }

    #[test]
    fn a_pod_is_outdated_if_it_started_with_something_else() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let of = |seen: &[(&str, i64)]| {
            let seen =
                seen.iter().map(|(value, second)| Since { value: (*value).to_owned(), at: at(*second) }).collect();
            Content { kind: MemberKind::Secret, name: "login".into(), seen, dated: true }
        };
        let once = of(&[("old", 10), ("new", 20)]);
        assert_eq!(once.changed(), Some(at(20)));
        for (started, outdated) in [(5, Some(true)), (18, Some(true)), (19, None), (20, Some(false)), (30, Some(false))]
        {
            assert_eq!(once.outdated(at(started)), outdated, "started at {started}");
        }
        // What was changed and changed back is what it was.
        let back = of(&[("old", 10), ("new", 20), ("old", 30)]);
        assert_eq!([5, 25, 35].map(|started| back.outdated(at(started))), [Some(false), Some(true), Some(false)]);
        let never = of(&[("old", 10)]);
        assert_eq!((never.changed(), never.outdated(at(5))), (None, Some(false)));
    }

    #[test]
    fn the_time_of_a_write_counts_if_it_can_be_true() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let begun = |value: &str, second| Content {
            kind: MemberKind::ConfigMap,
            name: "settings".into(),
            seen: vec![Since { value: value.to_owned(), at: at(second) }],
            dated: true,
        };
        let after = |mut content: Content, written, seen_to_happen, now| {
            content.becomes("new", written, seen_to_happen, at(now));
            (content.outdated(at(30)), content.changed().is_some())
        };
        // Seen a second late; a pod started in between.
        assert_eq!(after(begun("old", 10), Some(at(29)), true, 31), (Some(false), true));
        assert_eq!(after(begun("old", 10), None, true, 32), (Some(true), true));
        // Older than what it was before, or than can be: it is taken for what happens now.
        assert_eq!(after(begun("old", 10), Some(at(5)), true, 40), (Some(true), true));
        assert_eq!(after(begun("old", 10), Some(at(12)), true, 400), (Some(true), true));
        // Given back to whom it belonged, together with the time of what it was before.
        let again = Content { seen: vec![Since { value: "old".into(), at: at(29) + WITHIN }], ..begun("old", 0) };
        assert_eq!(after(again, Some(at(29)), true, 32), (Some(true), true));
        // Found so after a restart: pods from before it have not read it, and it explains nothing.
        assert_eq!(after(begun("old", 10), Some(at(20)), false, 400), (Some(false), true));
        assert_eq!(after(begun("old", 10), Some(at(5)), false, 400), (Some(true), false));
        assert_eq!(after(begun("old", 10), None, false, 400), (Some(true), false));
        // That it was not there yet was seen before it was seen.
        assert_eq!(after(begun("", 31), Some(at(20)), true, 32), (Some(false), false));
    }
}
