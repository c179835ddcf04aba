//! The pure core. Facts in, one [`Plan`] out: what is so, what to record, what to do, when to look again.
//!
//! There is no client, clock, randomness, file or environment here: time is an argument, and the
//! same input gives the same bytes. Nothing above this module may be named in it.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod assess;
pub mod autoscaling;
pub mod bonds;
pub mod brake;
pub mod budget;
pub mod checks;
mod choose;
mod closing;
pub mod closure;
pub mod compare;
pub mod content;
pub mod course;
pub mod cuts;
pub mod decide;
mod deletion;
pub mod drift;
mod due;
pub mod exposure;
pub mod facts;
pub mod fleet;
pub mod floors;
pub mod forgotten;
pub mod guard;
pub mod history;
mod isolation;
pub mod journal;
pub mod leftovers;
mod letting_go;
pub mod member;
pub mod memory;
pub mod neighbours;
pub mod nodes;
pub mod notice;
mod on_standby;
pub mod owners;
pub mod parity;
pub mod posture;
pub mod pre_scale;
pub mod receipt;
mod recoverable;
pub mod references;
pub mod register;
pub mod rehearsal;
pub mod relapse;
pub mod rollout;
pub mod secrets;
pub mod soak;
pub mod stale;
mod standby;
pub mod states;
mod status;
pub mod steps;
mod traffic;
pub mod triage;
pub mod verify;
pub mod weights;

use jiff::{SignedDuration, Timestamp};

pub use assess::{Assessment, Verdict};
pub use facts::Facts;
pub use fleet::Fleet;
pub use history::Expired;
pub use journal::{Record, Turn};
pub use memory::Memory;
pub use notice::Notice;
pub use receipt::Receipt;
pub use rehearsal::Rehearse;

use crate::api::{Check, RecoveryPolicyStatus};
use brake::{Brake, Weather};
use rehearsal::Outlook;
use soak::{Earned, Soak};

/// With nothing to wait for we look again after this long, so that a lost wake-up cannot last.
const LONGEST_SLEEP: SignedDuration = SignedDuration::from_secs(300);

/// What one step of the loop comes to.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is so.
    pub assessment: Assessment,
    /// What to remember until the next step.
    pub memory: Memory,
    /// The policy's status as it should be; `None` without a policy.
    pub status: Option<RecoveryPolicyStatus>,
    /// What to record in a Recovery, and then to do.
    pub turn: Option<Turn>,
    /// A stable state that was earned and is to be recorded.
    pub earned: Option<Earned>,
    /// A state to be rehearsed: whether it could be restored is to be asked.
    pub rehearse: Option<Rehearse>,
    /// Checks that a metrics provider is to be asked for now.
    pub ask: Vec<Check>,
    /// What is beyond the history limits, to be deleted.
    pub expired: Expired,
    /// What to announce once it is recorded.
    pub notices: Vec<Notice>,
    /// When to look again although nothing changed.
    pub wake_at: Timestamp,
    /// When the present trouble of the target began, if it has a symptom.
    pub onset: Option<Timestamp>,
    /// The brake, as it is with what was found out about this target.
    pub brake: Brake,
}

/// One step: assess, verify, decide. The only entry.
#[must_use]
pub fn step(facts: &Facts, mut memory: Memory, now: Timestamp) -> Plan {
    let target_seen = deletion::look(facts, memory.target_seen.take(), now);
    let believed = deletion::with_lost(nodes::believed(facts), target_seen.as_ref());
    let facts = believed.as_ref();
    memory.waiting = None;
    let assessment = assess::assess(facts, &mut memory, now);
    memory.target_seen = target_seen;
    neighbours::note(facts, &mut memory, now);
    stale::note(facts, &mut memory, now);
    let soak = soak::soak(facts, &assessment, &mut memory, now);
    let open = facts.open_recovery();
    let onset = onset(&assessment, open);
    let weather = weather(facts, &assessment, onset, now);
    let brake = facts.fleet.brake.judge(&facts.fleet.limits.brake, weather, now);
    let view = journal::View { facts, assessment: &assessment, weather, brake, now };
    let turn = match open {
        Some(open) => Some(journal::with_sweep(&view, journal::advance(&view, open, &mut memory))),
        None => journal::begin(&view, &mut memory).or_else(|| journal::sweep(&view)),
    };
    let before = open.map(|open| &open.journal);
    let status = facts.policy.as_ref().map(|policy| {
        let after = match turn.as_ref().and_then(|turn| Some((turn.recovery.as_str(), turn.record.as_ref()?))) {
            Some((name, Record::Open(journal) | Record::Update(journal))) => Some((name, journal.as_ref())),
            None => open.map(|open| (open.name.as_str(), &open.journal)),
        };
        let after = after.filter(|(_, journal)| journal.phase != crate::api::Phase::Closed);
        let status = status::status(facts, policy, &assessment, &soak, after, now);
        status::unless_only_details(&policy.status, status, &mut memory, now)
    });
    let soaked = match &soak {
        // Complete but for a pod that is still being added: only a fact ends that, not time.
        Soak::Running(due) if *due > now => Some(*due),
        _ => None,
    };
    let until = turn.as_ref().and_then(|turn| turn.until);
    let detailed = memory.details.as_ref().map(|details| details.at + status::PACE);
    let wanted = turn.as_ref().and_then(|turn| turn.rehearse.as_deref());
    let Outlook { ask: rehearse, again } = rehearsal::outlook(facts, wanted, now);
    let (ask, asked_again) = checks::due(facts, &memory, now);
    let wakes = [Some(now + LONGEST_SLEEP), assessment.look_again, soaked, until, detailed, again, asked_again];
    let wake_at = wakes.into_iter().flatten().min().unwrap_or(now + LONGEST_SLEEP);
    let notices = turn.as_ref().map(|turn| notice::of_turn(turn, before)).unwrap_or_default();
    let earned = match soak {
        Soak::Complete(earned) => Some(earned),
        _ => None,
    };
    Plan {
        expired: history::expired(facts),
        assessment,
        memory,
        status,
        turn,
        earned,
        rehearse,
        ask,
        notices,
        wake_at,
        onset,
        brake,
    }
}

/// When the present trouble began. The incident remembers it across changes of the closure and restarts.
fn onset(assessment: &Assessment, open: Option<&facts::RecoveryFacts>) -> Option<Timestamp> {
    let symptom = assessment.symptom.as_ref()?;
    let detected = open.and_then(|open| open.journal.timeline.detected.as_ref()).map(|at| at.0);
    Some(detected.unwrap_or(symptom.since))
}

/// How much fails, this target included.
fn weather(facts: &Facts, assessment: &Assessment, onset: Option<Timestamp>, now: Timestamp) -> Weather {
    let Fleet { limits, armed, unstable, last_onset, .. } = &facts.fleet;
    let self_armed = register::armed(facts, assessment);
    let counts = |onset| register::within_window(onset, limits, now);
    let self_unstable = self_armed && onset.or(*last_onset).is_some_and(counts);
    Weather { armed: armed + u32::from(self_armed), unstable: unstable + u32::from(self_unstable) }
}
