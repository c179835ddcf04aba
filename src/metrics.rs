//! Names and labels of our metrics. No label value can be made by a user's object: all are closed sets.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

use crate::api::recovery::Timeline;

/// A closed set of words.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Verdict {
    /// `ok` or a category of error; of a question, its answer.
    pub result: &'static str,
}

/// What ended how.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Ended {
    /// The remedy that was chosen last.
    pub remedy: String,
    /// The outcome.
    pub outcome: String,
}

/// Which refusal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Refused {
    /// The reason: one of `Reason`.
    pub reason: &'static str,
}

/// Which write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Written {
    /// What was written: a remediation, or a record of ours.
    pub write: String,
    /// `ok`, or a category of error.
    pub result: &'static str,
}

/// Which part of a recovery.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PhaseOf {
    /// `contain`, `act`, `converge` or `verify`, each from the moment of detection.
    pub phase: &'static str,
}

/// Which part of the drift.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartOf {
    /// A component of the drift distance.
    pub component: &'static str,
}

/// All metrics of the operator.
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Steps of the loop.
    pub reconciles: Family<Verdict, Counter>,
    /// Seconds for a step of the loop.
    pub reconcile_seconds: Histogram,
    /// Incidents that ended.
    pub recoveries: Family<Ended, Counter>,
    /// Remedies that were refused, by reason.
    pub refusals: Family<Refused, Counter>,
    /// Writes to the API server.
    pub writes: Family<Written, Counter>,
    /// Seconds from detection to each phase of a verified recovery.
    pub phase_seconds: Family<PhaseOf, Histogram>,
    /// States that were rehearsed, by answer.
    rehearsals: Family<Verdict, Counter>,
    /// Questions to metrics providers, by whether there was a value.
    check_queries: Family<Verdict, Counter>,
    /// Seconds for a rehearsal.
    rehearsal_seconds: Histogram,
    /// 1 while we lead.
    pub leading: Gauge,
    /// Policies that are watched.
    pub policies: Gauge,
    /// Kinds that we do not hear from.
    pub blind_kinds: Gauge,
    /// 1 while nothing new is begun anywhere.
    pub brake_on: Gauge,
    /// Targets that are armed.
    pub targets_armed: Gauge,
    /// Targets that became unstable within the brake's window.
    pub targets_unstable: Gauge,
    /// Targets under action.
    pub targets_under_action: Gauge,
    /// How many targets may be.
    pub targets_limit: Gauge,
    /// Targets that would be, but for a budget.
    pub targets_waiting: Gauge,
    /// How far all targets together are from their stable states, part by part.
    pub drift: Family<PartOf, Gauge<f64, AtomicU64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("homeostat");
        let reconciles = entered(&mut registry, "reconcile", "Steps of the loop, by result");
        let reconcile_seconds = Histogram::new(exponential_buckets(0.0002, 2.0, 16));
        registry.register("reconcile_seconds", "Time for a step of the loop", reconcile_seconds.clone());
        let recoveries = entered(&mut registry, "recoveries", "Incidents that ended, by remedy and outcome");
        let refusals =
            entered(&mut registry, "refusals", "Remedies refused in decisions that were recorded, by reason");
        let writes = entered(&mut registry, "writes", "Writes to the API server, by what was written and result");
        let phase_seconds =
            Family::new_with_constructor((|| Histogram::new(exponential_buckets(0.005, 2.0, 18))) as fn() -> Histogram);
        registry.register("phase_seconds", "Time from detection to each phase of a recovery", phase_seconds.clone());
        let rehearsals = entered(&mut registry, "rehearsals", "Rehearsals of stable states, by answer");
        let rehearsal_seconds = Histogram::new(exponential_buckets(0.002, 2.0, 13));
        registry.register("rehearsal_seconds", "Time for a rehearsal of a stable state", rehearsal_seconds.clone());
        let check_queries = entered(&mut registry, "check_queries", "Queries for checks of metrics, by what came back");
        let leading = entered(&mut registry, "leading", "1 while this replica leads");
        let policies = entered(&mut registry, "policies", "Policies watched");
        let blind_kinds = entered(&mut registry, "blind_kinds", "Kinds whose facts are missing or too old to act on");
        let drift = entered(&mut registry, "drift", "Drift distances of all targets added up, by component");
        let mut gauge = |name: &str, help: &str| -> Gauge { entered(&mut registry, name, help) };
        let brake_on = gauge("brake_on", "1 while too much fails together and nothing new is begun anywhere");
        let targets_armed = gauge("targets_armed", "Targets that are in charge of one policy, and seen");
        let targets_unstable = gauge("targets_unstable", "Targets that became unstable within the brake's window");
        let targets_under_action = gauge("targets_under_action", "Targets that are under action");
        let targets_limit = gauge("targets_limit", "Targets that may be under action at once, by the budgets");
        let targets_waiting = gauge("targets_waiting", "Targets that would be under action, but for a budget");
        let registry = Mutex::new(registry);
        Self {
            registry,
            reconciles,
            reconcile_seconds,
            recoveries,
            refusals,
            writes,
            phase_seconds,
            rehearsals,
            check_queries,
            rehearsal_seconds,
            leading,
            policies,
            blind_kinds,
            brake_on,
            targets_armed,
            targets_unstable,
            targets_under_action,
            targets_limit,
            targets_waiting,
            drift,
        }
    }
}

/// A metric that begins at nothing.
fn entered<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// The text form, for a scrape.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match encode(&mut text, &registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }

    /// Enters a question to a metrics provider.
    pub fn measured(&self, value: bool) {
        let result = if value { "value" } else { "nothing" };
        self.check_queries.get_or_create(&Verdict { result }).inc();
    }

    /// Enters a rehearsal.
    pub fn rehearsed(&self, result: &'static str, seconds: f64) {
        self.rehearsals.get_or_create(&Verdict { result }).inc();
        self.rehearsal_seconds.observe(seconds);
    }

    /// Enters the phases of a recovery that was verified.
    pub fn phases(&self, timeline: &Timeline) {
        let Some(detected) = &timeline.detected else { return };
        let phases = [
            ("contain", &timeline.contained),
            ("act", &timeline.acted),
            ("converge", &timeline.converged),
            ("verify", &timeline.verified),
        ];
        for (phase, at) in phases {
            if let Some(at) = at {
                let seconds = at.0.duration_since(detected.0).as_secs_f64().max(0.0);
                self.phase_seconds.get_or_create(&PhaseOf { phase }).observe(seconds);
            }
        }
    }
}
