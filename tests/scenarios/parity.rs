//! Nothing is looser after a recovery than before, unless a person said so.

use homeostat::api::recovery::ApprovalDecision::{Approve, Reject};
use homeostat::api::recovery::{Remedy, Suspect};
use homeostat::api::{Mode, Outcome, Phase, Reason, Remediation};
use homeostat::plan::member::MemberKind;
use homeostat::plan::posture::{Place, Posture};

use crate::world::{Behaviour, Crash, World, deployment};

/// Stable, and hardened since: nobody waited for the soak.
fn hardened(what: &str) -> World {
    let mut world = World::stable(5);
    world.forbid(what);
    world.run(20);
    assert_eq!(world.facts.states.len(), 1, "the hardened content has not earned a state of its own");
    world
}

fn approve(world: &mut World) {
    world.run_until_phase(300, Phase::AwaitingApproval);
    let digest = world.journal().decision.plan_digest.clone();
    world.answer(Approve, &digest);
}

#[test]
fn hardening_since_the_stable_state_survives_a_rollback() {
    for behaviour in [Behaviour::CrashLoop, Behaviour::ImagePull, Behaviour::NeverReady] {
        let mut world = hardened("root");
        world.release_bad("v2", behaviour);
        world.run_until_closed(900);
        world.assert_closed(Outcome::Recovered, Reason::Verified);
        assert_eq!(world.target().body, deployment("v1"));
        assert!(!world.allowed("root"), "{:#?}", world.journal());
        assert!(world.allowed("privileged"), "what nobody forbade is as it was");
        assert!(world.journal().message.contains("stricter than recorded, and left so: Deployment web"));
        assert_eq!(world.journal().hardened, ["Deployment web: container web: root"]);
        // And then it is what is stable, and nothing more is done.
        world.run(600);
        assert_eq!(world.facts.recoveries.len(), 1);
        assert_eq!(world.facts.states.len(), 2);
        assert_eq!(world.count(Remediation::RestoreTemplate), 1);
    }
}

#[test]
fn what_a_release_loosened_goes_back_and_what_it_hardened_stays() {
    let mut world = World::stable(5);
    world.secure(|allows| {
        allows.remove("root");
        allows.insert("the moon".to_owned());
    });
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(900);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert!(!world.allowed("root") && !world.allowed("the moon"));
}

#[test]
fn a_crash_at_any_moment_of_such_a_rollback_changes_nothing() {
    let crashes = [Crash::BeforeRecord, Crash::AfterRecord, Crash::AfterEffects];
    for (crash, after) in crashes.into_iter().flat_map(|crash| (0..24).map(move |after| (crash, after))) {
        let mut world = hardened("privileged");
        world.release_bad("v2", Behaviour::CrashLoop);
        world.run(after);
        world.crash = Some(crash);
        world.run_until_closed(900);
        world.assert_closed(Outcome::Recovered, Reason::Verified);
        assert!(!world.allowed("privileged"));
    }
}

#[test]
fn what_cannot_be_kept_waits_for_an_approval_in_every_mode() {
    for mode in [Mode::Recommend, Mode::Enforce] {
        let mut world = hardened("root").mode(mode);
        // A path of the host is a volume: it cannot be left out of a pod that mounts it.
        world.target_mut().posture.0.insert("pod".into(), Place::default());
        for member in world.facts.states.iter_mut().flat_map(|state| &mut state.members) {
            if member.kind == "Deployment" {
                let allows = ["host path /run".to_owned()].into();
                member.posture.0.insert("pod".into(), Place { allows, ..Place::default() });
            }
        }
        world.release_bad("v2", Behaviour::CrashLoop);
        world.run_until_phase(300, Phase::AwaitingApproval);
        assert_eq!(world.journal().decision.remedy, Remedy::RollbackLoosening);
        assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::SecurityLoosened));
        assert!(world.journal().decision.message.contains("pod: host path /run"), "{:#?}", world.journal());
        assert_eq!(world.count(Remediation::RestoreTemplate), 0);
        approve(&mut world);
        world.run_until_closed(900);
        world.assert_closed(Outcome::Recovered, Reason::Verified);
        assert!(world.allowed("root"), "approved, so that all of it went back");
    }
}

#[test]
fn a_rejected_loosening_is_not_carried_out() {
    let mut world = World::stable(5);
    world.behaviours.insert(String::new(), Behaviour::CrashLoop);
    world.forbid("root");
    let digest = world.target().digest.clone();
    world.behaviours.insert(digest, Behaviour::CrashLoop);
    world.run_until_phase(300, Phase::AwaitingApproval);
    let digest = world.journal().decision.plan_digest.clone();
    world.answer(Reject, &digest);
    world.run(300);
    world.assert_holds(Reason::Rejected);
    assert_eq!(world.count(Remediation::RestoreTemplate), 0);
}

#[test]
fn hardening_that_is_itself_what_breaks_the_target_is_only_taken_back_by_a_person() {
    let mut world = World::stable(5);
    world.forbid("root");
    let digest = world.target().digest.clone();
    world.behaviours.insert(digest, Behaviour::CrashLoop);
    world.run_until_phase(300, Phase::AwaitingApproval);
    let journal = world.journal();
    assert_eq!((journal.suspect, journal.decision.remedy), (Suspect::Change, Remedy::RollbackLoosening));
    approve(&mut world);
    world.run_until_closed(600);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.target().digest, deployment("v1"));
}

#[test]
fn if_the_hardened_past_fails_too_the_looser_one_is_proposed() {
    let mut world = hardened("root");
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until(300, |world| world.count(Remediation::RestoreTemplate) == 1);
    let kept = world.target().digest.clone();
    assert_ne!(kept, deployment("v1"));
    world.behaviours.insert(kept, Behaviour::CrashLoop);
    world.run_until_phase(900, Phase::AwaitingApproval);
    assert_eq!(world.journal().decision.remedy, Remedy::RollbackLoosening);
    assert!(!world.allowed("root"));
    approve(&mut world);
    world.run_until_closed(900);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert!(world.allowed("root"));
}

#[test]
fn what_is_allowed_again_after_a_restore_is_never_called_recovered() {
    let mut world = hardened("root");
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until(300, |world| world.count(Remediation::RestoreTemplate) == 1);
    // Something behind us puts it back while it is being verified, in place of what was written.
    world.tick();
    let posture =
        world.facts.states[0].members.iter().find(|member| member.kind == "Deployment").unwrap().posture.clone();
    world.target_mut().posture = posture;
    world.run(600);
    let journal = world.journal();
    assert_ne!(journal.outcome, Some(Outcome::Recovered), "{journal:#?}");
    let parity = world.status().drift.as_ref().map(|drift| &drift.components).into_iter().flatten();
    let parity: Vec<_> = parity.filter(|component| component.name == "parity").collect();
    assert_eq!(parity.len(), 1, "{:#?}", world.status().drift);
    let said = [&parity[0].message, &journal.message].map(|said| said.contains("container web: root"));
    assert_eq!(said, [true, true], "{journal:#?}");
}

/// The only place of an object that is no workload.
fn only(name: &str, what: &[&str]) -> Posture {
    let allows = what.iter().map(ToString::to_string).collect();
    Posture([(name.to_owned(), Place { allows, ..Place::default() })].into())
}

#[test]
fn exposure_that_was_closed_since_stays_closed() {
    let mut world = World::new(5);
    world.attach(MemberKind::Ingress, "own", "open");
    let own = |world: &mut World, posture: Posture| {
        world.facts.objects.iter_mut().find(|object| object.name == "own").unwrap().posture = posture;
    };
    own(&mut world, only("host shop", &["plain HTTP"]));
    world.run(120);
    world.edit(MemberKind::Ingress, "own", "secured");
    own(&mut world, only("host shop", &[]));
    world.run(20);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(900);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.digest(MemberKind::Ingress, "own").as_deref(), Some("secured"));
    assert_eq!(world.target().digest, deployment("v1"));
    assert!(world.journal().message.contains("Ingress own"), "{}", world.journal().message);
}
