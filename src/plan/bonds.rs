//! Who depends on whom: what the step of one policy tells those whose target depends on its own, and the other way round.
//!
//! A policy declares it (`dependsOn`); what is not declared does not exist here. Each policy says of itself whether its
//! closure changed, and whether it is ill without a change of its own; only the two together name a suspect, and the
//! rollback is the other policy's to decide. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::assess::Assessment;
use super::facts::{Facts, PodFacts};
use super::fleet::Who;
use super::memory::Memory;
use super::{Plan, cuts, register, states, triage};
use crate::api::policy::TargetRef;
use crate::api::{Phase, Reason};

/// A symptom that begins later than this after a change of a dependency is not put down to that change.
pub const LATEST: SignedDuration = SignedDuration::from_secs(600);
/// Times of the API are whole seconds.
const ROUNDING: SignedDuration = SignedDuration::from_secs(1);

/// Kind and name of a workload.
type Name = (String, String);

/// What a policy's step tells the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Bond {
    target: Name,
    depends_on: BTreeSet<Name>,
    changed: Changed,
    ill: Option<Ill>,
    well: bool,
    /// Since when everything of it is as it should be, its content included.
    sound: Option<Timestamp>,
    /// An incident of it holds: its own policy does nothing more about it for now.
    held: bool,
    /// What it is cut off from, by title, and since when it was in trouble because of that.
    cut_off: Option<(String, Timestamp)>,
    /// Scaled to zero: it neither fails nor is well.
    idle: bool,
    /// Its neighbours that were seen to take more, by uid.
    risen: BTreeMap<String, Timestamp>,
}

/// Whether the closure of a dependency is that of its own stable state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Changed {
    /// It is not known: no policy looks after it, or that cannot judge it now.
    #[default]
    Unknown,
    /// It is.
    No,
    /// It is not, since then.
    At(Timestamp),
    /// It was not, and is being put back by its own policy.
    Reverting,
}

/// A target that fails although nothing of its own closure changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ill {
    /// Since when, at the earliest.
    pub since: Timestamp,
    /// Its symptom counts.
    pub counts: bool,
}

/// A workload that the target depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Kind and name.
    pub title: String,
    /// Name of its own policy; empty if it has none.
    pub policy: String,
    /// Whether it changed.
    pub changed: Changed,
    /// Others that depend on it as well.
    pub others: u32,
    /// Of those, the ones that fail since it changed.
    pub failing: u32,
    /// Since when it fails itself, with nothing of its own changed, if it does.
    #[serde(default)]
    pub ill: Option<Timestamp>,
    /// Since when every criterion of its policy holds, in its stable state.
    #[serde(default)]
    pub well: Option<Timestamp>,
    /// Its own policy holds: nothing more is done about it for now.
    #[serde(default)]
    pub held: bool,
}

/// A workload that depends on the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependent {
    /// Kind and name.
    pub title: String,
    /// Whether it fails, and nothing of its own changed.
    pub ill: Option<Ill>,
    /// Every criterion of its policy holds.
    pub well: bool,
    /// It is cut off from the target, so that how it is says nothing about that.
    #[serde(default)]
    pub cut_off: bool,
    /// Its own policy suspects the target, and nothing else.
    pub blames: bool,
}

/// The dependencies and dependents of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ties {
    /// Whether the target itself is ill, as of its last step.
    pub ill: Option<Ill>,
    /// What it depends on, as its policy declares.
    pub dependencies: Vec<Dependency>,
    /// What its standby depends on, by kind and name, if a policy of its own says so.
    pub standby: Option<BTreeSet<String>>,
    /// Who declares to depend on it, those scaled to zero excepted.
    pub dependents: Vec<Dependent>,
    /// Neighbours that were seen to take more than before, by uid, as of its last step.
    pub risen: BTreeMap<String, Timestamp>,
}

impl Dependency {
    /// It changed, or nobody knows that it did not.
    #[must_use]
    pub fn moved(&self) -> bool {
        self.changed != Changed::No
    }
}

/// What the dependencies of an ill target say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding<'a> {
    /// None of them explains it.
    Nothing,
    /// This one changed before, and nothing else did.
    Suspect(&'a Dependency),
    /// One changed before, but others changed or cannot be judged: all of them.
    Several(Vec<&'a Dependency>),
    /// Nothing changed, but this one failed before, and nothing else did.
    Failing(&'a Dependency),
    /// This one changed, but too late to be the cause.
    Later(&'a Dependency),
    /// This one changed before, but most of those that depend on it are fine.
    OthersFine(&'a Dependency),
}

/// Judges an ill target by its dependencies.
#[must_use]
pub fn judge(ill: Ill, dependencies: &[Dependency]) -> Finding<'_> {
    let moved: Vec<&Dependency> = dependencies.iter().filter(|other| other.moved()).collect();
    let before = |other: &&Dependency| match other.changed {
        Changed::At(at) => follows(ill.since, at),
        Changed::Reverting => true,
        Changed::No | Changed::Unknown => false,
    };
    match moved.as_slice() {
        [] => failing(ill, dependencies),
        [one] if before(one) => match one.changed {
            Changed::At(_) if 2 * (one.failing + 1) <= one.others + 1 => Finding::OthersFine(one),
            _ => Finding::Suspect(one),
        },
        [one] => match one.changed {
            Changed::At(at) if ill.since < at => Finding::Later(one),
            _ => Finding::Nothing,
        },
        several if several.iter().any(before) => Finding::Several(moved),
        _ => Finding::Nothing,
    }
}

/// Nothing changed elsewhere: does exactly one fail by itself?
fn failing(ill: Ill, dependencies: &[Dependency]) -> Finding<'_> {
    let failing: Vec<(&Dependency, Timestamp)> =
        dependencies.iter().filter_map(|other| Some((other, other.ill?))).collect();
    match failing.as_slice() {
        [(one, since)] if follows(ill.since, *since) => Finding::Failing(one),
        _ => Finding::Nothing,
    }
}

/// Whether what began at `since` may come from a change at `change`.
pub(super) fn follows(since: Timestamp, change: Timestamp) -> bool {
    since + ROUNDING >= change && since <= change + LATEST
}

/// What all policies told.
#[derive(Clone, Debug, Default)]
pub struct Bonds {
    of: BTreeMap<Who, Bond>,
}

impl Bonds {
    /// What concerns `who`, as its step needs it.
    #[must_use]
    pub fn ties(&self, who: &Who, facts: &Facts) -> Ties {
        let Some(policy) = &facts.policy else { return Ties::default() };
        let own = name_of(&policy.spec.target_ref);
        let declared: BTreeSet<Name> = policy.spec.depends_on.iter().map(name_of).collect();
        let dependents = self.here(who).filter(|(other, bond)| {
            *other != who && bond.depends_on.contains(&own) && bond.target != own && !bond.idle
        });
        Ties {
            ill: self.of.get(who).and_then(|bond| bond.ill),
            risen: self.of.get(who).map(|bond| bond.risen.clone()).unwrap_or_default(),
            dependencies: self.dependencies(who, &declared),
            standby: policy.spec.actions.failover.as_ref().and_then(|failover| self.declared(who, &failover.standby)),
            dependents: dependents
                .map(|(other, bond)| Dependent {
                    title: title(&bond.target),
                    ill: bond.toward(&own),
                    well: bond.well,
                    cut_off: bond.cut_off.as_ref().is_some_and(|(cut, _)| *cut == title(&own)),
                    blames: self.blames(other, bond, &own),
                })
                .collect(),
        }
    }

    /// Enters what a step found out. Returns who has to look again because of that.
    pub fn note(&mut self, who: &Who, facts: &Facts, plan: &Plan) -> Vec<Who> {
        let bond = bond(facts, &plan.assessment, &plan.memory);
        if self.of.get(who) == Some(&bond) {
            return vec![];
        }
        let mut related = self.related(who);
        self.of.insert(who.clone(), bond);
        related.extend(self.related(who));
        related.into_iter().collect()
    }

    /// There is nothing left of this policy. Returns who has to look again because of that.
    pub fn forget(&mut self, who: &Who) -> Vec<Who> {
        let related = self.related(who);
        self.of.remove(who);
        related.into_iter().filter(|other| other != who).collect()
    }

    fn dependencies(&self, who: &Who, declared: &BTreeSet<Name>) -> Vec<Dependency> {
        declared.iter().map(|name| self.dependency(who, name)).collect()
    }

    /// What a workload depends on, as a policy of its own declares.
    fn declared(&self, who: &Who, workload: &TargetRef) -> Option<BTreeSet<String>> {
        let (_, bond) = self.here(who).find(|(_, bond)| bond.target == name_of(workload))?;
        Some(bond.depends_on.iter().map(title).collect())
    }

    fn dependency(&self, who: &Who, name: &Name) -> Dependency {
        let found = self.here(who).find(|(_, bond)| bond.target == *name);
        let changed = found.map_or(Changed::Unknown, |(_, bond)| bond.changed);
        let others =
            || self.here(who).filter(|(other, bond)| *other != who && bond.depends_on.contains(name) && !bond.idle);
        let fails = |bond: &Bond| match changed {
            Changed::At(at) => bond.toward(name).is_some_and(|ill| ill.counts && follows(ill.since, at)),
            _ => false,
        };
        Dependency {
            title: title(name),
            policy: found.map(|(who, _)| who.policy.clone()).unwrap_or_default(),
            changed,
            others: count(others()),
            failing: count(others().filter(|(_, bond)| fails(bond))),
            ill: found.and_then(|(_, bond)| bond.ill).filter(|ill| ill.counts).map(|ill| ill.since),
            well: found.and_then(|(_, bond)| bond.sound),
            held: found.is_some_and(|(_, bond)| bond.held),
        }
    }

    /// Whether `other` suspects the workload `own`.
    fn blames(&self, other: &Who, bond: &Bond, own: &Name) -> bool {
        let Some(ill) = bond.toward(own).filter(|ill| ill.counts) else { return false };
        let dependencies = self.dependencies(other, &bond.depends_on);
        matches!(judge(ill, &dependencies), Finding::Suspect(suspect) if suspect.title == title(own))
    }

    /// Those that depend on `who`, those it depends on, those that depend on the same, and itself.
    fn related(&self, who: &Who) -> BTreeSet<Who> {
        let Some(own) = self.of.get(who) else { return BTreeSet::new() };
        let tied = |bond: &Bond| {
            bond.target == own.target
                || bond.depends_on.contains(&own.target)
                || own.depends_on.contains(&bond.target)
                || !own.depends_on.is_disjoint(&bond.depends_on)
        };
        self.here(who).filter(|(_, bond)| tied(bond)).map(|(other, _)| other.clone()).collect()
    }

    fn here<'a>(&'a self, who: &Who) -> impl Iterator<Item = (&'a Who, &'a Bond)> {
        let namespace = who.namespace.clone();
        self.of.iter().filter(move |(other, _)| other.namespace == namespace)
    }
}

impl Bond {
    /// Whether it fails, as far as one dependency is concerned. Who is cut off from that would fail with it.
    fn toward(&self, dependency: &Name) -> Option<Ill> {
        match &self.cut_off {
            Some((cut, since)) if *cut == title(dependency) => Some(Ill { since: *since, counts: true }),
            _ => self.ill,
        }
    }
}

fn count<T>(found: impl Iterator<Item = T>) -> u32 {
    u32::try_from(found.count()).unwrap_or(u32::MAX)
}

fn name_of(reference: &TargetRef) -> Name {
    (reference.kind.clone(), reference.name.clone())
}

fn title((kind, name): &Name) -> String {
    format!("{kind} {name}")
}

fn bond(facts: &Facts, assessment: &Assessment, memory: &Memory) -> Bond {
    let Some(policy) = &facts.policy else { return Bond::default() };
    let bond = Bond {
        target: name_of(&policy.spec.target_ref),
        depends_on: policy.spec.depends_on.iter().map(name_of).collect(),
        idle: assessment.reason == Reason::ScaledToZero,
        ..Bond::default()
    };
    if !register::armed(facts, assessment) {
        return bond;
    }
    let well = assessment.reason == Reason::Healthy;
    let seen = memory.neighbours.iter();
    let risen = seen.filter_map(|(uid, seen)| Some((uid.clone(), seen.rose?))).collect();
    let changed = changed(facts, memory);
    let sound = memory.soak.as_ref().map(|soak| soak.at).filter(|_| well && changed == Changed::No);
    let rests =
        |open: &super::facts::RecoveryFacts| matches!(open.journal.phase, Phase::Holding | Phase::AwaitingApproval);
    let held = facts.open_recovery().is_some_and(rests);
    let cut_off = cuts::cut_off(facts);
    Bond { changed, ill: ill(facts, assessment, memory), well, sound, held, cut_off, risen, ..bond }
}

/// Whether, and since when, the live closure is another one than that of the stable state. A change is one that we saw
/// happen; after a restart the API server's own record of the newest revision tells when.
#[must_use]
pub(super) fn changed(facts: &Facts, memory: &Memory) -> Changed {
    let reverting =
        |open: &super::facts::RecoveryFacts| open.journal.attempt > 0 && open.journal.decision.remedy.restores();
    if facts.open_recovery().is_some_and(reverting) {
        return Changed::Reverting;
    }
    let (Ok(reference), Some(target)) = (states::reference(facts), &facts.target) else { return Changed::Unknown };
    let found = triage::explaining(facts, reference);
    if found.is_empty() {
        return Changed::No;
    }
    if let Some(seen) = &memory.changed {
        return Changed::At(seen.at);
    }
    let present = facts.present_revisions();
    let created = facts.revisions.iter().filter(|r| present.contains(r.name.as_str())).map(|r| r.created).max();
    let of_template = found.iter().any(|difference| difference.kind == target.kind);
    // Whole seconds: what is not the stable revision and was made in the second of the record was made after it.
    match created.filter(|created| of_template && *created >= reference.created) {
        Some(created) => Changed::At(created),
        None => Changed::Unknown,
    }
}

/// Whether the target fails in a way that something outside could bring about, and since when at the earliest.
fn ill(facts: &Facts, assessment: &Assessment, memory: &Memory) -> Option<Ill> {
    let reference = states::reference(facts).ok()?;
    let own = assessment.rolling || !triage::explaining(facts, reference).is_empty();
    if own || triage::few_among_good(facts, assessment).is_some() {
        return None;
    }
    let symptom = match &assessment.symptom {
        Some(symptom) if matches!(symptom.reason, Reason::CrashLoop | Reason::Unavailable) => Some(symptom.since),
        Some(_) => return None,
        None => None,
    };
    let short = memory.short.as_ref().map(|short| short.at);
    let began = symptom.into_iter().chain(short).min()?;
    let unready = |pod: &&PodFacts| !pod.ready;
    let pods = facts.live_pods().filter(unready).filter_map(|pod| pod.ready_since);
    let detected = facts.open_recovery().and_then(|open| open.journal.timeline.detected.as_ref()).map(|at| at.0);
    let since = [began].into_iter().chain(pods).chain(detected).min()?;
    Some(Ill { since, counts: symptom.is_some() })
}

/// The dependents that make a changed target the suspect, for people; empty if there are none.
#[must_use]
pub(super) fn blaming(facts: &Facts) -> Vec<&Dependent> {
    facts.fleet.ties.dependents.iter().filter(|dependent| dependent.blames).collect()
}

/// Whether some dependent began to fail after the target changed: such a state is not earned.
#[must_use]
pub(super) fn troubled(facts: &Facts, memory: &Memory) -> bool {
    let Changed::At(at) = changed(facts, memory) else { return false };
    let mut ill = facts.fleet.ties.dependents.iter().filter_map(|dependent| dependent.ill);
    ill.any(|ill| follows(ill.since, at))
}

/// What is missing of the dependents before a recovery that was begun for them at `detected` may be called one. Those
/// that were ill long before are not looked at.
#[must_use]
pub(super) fn missing(facts: &Facts, detected: Timestamp) -> Vec<String> {
    let before = |ill: Ill| ill.since + LATEST < detected;
    let counts = |dependent: &&Dependent| !dependent.well && !dependent.cut_off && !dependent.ill.is_some_and(before);
    let waited = facts.fleet.ties.dependents.iter().filter(counts);
    waited.map(|dependent| format!("{}, which depends on it, is not well", dependent.title)).collect()
}
