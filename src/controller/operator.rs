//! One step of the loop for one policy: observe, plan, record, act, announce.
//!
//! An intent is on record before its effect begins, and what came of it is entered before anything else is planned.
//! This module must not judge: what is done is what the plan says.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::announce::Announcer;
use super::ledger::{Ledger, Others};
use crate::act::{Error, Hands, Receipt, StateRequest};
use crate::api::stable_state::Evidence;
use crate::api::{Check, Journal, Recovery, RecoverySpec};
use crate::clock;
use crate::leader::Permit;
use crate::metrics::{Metrics, Verdict};
use crate::observe::{Kind, Observer, PolicyKey, Providers};
use crate::plan::facts::{Ceiling, CheckAnswer, Facts, Feasibility, Rehearsal, Rehearsals};
use crate::plan::fleet::{Who, under_action};
use crate::plan::journal::{Record, Turn};
use crate::plan::member::MemberKind;
use crate::plan::register::Fate;
use crate::plan::soak::Earned;
use crate::plan::{Memory, Plan, Rehearse, closure, notice, receipt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// The shortest pause before a step that the plan asked for: the two clocks may differ by their rounding.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// Everything that a step needs.
pub(super) struct Operator {
    pub observer: Observer,
    pub providers: Providers,
    pub hands: Hands,
    pub permit: watch::Receiver<Permit>,
    pub ceiling: Ceiling,
    pub announcer: Announcer,
    pub metrics: std::sync::Arc<Metrics>,
    /// How often states are rehearsed, if they are.
    pub rehearsal_interval: Option<crate::api::Duration>,
    /// The namespaces that are looked after; all if none is named.
    pub namespaces: Vec<String>,
    pub ledger: Ledger,
    /// Held by the step that asks what a predecessor began; the others wait for its answer.
    pub taking_over: tokio::sync::Mutex<()>,
}

/// What a step leaves behind.
pub(super) struct Stepped {
    /// To be given to the next step; `None` when there is nothing left to look after.
    pub memory: Option<Memory>,
    /// When to look again although nothing changed.
    pub wake_in: Duration,
    /// Something could not be written: look again soon, with a growing pause.
    pub failed: bool,
    /// A state to be rehearsed.
    pub rehearse: Option<Rehearse>,
    /// Checks that a metrics provider is to be asked for.
    pub ask: Vec<Check>,
}

impl Stepped {
    /// Nothing was looked at.
    fn without(memory: Option<Memory>, failed: bool) -> Self {
        Self { memory, wake_in: Duration::ZERO, failed, rehearse: None, ask: vec![] }
    }
}

/// What was answered about a policy, beside what is watched.
#[derive(Clone, Default)]
pub(super) struct Answers {
    /// About its states.
    pub rehearsals: Vec<Rehearsal>,
    /// To its checks.
    pub checks: Vec<CheckAnswer>,
}

/// A Recovery as it stands in the API server.
struct Recorded {
    name: String,
    version: String,
    journal: Journal,
    /// Just created: it has no status yet, which is where kubectl's columns look.
    fresh: bool,
}

impl Operator {
    /// One step. Errors are told here, once; the next step begins with a fresh look.
    pub(super) async fn step(&self, key: &PolicyKey, memory: Memory, answers: Answers) -> Stepped {
        // A replica that does not lead looks on, so that it knows since when things are so when it takes over. Nor does
        // anybody act before everybody was looked at once.
        let acts = self.permit.borrow().valid(clock::monotonic()) && self.ledger.is_complete();
        if acts && let Err(error) = self.take_over().await {
            tell(key, &error);
            return Stepped::without(Some(memory), true);
        }
        let (begun, now) = (clock::monotonic(), clock::now());
        let Some(mut facts) = self.observer.facts(key, self.ceiling, begun) else {
            self.observer.stores().wake(self.ledger.forget(key, now));
            return Stepped::without(None, false);
        };
        facts.rehearsals = Rehearsals { every: self.rehearsal_interval, answers: answers.rehearsals };
        facts.checks = answers.checks;
        let limits = self.observer.stores().budgets().limits();
        let (mut plan, others) = self.ledger.plan(key, &mut facts, &limits, memory, acts, now);
        self.observer.stores().wake(match others {
            Others::All => self.observer.stores().policies().into_iter().collect(),
            Others::These(keys) => keys,
        });
        let memory = Some(std::mem::take(&mut plan.memory));
        let wake_in = Duration::try_from(plan.wake_at.duration_since(now)).unwrap_or_default().max(SHORTEST_PAUSE);
        let ask = std::mem::take(&mut plan.ask);
        if !acts {
            return Stepped { memory, wake_in, failed: false, rehearse: None, ask };
        }
        let rehearse = plan.rehearse.take();
        let outcome = self.carry_out(key, &facts, &plan).await;
        let fate = match &outcome {
            Err(Error::Timeout(_) | Error::Transient(_)) => Fate::Unknown,
            _ => Fate::Known,
        };
        let holds = self.observer.stores().under_action(key);
        self.observer.stores().wake(self.ledger.settle(key, holds, fate, &limits, clock::now()));
        let seconds = clock::monotonic().saturating_duration_since(begun).as_secs_f64();
        self.metrics.reconcile_seconds.observe(seconds);
        let result = outcome.as_ref().map_or_else(Error::category, |()| "ok");
        self.metrics.reconciles.get_or_create(&Verdict { result }).inc();
        if let Err(error) = &outcome {
            tell(key, error);
        }
        Stepped { memory, wake_in, failed: outcome.is_err(), rehearse, ask }
    }

    /// Asks whether a state could be restored. It is as old as its beginning.
    pub(super) async fn rehearse(&self, key: &PolicyKey, request: Rehearse) -> Rehearsal {
        let (begun, at) = (clock::monotonic(), clock::now());
        let feasibility = self.hands.rehearse(&key.namespace, &request).await;
        let seconds = clock::monotonic().saturating_duration_since(begun).as_secs_f64();
        self.metrics.rehearsed(verdict(&feasibility), seconds);
        tracing::debug!(policy = %key, state = request.state, seconds, ?feasibility, "rehearsed");
        let Rehearse { state, inputs, live, .. } = request;
        Rehearsal { state, inputs, live, at, feasibility }
    }

    /// Asks the metrics providers. An answer is as old as its beginning.
    pub(super) async fn measure(&self, key: &PolicyKey, checks: &[Check]) -> Vec<CheckAnswer> {
        let answers = self.providers.ask(checks).await;
        for answer in &answers {
            self.metrics.measured(answer.found.is_ok());
            if let Err(why) = &answer.found {
                tracing::debug!(policy = %key, provider = answer.provider, why, "a check has no value");
            }
        }
        answers
    }

    /// Asks the API server what is under action, unless nobody else can have led since we last did: what a predecessor
    /// wrote at the end of its term may not have been heard of yet, and it counts.
    async fn take_over(&self) -> Result<(), Error> {
        let current = || *self.permit.borrow();
        if self.ledger.covered(current(), clock::monotonic()) {
            return Ok(());
        }
        let _alone = self.taking_over.lock().await;
        let permit = current();
        if self.ledger.covered(permit, clock::monotonic()) {
            return Ok(());
        }
        let scopes: Vec<Option<&str>> = match self.namespaces.as_slice() {
            [] => vec![None],
            namespaces => namespaces.iter().map(|namespace| Some(namespace.as_str())).collect(),
        };
        let mut holders = BTreeSet::new();
        for scope in scopes {
            for object in self.hands.open_recoveries(scope).await? {
                self.observer.stores().absorb(Kind::Recovery, &object.to_string());
                let Ok(recovery) = serde_json::from_value::<Recovery>(object) else { continue };
                if under_action(recovery.journal()) {
                    let namespace = recovery.metadata.namespace.clone().unwrap_or_default();
                    holders.insert(Who { namespace, policy: recovery.journal().policy.clone() });
                }
            }
        }
        self.ledger.census(&holders, permit);
        Ok(())
    }

    /// Record, act, announce. What a workload waits for goes first.
    async fn carry_out(&self, key: &PolicyKey, facts: &Facts, plan: &Plan) -> Result<(), Error> {
        let mut overtaken = false;
        if let Some(turn) = &plan.turn
            && let Some(recorded) = self.record(key, facts, turn).await?
        {
            let before = recorded.journal.clone();
            let acted = self.act(key, facts, turn, recorded).await;
            self.announcer.recorded(facts, &before, &plan.notices).await;
            let after = acted?;
            overtaken = after != before;
            let notice = notice::of_change(&turn.recovery, Some(&before), &after);
            self.announcer.recorded(facts, &after, notice.as_slice()).await;
        }
        // After effects the plan's status is old already; the journal that was written for them wakes the next step.
        if let (Some(status), Some(policy)) = (&plan.status, &facts.policy)
            && !overtaken
            && *status != policy.status
        {
            let written = self.hands.write_policy_status(&key.namespace, &key.name, None, status).await;
            self.absorb("PolicyStatus", written)?;
        }
        if let Some(earned) = &plan.earned {
            self.keep(key, facts, earned).await?;
        }
        for name in &plan.expired.states {
            self.drop_state(key, facts, name).await?;
        }
        for name in &plan.expired.recoveries {
            let deleted = self.hands.delete_recovery(&key.namespace, name).await;
            self.announcer.wrote("Recovery", deleted.as_ref().map_or_else(Error::category, |_| "ok"));
            deleted?;
        }
        Ok(())
    }

    /// Writes what is intended. Gives the Recovery as it stands then; `None` if the turn is only a time to wake.
    async fn record(&self, key: &PolicyKey, facts: &Facts, turn: &Turn) -> Result<Option<Recorded>, Error> {
        let known = facts.recoveries.iter().find(|recovery| recovery.name == turn.recovery);
        let (journal, answer) = match (&turn.record, known) {
            (Some(Record::Open(journal)), _) => {
                let opening = RecoverySpec::opened(journal.as_ref().clone());
                let created =
                    self.hands.open_recovery(&key.namespace, &turn.recovery, &facts.policy_name, opening).await;
                (journal.as_ref().clone(), self.absorb("Recovery", created)?)
            }
            (Some(Record::Update(journal)), Some(known)) => {
                let written = self.hands.write_journal(&key.namespace, &known.name, &known.version, journal).await;
                (journal.as_ref().clone(), self.absorb("Journal", written)?)
            }
            (None, Some(known)) => {
                let (name, version) = (known.name.clone(), known.version.clone());
                return Ok(Some(Recorded { name, version, journal: known.journal.clone(), fresh: false }));
            }
            (_, None) => return Ok(None),
        };
        let fresh = matches!(turn.record, Some(Record::Open(_)));
        Ok(Some(Recorded { name: turn.recovery.clone(), version: version_of(&answer), journal, fresh }))
    }

    /// Carries out the steps of a turn in order, and enters what came of them. Gives the journal as it stands then.
    async fn act(&self, key: &PolicyKey, facts: &Facts, turn: &Turn, recorded: Recorded) -> Result<Journal, Error> {
        let account = facts.policy.as_ref().and_then(|policy| policy.spec.service_account_name.clone());
        let Recorded { name, version, journal: before, fresh } = recorded;
        let mut journal = before.clone();
        let mut failure = None;
        for index in &turn.effects {
            let Some(step) = journal.steps.get(*index).cloned() else { continue };
            let state = &journal.stable_state;
            let performed = self.hands.perform(&key.namespace, &name, state, account.as_deref(), &step).await;
            let result = performed.as_ref().map_or_else(Error::category, |_| "ok");
            self.announcer.performed(key, &name, &step, result);
            let came_of_it = match performed {
                Ok(effect) => {
                    effect.object.iter().for_each(|object| drop(self.observer.stores().absorb_answer(object)));
                    if let Some(step) = journal.steps.get_mut(*index) {
                        (step.change, step.leftovers) = (effect.change, effect.leftovers);
                    }
                    effect.receipt
                }
                Err(error @ (Error::Forbidden(_) | Error::Invalid(_))) => Receipt::Refused(error.to_string()),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            };
            receipt::receive(&mut journal, *index, &came_of_it, clock::now());
            // What was planned after a step that failed for good, or met somebody else's change, is decided anew.
            if journal.phase != before.phase {
                break;
            }
        }
        receipt::settle(&mut journal, clock::now());
        if fresh || journal != before {
            let written = self.hands.write_journal(&key.namespace, &name, &version, &journal).await;
            self.absorb("Journal", written)?;
        }
        failure.map_or(Ok(journal), Err)
    }

    /// Records a stable state that was earned.
    async fn keep(&self, key: &PolicyKey, facts: &Facts, earned: &Earned) -> Result<(), Error> {
        let (Some(policy), Some(target)) = (&facts.policy, &facts.target) else { return Ok(()) };
        let Some(members) = closure::live_members(facts) else { return Ok(()) };
        let request = StateRequest {
            policy: key.name.clone(),
            target: policy.spec.target_ref.clone(),
            target_uid: target.uid.clone(),
            digest: earned.digest.clone(),
            groups: closure::groups(facts),
            members: members.into_iter().map(|(kind, name, ..)| (kind, name.to_owned())).collect(),
            evidence: evidence(earned, clock::now()),
        };
        let answers = self.absorb_all("StableState", self.hands.record_state(&key.namespace, &request).await)?;
        if let Some(name) = answers.last().and_then(|state| state.pointer("/metadata/name")).and_then(Value::as_str) {
            tracing::info!(policy = %key, state = name, replicas = earned.replicas, "a stable state was earned");
        }
        Ok(())
    }

    /// Deletes a state beyond the history limit, and the copies that only it needed.
    async fn drop_state(&self, key: &PolicyKey, facts: &Facts, name: &str) -> Result<(), Error> {
        let Some(state) = facts.states.iter().find(|state| state.name == name) else { return Ok(()) };
        let deleted = self.hands.delete_state(&key.namespace, name).await;
        self.announcer.wrote("StableState", deleted.as_ref().map_or_else(Error::category, |_| "ok"));
        if deleted? == Receipt::Done {
            self.observer.stores().forget(Kind::StableState, &key.namespace, name, &state.uid);
            tracing::info!(policy = %key, state = name, "a stable state beyond the history limit was deleted");
        }
        for member in state.members.iter().filter(|member| !member.copy.is_empty()) {
            let kind = MemberKind::of(&member.kind).filter(|kind| *kind != MemberKind::Secret || self.ceiling.secrets);
            // Copies of Secrets that may not be touched any more are left to whoever took the right away.
            let Some(kind) = kind else { continue };
            let deleted = self.hands.delete_copy(&key.namespace, kind, &member.copy).await;
            self.announcer.wrote("Copy", deleted.as_ref().map_or_else(Error::category, |_| "ok"));
            deleted?;
        }
        Ok(())
    }

    /// Takes in the answer to a write of a record of ours: the next step must not see the state before it.
    fn absorb(&self, what: &'static str, answer: Result<Value, Error>) -> Result<Value, Error> {
        self.absorb_all(what, answer.map(|object| vec![object])).map(|mut objects| objects.pop().unwrap_or_default())
    }

    fn absorb_all(&self, what: &'static str, answer: Result<Vec<Value>, Error>) -> Result<Vec<Value>, Error> {
        self.announcer.wrote(what, answer.as_ref().map_or_else(Error::category, |_| "ok"));
        let objects = answer?;
        objects.iter().for_each(|object| drop(self.observer.stores().absorb_answer(object)));
        Ok(objects)
    }
}

/// In one word, for a metric label.
const fn verdict(feasibility: &Feasibility) -> &'static str {
    match feasibility {
        Feasibility::Feasible { .. } => "Feasible",
        Feasibility::Infeasible { .. } => "Infeasible",
        Feasibility::Unknown { .. } => "Unknown",
    }
}

fn version_of(object: &Value) -> String {
    object.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn evidence(earned: &Earned, to: Timestamp) -> Evidence {
    Evidence {
        from: MicroTime(earned.from),
        to: MicroTime(to),
        replicas: earned.replicas,
        restarts: i32::try_from(earned.restarts).unwrap_or(i32::MAX),
        time_to_ready_seconds: earned.time_to_ready,
        checks: earned.checks.clone(),
    }
}

/// Losing a race is part of the day; what a person can mend is a warning.
fn tell(key: &PolicyKey, error: &Error) {
    match error {
        Error::Conflict | Error::Moved(_) | Error::Gone => {
            tracing::debug!(policy = %key, %error, "looking again");
        }
        _ => tracing::warn!(policy = %key, %error, "a step could not be finished; looking again"),
    }
}
