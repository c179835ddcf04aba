//! By what traffic is moved: the selector of a Service, or the weights of a route. The flow of a failover is the same.
//!
//! Nothing here decides whether traffic moves.

use std::collections::BTreeSet;

use serde_json::json;

use super::facts::{Facts, ObjectFacts, ServiceFacts, Workload};
use super::member::MemberKind;
use super::{states, steps, weights};
use crate::api::policy::Failover;
use crate::api::recovery::{Journal, ObjectRef, Remediation, Step, StepState};
use crate::api::stable_state::FieldOwner;
use crate::api::via::RouteVia;

/// By what the traffic of a target can be moved.
pub(super) enum Means<'a> {
    /// A Service that selects the target.
    Service(&'a ServiceFacts),
    /// A route that leads to Services of the target and to the standby's.
    Route { route: &'a ObjectFacts, standby: &'a str, homes: Vec<&'a ServiceFacts>, places: Vec<weights::Backend> },
}

/// What the policy names, if traffic could be moved by it now; else what is the matter, in a sentence.
pub(super) fn find<'a>(facts: &'a Facts, failover: &'a Failover, target: &Workload) -> Result<Means<'a>, String> {
    let named = |name: &str| {
        let found = facts.services.iter().find(|service| service.name == name);
        found.ok_or_else(|| format!("Service {name} does not exist"))
    };
    let Some((kind, via)) = failover.via.route() else {
        let service = named(failover.via.service.as_deref().unwrap_or_default())?;
        return match service.selects(&target.labels) {
            true => Ok(Means::Service(service)),
            false => Err(format!("Service {} does not lead to the target", service.name)),
        };
    };
    let title = format!("{kind} {}", via.name);
    let route = route(facts, kind, via).ok_or_else(|| format!("{title} does not exist"))?;
    let standby = named(&via.standby_service)?;
    let selected = |workload: &Workload| standby.selects(&workload.labels);
    if selected(target) || !facts.standby.as_ref().is_none_or(selected) {
        return Err(format!("Service {} does not select the standby alone", standby.name));
    }
    let homes: Vec<&ServiceFacts> = facts.services.iter().filter(|service| service.selects(&target.labels)).collect();
    let names: BTreeSet<&str> = homes.iter().map(|service| service.name.as_str()).collect();
    let places = weights::pairs(&route.backends, &names, &standby.name).map_err(|why| format!("{title} {why}"))?;
    Ok(Means::Route { route, standby: &standby.name, homes, places })
}

fn route<'a>(facts: &'a Facts, kind: &str, via: &RouteVia) -> Option<&'a ObjectFacts> {
    facts.object(MemberKind::of(kind)?, &via.name).filter(|route| !route.uid.is_empty())
}

impl Means<'_> {
    pub(super) fn kind(&self) -> MemberKind {
        match self {
            Self::Service(_) => MemberKind::Service,
            Self::Route { route, .. } => route.kind,
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Service(service) => &service.name,
            Self::Route { route, .. } => &route.name,
        }
    }

    /// The GitOps tool that keeps what would be written.
    pub(super) fn git_ops(&self) -> Option<&String> {
        match self {
            Self::Service(service) => service.git_ops.as_ref(),
            Self::Route { route, .. } => route.git_ops.as_ref(),
        }
    }

    /// Whether pods with these labels get the target's traffic.
    pub(super) fn selects(&self, standby: &Workload) -> bool {
        match self {
            Self::Service(service) => service.selects(&standby.labels),
            Self::Route { homes, .. } => homes.iter().any(|service| service.selects(&standby.labels)),
        }
    }

    /// How it is now, as a step records it.
    pub(super) fn position(&self) -> String {
        match self {
            Self::Service(service) => json!(service.selector).to_string(),
            Self::Route { places, .. } => weights::recorded(places),
        }
    }

    /// The step that moves all traffic to the standby.
    pub(super) fn away(&self, standby: &Workload) -> Step {
        let (kind, name) = (self.kind(), self.name());
        let (uid, remediation, intent, to) = match self {
            Self::Service(service) => {
                let intent = format!("point Service {name} at standby {}", standby.title());
                (&service.uid, Remediation::SwitchService, intent, json!(standby.selector).to_string())
            }
            Self::Route { route, standby: service, places, .. } => {
                let intent = format!("give all weight of {kind} {name} to Service {service} of the standby");
                let to = weights::recorded(&weights::shared(places, service, 0));
                (&route.uid, Remediation::SwitchRoute, intent, to)
            }
        };
        let object = ObjectRef { kind: kind.name().into(), name: name.into(), uid: uid.clone() };
        steps::step(remediation, object, intent, self.position(), to)
    }
}

/// Moves all traffic to the standby.
pub(super) const fn leaves(remediation: Remediation) -> bool {
    matches!(remediation, Remediation::SwitchService | Remediation::SwitchRoute)
}

/// Moves all traffic home.
pub(super) const fn returns(remediation: Remediation) -> bool {
    matches!(remediation, Remediation::ReturnService | Remediation::ReturnRoute)
}

/// Moves traffic, all of it or a share.
pub(super) const fn moves(remediation: Remediation) -> bool {
    leaves(remediation) || returns(remediation) || matches!(remediation, Remediation::ShiftRoute)
}

/// The last move of traffic that was acknowledged.
pub(super) fn last_move(journal: &Journal) -> Option<&Step> {
    journal.steps.iter().rev().find(|step| moves(step.remediation) && step.state == StepState::Done)
}

/// The Service or route that a step moves traffic by, as it is now.
enum Live<'a> {
    Service(&'a ServiceFacts),
    Route(&'a ObjectFacts),
}

fn live<'a>(facts: &'a Facts, step: &Step) -> Option<Live<'a>> {
    let uid = &step.object.uid;
    match MemberKind::of(&step.object.kind)? {
        MemberKind::Service => facts.services.iter().find(|service| service.uid == *uid).map(Live::Service),
        _ => facts.objects.iter().find(|object| object.uid == *uid).map(Live::Route),
    }
}

/// How what a step moves is now, in the words of the step; `None` if it is gone.
pub(super) fn position(facts: &Facts, step: &Step) -> Option<String> {
    Some(match live(facts, step)? {
        Live::Service(service) => json!(service.selector).to_string(),
        Live::Route(route) => weights::recorded(&weights::same_services(&route.backends, &weights::read(&step.to))),
    })
}

/// Whether what a step moves carries the mark of this Recovery.
pub(super) fn marked(facts: &Facts, step: &Step, recovery: &str) -> bool {
    let mark = match live(facts, step) {
        Some(Live::Service(service)) => service.switched_by.as_deref(),
        Some(Live::Route(route)) => route.switched_by.as_deref(),
        None => None,
    };
    mark == Some(recovery)
}

/// Who owns what a step moves. The rules of a route are owned as a whole, so that its owner has nothing left of them while
/// we write weights: then the stable state tells who it was.
pub(super) fn owner<'a>(facts: &'a Facts, step: &Step) -> Option<&'a FieldOwner> {
    match live(facts, step)? {
        Live::Service(service) => service.field_owner.as_ref(),
        Live::Route(route) => route.field_owner.as_ref().or_else(|| {
            let state = states::reference(facts).ok()?;
            state.member(route.kind, &route.name)?.owner.as_ref()
        }),
    }
}

/// How many pods serve the traffic that a step moved away.
pub(super) fn serving(facts: &Facts, failover: Option<&Failover>, step: &Step) -> usize {
    let standby = failover.and_then(|failover| failover.via.route()).map(|(_, via)| via.standby_service.as_str());
    match (live(facts, step), standby) {
        (Some(Live::Service(service)), _) => service.offered.len(),
        (Some(Live::Route(_)), Some(name)) => {
            facts.services.iter().find(|service| service.name == name).map_or(0, |service| service.offered.len())
        }
        _ => 0,
    }
}

/// What we moved and that carries a mark: its kind and name, and whose mark it is.
pub(super) fn moved(facts: &Facts) -> impl Iterator<Item = (&'static str, &str, &String)> {
    let services = facts.services.iter();
    let services =
        services.filter_map(|service| Some(("Service", service.name.as_str(), service.switched_by.as_ref()?)));
    let routes = facts.objects.iter();
    let routes = routes.filter_map(|route| Some((route.kind.name(), route.name.as_str(), route.switched_by.as_ref()?)));
    services.chain(routes)
}

/// The next step of the way home: of a route as far as the policy says, of all else the whole way. `whole`: at once.
pub(super) fn homewards(journal: &Journal, failover: Option<&Failover>, whole: bool) -> Option<Step> {
    let last = last_move(journal).filter(|step| !returns(step.remediation))?;
    let via = failover.and_then(|failover| failover.via.route()).map(|(_, via)| via).filter(|_| !whole);
    let next = via.filter(|_| last.remediation != Remediation::SwitchService).and_then(|via| {
        let present = weights::read(&last.to);
        let home = 100 - weights::share_of(&present, &via.standby_service);
        let percent = via.steps.iter().map(|step| i64::from(*step)).filter(|step| *step > home).min()?;
        (percent < 100).then(|| (percent, weights::shared(&present, &via.standby_service, percent)))
    });
    Some(match next {
        Some((percent, to)) => {
            let intent = format!("let {percent} % of the traffic of {} go home", last.object);
            steps::step(Remediation::ShiftRoute, last.object.clone(), intent, last.to.clone(), weights::recorded(&to))
        }
        None => home(journal, last),
    })
}

/// The way home from where a step left the traffic: as it was before it was first moved.
pub(super) fn home(journal: &Journal, left: &Step) -> Step {
    let moved = |step: &&Step| step.state == StepState::Done && leaves(step.remediation) && step.object == left.object;
    let first = journal.steps.iter().find(moved);
    let before = first.unwrap_or(left).from.clone();
    let (remediation, intent) = match left.remediation {
        Remediation::SwitchService => (Remediation::ReturnService, format!("point {} back at its target", left.object)),
        _ => (Remediation::ReturnRoute, format!("give {} the weights back that it had", left.object)),
    };
    steps::step(remediation, left.object.clone(), intent, left.to.clone(), before)
}
