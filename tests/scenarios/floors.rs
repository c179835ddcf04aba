//! No rollback goes below a floor, unless an exception that has not ended lets exactly that pass.

use homeostat::api::recovery::Remedy;
use homeostat::api::{FloorException, ImageFloor, Outcome, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::world::{Behaviour, World, deployment, lasting, seconds};

const IMAGE: &str = "registry.example/shop/web";

fn floor(world: &mut World, minimum: Option<&str>, deny: &[&str]) {
    let deny = deny.iter().map(ToString::to_string).collect();
    let because = "CVE-2026-1234".into();
    let floor = ImageFloor { image: IMAGE.into(), minimum: minimum.map(str::to_owned), deny, because };
    world.spec().floors.images = vec![floor];
}

fn exception(world: &mut World, version: &str, lasts: i64) {
    let until = Time(world.now + seconds(lasts));
    let (by, because) = ("security on call".into(), "v2 loses orders".into());
    let exception = FloorException { image: IMAGE.into(), version: version.into(), by, because, until };
    world.spec().floors.exceptions = vec![exception];
}

#[test]
fn a_past_below_a_floor_is_refused_and_the_floor_is_named() {
    for (minimum, deny) in [(Some("v2"), &[][..]), (None, &["v1"][..])] {
        let mut world = World::stable(3);
        floor(&mut world, minimum, deny);
        world.release_bad("v3", Behaviour::CrashLoop);
        world.run(60);
        assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::BelowFloor));
        assert!(world.journal().decision.alternatives.iter().any(|other| other.message.contains("CVE-2026-1234")));
        assert_eq!(world.condition("Recoverable"), ("False".into(), "BelowFloor".into()));
        assert_eq!(world.target().digest, deployment("v3"));
    }
}

#[test]
fn a_past_above_its_floor_is_gone_back_to() {
    let mut world = World::stable(3);
    floor(&mut world, Some("v1"), &["v0"]);
    world.release_bad("v3", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert!(world.journal().exceptions.is_empty());
}

#[test]
fn an_exception_lets_it_pass_and_is_on_record() {
    let mut world = World::stable(3);
    floor(&mut world, Some("v2"), &[]);
    exception(&mut world, "v1", 3600);
    world.release_bad("v3", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    let noted = &world.journal().exceptions;
    assert_eq!(noted.len(), 1, "{noted:?}");
    for said in ["security on call", "v2 loses orders", "until 2026-01-01", "below the minimum v2"] {
        assert!(noted[0].contains(said), "{said}: {noted:?}");
    }
}

#[test]
fn an_exception_that_ended_or_is_for_another_version_lets_nothing_pass() {
    for (version, lasts) in [("v1", 0), ("v0", 3600)] {
        let mut world = World::stable(3);
        floor(&mut world, Some("v2"), &[]);
        exception(&mut world, version, lasts);
        world.release_bad("v3", Behaviour::CrashLoop);
        world.run(60);
        assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::BelowFloor), "{version}");
        // A person adds one while it is held: then it goes on.
        exception(&mut world, "v1", 3600);
        world.run_until_closed(300);
        world.assert_closed(Outcome::Recovered, Reason::Verified);
        assert_eq!(world.journal().exceptions.len(), 1);
    }
}

#[test]
fn an_older_state_is_used_where_the_newest_is_denied() {
    let mut world = World::stable(3);
    world.spec().limits.cooldown = lasting(0);
    world.release("v2");
    world.run(120);
    assert_eq!(world.facts.states.len(), 2);
    floor(&mut world, None, &["v2"]);
    world.release_bad("v3", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.target().digest, deployment("v1"));
}

#[test]
fn what_runs_now_anyway_is_not_brought_back() {
    let mut world = World::stable(3);
    floor(&mut world, Some("v2"), &[]);
    // Only the configuration changed: the image that is below its floor stays.
    world.configure_bad("bad", Behaviour::CrashLoop);
    world.restart_pods();
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
}
