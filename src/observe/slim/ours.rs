//! Our own records: policies, stable states without their content, and Recoveries.

use jiff::Timestamp;
use kube::api::ObjectMeta;
use serde_json::Value;

use super::{Identity, Parts, Verify, part};
use crate::api::recovery::{Decision, RecoveryStatus, Remediation};
use crate::api::stable_state::Member;
use crate::api::{Journal, Phase, RecoverySpec, Step, StepState};
use crate::api::{RecoveryBudgetSpec, RecoveryBudgetStatus};
use crate::api::{RecoveryPolicySpec, RecoveryPolicyStatus, StableState, StableStateSpec};
use crate::plan::autoscaling::Scaling;
use crate::plan::facts::{MemberFacts, PolicyFacts, RecoveryFacts, StateFacts};
use crate::plan::member::MemberKind;
use crate::plan::{content, owners, posture};

/// A RecoveryPolicy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    generation: i64,
    pub(crate) spec: RecoveryPolicySpec,
    status: RecoveryPolicyStatus,
    pub(crate) deleting: bool,
}

/// A StableState, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) policy: Box<str>,
    pub(crate) facts: StateFacts,
}

/// A Recovery.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Incident {
    pub(crate) created: Timestamp,
    pub(crate) facts: RecoveryFacts,
}

/// A RecoveryBudget.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// Generation of the spec.
    pub generation: i64,
    /// What it allows.
    pub spec: RecoveryBudgetSpec,
    /// What was last written of its use.
    pub status: RecoveryBudgetStatus,
}

impl Policy {
    /// As decisions need it.
    pub(crate) fn facts(&self, uid: &str, rivals: Vec<String>) -> PolicyFacts {
        PolicyFacts {
            uid: uid.to_owned(),
            generation: self.generation,
            spec: self.spec.clone(),
            status: self.status.clone(),
            deleting: self.deleting,
            rivals,
        }
    }
}

pub(super) fn policy(parts: &Parts<'_>) -> Result<Policy, serde_json::Error> {
    Ok(Policy {
        generation: parts.metadata.generation.unwrap_or(0),
        spec: part(parts.spec)?,
        // The status is derived and will be written anew; one that cannot be read stops nothing.
        status: part(parts.status).unwrap_or_default(),
        deleting: parts.metadata.deleting(),
    })
}

pub(super) fn budget(parts: &Parts<'_>) -> Result<Budget, serde_json::Error> {
    Ok(Budget {
        generation: parts.metadata.generation.unwrap_or(0),
        spec: part(parts.spec)?,
        // Written anew if it cannot be read; only the memory of a brake that was on is lost with it.
        status: part(parts.status).unwrap_or_default(),
    })
}

pub(super) fn state(parts: &Parts<'_>, identity: &Identity, verify: &Verify) -> Result<State, serde_json::Error> {
    let spec: StableStateSpec = part(parts.spec)?;
    let metadata = ObjectMeta {
        name: Some(identity.name.clone()),
        namespace: Some(identity.namespace.clone()),
        uid: Some(identity.uid.clone()),
        ..ObjectMeta::default()
    };
    let whole = StableState { metadata, spec };
    let sealed = verify(&whole);
    let StableStateSpec { record, review, .. } = whole.spec;
    Ok(State {
        policy: record.policy.into(),
        facts: StateFacts {
            name: identity.name.clone(),
            uid: identity.uid.clone(),
            digest: record.digest,
            groups: record.groups.into_iter().collect(),
            target: record.target.name,
            members: record.members.into_iter().map(member).collect(),
            replicas: record.evidence.replicas,
            created: parts.metadata.created(),
            time_to_ready: record.evidence.time_to_ready_seconds,
            sealed,
            review,
        },
    })
}

fn member(member: Member) -> MemberFacts {
    let Member { kind, name, absent, digest, copy, owner, content: text, creation: _ } = member;
    let known = MemberKind::of(&kind).filter(|_| !text.is_empty());
    let content: Value = serde_json::from_str(&text).unwrap_or_default();
    let body = known.filter(|known| known.workload()).map(|known| posture::body(known, &content)).unwrap_or_default();
    let posture = known.map(|known| posture::of(known, &content)).unwrap_or_default();
    let images = content.pointer("/spec/template").map(content::images).unwrap_or_default();
    let scaling = Scaling::of(&content).filter(|_| known == Some(MemberKind::HorizontalPodAutoscaler));
    MemberFacts { kind, name, digest, absent, copy, owner, body, posture, images, scaling }
}

pub(super) fn recovery(parts: &Parts<'_>) -> Result<Incident, serde_json::Error> {
    let mut spec: RecoverySpec = part(parts.spec)?;
    let status: Option<RecoveryStatus> = part(parts.status)?;
    let mut journal = status.map_or_else(|| spec.opening.clone(), |status| status.journal);
    if over(&journal) {
        journal = essence(journal);
        spec.opening = journal.clone();
    }
    let name = parts.metadata.name.clone();
    Ok(Incident {
        created: parts.metadata.created(),
        facts: RecoveryFacts { name, version: String::new(), spec, journal },
    })
}

/// Closed, and no step is left to be done, nor a neighbour that may stand still or an autoscaler that may be raised because
/// of it: such a journal is never written again.
fn over(journal: &Journal) -> bool {
    let released = |stop: &Step| {
        let mut steps = journal.steps.iter();
        let ends =
            |step: &Step| matches!(step.remediation, Remediation::ReleaseNeighbour | Remediation::ReleaseStandby);
        steps.any(|step| ends(step) && step.object == stop.object)
    };
    let stands = |step: &Step| matches!(step.remediation, Remediation::StopNeighbour | Remediation::PreScaleStandby);
    let left = |step: &Step| step.state == StepState::Planned || (stands(step) && !released(step));
    journal.phase == Phase::Closed && !journal.steps.iter().any(left)
}

/// What later decisions need of a journal that is over. Recoveries are kept for people, so there may be many.
fn essence(journal: Journal) -> Journal {
    // What was undone is not done again.
    let undone = owners::by_reversion(&journal);
    let decision = Decision { message: String::new(), alternatives: vec![], ..journal.decision };
    // And what a person ended is not begun again.
    let cut = |step: &Step| matches!(step.remediation, Remediation::CutDependency | Remediation::ReleaseDependency);
    let steps = journal.steps.into_iter().filter(|step| (undone && owners::undoable(step)) || cut(step)).collect();
    let (hardened, exceptions) = (vec![], vec![]);
    Journal { decision, steps, message: String::new(), hardened, exceptions, ..journal }
}
