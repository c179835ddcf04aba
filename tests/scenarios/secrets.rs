//! Secrets, where a policy asks for them: put back like configuration, out of reach without the right, and certificates.

use homeostat::api::policy::MemberPolicy;
use homeostat::api::recovery::{Remedy, Suspect};
use homeostat::api::{Outcome, Reason, Remediation};
use homeostat::plan::facts::{Certificate, ObjectFacts};
use homeostat::plan::member::MemberKind;
use jiff::Timestamp;

use crate::world::{Behaviour, World, deployment};

const KIND: MemberKind = MemberKind::Secret;

/// A stable world with a Secret `login` in its closure.
fn with_login(policy: MemberPolicy) -> World {
    let mut world = World::new(3);
    world.spec().closure.secrets = policy;
    world.attach(KIND, "login", "good");
    world.run(120);
    assert!(!world.facts.states.is_empty(), "not stable");
    world
}

/// The pods fail as long as the Secret is not what it was.
fn corrupt(world: &mut World) {
    world.edit(KIND, "login", "bad");
    world.dependency_down = true;
}

#[test]
fn a_secret_that_was_changed_is_put_back() {
    let mut world = with_login(MemberPolicy::Restore);
    corrupt(&mut world);
    world.run_until(300, |world| world.digest(KIND, "login").as_deref() == Some("good"));
    world.dependency_down = false;
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.journal().suspect, Suspect::Change);
    assert_eq!(world.done(), [Remediation::RestoreObject]);
}

#[test]
fn a_secret_that_is_gone_is_created_again_before_the_template() {
    let mut world = with_login(MemberPolicy::Restore);
    world.detach(KIND, "login");
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.done()[..2], [Remediation::RestoreObject, Remediation::RestoreTemplate]);
    assert_eq!(world.digest(KIND, "login").as_deref(), Some("good"));
}

#[test]
fn what_is_only_compared_is_shown_and_refuses_the_rollback() {
    let mut world = with_login(MemberPolicy::Compare);
    world.edit(KIND, "login", "bad");
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run(120);
    assert_eq!(world.refusal(Remedy::Rollback), Some(Reason::NotAllowed));
    assert_eq!(world.count(Remediation::RestoreObject) + world.count(Remediation::RestoreTemplate), 0);
}

#[test]
fn by_default_secrets_are_not_looked_at() {
    let mut world = with_login(MemberPolicy::Ignore);
    corrupt(&mut world);
    world.run(120);
    world.assert_holds(Reason::NoChangeToRevert);
    assert!(world.effects.is_empty());
}

#[test]
fn without_the_right_it_is_said_and_the_rest_is_looked_after() {
    let mut world = World::new(3);
    world.spec().closure.secrets = MemberPolicy::Restore;
    world.facts.ceiling.secrets = false;
    world.facts.objects.push(ObjectFacts { belongs: true, ..ObjectFacts::unknown(KIND, "login") });
    world.run(120);
    assert_eq!(world.condition("Ready"), ("True".into(), "Armed".into()));
    assert_eq!(world.condition("Recoverable"), ("False".into(), "RightMissing".into()));
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.target().digest, deployment("v1"));
    assert_eq!(world.count(Remediation::RestoreObject), 0);
}

#[test]
fn a_right_that_was_taken_away_leaves_old_states_usable_for_the_rest() {
    let mut world = with_login(MemberPolicy::Restore);
    world.facts.ceiling.secrets = false;
    world.facts.objects.clear();
    world.release_bad("v2", Behaviour::CrashLoop);
    world.run_until_closed(300);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.target().digest, deployment("v1"));
}

#[test]
fn a_state_with_a_missing_or_changed_copy_is_never_used() {
    for change in [0, 1, 2] {
        let mut world = with_login(MemberPolicy::Restore);
        let copy = world.facts.objects.iter_mut().find(|object| object.sealed_copy.is_some()).unwrap();
        match change {
            0 => (copy.uid, copy.digest, copy.sealed_copy) = (String::new(), String::new(), None),
            1 => copy.digest = "edited".into(),
            _ => copy.sealed_copy = Some(false),
        }
        world.release_bad("v2", Behaviour::CrashLoop);
        world.run(60);
        world.assert_holds(Reason::CopyMissing);
        assert!(world.effects.is_empty());
    }
}

// ---- certificates

fn until(text: &str) -> Certificate {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    Certificate::Valid { from: at("2025-01-01T00:00:00Z"), until: at(text) }
}

fn good() -> Certificate {
    until("2030-01-01T00:00:00Z")
}

/// An Ingress shows a certificate that counts until then; all pods are and stay healthy.
fn with_certificate(certificate: Certificate) -> World {
    let mut world = World::new(3);
    world.spec().closure.secrets = MemberPolicy::Restore;
    world.attach(MemberKind::Ingress, "web", "route");
    world.facts.objects.last_mut().unwrap().shows = ["tls".to_owned()].into();
    world.attach(KIND, "tls", "good");
    world.facts.objects.last_mut().unwrap().certificate = Some(certificate);
    world.run(120);
    assert!(!world.facts.states.is_empty(), "not stable");
    world
}

fn swap(world: &mut World, certificate: Option<Certificate>) {
    world.edit(KIND, "tls", "other");
    let tls = world.facts.objects.iter_mut().find(|object| object.name == "tls").unwrap();
    tls.certificate = certificate;
}

#[test]
fn a_certificate_that_was_replaced_by_a_useless_one_is_put_back() {
    let expired = until("2025-06-01T00:00:00Z");
    for useless in [Some(expired), Some(Certificate::Unreadable), None] {
        let mut world = with_certificate(good());
        swap(&mut world, useless);
        world.run_until_closed(120);
        world.assert_closed(Outcome::Recovered, Reason::Verified);
        assert_eq!(world.journal().symptom.reason, Reason::CutOff);
        assert!(world.journal().symptom.message.contains("Ingress web"), "{}", world.journal().symptom.message);
        assert_eq!(world.done(), [Remediation::RestoreObject]);
    }
}

#[test]
fn a_certificate_that_is_gone_is_put_back() {
    let mut world = with_certificate(good());
    world.detach(KIND, "tls");
    world.run_until_closed(120);
    world.assert_closed(Outcome::Recovered, Reason::Verified);
    assert_eq!(world.done(), [Remediation::RestoreObject]);
}

#[test]
fn a_certificate_that_was_renewed_is_left_alone() {
    let mut world = with_certificate(good());
    swap(&mut world, Some(until("2031-01-01T00:00:00Z")));
    world.run(120);
    assert!(world.facts.recoveries.is_empty(), "{:#?}", world.facts.recoveries.last());
    assert_eq!(world.facts.states.len(), 2, "the new one is stable by now");
}

#[test]
fn a_certificate_that_runs_out_by_itself_is_no_symptom() {
    let mut world = with_certificate(until("2026-01-01T00:03:00Z"));
    world.run(300);
    assert!(world.facts.recoveries.is_empty(), "{:#?}", world.facts.recoveries.last());
}

#[test]
fn what_ran_out_as_well_is_not_put_back() {
    let mut world = with_certificate(until("2026-01-01T00:03:00Z"));
    world.run(120);
    swap(&mut world, Some(Certificate::Unreadable));
    world.run(30);
    assert!(world.facts.recoveries.is_empty(), "{:#?}", world.facts.recoveries.last());
}
