//! Dependencies that the target is declared to do without: when it is cut off from one, by what, and until when.
//!
//! A cut is a NetworkPolicy that lists what the target's pods may call: everything but one dependency. Such lists add up, so
//! it is exact only where no other NetworkPolicy limits what they call; elsewhere there is none. It may outlive its incident:
//! a planned `ReleaseDependency` in the journal, carried out when the dependency has been well for the soak. That a network
//! plugin enforces it is never seen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::bonds::Dependency;
use super::content;
use super::due::planned_removal;
use super::facts::{Facts, PolicyFacts, RecoveryFacts};
use super::guard::{Case, Refusal};
use super::journal::in_charge;
use super::member::MemberKind;
use super::steps;
use crate::api::Reason;
use crate::api::recovery::{Journal, ObjectRef, Phase, Remediation, Step, StepState};

/// More addresses are not written down.
const MOST_ADDRESSES: usize = 64;
/// What every namespace is labelled with by the API server.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The network between a target and the dependencies that it can do without. Empty where there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// NetworkPolicies that limit what the target's pods may call, our own included.
    pub limits: BTreeSet<String>,
    /// Pods of others that carry the labels by which the target selects its own.
    pub namesakes: BTreeSet<String>,
    /// Pods of the target are in the network of their node.
    pub on_host: bool,
    /// Dependencies that may be cut off, and that exist.
    pub callees: Vec<Callee>,
    /// NetworkPolicies with our mark that cut the target off, or that a Recovery of this policy made.
    pub cuts: Vec<CutFacts>,
}

/// A dependency, as a NetworkPolicy knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callee {
    /// Kind and name.
    pub title: String,
    /// The labels by which it selects its pods.
    pub selector: BTreeMap<String, String>,
    /// The addresses of each of its pods.
    pub pods: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Pods of others that carry these labels.
    pub namesakes: BTreeSet<String>,
    /// Pods of it are in the network of their node.
    pub on_host: bool,
}

/// A NetworkPolicy by which something was cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutFacts {
    /// Name.
    pub name: String,
    /// The Recovery that made it, as its mark says.
    pub recovery: String,
    /// Digest of its content.
    pub digest: String,
}

/// All that the NetworkPolicy of a cut is made of. Nothing else can be written by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Kind and name of the dependency.
    pub dependency: String,
    /// Labels of the pods that call.
    pub caller: BTreeMap<String, String>,
    /// Labels of the pods that they are kept from.
    pub callee: BTreeMap<String, String>,
    /// And their addresses: where a plugin goes by addresses, labels say nothing about them.
    pub addresses: BTreeSet<IpAddr>,
}

impl Cut {
    /// What such a step makes.
    #[must_use]
    pub fn of(step: &Step) -> Option<Self> {
        serde_json::from_str(&step.to).ok()
    }

    /// The spec of its NetworkPolicy: other namespaces, the other pods of this one, and every other address. `None` if it
    /// would select, or keep from, more than the pods of one workload.
    #[must_use]
    pub fn spec(&self, namespace: &str) -> Option<Value> {
        if self.caller.is_empty() || self.callee.is_empty() {
            return None;
        }
        let but = |key: &str, value: &str| json!({"matchExpressions": [{"key": key, "operator": "NotIn", "values": [value]}]});
        let elsewhere = json!({"namespaceSelector": but(NAMESPACE_NAME, namespace)});
        // Who lacks one of the labels is not of the dependency.
        let here = self.callee.iter().map(|(key, value)| json!({"podSelector": but(key, value)}));
        let outside = [("0.0.0.0/0", 32, false), ("::/0", 128, true)].map(|(all, length, six)| {
            let except = self.addresses.iter().filter(|address| address.is_ipv6() == six);
            let except: Vec<String> = except.map(|address| format!("{address}/{length}")).collect();
            match except.is_empty() {
                true => json!({"ipBlock": {"cidr": all}}),
                false => json!({"ipBlock": {"cidr": all, "except": except}}),
            }
        });
        let to: Vec<Value> = [elsewhere].into_iter().chain(here).chain(outside).collect();
        Some(json!({
            "podSelector": {"matchLabels": self.caller},
            "policyTypes": ["Egress"],
            "egress": [{"to": to}],
        }))
    }

    fn digest(&self, namespace: &str) -> Option<String> {
        Some(content::digest_of(MemberKind::NetworkPolicy, &json!({"spec": self.spec(namespace)?})))
    }
}

/// The name of the NetworkPolicy by which a Recovery cuts something off.
#[must_use]
pub fn name(recovery: &str) -> String {
    format!("homeostat-{recovery}-cut")
}

/// Whether the policy says that the target can do without this one.
fn declared(policy: &PolicyFacts, title: &str) -> bool {
    let listed = policy.spec.actions.isolate.iter().flat_map(|isolate| &isolate.dependencies);
    listed.map(ToString::to_string).any(|known| known == title)
}

/// Whether the policy says that the target can do without anything.
pub(super) fn any_declared(policy: &PolicyFacts) -> bool {
    policy.spec.actions.isolate.as_ref().is_some_and(|isolate| !isolate.dependencies.is_empty())
}

/// The dependency that triage suspects.
fn suspected<'a>(case: &'a Case) -> Option<&'a Dependency> {
    let title = case.triage.dependency.as_ref()?;
    case.facts.fleet.ties.dependencies.iter().find(|dependency| dependency.title == *title)
}

/// Refuses where the policy does not say that the target can do without the suspect.
pub(super) fn permitted(case: &Case) -> Result<(), Refusal> {
    if !any_declared(case.policy) {
        let message = "the policy declares no dependency that the target can do without (actions.isolate.dependencies)";
        return Err(Refusal::new(Reason::NotAllowed, message));
    }
    if !case.facts.ceiling.pod_network {
        let message = "the operator may not make NetworkPolicies (capabilities.podNetwork of its chart)";
        return Err(Refusal::new(Reason::RightMissing, message));
    }
    match suspected(case).filter(|found| !declared(case.policy, &found.title)) {
        Some(found) => {
            let message = format!("the policy does not say that the target can do without {}", found.title);
            Err(Refusal::new(Reason::NotAllowed, format!("{message} (actions.isolate.dependencies)")))
        }
        None => Ok(()),
    }
}

/// Refuses unless exactly one dependency is bad, every other one is known to be well, and the bad one's own policy holds: a
/// cut takes away what that policy goes by.
pub(super) fn indicated(case: &Case) -> Result<(), Refusal> {
    let Some(found) = suspected(case) else {
        return Err(Refusal::new(Reason::NotIndicated, "no single dependency is suspected"));
    };
    let dependencies = case.facts.fleet.ties.dependencies.iter();
    let others = dependencies.filter(|other| other.title != found.title && (other.moved() || other.ill.is_some()));
    let others: Vec<&str> = others.map(|other| other.title.as_str()).collect();
    if !others.is_empty() {
        let message =
            format!("beside {}, these failed, changed, or cannot be judged: {}", found.title, others.join(", "));
        return Err(Refusal::new(Reason::SeveralSuspects, message));
    }
    match found.held {
        true => Ok(()),
        false => {
            let message = format!("{}; it is not over with that, and a cut comes after it", case.triage.message);
            Err(Refusal::new(case.triage.reason, message))
        }
    }
}

/// Whether a person ended a cut of ours from the suspect not long before: then it stays with that.
pub(super) fn ended_by_person(case: &Case) -> bool {
    let relapse = case.policy.spec.limits.relapse.signed();
    let mut before = case.facts.recoveries.iter().filter(|before| before.journal.target.uid == case.target.uid);
    before.any(|before| {
        let steps = &before.journal.steps;
        let same = |step: &Step| Cut::of(step).map(|cut| cut.dependency) == case.triage.dependency;
        let ended = steps.iter().filter(|step| step.remediation == Remediation::ReleaseDependency).any(|step| {
            let by_person = step.state == StepState::Skipped || before.spec.release;
            by_person && step.acknowledged.as_ref().is_some_and(|at| case.symptom.since <= at.0 + relapse)
        });
        ended && steps.iter().any(same)
    })
}

/// What would keep exactly the suspect away. `Err`: why nothing would.
pub(super) fn exact(case: &Case) -> Result<Cut, String> {
    let (network, title) = (&case.facts.network, case.triage.dependency.as_deref().unwrap_or_default());
    let callee = network.callees.iter().find(|callee| callee.title == title);
    let callee = callee.ok_or_else(|| format!("{title} does not exist"))?;
    let names = |of: &BTreeSet<String>| of.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    if !network.limits.is_empty() {
        let limits = names(&network.limits);
        return Err(format!(
            "NetworkPolicy {limits} limits what the target calls, and what NetworkPolicies allow adds up"
        ));
    }
    if network.on_host || callee.on_host {
        return Err("pods are in the network of their node, where no NetworkPolicy holds".into());
    }
    for (of, namesakes) in [(case.target.title(), &network.namesakes), (callee.title.clone(), &callee.namesakes)] {
        if !namesakes.is_empty() {
            return Err(format!("pods of others carry the labels of {of}: {}", names(namesakes)));
        }
    }
    let nowhere = callee.pods.iter().find(|(_, addresses)| addresses.is_empty());
    if let Some((pod, _)) = nowhere {
        return Err(format!("Pod {pod} of {title} has no address yet"));
    }
    let addresses: BTreeSet<IpAddr> = callee.pods.values().flatten().copied().collect();
    if addresses.is_empty() || addresses.len() > MOST_ADDRESSES {
        return Err(format!("{title} has {} addresses; from 1 to {MOST_ADDRESSES} can be named", addresses.len()));
    }
    let cut = Cut {
        dependency: title.to_owned(),
        caller: case.target.selector.clone(),
        callee: callee.selector.clone(),
        addresses,
    };
    match cut.spec(&case.facts.namespace) {
        Some(_) => Ok(cut),
        None => Err("one of both selects its pods by no label".into()),
    }
}

/// The steps of a cut: what makes it, and what ends it.
pub(super) fn steps(case: &Case, recovery: &str) -> Vec<Step> {
    let Ok(cut) = exact(case) else { return vec![] };
    let object = ObjectRef { kind: "NetworkPolicy".into(), name: name(recovery), uid: String::new() };
    let (dependency, title) = (&cut.dependency, case.target.title());
    let intent = format!("cut {title} off from {dependency}, which it can do without, by {object}");
    let (from, to) = (json!({"labels": case.target.labels}).to_string(), json!(cut).to_string());
    let made = steps::step(Remediation::CutDependency, object.clone(), intent, from, to);
    let intent = format!("delete {object}, when {dependency} is well again");
    vec![made, steps::step(Remediation::ReleaseDependency, object, intent, String::new(), String::new())]
}

/// Cuts of a Recovery that stand, as far as its journal knows: where they are to be released, and what made them.
fn standing(journal: &Journal) -> impl Iterator<Item = (usize, &Step)> {
    let ends = move |step: &Step| step.remediation == Remediation::ReleaseDependency && planned_removal(journal, step);
    let made = move |object: &ObjectRef| {
        journal.steps.iter().find(|step| step.remediation == Remediation::CutDependency && step.object == *object)
    };
    let ending = (0..).zip(&journal.steps).filter(move |(_, step)| ends(step));
    ending.filter_map(move |(index, step)| Some((index, made(&step.object)?)))
}

/// What a Recovery keeps the target from.
pub(super) fn held(journal: &Journal) -> Vec<String> {
    standing(journal).filter_map(|(_, step)| Cut::of(step)).map(|cut| cut.dependency).collect()
}

/// What the target is cut off from, and since when it was in trouble because of that.
pub(super) fn cut_off(facts: &Facts) -> Option<(String, Timestamp)> {
    let mut held = facts.recoveries.iter().flat_map(|recovery| {
        let since = recovery.journal.timeline.detected.as_ref().map(|at| at.0);
        held(&recovery.journal).into_iter().zip(since)
    });
    held.next()
}

/// The NetworkPolicy of a cut, if it is there as we made it.
fn as_made<'a>(facts: &'a Facts, recovery: &str, step: &Step) -> Option<&'a CutFacts> {
    let digest = Cut::of(step)?.digest(&facts.namespace)?;
    let mut cuts = facts.network.cuts.iter();
    cuts.find(|cut| cut.name == step.object.name && cut.recovery == recovery && cut.digest == digest)
}

/// A NetworkPolicy of somebody else that limits what the target calls: a cut of ours would only loosen that.
fn limited_by_other(facts: &Facts) -> Option<&String> {
    let network = &facts.network;
    network.limits.iter().find(|name| !network.cuts.iter().any(|cut| cut.name == **name))
}

/// Whether somebody took away or changed what cuts the target off.
pub(super) fn undone_by_other(facts: &Facts, open: &RecoveryFacts) -> Option<String> {
    let (_, step) = standing(&open.journal).find(|(_, step)| as_made(facts, &open.name, step).is_none())?;
    Some(format!("somebody deleted or changed {}, which had cut the target off", step.object))
}

/// Which cuts of a Recovery are to be ended now, and when to look again. In an open incident that holds it did not help.
pub(super) fn release_due(facts: &Facts, recovery: &RecoveryFacts, now: Timestamp) -> (Vec<usize>, Option<Timestamp>) {
    let (mut due, mut until) = (vec![], None);
    if !matches!(recovery.journal.phase, Phase::Closed | Phase::Holding | Phase::AwaitingApproval) {
        return (due, until);
    }
    for (index, step) in standing(&recovery.journal) {
        match released_at(facts, recovery, step) {
            Some(at) if at <= now => due.push(index),
            Some(at) => until = [until, Some(at)].into_iter().flatten().min(),
            None => {}
        }
    }
    (due, until)
}

/// When a cut may go; `None` while nobody knows.
fn released_at(facts: &Facts, recovery: &RecoveryFacts, step: &Step) -> Option<Timestamp> {
    let at_once = Some(Timestamp::MIN);
    let (Some(policy), Some(cut)) = (in_charge(facts), Cut::of(step)) else { return at_once };
    let other_target = facts.target.as_ref().is_none_or(|target| target.uid != recovery.journal.target.uid);
    let word = recovery.spec.release || recovery.spec.abort;
    let undone = as_made(facts, &recovery.name, step).is_none() || limited_by_other(facts).is_some();
    if recovery.open() || word || other_target || undone || !declared(policy, &cut.dependency) {
        return at_once;
    }
    let mut dependencies = facts.fleet.ties.dependencies.iter();
    let well = dependencies.find(|dependency| dependency.title == cut.dependency)?.well?;
    Some(well + policy.spec.stability.soak.signed())
}

/// What is known of a cut. It is never proven: whether it is enforced is not seen.
pub(super) fn known(facts: &Facts, recovery: &str, step: &Step) -> String {
    let object = &step.object;
    let Some(cut) = Cut::of(step).filter(|_| as_made(facts, recovery, step).is_some()) else {
        return format!("{object} is not there as we made it");
    };
    if let Some(other) = limited_by_other(facts) {
        return format!("NetworkPolicy {other} may allow what {object} does not");
    }
    let dependency = &cut.dependency;
    let callee = facts.network.callees.iter().find(|callee| callee.title == *dependency);
    let named = |addresses: &BTreeSet<IpAddr>| addresses.is_subset(&cut.addresses);
    if let Some((pod, _)) = callee.and_then(|callee| callee.pods.iter().find(|(_, addresses)| !named(addresses))) {
        return format!("{object} does not name the address of Pod {pod} of {dependency}, which is newer");
    }
    format!(
        "{object} keeps the target from {dependency} where a network plugin enforces that, which is not seen; not covered: \
         connections that are open already"
    )
}

/// What the target stays cut off from after an incident, for people.
pub(super) fn stays(facts: &Facts, journal: &Journal) -> String {
    let soak = facts.policy.as_ref().map(|policy| policy.spec.stability.soak.to_string()).unwrap_or_default();
    let held = held(journal);
    match held.is_empty() {
        true => String::new(),
        false => format!("; cut off from {} until that has been well for {soak} (or spec.release)", held.join(", ")),
    }
}
