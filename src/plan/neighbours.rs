//! Workloads beside the target that its policy declares may be stopped for it: which one is the suspect, and when a stop
//! ends.
//!
//! Time does not end a stop, because nobody can know when the neighbour is fit to run: a person lets it go on, or we let
//! go. So it may outlive its incident. What is not declared does not exist here.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::bonds::{self, Changed};
use super::facts::{Facts, RecoveryFacts, StateFacts};
use super::memory::Memory;
use super::steps;
use crate::api::recovery::{Journal, ObjectRef, Remediation, Step, StepState};
use crate::api::stable_state::FieldOwner;

/// A Deployment or CronJob that is declared, or that we stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighbourFacts {
    /// `Deployment` or `CronJob`.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// The policy declares that it may be stopped.
    pub declared: bool,
    /// Wanted pods of a Deployment; of a CronJob 1, and 0 while it is suspended.
    pub load: i32,
    /// Digest of what it runs.
    pub digest: String,
    /// When it began to be what it is, by the API server's record: its creation, or that of its present revision.
    pub began: Timestamp,
    /// The Recovery that stopped it.
    pub stopped_by: Option<String>,
    /// The GitOps tool that keeps it like its repository, if one does.
    pub git_ops: Option<String>,
    /// Owned by another controller: kind and name.
    pub owner: Option<String>,
    /// Being deleted.
    pub deleting: bool,
    /// The field manager that owns most of it.
    pub field_owner: Option<FieldOwner>,
}

impl NeighbourFacts {
    /// Kind and name, for people.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    fn reference(&self) -> ObjectRef {
        ObjectRef { kind: self.kind.clone(), name: self.name.clone(), uid: self.uid.clone() }
    }
}

/// What was seen of a neighbour, and when it last took more than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// As of the last step.
    pub load: i32,
    /// As of the last step.
    pub digest: String,
    /// When it got more pods or other content, as we saw it happen.
    pub rose: Option<Timestamp>,
}

/// Brings up to date what is remembered of neighbours. What is seen for the first time did not change.
pub(super) fn note(facts: &Facts, memory: &mut Memory, now: Timestamp) {
    let mut before = std::mem::take(&mut memory.neighbours);
    for neighbour in &facts.neighbours {
        let known = before.remove(&neighbour.uid);
        let rises = |seen: &Seen| neighbour.load > seen.load || neighbour.digest != seen.digest;
        let rose = match &known {
            Some(seen) if rises(seen) => Some(now),
            Some(seen) => seen.rose,
            None => None,
        };
        let seen = Seen { load: neighbour.load, digest: neighbour.digest.clone(), rose };
        memory.neighbours.insert(neighbour.uid.clone(), seen);
    }
}

/// What the neighbours of an ill target say about it.
pub(super) enum Finding<'a> {
    /// None of them explains it.
    Nothing,
    /// This one, and nothing else.
    Suspect(&'a NeighbourFacts),
    /// More than one may be the cause: their names.
    Several(Vec<String>),
}

/// Judges an ill target, of which nothing changed since `reference`, by its neighbours. A dependency that changed, or of
/// which that is not known, may be the cause as well.
pub(super) fn judge<'a>(facts: &'a Facts, reference: &StateFacts) -> Finding<'a> {
    let ties = &facts.fleet.ties;
    let Some(ill) = ties.ill else { return Finding::Nothing };
    let since = |neighbour: &NeighbourFacts| ties.risen.get(&neighbour.uid).copied().max(Some(neighbour.began));
    let fits = |neighbour: &&NeighbourFacts| {
        let running = neighbour.declared && neighbour.load > 0 && !neighbour.deleting && !is_target(facts, neighbour);
        let began = since(neighbour).filter(|at| *at >= reference.created);
        running && began.is_some_and(|at| bonds::follows(ill.since, at))
    };
    let found: Vec<&NeighbourFacts> = facts.neighbours.iter().filter(fits).collect();
    let others = ties.dependencies.iter().filter(|other| other.changed != Changed::No);
    let others: Vec<String> = others.map(|other| other.title.clone()).collect();
    match found.as_slice() {
        [] => Finding::Nothing,
        [one] if others.is_empty() => Finding::Suspect(one),
        several => Finding::Several(several.iter().map(|one| one.title()).chain(others).collect()),
    }
}

/// The one neighbour that explains why the target is ill, if there is one.
pub(super) fn suspect<'a>(facts: &'a Facts, reference: &StateFacts) -> Option<&'a NeighbourFacts> {
    match judge(facts, reference) {
        Finding::Suspect(found) => Some(found),
        Finding::Nothing | Finding::Several(_) => None,
    }
}

fn is_target(facts: &Facts, neighbour: &NeighbourFacts) -> bool {
    let same = |kind: &str, name: &str| kind == neighbour.kind && name == neighbour.name;
    facts.target.as_ref().is_some_and(|target| same(target.kind.name(), &target.name))
        || facts.standby.as_ref().is_some_and(|standby| same(standby.kind.name(), &standby.name))
}

/// The declared CronJob that wrote the target's template last, by its name as a field manager, if it runs on.
pub(super) fn actor(facts: &Facts) -> Option<&NeighbourFacts> {
    let writer = facts.target.as_ref()?.last_writer.as_ref()?;
    let free = |neighbour: &&NeighbourFacts| {
        let untied = neighbour.git_ops.is_none() && neighbour.owner.is_none() && !neighbour.deleting;
        neighbour.declared && neighbour.kind == "CronJob" && neighbour.load > 0 && untied
    };
    facts
        .neighbours
        .iter()
        .filter(free)
        .find(|neighbour| neighbour.name == *writer)
        .filter(|_| facts.ceiling.neighbours)
}

/// The step that stops a neighbour. What it was, and who owned it, is the way back.
pub(super) fn stop(neighbour: &NeighbourFacts) -> Step {
    let (intent, from, to) = match neighbour.kind.as_str() {
        "CronJob" => (format!("suspend {}", neighbour.title()), json!({"suspend": false}), json!({"suspend": true})),
        _ => {
            let from = json!({"replicas": neighbour.load});
            (format!("scale {} to 0", neighbour.title()), from, json!({"replicas": 0}))
        }
    };
    let mut from = from;
    if let (Value::Object(from), Some(owner)) = (&mut from, &neighbour.field_owner) {
        from.insert("owner".into(), json!(owner));
    }
    let intent = format!("{intent}, until a person lets it go on");
    steps::step(Remediation::StopNeighbour, neighbour.reference(), intent, from.to_string(), to.to_string())
}

/// The steps that let go on what `recovery` stopped; where a person did so already, they only take our mark away.
pub(super) fn release(facts: &Facts, recovery: &str) -> Vec<Step> {
    let stopped = facts.neighbours.iter().filter(|neighbour| neighbour.stopped_by.as_deref() == Some(recovery));
    let journal = facts.recoveries.iter().find(|known| known.name == recovery).map(|known| &known.journal);
    stopped.flat_map(|neighbour| release_one(neighbour, journal)).collect()
}

fn release_one(neighbour: &NeighbourFacts, journal: Option<&Journal>) -> Vec<Step> {
    let of_it = |step: &&Step| step.remediation == Remediation::StopNeighbour && step.object.uid == neighbour.uid;
    // Without a record of what it was it cannot be put back.
    let Some(stop) = journal.and_then(|journal| journal.steps.iter().rev().find(of_it)) else { return vec![] };
    let intent = format!("let {} go on, which we stopped", neighbour.title());
    let (from, to) = (stop.to.clone(), stop.from.clone());
    let released = steps::step(Remediation::ReleaseNeighbour, stop.object.clone(), intent, from, to);
    let owner = serde_json::from_str::<Value>(&stop.from).ok();
    let owner = owner.and_then(|mut from| serde_json::from_value(from.get_mut("owner")?.take()).ok());
    [released].into_iter().chain(steps::hand_back(&stop.object, owner.as_ref())).collect()
}

/// What of a closed incident is to be let go on now: a person asked for it, or did it, or we are not to hold anything.
pub(super) fn due(facts: &Facts, recovery: &RecoveryFacts) -> Vec<Step> {
    let in_force = facts.policy.as_ref().filter(|policy| !policy.deleting && !policy.spec.suspend);
    let let_go = in_force.is_none() || facts.ceiling.suspended || recovery.spec.release || recovery.spec.abort;
    let by_hand = |neighbour: &NeighbourFacts| {
        neighbour.stopped_by.as_deref() == Some(recovery.name.as_str()) && neighbour.load > 0
    };
    if !let_go && !facts.neighbours.iter().any(by_hand) {
        return vec![];
    }
    let planned = &recovery.journal.steps;
    let new = |step: &Step| !planned.iter().any(|p| p.remediation == step.remediation && p.object == step.object);
    release(facts, &recovery.name).into_iter().filter(new).collect()
}

/// What stands still because of a Recovery.
pub fn held<'a>(facts: &'a Facts, recovery: &'a str) -> impl Iterator<Item = &'a NeighbourFacts> {
    let ours = move |neighbour: &&NeighbourFacts| neighbour.stopped_by.as_deref() == Some(recovery);
    facts.neighbours.iter().filter(ours).filter(|neighbour| neighbour.load == 0)
}

/// Which neighbour somebody let go on that this incident stopped.
pub(super) fn let_go_by_other(facts: &Facts, journal: &Journal) -> Option<String> {
    let done = |remediation, uid: &str| {
        let of_it = |step: &Step| step.remediation == remediation && step.object.uid == uid;
        journal.steps.iter().any(|step| of_it(step) && step.state == StepState::Done)
    };
    let found = facts.neighbours.iter().find(|neighbour| {
        let stopped = done(Remediation::StopNeighbour, &neighbour.uid);
        stopped && !done(Remediation::ReleaseNeighbour, &neighbour.uid) && neighbour.load > 0
    })?;
    Some(format!("somebody let {} go on, which we had stopped", found.title()))
}

/// What stays stopped after an incident, for people.
pub(super) fn stays(facts: &Facts, recovery: &str) -> String {
    let names: Vec<_> = held(facts, recovery).map(NeighbourFacts::title).collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!("; {} stays stopped until a person lets it go on (spec.release)", names.join(", ")),
    }
}
