//! The election as a table, and its loop against the scripted stand-in of `act::tests::server`.

use http::Method;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::*;
use crate::act::tests::server::{Answer, Server};
use crate::clock;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/home/leases/homeostat";

fn settings() -> Settings {
    Settings {
        namespace: "home".into(),
        name: "homeostat".into(),
        identity: "me".into(),
        duration: Duration::from_secs(15),
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn lease(holder: &str, version: &str, acquired: i64) -> LeaseView {
    LeaseView {
        holder: holder.into(),
        acquired: Some(Timestamp::from_second(acquired).unwrap()),
        duration: Some(seconds(15)),
        resource_version: version.into(),
    }
}

/// One look after another, each at so many seconds, and the move expected of each.
fn play(memory: &mut Memory, looks: &[(u64, Option<LeaseView>, Expected)]) {
    let start = clock::monotonic();
    for (at, seen, expected) in looks {
        let found = step(seen.as_ref(), "me", &settings(), start + seconds(*at), memory);
        let expected = match expected {
            Expected::Create => Move::Create,
            Expected::Take => Move::Take,
            Expected::Renew => Move::Renew,
            Expected::WaitUntil(at) => Move::Wait(start + seconds(*at)),
        };
        assert_eq!(found, expected, "at {at} s, seeing {seen:?}");
    }
}

enum Expected {
    Create,
    Take,
    Renew,
    WaitUntil(u64),
}
use Expected::{Create, Renew, Take, WaitUntil};

fn holding() -> Memory {
    Memory { term: Some(Timestamp::from_second(100).unwrap()), observed: None, looked: true }
}

#[test]
fn a_missing_or_released_lease_is_taken_at_once() {
    play(&mut Memory::default(), &[(0, None, Create)]);
    play(&mut Memory::default(), &[(0, Some(lease("", "1", 0)), Take)]);
    play(&mut Memory::default(), &[(0, Some(lease("you", "1", 0)), WaitUntil(15)), (2, Some(lease("", "2", 0)), Take)]);
}

#[test]
fn a_foreign_lease_has_expired_only_when_i_saw_no_change_for_its_duration() {
    // However old its times are by somebody's clock.
    play(
        &mut Memory::default(),
        &[
            (0, Some(lease("you", "1", 0)), WaitUntil(15)),
            (14, Some(lease("you", "1", 0)), WaitUntil(15)),
            (15, Some(lease("you", "1", 0)), Take),
        ],
    );
    play(
        &mut Memory::default(),
        &[
            (0, Some(lease("you", "1", 0)), WaitUntil(15)),
            (14, Some(lease("you", "2", 0)), WaitUntil(29)),
            (28, Some(lease("you", "2", 0)), WaitUntil(29)),
            (29, Some(lease("you", "2", 0)), Take),
        ],
    );
}

#[test]
fn the_duration_is_the_one_the_lease_says() {
    let mut long = lease("you", "1", 0);
    long.duration = Some(seconds(60));
    let mut silent = lease("you", "1", 0);
    silent.duration = None;
    play(&mut Memory::default(), &[(0, Some(long), WaitUntil(60))]);
    play(&mut Memory::default(), &[(0, Some(silent), WaitUntil(15))]);
}

#[test]
fn my_own_name_is_taken_over_at_once_but_only_at_the_first_look() {
    play(&mut Memory::default(), &[(0, Some(lease("me", "1", 50)), Take)]);
    play(
        &mut Memory::default(),
        &[(0, Some(lease("you", "1", 0)), WaitUntil(15)), (5, Some(lease("me", "2", 50)), WaitUntil(20))],
    );
    // A namesake took the lease that I held.
    let mut memory = holding();
    play(&mut memory, &[(0, Some(lease("me", "9", 200)), WaitUntil(15))]);
    assert_eq!(memory.term, None);
}

#[test]
fn my_own_lease_is_renewed_however_long_the_api_server_was_away() {
    play(&mut holding(), &[(0, Some(lease("me", "1", 100)), Renew), (500, Some(lease("me", "1", 100)), Renew)]);
}

#[test]
fn a_lost_lease_is_not_mine_any_more() {
    let mut memory = holding();
    play(
        &mut memory,
        &[(0, Some(lease("you", "5", 120)), WaitUntil(15)), (3, Some(lease("me", "6", 100)), WaitUntil(18))],
    );
}

#[test]
fn a_permit_ends_by_itself_and_before_anyone_can_take_the_lease() {
    let now = clock::monotonic();
    let permit = Permit { until: now + seconds(12) };
    assert!(permit.valid(now) && permit.valid(now + seconds(11)));
    assert!(!permit.valid(now + seconds(12)));
    assert!(permit.covers(now + seconds(7), seconds(5)) && !permit.covers(now + seconds(8), seconds(5)));
    assert!(!Permit::none(now).valid(now) && !Permit::none(now).covers(now, Duration::ZERO));
    for duration in [3, 15, 60] {
        let settings = Settings { duration: seconds(duration), ..settings() };
        let permit = settings.duration - settings.margin();
        assert!(permit < settings.duration);
        assert!(settings.renewal() + settings.effect_deadline() <= permit, "no effect would be possible");
    }
    assert_eq!(Settings { duration: Duration::from_millis(1500), ..settings() }.whole_seconds(), 2);
}

/// The loop, its permit, and the way to end it.
struct Process {
    permit: watch::Receiver<Permit>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Process {
    fn start(server: &Server, identity: &str) -> Self {
        let (sender, permit) = watch::channel(Permit::none(clock::monotonic()));
        let (stop, stopped) = oneshot::channel::<()>();
        let settings = Settings { identity: identity.into(), duration: seconds(3), ..settings() };
        let shutdown = async { stopped.await.unwrap_or_default() };
        let task = tokio::spawn(run(server.client(), settings, sender, shutdown));
        Self { permit, stop, task }
    }

    fn leads(&self) -> bool {
        self.permit.borrow().valid(clock::monotonic())
    }
}

fn spec(server: &Server) -> Value {
    server.object(LEASE).unwrap()["spec"].clone()
}

async fn pass(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_creates_the_lease_and_renews_it_every_third() {
    let server = Server::default();
    let process = Process::start(&server, "me");
    pass(100).await;
    assert!(process.leads());
    let first = spec(&server);
    assert_eq!(first["holderIdentity"], "me");
    assert_eq!((&first["leaseDurationSeconds"], &first["leaseTransitions"]), (&json!(3), &json!(0)));
    pass(3000).await;
    let methods: Vec<_> = server.calls().into_iter().map(|call| call.method).collect();
    assert_eq!(methods, ["GET", "POST", "PUT", "PUT", "PUT"]);
    let later = spec(&server);
    assert_eq!(later["acquireTime"], first["acquireTime"]);
    assert_eq!(later["leaseTransitions"], 0);
    assert!(server.calls()[2].body["metadata"]["resourceVersion"].is_string());
}

#[tokio::test(start_paused = true)]
async fn the_permit_ends_while_the_api_server_is_away_and_comes_back_with_it() {
    let server = Server::default();
    let process = Process::start(&server, "me");
    pass(100).await;
    let until = process.permit.borrow().until;
    server.next(Method::PUT, Answer::Refuse(503, "away"));
    for _ in 0..12 {
        server.next(Method::GET, Answer::Silence);
    }
    pass(2000).await;
    assert_eq!(process.permit.borrow().until, until, "only a renewal prolongs a permit");
    assert!(process.leads());
    pass(400).await;
    assert!(!process.leads(), "the permit ends 2.4 s after the last renewal of a lease of 3 s");
    pass(20_000).await;
    assert!(process.leads());
    assert_eq!(spec(&server)["leaseTransitions"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_successor_waits_for_a_silent_holder_and_not_for_one_that_released() {
    let server = Server::default();
    let first = Process::start(&server, "first");
    pass(100).await;
    let second = Process::start(&server, "second");
    pass(5000).await;
    assert!(first.leads() && !second.leads());
    first.task.abort();
    pass(2300).await;
    assert!(!second.leads());
    pass(1500).await;
    assert!(second.leads());
    assert_eq!(spec(&server)["leaseTransitions"], 1);

    let third = Process::start(&server, "third");
    pass(100).await;
    second.stop.send(()).unwrap();
    second.task.await.unwrap();
    assert!(!second.permit.borrow().valid(clock::monotonic()));
    assert_eq!(spec(&server)["holderIdentity"], "");
    pass(500).await;
    assert!(third.leads());
    assert_eq!(spec(&server)["leaseTransitions"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_was_taken_loses_its_permit_at_once() {
    let server = Server::default();
    let process = Process::start(&server, "me");
    pass(100).await;
    let mut taken = server.object(LEASE).unwrap();
    taken["spec"]["holderIdentity"] = json!("you");
    taken["metadata"]["resourceVersion"] = json!("77");
    server.put(LEASE, taken);
    pass(1100).await;
    assert!(!process.leads());
    assert_eq!(spec(&server)["holderIdentity"], "you");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_answer_was_lost_is_recognised_as_ours() {
    let server = Server::default();
    let process = Process::start(&server, "me");
    pass(100).await;
    server.next(Method::PUT, Answer::Lose);
    pass(2900).await;
    assert!(process.leads());
    assert_eq!(spec(&server)["leaseTransitions"], 0);
}

#[tokio::test(start_paused = true)]
async fn who_never_led_releases_nothing() {
    let server = Server::default();
    let first = Process::start(&server, "first");
    pass(100).await;
    let second = Process::start(&server, "second");
    pass(100).await;
    second.stop.send(()).unwrap();
    second.task.await.unwrap();
    assert_eq!(spec(&server)["holderIdentity"], "first");
    assert!(first.leads());
}
