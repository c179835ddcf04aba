//! Bugs of other projects that could as well be ours, each named after the project and the number of its issue. Read there,
//! never run; what is told here is what would go wrong if we made the same mistake.

use homeostat::api::policy::{Failback, Mode};
use homeostat::api::recovery::{ApprovalDecision, Remedy};
use homeostat::api::{Check, Outcome, Phase, Reason, Remediation, StepState};
use homeostat::plan::brake::Brake;
use homeostat::plan::member::MemberKind;

use crate::world::{Behaviour, Crash, World, deployment, lasting};

fn checked() -> World {
    let mut world = World::new(3);
    world.spec().stability.checks = vec![Check {
        name: "errors".into(),
        provider: "main".into(),
        query: "sum(rate(errors_total[10s]))".into(),
        max: Some("0.01".into()),
        min: None,
        window: None,
    }];
    world
}

/// A query that finds no samples is no pass.
#[test]
fn kubernaut_722_zero_samples_are_no_pass() {
    let mut world = checked();
    world.run(90);
    assert_eq!(world.facts.states.len(), 1);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until(60, |world| world.count(Remediation::RestoreTemplate) == 1);
    world.metrics = Some(Err("no data: there is no such series".into()));
    world.run(600);
    assert_ne!(world.journal().outcome, Some(Outcome::Recovered), "{}", world.journal().message);
    assert_eq!(world.facts.states.len(), 1, "nothing was earned either");
}

/// What a controller said before it saw the repair is no word about the repair.
#[test]
fn kubernaut_199_a_status_from_before_the_repair_proves_nothing() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_phase(60, Phase::Verifying);
    for _ in 0..60 {
        world.tick();
        world.target_mut().observed_generation -= 1;
        world.operate();
        assert_ne!(world.journal().outcome, Some(Outcome::Recovered), "its controller has not seen the repair");
    }
    world.run_until_closed(120);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

/// A remedy that was carried out, and after which the same comes back, was none: it goes on counting.
#[test]
fn kubernaut_214_what_was_done_and_did_not_last_goes_on_counting() {
    let mut world = World::stable(5);
    (world.spec().limits.max_attempts, world.spec().limits.cooldown) = (2, lasting(0));
    world.spec().actions.isolate = None;
    for _ in 0..5 {
        if world.target().digest != deployment("v2") {
            world.release_bad("v2", Behaviour::CrashLoop);
        }
        world.run(300);
    }
    assert_eq!(world.count(Remediation::RestoreTemplate), 2);
    assert_eq!(world.journal().reason, Reason::AttemptsExhausted);
}

/// The ReplicaSet that would be rolled back to was cleaned up long ago.
#[test]
fn kubernaut_715_a_revision_that_is_gone_is_no_obstacle() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(1);
    let live = world.target().template.clone();
    world.facts.revisions.retain(|revision| revision.template == live);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.target().digest, deployment("v1"));
}

/// Whoever verifies has to come to an end also if nothing ever happens.
#[test]
fn kubernaut_1466_verifying_comes_to_an_end() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_phase(60, Phase::Verifying);
    world.dependency_down = true;
    world.run_until_phase(900, Phase::Holding);
    assert_eq!(world.journal().outcome, Some(Outcome::Escalated));
    assert_eq!(world.journal().reason, Reason::VerificationTimedOut);
}

/// No gate of the way back may need what is broken to be well.
#[test]
fn curie_2558_a_target_without_a_ready_pod_is_rolled_back() {
    let mut world = World::stable(3);
    world.configure_bad("bad", Behaviour::CrashLoop);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.restart_pods();
    world.run_until(120, |world| world.count(Remediation::RestoreTemplate) == 1);
    assert_eq!(world.target().ready_replicas, 0, "nothing was ready when it was decided");
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

/// A node that is well again by the time it would be acted on is left alone.
#[test]
fn draino_50_a_node_that_recovered_meanwhile_is_not_touched() {
    let mut world = World::stable(3).with_nodes(3).mode(Mode::Recommend);
    world.set_ready("node-2", false);
    world.run_until_phase(120, Phase::AwaitingApproval);
    assert_eq!(world.journal().decision.remedy, Remedy::IsolateNode);
    let shown = world.journal().decision.plan_digest.clone();
    world.set_ready("node-2", true);
    world.answer(ApprovalDecision::Approve, &shown);
    world.run(120);
    assert!(world.effects.is_empty(), "{:?}", world.effects);
    assert!(!world.node("node-2").unschedulable);
}

/// What happened while nobody was to act is not made up for afterwards.
#[test]
fn nvsentinel_450_what_is_over_is_not_acted_on_after_a_pause() {
    let mut world = World::stable(5);
    world.spec().suspend = true;
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(60);
    world.release("v1");
    world.run(30);
    world.spec().suspend = false;
    world.lose_memory();
    world.run(300);
    assert!(world.effects.is_empty() && world.facts.recoveries.is_empty(), "{:#?}", world.facts.recoveries.last());
}

/// A brake stops what is new. What is begun is brought to its end.
#[test]
fn nvsentinel_1852_the_brake_does_not_keep_what_we_hold() {
    let mut world = World::stable(5);
    world.spec().actions.rollback = None;
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until(60, |world| world.target().paused);
    for number in 0..60 {
        world.tick();
        world.facts.fleet.brake = Brake { on_since: Some(world.now), calm_since: None };
        if number == 5 {
            world.release("fixed");
        }
        world.operate();
    }
    assert!(!world.target().paused, "our freeze swallows the fix");
    world.assert_closed(Outcome::Superseded, Reason::Superseded);
}

/// The intent comes before the effect: a process that dies leaves nothing that nobody knows of.
#[test]
fn chaos_mesh_2449_nothing_happens_before_it_is_on_record() {
    let mut world = World::stable(5);
    world.break_pod(2);
    for _ in 0..60 {
        world.tick();
        world.crash = Some(Crash::BeforeRecord);
        world.step();
    }
    assert!(world.effects.is_empty() && world.facts.recoveries.is_empty(), "{:?}", world.effects);
    while world.facts.quarantined.is_empty() {
        world.tick();
        world.crash = Some(Crash::AfterEffects);
        world.step();
    }
    let step = world.journal().steps.iter().find(|step| step.remediation == Remediation::QuarantinePod);
    assert_eq!(step.map(|step| step.state), Some(StepState::Planned), "recorded, and its receipt is lost");
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

/// An abort of an incident in which nothing was begun takes nothing away.
#[test]
fn argo_rollouts_1292_an_abort_with_nothing_begun_writes_nothing() {
    for mode in [Mode::Observe, Mode::Recommend] {
        let mut world = World::stable(5).mode(mode);
        world.release_bad("v2", Behaviour::CrashLoop);
        world.run_until(60, |world| world.phase().is_some());
        let (replicas, digest) = (world.target().replicas, world.target().digest.clone());
        world.abort();
        world.run_until_closed(10);
        world.run(60);
        assert!(world.effects.is_empty(), "{mode:?}: {:?}", world.effects);
        assert_eq!((world.target().replicas, &world.target().digest), (replicas, &digest));
    }
}

/// The way back does not go to as many copies as there were then.
#[test]
fn argo_rollouts_3020_a_rollback_keeps_the_size_of_today() {
    let mut world = World::stable(3);
    world.scale_to(8);
    world.run(60);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.target().replicas, 8);
    assert_eq!(world.facts.live_pods().filter(|pod| pod.ready).count(), 8);
}

/// Traffic does not go back to a home that does not serve, whoever ends the incident.
#[test]
fn flagger_1898_traffic_is_never_sent_to_a_broken_home() {
    for end in [|world: &mut World| world.abort(), |world: &mut World| world.spec().suspend = true] {
        let mut world = World::with_standby(Failback::Automatic);
        world.dependency_down = true;
        world.run_until_phase(60, Phase::OnStandby);
        end(&mut world);
        world.run_until_closed(30);
        world.run(60);
        assert_eq!(world.facts.services[0].selector["app"], "standby", "the only ones that serve");
        assert_eq!(world.count(Remediation::ReturnService), 0);
    }
}

/// Others that carry the same labels are not taken out together with the bad pod.
#[test]
fn kubescape_operator_388_only_the_bad_pod_is_taken_out() {
    let mut world = World::stable(5);
    let bad = world.break_pod(2);
    let others: Vec<String> = world.facts.pods.iter().map(|pod| pod.uid.clone()).filter(|uid| *uid != bad).collect();
    world.run_until(60, |world| world.count(Remediation::QuarantinePod) == 1);
    world.run(10);
    assert_eq!(world.facts.quarantined.iter().map(|pod| &pod.uid).collect::<Vec<_>>(), [&bad]);
    assert!(others.iter().all(|uid| world.facts.services[0].offered.contains(uid)), "the good ones serve as before");
}

/// One witness is none: a single bad pod on a node that says it is well does not cost the node.
#[test]
fn self_node_remediation_344_one_witness_does_not_cost_a_node() {
    let mut world = World::stable(5).with_nodes(5);
    world.break_pod(2);
    world.run(300);
    assert_eq!(world.count(Remediation::CordonNode), 0);
    assert_eq!(world.journal().decision.remedy, Remedy::IsolatePods);
}

/// Our mark on a Service is overwritten while traffic is on the standby: we know what we did from the journal, not from it.
#[test]
fn cloudnative_pg_11346_a_mark_that_others_overwrite_does_not_move_traffic() {
    let mut world = World::with_standby(Failback::Automatic);
    world.dependency_down = true;
    world.run_until_phase(60, Phase::OnStandby);
    world.facts.services[0].switched_by = None;
    world.run(120);
    world.dependency_down = false;
    world.run(300);
    assert_eq!(world.facts.services[0].selector["app"], "standby", "it is somebody else's now");
    assert_eq!((world.count(Remediation::SwitchService), world.count(Remediation::ReturnService)), (1, 0));
    let said = &world.facts.recoveries[0].journal;
    assert_eq!((said.outcome, said.reason), (Some(Outcome::Superseded), Reason::Superseded));
}

/// What waits for the end of something comes to an end also when that something is gone.
#[test]
fn cloudnative_pg_6091_what_vanished_is_not_waited_for() {
    let mut world = World::stable(5);
    world.break_pod(2);
    world.run_until_closed(300);
    assert_eq!(world.facts.quarantined.len(), 1);
    world.facts.quarantined.clear();
    world.run(900);
    let planned = |world: &World| world.journal().steps.iter().any(|step| step.state == StepState::Planned);
    assert!(!planned(&world), "{:#?}", world.journal().steps);

    let mut world = World::stable(3).with_nodes(3);
    world.set_ready("node-2", false);
    world.run_until_closed(300);
    assert!(planned(&world), "the cordon stands");
    world.change_node("node-2", |node| node.uid = "another node of that name".into());
    world.change_node("node-2", |node| (node.unschedulable, node.cordoned_by) = (false, None));
    world.run(300);
    assert!(!planned(&world), "{:#?}", world.journal().steps);
}

/// Whoever is refused does not fall through to the execution.
#[test]
fn k8sgpt_operator_a_refusal_is_the_end_of_a_plan() {
    let mut world = World::stable(7);
    for index in [1, 2, 3] {
        world.break_pod(index);
    }
    world.run(300);
    world.assert_holds(Reason::TooManyPods);
    assert!(world.effects.is_empty() && world.journal().steps.is_empty(), "{:?}", world.effects);
    assert_eq!(world.journal().attempt, 0);
}

/// A rollback deletes nothing that others may need: no account, no binding, no Service, no Secret that came since. The
/// kinds of which one that was added is deleted limit the target and hold nothing.
#[test]
fn helm_10703_and_nodewright_464_a_rollback_deletes_only_what_limits_the_target() {
    let mut world = World::stable(5);
    let limits = [MemberKind::HorizontalPodAutoscaler];
    for kind in MemberKind::ALL {
        if !kind.workload() && kind != MemberKind::ConfigMap {
            world.attach(kind, "added", "content of v2");
        }
    }
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_phase(120, Phase::Verifying);
    world.run(30);
    let removed = world.effects.iter().filter(|effect| effect.step.remediation == Remediation::RemoveObject);
    let removed: Vec<_> = removed.map(|effect| effect.step.object.kind.clone()).collect();
    assert_eq!(removed, limits.map(|kind| kind.name()));
    for kind in [MemberKind::ServiceAccount, MemberKind::Secret, MemberKind::Service, MemberKind::Role] {
        assert!(world.digest(kind, "added").is_some(), "{kind} was deleted");
    }
}

/// What is written is what was recorded, never a stand-in for it: without its copy a Secret is not written at all.
#[test]
fn helm_controller_925_no_placeholder_is_ever_written() {
    let mut world = World::new(5);
    world.spec().closure.secrets = homeostat::api::policy::MemberPolicy::Restore;
    world.attach(MemberKind::Secret, "login", "the password");
    world.run(90);
    assert_eq!(world.facts.states.len(), 1);
    world.facts.objects.retain(|object| object.sealed_copy.is_none());
    world.edit(MemberKind::Secret, "login", "another password");
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(120);
    assert!(world.effects.iter().all(|effect| effect.step.object.kind != "Secret"), "{:?}", world.effects);
    assert_eq!(world.digest(MemberKind::Secret, "login").as_deref(), Some("another password"));
    assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::CopyMissing));
}
