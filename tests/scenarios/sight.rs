//! What cannot be seen is not judged, and never counts as proof.

use homeostat::api::{Outcome, Phase, Reason};
use homeostat::plan::{Memory, Verdict};

use crate::world::{Behaviour, World, seconds};

#[test]
fn while_blind_nothing_is_done_and_everything_is_forgotten() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::CrashLoop);
    world.blind(true);
    world.run(100);
    assert!(world.facts.recoveries.is_empty() && world.effects.is_empty());
    assert_eq!(world.plan().assessment.verdict, Verdict::Unknown);
    let Memory { closure, symptom, short, soak, back, .. } = world.memory.clone();
    assert_eq!((closure, symptom, short, soak, back), (None, None, None, None, None));
    assert_eq!(world.condition("TargetHealthy"), ("Unknown".into(), "Blind".into()));
    assert_eq!(world.condition("Ready"), ("False".into(), "Blind".into()));
    world.blind(false);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn a_gap_in_sight_begins_the_verification_anew() {
    let mut world = World::stable(5);
    world.release_bad("v2", Behaviour::ImagePull);
    world.run_until(100, |world| world.memory.back.is_some());
    world.run(20);
    world.blind(true);
    world.run(30);
    assert_eq!(world.phase(), Some(Phase::Verifying), "blind time proves nothing");
    world.blind(false);
    let sighted = world.now;
    world.run_until_closed(100);
    assert!(world.now >= sighted + seconds(30), "a whole window must be seen");
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}

#[test]
fn an_object_that_cannot_be_read_is_a_reason_to_hold() {
    let mut world = World::stable(5);
    world.facts.sight.malformed = vec!["ConfigMap shop/settings".into()];
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(100);
    assert!(world.facts.recoveries.is_empty());
    assert_eq!(world.condition("Ready"), ("False".into(), "Malformed".into()));
}

#[test]
fn a_quarantined_pod_is_not_deleted_blindly() {
    let mut world = World::stable(5);
    world.break_pod(2);
    world.run_until_closed(300);
    world.blind(true);
    world.run(700);
    assert_eq!(world.facts.quarantined.len(), 1);
    world.blind(false);
    world.run(1);
    assert!(world.facts.quarantined.is_empty());
}
