//! First step: what is so. One verdict, the symptom that counts, the pods that show it, and when to look again.
//!
//! A slow, healthy release is never a symptom: while a rollout is under way, not being ready counts
//! only after a patience that the stable state itself has taught us. Nothing here chooses a remedy.

use jiff::{SignedDuration, Timestamp};

use super::autoscaling;
use super::bonds;
use super::checks::{self, Judged};
use super::closure::live_digest;
use super::deletion;
use super::exposure;
use super::facts::{Facts, PodFacts, Workload};
use super::memory::{Memory, Since};
use super::states;
use crate::api::policy::RecoveryPolicySpec;
use crate::api::recovery::Journal;
use crate::api::{Outcome, Reason};

/// Reasons why a container waits that count at once.
const IMAGE_PULL: [&str; 5] =
    ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"];
const CREATION: [&str; 3] = ["CreateContainerConfigError", "CreateContainerError", "RunContainerError"];
const CRASH_LOOP: &str = "CrashLoopBackOff";

/// What is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every criterion holds.
    Stable,
    /// Some criterion does not hold; a symptom may or may not count yet.
    Unstable,
    /// It cannot be judged. Unknown never leads to action and never to "recovered".
    Unknown,
}

/// A symptom that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symptom {
    /// Which.
    pub reason: Reason,
    /// What was seen, for people.
    pub message: String,
    /// Since when it counts.
    pub since: Timestamp,
    /// Digest of the closure that was live when it began.
    pub closure: String,
}

/// The answer of this step.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// What is so.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
    /// The symptom, if one counts.
    pub symptom: Option<Symptom>,
    /// Uids of the pods that show it.
    pub bad_pods: Vec<String>,
    /// A rollout is under way.
    pub rolling: bool,
    /// Digest of the live closure.
    pub closure: String,
    /// Pods that must be ready.
    pub required: usize,
    /// Pods that are ready.
    pub ready: usize,
    /// When this answer may change although no fact does.
    pub look_again: Option<Timestamp>,
}

impl Assessment {
    /// Nothing but the checks of metrics is in the way of being stable.
    #[must_use]
    pub fn only_checks(&self) -> bool {
        matches!(self.reason, Reason::CheckFailing | Reason::CheckUnknown)
    }

    pub(super) fn unknown(reason: Reason, message: String) -> Self {
        let (symptom, bad_pods, closure, look_again) = (None, vec![], String::new(), None);
        let (rolling, required, ready) = (false, 0, 0);
        Self {
            verdict: Verdict::Unknown,
            reason,
            message,
            symptom,
            bad_pods,
            rolling,
            closure,
            required,
            ready,
            look_again,
        }
    }
}

/// Judges the facts. `memory` is brought up to date; it is emptied whenever we could not see.
#[must_use]
pub fn assess(facts: &Facts, memory: &mut Memory, now: Timestamp) -> Assessment {
    let Some(policy) = &facts.policy else {
        *memory = Memory::default();
        return Assessment::unknown(Reason::PolicyDeleted, "the policy was deleted".into());
    };
    if let Some(problem) = facts.sight.blind.first() {
        *memory = Memory::default();
        return Assessment::unknown(Reason::Blind, problem.clone());
    }
    if let Some(object) = facts.sight.malformed.first() {
        *memory = Memory::default();
        return Assessment::unknown(Reason::Malformed, format!("{object} cannot be read; correct or delete it"));
    }
    let (Some(target), Some(closure)) = (&facts.target, live_digest(facts)) else {
        *memory = Memory { details: memory.details.take(), ..Memory::default() };
        return deletion::assess(facts, &policy.spec, now);
    };
    if memory.target != target.uid {
        *memory = Memory { target: target.uid.clone(), ..Memory::default() };
    }
    if target.replicas == 0 {
        *memory = Memory { target: target.uid.clone(), ..Memory::default() };
        return Assessment::unknown(Reason::ScaledToZero, "no pod is wanted: replicas is 0".into());
    }
    Look { facts, spec: &policy.spec, target, closure, pods: facts.live_pods().count(), now }.judge(memory)
}

/// How long a pod may take to become ready: until the progress deadline, or three times what the stable state took,
/// whichever is sooner; never less than six times `unavailableFor`, so that a fast service is not judged in a blink.
#[must_use]
pub fn patience(facts: &Facts, spec: &RecoveryPolicySpec, target: &Workload) -> SignedDuration {
    let deadline = SignedDuration::from_secs(target.progress_deadline.clamp(1, 31_536_000));
    let Ok(state) = states::reference(facts) else { return deadline };
    let floor = spec.detection.unavailable_for.signed().saturating_mul(6);
    deadline.min(SignedDuration::from_secs(state.time_to_ready.clamp(0, 86_400)).saturating_mul(3).max(floor))
}

/// Pods that must be ready: a share of the wanted ones, rounded up.
#[must_use]
pub fn required(spec: &RecoveryPolicySpec, replicas: i32) -> usize {
    share(&spec.stability.min_ready, usize::try_from(replicas).unwrap_or(0))
}

/// So many percent of a number of pods, rounded up to whole pods; what is no percentage is all of them.
#[must_use]
pub(super) fn share(percent: &str, pods: usize) -> usize {
    let percent = percent.trim_end_matches('%').parse::<usize>().unwrap_or(100).min(100);
    (pods * percent).div_ceil(100)
}

struct Look<'a> {
    facts: &'a Facts,
    spec: &'a RecoveryPolicySpec,
    target: &'a Workload,
    closure: String,
    /// How many pods there are.
    pods: usize,
    now: Timestamp,
}

impl Look<'_> {
    fn judge(self, memory: &mut Memory) -> Assessment {
        let pods: Vec<&PodFacts> = self.facts.live_pods().collect();
        for pod in &pods {
            memory.restarts.entry(pod.uid.clone()).or_insert(pod.restarts);
        }
        memory.restarts.retain(|uid, _| pods.iter().any(|pod| pod.uid == *uid));

        let patience = patience(self.facts, self.spec, self.target);
        self.note_change(&pods, memory, patience);
        let rolling = self.rolling(memory);
        let required = required(self.spec, self.target.replicas);
        let ready = pods.iter().filter(|pod| pod.ready).count();
        let settling = pods.iter().filter(|pod| self.settling(pod, patience)).count();
        let mut wakes: Vec<Timestamp> =
            pods.iter().filter(|pod| self.settling(pod, patience)).map(|pod| pod.created + patience).collect();

        let short = ready + settling < required;
        memory.short = (short && !rolling).then(|| Since::carry(memory.short.take(), (), self.now));

        let evidence: Vec<&PodFacts> = pods.iter().copied().filter(|pod| self.counts(pod, memory, rolling)).collect();
        wakes.extend(memory.grace.as_ref().map(|grace| grace.at));
        let cut_off =
            states::reference(self.facts).ok().and_then(|s| exposure::broken(self.facts, self.target, s, self.now));
        memory.cut_off = cut_off.as_ref().map(|_| Since::carry(memory.cut_off.take(), (), self.now));
        let checks = checks::judge(self.facts, self.now);
        self.note_checks(&checks, memory);
        wakes.extend(checks::stale_at(self.facts, self.now));
        let seen = self
            .at_once(&evidence, memory)
            .or_else(|| self.stuck(&pods, memory, rolling, patience, &mut wakes))
            .or_else(|| self.unavailable(&pods, memory, ready, required, &mut wakes))
            .or_else(|| self.cut_off(cut_off.as_ref(), memory, &mut wakes))
            .or_else(|| self.check_failing(&checks, memory, &mut wakes))
            .or_else(|| self.dependents(memory, rolling, &mut wakes))
            .or_else(|| self.at_limit(memory, &mut wakes));
        let (symptom, bad_pods) = self.symptom_of(seen, memory);
        let counts = format!("{ready} of {required} required pods ready");
        let (verdict, reason, message) = match &symptom {
            Some(symptom) => (Verdict::Unstable, symptom.reason, checks.of(symptom)),
            None if rolling => (Verdict::Unstable, Reason::RollingOut, format!("rolling out: {counts}")),
            None if short => (Verdict::Unstable, Reason::Unavailable, counts),
            None if cut_off.is_some() => (Verdict::Unstable, Reason::CutOff, cut_off.unwrap_or_default()),
            None if !checks.pass() => (checks.verdict(), checks.reason(), checks.said()),
            None if memory.at_limit.is_some() => (Verdict::Unstable, Reason::AtLimit, autoscaling::said(memory)),
            // Pods that were added or moved do not break a soak, but what is not ready is not called healthy.
            None if ready < required => (Verdict::Stable, Reason::PodsStarting, counts),
            None => (Verdict::Stable, Reason::Healthy, counts),
        };
        wakes.extend(self.note_calm(reason == Reason::Healthy, memory));
        Assessment {
            verdict,
            reason,
            message,
            symptom,
            bad_pods,
            rolling,
            closure: self.closure,
            required,
            ready,
            look_again: wakes.into_iter().min(),
        }
    }

    fn symptom_of(
        &self,
        seen: Option<(Reason, String, Vec<String>)>,
        memory: &mut Memory,
    ) -> (Option<Symptom>, Vec<String>) {
        match seen {
            Some((reason, message, bad_pods)) => (Some(self.symptom(reason, message, memory)), bad_pods),
            None => {
                if let Some(symptom) = memory.symptom.take() {
                    memory.trouble.get_or_insert(symptom.value);
                }
                (None, vec![])
            }
        }
    }

    /// Trouble is over when it is as long over as a recovery has to hold: pods that end again and again are ready in
    /// between. Says when that will be.
    fn note_calm(&self, healthy: bool, memory: &mut Memory) -> Option<Timestamp> {
        let troubled = healthy && memory.trouble.is_some();
        memory.calm = troubled.then(|| Since::carry(memory.calm.take(), (), self.now));
        let over = memory.calm.as_ref()?.at + self.spec.verification.window.signed();
        if self.now < over {
            return Some(over);
        }
        (memory.trouble, memory.calm) = (None, None);
        None
    }

    /// What was seen, with when it began and in which closure: a change in the middle of trouble did not begin it.
    fn symptom(&self, reason: Reason, message: String, memory: &mut Memory) -> Symptom {
        let began = memory.symptom.take().unwrap_or_else(|| {
            let of_checks = memory.unpassed.as_ref().filter(|_| reason == Reason::CheckFailing);
            let closure = memory.trouble.as_ref().or(of_checks).unwrap_or(&self.closure);
            Since { value: closure.clone(), at: self.now }
        });
        let symptom = Symptom { reason, message, since: began.at, closure: began.value.clone() };
        memory.symptom = Some(began);
        symptom
    }

    /// A new closure is judged by what it does itself, not by what the one before it did.
    fn note_change(&self, pods: &[&PodFacts], memory: &mut Memory, patience: SignedDuration) {
        let before = memory.closure.take();
        if before.is_none() {
            memory.trouble = self.remembered();
        }
        let changed = before.as_ref().is_some_and(|before| before.value != self.closure);
        if changed {
            let failed = memory.failing.take().is_some();
            let troubled = failed || memory.symptom.is_some() || memory.short.is_some() || memory.grace.is_some();
            memory.grace = troubled.then(|| Since { value: self.now, at: self.now + patience });
            memory.restarts = pods.iter().map(|pod| (pod.uid.clone(), pod.restarts)).collect();
            memory.short = None;
            memory.changed = Some(Since { value: self.closure.clone(), at: self.now });
            if let Some(symptom) = memory.symptom.take() {
                memory.trouble.get_or_insert(symptom.value);
            }
        }
        memory.closure = Some(Since::carry(before, self.closure.clone(), self.now));
        memory.replicas = Some(Since::carry(memory.replicas.take(), self.target.replicas, self.now));
        memory.grace = memory.grace.take().filter(|grace| self.now < grace.at);
    }

    /// We have just begun to look: the last journal knows in which closure the trouble began, if nothing says that it is
    /// over.
    fn remembered(&self) -> Option<String> {
        let last = self.facts.recoveries.last().filter(|last| !deletion::of_deletion(last))?;
        let Journal { target, symptom, outcome, reason, timeline, .. } = &last.journal;
        let ended = !last.open() && (*outcome == Some(Outcome::Recovered) || *reason == Reason::HealedItself);
        let closed = timeline.closed.as_ref().map(|at| at.0);
        let earned = self.facts.states.iter().any(|state| closed.is_some_and(|closed| state.created > closed));
        let known = target.uid == self.target.uid && !symptom.closure.is_empty();
        (known && !ended && !earned).then(|| symptom.closure.clone())
    }

    /// Whether a pod says something about the present closure. During a rollout pods of another revision are on their
    /// way out; after a change made in trouble, pods from before it get time to recover.
    fn counts(&self, pod: &PodFacts, memory: &Memory, rolling: bool) -> bool {
        if rolling && !self.facts.present_revisions().contains(pod.revision.as_str()) {
            return false;
        }
        let Some(grace) = &memory.grace else { return true };
        // Creation times are whole seconds.
        pod.created + SignedDuration::from_secs(1) > grace.value
            || self.grown(pod, memory) >= self.spec.detection.crash_loops
    }

    fn grown(&self, pod: &PodFacts, memory: &Memory) -> u32 {
        pod.restarts.saturating_sub(memory.restarts.get(&pod.uid).copied().unwrap_or(pod.restarts))
    }

    /// A rollout begins with another template, or when the controller has not caught up with it, and ends when every
    /// wanted pod of the present template is available and no other is left.
    fn rolling(&self, memory: &mut Memory) -> bool {
        let t = self.target;
        let unfinished = t.observed_generation < t.generation
            || t.updated_replicas < t.replicas
            || t.total_replicas > t.updated_replicas;
        let before = memory.template.replace(t.template.clone());
        let begins = before.is_some_and(|before| before != t.template);
        let known = begins || memory.rollout.as_ref().is_some_and(|rollout| rollout.value == t.template);
        let rolling = unfinished || (known && t.available_replicas < t.replicas);
        memory.rollout = rolling.then(|| Since::carry(memory.rollout.take(), t.template.clone(), self.now));
        rolling
    }

    /// A pod that was never ready and still has time to become so: just added, or just rescheduled.
    fn settling(&self, pod: &PodFacts, patience: SignedDuration) -> bool {
        let never_ready = pod.ready_since.is_none_or(|since| since <= pod.created + SignedDuration::from_secs(1));
        !pod.ready && never_ready && self.now < pod.created + patience
    }

    /// Crash loops, image pull and creation failures count at once, during a rollout as well.
    fn at_once(&self, pods: &[&PodFacts], memory: &Memory) -> Option<(Reason, String, Vec<String>)> {
        let crash_loops = self.spec.detection.crash_loops;
        let crashing = |pod: &PodFacts| {
            !pod.ready
                && (self.grown(pod, memory) >= crash_loops
                    || (pod.waiting.contains(CRASH_LOOP) && pod.most_restarts >= crash_loops))
        };
        let waits = |pod: &PodFacts, reasons: &[&str]| reasons.iter().any(|reason| pod.waiting.contains(*reason));
        let failing = |test: &dyn Fn(&PodFacts) -> bool, reason: Reason, what: &str| {
            let bad: Vec<&&PodFacts> = pods.iter().filter(|pod| test(pod)).collect();
            let first = bad.first()?;
            let message = format!("{} of {} pods {what}, for example {}", bad.len(), self.pods, first.name);
            Some((reason, message, bad.iter().map(|pod| pod.uid.clone()).collect()))
        };
        failing(&crashing, Reason::CrashLoop, "restart again and again")
            .or_else(|| failing(&|pod| waits(pod, &IMAGE_PULL), Reason::ImagePull, "cannot pull an image"))
            .or_else(|| failing(&|pod| waits(pod, &CREATION), Reason::PodCreation, "cannot create a container"))
            .or_else(|| {
                let message = self.target.creation_failure.as_ref()?;
                Some((Reason::PodCreation, format!("pods cannot be created: {message}"), vec![]))
            })
    }

    /// During a rollout: past the deadline, or a pod that has used up its patience.
    fn stuck(
        &self,
        pods: &[&PodFacts],
        memory: &Memory,
        rolling: bool,
        patience: SignedDuration,
        wakes: &mut Vec<Timestamp>,
    ) -> Option<(Reason, String, Vec<String>)> {
        let begun = memory.rollout.as_ref().filter(|_| rolling && !self.paused_by_other())?.at;
        let present = self.facts.present_revisions();
        let waiting = pods.iter().filter(|pod| !pod.ready && present.contains(pod.revision.as_str()));
        let (late, early): (Vec<&&PodFacts>, Vec<_>) =
            waiting.partition(|pod| self.now >= begun.max(pod.created) + patience);
        wakes.extend(early.iter().map(|pod| begun.max(pod.created) + patience));
        if late.is_empty() && !self.target.deadline_exceeded {
            return None;
        }
        let why =
            if late.is_empty() { "its progress deadline is over" } else { "pods are not ready in the time they had" };
        Some((
            Reason::RolloutStuck,
            format!("the rollout does not get ready: {why}"),
            late.iter().map(|p| p.uid.clone()).collect(),
        ))
    }

    /// Traffic does not reach the target any more, for `unavailableFor`: Services and routes are often changed together.
    fn cut_off(
        &self,
        broken: Option<&String>,
        memory: &Memory,
        wakes: &mut Vec<Timestamp>,
    ) -> Option<(Reason, String, Vec<String>)> {
        let due = memory.cut_off.as_ref()?.at + self.spec.detection.unavailable_for.signed();
        if self.now < due {
            wakes.push(due);
            return None;
        }
        Some((Reason::CutOff, broken?.clone(), vec![]))
    }

    fn note_checks(&self, checks: &Judged, memory: &mut Memory) {
        let failing = matches!(checks, Judged::Failing { .. });
        memory.failing = failing.then(|| Since::carry(memory.failing.take(), (), self.now));
        match checks.pass() {
            true => memory.unpassed = None,
            false => drop(memory.unpassed.get_or_insert_with(|| self.closure.clone())),
        }
    }

    /// A check fails, for `unavailableFor`. After a change that was made meanwhile, only what was measured after it.
    fn check_failing(
        &self,
        checks: &Judged,
        memory: &Memory,
        wakes: &mut Vec<Timestamp>,
    ) -> Option<(Reason, String, Vec<String>)> {
        let Judged::Failing { seen, .. } = checks else { return None };
        let long_enough = self.spec.detection.unavailable_for.signed();
        let waited = memory.failing.as_ref()?.at + long_enough;
        let waited = memory.grace.as_ref().map_or(waited, |grace| waited.max(grace.at));
        let before = memory.unpassed.as_ref().is_some_and(|closure| *closure != self.closure);
        let changed = memory.closure.as_ref().filter(|_| before);
        let measured = changed.map(|since| since.at + checks::longest_window(self.spec) + long_enough);
        let due = measured.map_or(waited, |measured| waited.max(measured));
        if self.now < due {
            wakes.push(due);
            return None;
        }
        Some((Reason::CheckFailing, seen.clone(), vec![]))
    }

    /// What depends on the target fails since it changed. A rollout that is still under way may explain it, and when it
    /// is over those that depend on it get `unavailableFor`.
    fn dependents(
        &self,
        memory: &mut Memory,
        rolling: bool,
        wakes: &mut Vec<Timestamp>,
    ) -> Option<(Reason, String, Vec<String>)> {
        let troubled = !rolling && bonds::troubled(self.facts, memory);
        memory.dependents = troubled.then(|| Since::carry(memory.dependents.take(), (), self.now));
        let due = memory.dependents.as_ref()?.at + self.spec.detection.unavailable_for.signed();
        let blaming = bonds::blaming(self.facts);
        if self.now < due || blaming.is_empty() {
            wakes.extend((self.now < due).then_some(due));
            return None;
        }
        let first = blaming.first().and_then(|dependent| Some((&dependent.title, dependent.ill?.since)));
        let (title, since) = first?;
        let others = match blaming.len() - 1 {
            0 => String::new(),
            others => format!(", and {others} more"),
        };
        let message = format!(
            "{title}, which declares that it depends on {}, fails since {since}, after that changed{others}",
            self.target.title()
        );
        Some((Reason::DependentsFailing, message, vec![]))
    }

    /// An autoscaler was changed, and has scaled the target to its most since: that is no symptom of pods, and ends in
    /// what they cost or take from others.
    fn at_limit(&self, memory: &mut Memory, wakes: &mut Vec<Timestamp>) -> Option<(Reason, String, Vec<String>)> {
        let reference = states::reference(self.facts).ok();
        let seen = reference.and_then(|state| autoscaling::at_its_most(self.facts, self.target, state));
        let due_to_it = memory.at_limit.is_some() || autoscaling::scaled_since_the_change(memory, &self.closure);
        let before = memory.at_limit.take();
        memory.at_limit = seen.filter(|_| due_to_it).map(|said| Since::carry(before, said, self.now));
        let limit = memory.at_limit.as_ref()?;
        let due = limit.at + self.spec.detection.unavailable_for.signed();
        if self.now < due {
            wakes.push(due);
            return None;
        }
        Some((Reason::AtLimit, limit.value.clone(), vec![]))
    }

    /// Who pauses a rollout lets it wait on purpose. Our own freeze does not make a stuck rollout any better.
    fn paused_by_other(&self) -> bool {
        self.target.paused && self.target.frozen_by.is_none()
    }

    /// Outside a rollout: fewer ready than required, for `unavailableFor`.
    fn unavailable(
        &self,
        pods: &[&PodFacts],
        memory: &Memory,
        ready: usize,
        required: usize,
        wakes: &mut Vec<Timestamp>,
    ) -> Option<(Reason, String, Vec<String>)> {
        let waited = memory.short.as_ref()?.at + self.spec.detection.unavailable_for.signed();
        let due = memory.grace.as_ref().map_or(waited, |grace| waited.max(grace.at));
        if self.now < due {
            wakes.push(due);
            return None;
        }
        let message = format!("{ready} of {required} required pods ready for {}", self.spec.detection.unavailable_for);
        let bad = pods.iter().filter(|pod| !pod.ready).map(|pod| pod.uid.clone()).collect();
        Some((Reason::Unavailable, message, bad))
    }
}
