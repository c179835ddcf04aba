//! Branches of a decision that no other story passes: see docs/triage.md.

use std::collections::BTreeSet;

use homeostat::api::policy::Failback;
use homeostat::api::recovery::Remedy;
use homeostat::api::{Phase, Reason, Remediation};
use homeostat::plan::facts::Feasibility;
use homeostat::plan::member::MemberKind;

use crate::world::{Behaviour, World};

#[test]
fn every_remedy_that_is_not_chosen_has_its_reason() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_phase(60, Phase::Verifying);
    let decision = &world.journal().decision;
    let mut told: Vec<Remedy> = decision.alternatives.iter().map(|other| other.remedy).collect();
    told.push(decision.remedy);
    assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), told.len(), "each once: {told:?}");
    assert!(told.len() >= 7 && !told.contains(&Remedy::Hold), "all but the hold: {told:?}");
    assert_eq!(world.refusal(Remedy::IsolatePods), Some(Reason::NotIndicated));
    assert!(decision.alternatives.iter().all(|other| !other.message.is_empty()));
}

#[test]
fn what_nodes_cannot_work_without_is_left_alone() {
    let mut world = World::stable(5);
    world.target_mut().node_critical = true;
    world.release_bad("v2", Behaviour::CrashLoop);
    // A Deployment of that priority is like any other.
    world.run_until_phase(60, Phase::Verifying);
    let mut world = World::new(5);
    (world.target_mut().kind, world.target_mut().node_critical) = (MemberKind::DaemonSet, true);
    world.run(5);
    assert_eq!(world.condition("Ready"), ("False".into(), "TargetProtected".into()));
}

#[test]
fn without_the_service_no_traffic_is_moved() {
    for gone in [true, false] {
        let mut world = World::with_standby(Failback::Automatic);
        world.spec().closure.exposure = homeostat::api::policy::MemberPolicy::Ignore;
        match gone {
            true => world.facts.services.clear(),
            false => drop(world.facts.services[0].selector.insert("app".into(), "elsewhere".into())),
        }
        world.dependency_down = true;
        world.run(60);
        assert_eq!(world.refusal(Remedy::Failover), Some(Reason::ServiceNotFound), "gone: {gone}");
        assert_eq!(world.count(Remediation::SwitchService), 0);
    }
}

#[test]
fn each_refusal_of_a_rehearsal_is_shown_as_it_is() {
    for reason in [Reason::PodRefused, Reason::ReferenceMissing, Reason::RestoreRefused, Reason::RightMissing] {
        let mut world = World::stable(5);
        world.spec().actions.isolate = None;
        let message = "the API server says no".to_owned();
        world.rehearsal_says("v1", Feasibility::Infeasible { reason, message });
        world.lose_memory();
        world.release_bad("v2", Behaviour::CrashLoop);
        world.run(60);
        world.assert_holds(reason);
        assert!(world.effects.is_empty(), "{reason}: {:?}", world.effects);
    }
}
