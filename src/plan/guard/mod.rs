//! The safety rules, in order: each one function, one file, one reason. The first refusal counts.
//!
//! Two more rules are not in this list because they hold for everything we write: the leader's permit
//! (checked by `act` at every effect) and the freshness of the facts (without it there is no
//! assessment to decide from). Guards must not choose between remedies; they only refuse.

mod alone;
mod attempts;
mod brake;
pub(super) mod budget;
mod capacity;
mod contested;
mod cooldown;
mod count;
mod deletion;
mod exact;
mod feasible;
mod floor;
mod git_ops;
mod human;
mod independence;
mod indicated;
mod irreversible;
mod last_copy;
mod nodes;
mod one_policy;
mod parity;
mod permission;
mod scope;

use jiff::Timestamp;

use super::assess::{Assessment, Symptom};
use super::brake::{Brake, Weather};
use super::facts::{Facts, PolicyFacts, RecoveryFacts, StateFacts, Workload};
use super::relapse::Relapse;
use super::stale::Content;
use super::triage::Triage;
use crate::api::Reason;
use crate::api::recovery::Remedy;

/// Why something is refused, and until when that is known to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// For people: what is so, and what would end it.
    pub message: String,
    /// When the refusal ends by itself, if that is known.
    pub until: Option<Timestamp>,
}

impl Refusal {
    /// A refusal without a known end.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), until: None }
    }
}

/// Everything a guard may look at.
pub struct Case<'a> {
    /// All facts.
    pub facts: &'a Facts,
    /// The policy.
    pub policy: &'a PolicyFacts,
    /// The target.
    pub target: &'a Workload,
    /// What is so.
    pub assessment: &'a Assessment,
    /// The symptom.
    pub symptom: &'a Symptom,
    /// The suspect.
    pub triage: &'a Triage,
    /// The stable state.
    pub reference: &'a StateFacts,
    /// What pods of the target read at their start, as it was seen.
    pub read_at_start: &'a [Content],
    /// How much fails in the whole fleet, this target included.
    pub weather: Weather,
    /// The brake.
    pub brake: Brake,
    /// The incident before, if this one came back.
    pub relapse: Option<Relapse<'a>>,
    /// The open Recovery, once there is one.
    pub open: Option<&'a RecoveryFacts>,
    /// Now.
    pub now: Timestamp,
}

/// A safety rule.
pub type Guard = fn(&Case, Remedy) -> Result<(), Refusal>;

/// All safety rules, in the order in which they are asked.
pub const GUARDS: &[Guard] = &[
    permission::check,   // the policy lists this remedy at all
    scope::check,        // the target is nobody else's product
    one_policy::check,   // no second policy pulls at it
    indicated::check,    // the remedy fits the suspect
    deletion::check,     // a deletion does not look meant
    brake::check,        // and not so much fails that everything stops
    git_ops::check,      // and no tool would put it back
    human::check,        // nobody else holds the target still
    attempts::check,     // not too often, not the same again
    cooldown::check,     // not too soon
    contested::check,    // nobody else lives on what would be changed
    feasible::check,     // the past is still possible
    irreversible::check, // and the owner allows going back to it
    floor::check,        // not below what may never run again
    parity::check,       // and it allows nothing that was forbidden since
    independence::check, // the standby does not share the suspect
    capacity::check,     // and can take over
    exact::check,        // a cut would keep away what it is to, and nothing else
    nodes::check,        // a node may be touched
    count::check,        // not too many at once
    last_copy::check,    // never the last one that serves
    alone::check,        // what nothing here explains is not everybody's trouble
    budget::check,       // and it is our turn: asked last, so that only who could act waits
];

/// Asks every guard in order.
///
/// # Errors
/// The first refusal.
pub fn allowed(case: &Case, remedy: Remedy) -> Result<(), Refusal> {
    GUARDS.iter().try_for_each(|guard| guard(case, remedy))
}
