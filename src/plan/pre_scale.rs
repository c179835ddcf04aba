//! More pods for a standby that is too small: its autoscaler is told to keep more of them, before traffic moves.
//!
//! `spec.replicas` is the autoscaler's to write, so what is written is its `minReplicas`, within its own `maxReplicas`. It is
//! put back when traffic is home again, or when we let go and traffic does not stay away. Where no autoscaler owns the
//! standby's replicas, they are a person's. Nothing here decides.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::facts::{Facts, ServiceFacts};
use super::guard::Case;
use super::{standby, steps};
use crate::api::recovery::{Journal, ObjectRef, Remediation, Step};
use crate::api::stable_state::FieldOwner;

/// An autoscaler of the standby, or one that an incident of this policy raised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoscalerFacts {
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// It scales the standby.
    pub of_standby: bool,
    /// Its `minReplicas`.
    pub least: i32,
    /// Its `maxReplicas`.
    pub most: i32,
    /// The Recovery that raised its `minReplicas`.
    pub scaled_by: Option<String>,
    /// The field manager that owns its `minReplicas`.
    pub field_owner: Option<FieldOwner>,
    /// The GitOps tool that keeps it like its repository.
    pub git_ops: Option<String>,
}

impl AutoscalerFacts {
    /// Kind and name, for people.
    #[must_use]
    pub fn title(&self) -> String {
        format!("HorizontalPodAutoscaler {}", self.name)
    }
}

/// The only autoscaler of the standby; else what is the matter.
fn sole(facts: &Facts) -> Result<&AutoscalerFacts, &'static str> {
    let mut found = facts.standby_autoscalers.iter().filter(|autoscaler| autoscaler.of_standby);
    match (found.next(), found.next()) {
        (Some(sole), None) => Ok(sole),
        (None, _) => Err("no autoscaler owns its replicas: a person has to scale it, or lower failover.minCapacity"),
        (Some(_), Some(_)) => Err("several autoscalers scale it: leave one"),
    }
}

/// An autoscaler that keeps more pods than there are by now: they are on the way.
pub(super) fn on_the_way(facts: &Facts) -> Option<&AutoscalerFacts> {
    let wanted = facts.standby.as_ref().map_or(0, |standby| standby.replicas);
    sole(facts).ok().filter(|autoscaler| autoscaler.least > wanted)
}

/// Which autoscaler is to be told to keep how many pods, so that enough of the standby is ready; else why that would not
/// help, for people.
pub(super) fn possible<'a>(case: &Case<'a>) -> Result<(&'a AutoscalerFacts, i32), String> {
    let (Some(failover), Some(standby)) = (&case.policy.spec.actions.failover, &case.facts.standby) else {
        return Err("there is no standby".to_owned());
    };
    let found = sole(case.facts).map_err(str::to_owned)?;
    let strength = standby::of(case, failover);
    let missing = i32::try_from(strength.needed.saturating_sub(strength.ready)).unwrap_or(i32::MAX);
    let wanted = standby.replicas.saturating_add(missing);
    let (title, least, most) = (found.title(), found.least, found.most);
    match () {
        () if wanted > most => {
            Err(format!("{title} lets it have {most} at most (maxReplicas), and {wanted} are wanted"))
        }
        () if least >= wanted => Err(format!("{title} keeps {least} already")),
        () if found.scaled_by.is_some() => Err(format!("{title} carries the mark of a Recovery")),
        () => Ok((found, wanted)),
    }
}

/// The step that raises it. What it was, and who owned that, is the way back.
pub(super) fn steps(case: &Case) -> Vec<Step> {
    let (Ok((found, wanted)), Some(standby)) = (possible(case), &case.facts.standby) else { return vec![] };
    let mut from = json!({"minReplicas": found.least});
    if let (Value::Object(from), Some(owner)) = (&mut from, &found.field_owner) {
        from.insert("owner".to_owned(), json!(owner));
    }
    let title = found.title();
    let intent = format!("let {title} keep {wanted} pods of standby {} instead of {}", standby.title(), found.least);
    let to = json!({"minReplicas": wanted}).to_string();
    vec![steps::step(Remediation::PreScaleStandby, reference(found), intent, from.to_string(), to)]
}

fn reference(autoscaler: &AutoscalerFacts) -> ObjectRef {
    let (name, uid) = (autoscaler.name.clone(), autoscaler.uid.clone());
    ObjectRef { kind: "HorizontalPodAutoscaler".into(), name, uid }
}

/// What is done, for people.
pub(super) fn told(case: &Case) -> String {
    possible(case).map_or_else(
        |why| why,
        |(found, wanted)| {
            format!(
                "the standby is too small: {} is told to keep {wanted} pods, and traffic moves when they are ready",
                found.title()
            )
        },
    )
}

/// The steps that put back what `recovery` raised, unless traffic stays where it bears the load.
pub(super) fn release(facts: &Facts, recovery: &str) -> Vec<Step> {
    let serves = |service: &ServiceFacts| facts.standby.as_ref().is_none_or(|standby| service.selects(&standby.labels));
    let away = |service: &ServiceFacts| service.switched_by.as_deref() == Some(recovery) && serves(service);
    let routed = facts.objects.iter().any(|route| route.switched_by.as_deref() == Some(recovery));
    if routed || facts.services.iter().any(away) {
        return vec![];
    }
    let journal = facts.recoveries.iter().find(|known| known.name == recovery).map(|known| &known.journal);
    raised(facts, recovery).flat_map(|autoscaler| release_one(autoscaler, journal)).collect()
}

/// As [`release`], without what the journal has already.
pub(super) fn undo(facts: &Facts, recovery: &str, journal: &Journal) -> Vec<Step> {
    let begun = journal.steps.iter().any(|step| step.remediation == Remediation::ReleaseStandby);
    if begun { vec![] } else { release(facts, recovery) }
}

fn raised<'a>(facts: &'a Facts, recovery: &'a str) -> impl Iterator<Item = &'a AutoscalerFacts> {
    facts.standby_autoscalers.iter().filter(move |autoscaler| autoscaler.scaled_by.as_deref() == Some(recovery))
}

fn release_one(autoscaler: &AutoscalerFacts, journal: Option<&Journal>) -> Vec<Step> {
    let of_it = |step: &&Step| step.remediation == Remediation::PreScaleStandby && step.object.uid == autoscaler.uid;
    // Without a record of what it was it cannot be put back.
    let Some(raise) = journal.and_then(|journal| journal.steps.iter().rev().find(of_it)) else { return vec![] };
    let intent = format!("let {} keep as few pods as before", autoscaler.title());
    let (from, to) = (raise.to.clone(), raise.from.clone());
    let released = steps::step(Remediation::ReleaseStandby, raise.object.clone(), intent, from, to);
    let owner = serde_json::from_str::<Value>(&raise.from).ok();
    let owner = owner.and_then(|mut from| serde_json::from_value(from.get_mut("owner")?.take()).ok());
    [released].into_iter().chain(steps::hand_back(&raise.object, owner.as_ref())).collect()
}

/// What stays raised after an incident, for people.
pub(super) fn stays(facts: &Facts, recovery: &str) -> String {
    let names: Vec<_> = raised(facts, recovery).map(AutoscalerFacts::title).collect();
    match names.as_slice() {
        [] => String::new(),
        names => format!("; minReplicas of {} stay as we raised them: put them back by hand", names.join(", ")),
    }
}
