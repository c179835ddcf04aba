//! Earning a stable state: the criteria hold, without a break, for the soak.

use jiff::Timestamp;

use super::assess::{Assessment, Verdict};
use super::checks;
use super::closure::{self, live_members};
use super::facts::{Facts, ObjectFacts};
use super::member::MemberKind;
use super::memory::{Memory, Since};
use super::{bonds, cuts, stale, states};
use crate::api::check::CheckEvidence;
use crate::api::stable_state::{LARGEST_MEMBER, MOST_MEMBERS};

/// A closure that has earned the name of a stable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earned {
    /// Digest of the closure; what is recorded must still have it.
    pub digest: String,
    /// When the criteria began to hold.
    pub from: Timestamp,
    /// Pods that were wanted, and ready.
    pub replicas: i32,
    /// Restarts during the soak.
    pub restarts: u32,
    /// The slowest pod's time from creation to ready, in seconds.
    pub time_to_ready: i64,
    /// What the checks of metrics said in the end.
    pub checks: Vec<CheckEvidence>,
}

/// How far the soak is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Soak {
    /// The criteria do not hold.
    Broken,
    /// They hold; complete at this instant if nothing happens.
    Running(Timestamp),
    /// Complete, and worth recording.
    Complete(Earned),
    /// Complete; the state is recorded already.
    Recorded,
    /// The closure is too large to be recorded: what, and how large.
    TooLarge(String),
    /// Pods run with something else than the closure has now: what, and what to do.
    Unread(String),
}

/// Brings the soak up to date. A restart too many, a pod that stops being ready, a change or a gap in sight begin it anew;
/// and it does not begin before every pod has read what there is to be read at its start.
#[must_use]
pub fn soak(facts: &Facts, assessment: &Assessment, memory: &mut Memory, now: Timestamp) -> Soak {
    let (Some(policy), Some(target)) = (&facts.policy, &facts.target) else { return Soak::Broken };
    // What was earned while something was kept away might not hold with it.
    let whole = cuts::cut_off(facts).is_none();
    let undisturbed = facts.open_recovery().is_none() && !target.paused && !target.deleting && whole;
    if assessment.verdict != Verdict::Stable || !undisturbed || lacks_account(facts) || bonds::troubled(facts, memory) {
        memory.soak = None;
        return Soak::Broken;
    }
    let tolerated = policy.spec.stability.max_restarts;
    let begun = memory.soak.as_ref().is_some_and(|soak| soak.value == assessment.closure);
    if !begun || restarts(facts, memory) > tolerated {
        memory.soak = Some(Since { value: assessment.closure.clone(), at: now });
        memory.restarts = facts.live_pods().map(|pod| (pod.uid.clone(), pod.restarts)).collect();
    }
    let from = memory.soak.as_ref().map_or(now, |soak| soak.at);
    let due = from + policy.spec.stability.soak.signed();
    if facts.states.iter().any(|state| state.digest == assessment.closure && states::usable(facts, state).is_ok()) {
        return Soak::Recorded;
    }
    if let Some(message) = too_large(facts) {
        return Soak::TooLarge(message);
    }
    if let Some(message) = stale::unread(facts, &memory.read_at_start) {
        memory.soak = None;
        return Soak::Unread(message);
    }
    if now < due || assessment.ready < assessment.required {
        return Soak::Running(due.max(now));
    }
    let slowest =
        facts.live_pods().filter_map(|pod| Some(pod.ready_since?.duration_since(pod.created).as_secs())).max();
    Soak::Complete(Earned {
        digest: assessment.closure.clone(),
        from,
        replicas: target.replicas,
        restarts: restarts(facts, memory),
        time_to_ready: slowest.unwrap_or(0).max(0),
        checks: checks::evidence(facts),
    })
}

/// Pods run on without their ServiceAccount, and none of them could be created again: that is no state to go back to.
fn lacks_account(facts: &Facts) -> bool {
    let account = |object: &ObjectFacts| object.kind == MemberKind::ServiceAccount && object.belongs;
    facts.objects.iter().any(|object| account(object) && object.uid.is_empty())
}

/// Why the closure cannot be recorded, if it cannot.
fn too_large(facts: &Facts) -> Option<String> {
    let members = live_members(facts)?;
    if members.len() > MOST_MEMBERS {
        return Some(format!("{} members in the closure; at most {MOST_MEMBERS} are recorded", members.len()));
    }
    let (kind, name, size) = members
        .into_iter()
        .map(|(kind, name, ..)| (kind, name, closure::size_of(facts, kind, name)))
        .find(|(.., size)| *size > LARGEST_MEMBER)?;
    Some(format!("{kind} {name} has {size} bytes; at most {LARGEST_MEMBER} are recorded"))
}

fn restarts(facts: &Facts, memory: &Memory) -> u32 {
    facts
        .live_pods()
        .map(|pod| pod.restarts.saturating_sub(memory.restarts.get(&pod.uid).copied().unwrap_or(0)))
        .fold(0, u32::saturating_add)
}
