//! The loop of a reflector against a scripted API server, with a clock that the test moves.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use futures::stream::{self, StreamExt};
use http::{Request, Response};
use kube::Client;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;
use crate::clock;
use crate::observe::Scope;
use crate::observe::reflector::Reflector;
use crate::observe::sight::{Freshness, Sight};

enum Answer {
    /// A status and a body.
    Full(u16, String),
    /// Lines, and then nothing more, without an end.
    Open(String),
    /// No answer at all.
    Silence,
}
use Answer::{Full, Open, Silence};

/// Answers in order; when they are used up, with silence. Remembers what was asked.
#[derive(Clone)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), asked: Arc::default() }
    }

    fn client(&self) -> Client {
        let script = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            script.asked.lock().unwrap().push(request.uri().to_string());
            let answer = script.answers.lock().unwrap().pop_front();
            async move {
                let (status, body) = match answer {
                    Some(Full(status, body)) => (status, Body::from(body)),
                    Some(Open(lines)) => {
                        let lines = stream::iter([Ok::<_, Infallible>(lines)]).chain(stream::pending());
                        (200, Body::from_stream(lines))
                    }
                    Some(Silence) | None => std::future::pending().await,
                };
                Ok::<_, Infallible>(Response::builder().status(status).body(body).unwrap())
            }
        });
        Client::new(service, "default")
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap().clone();
        let short = |uri: String| match (uri.split_once("resourceVersion="), uri.split_once("?limit=500")) {
            (Some((_, from)), _) => format!("watch from {from}"),
            (None, Some((_, rest))) => format!("list{rest}"),
            (None, None) => uri,
        };
        asked.into_iter().map(short).collect()
    }
}

struct Rig {
    script: Script,
    stores: Arc<Stores>,
    sight: Arc<Sight>,
    task: JoinHandle<()>,
}

impl Rig {
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::of(Kind::Pod, answers)
    }

    fn of(kind: Kind, answers: impl IntoIterator<Item = Answer>) -> Self {
        let script = Script::new(answers);
        let (stores, sight) = (Arc::new(small_world()), Arc::new(Sight::new(vec![Freshness::new(kind, Scope::All)])));
        let reflector = Reflector {
            client: script.client(),
            kind,
            scope: Scope::All,
            stores: Arc::clone(&stores),
            sight: Arc::clone(&sight),
            index: 0,
            newest: 0,
        };
        Self { script, stores, sight, task: tokio::spawn(reflector.run()) }
    }

    fn blind(&self) -> Vec<String> {
        self.sight.blind(None, clock::monotonic())
    }

    fn pods(&self) -> Vec<String> {
        facts(&self.stores, "checkout").pods.into_iter().map(|pod| pod.name).collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn list(version: u64, next: &str, items: &[Value]) -> Answer {
    let metadata = json!({"resourceVersion": version.to_string(), "continue": next});
    Full(200, json!({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items}).to_string())
}

fn event(type_: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": type_, "object": object}))
}

fn bookmark(version: u64) -> String {
    event("BOOKMARK", &json!({"kind": "Pod", "metadata": {"resourceVersion": version.to_string()}}))
}

fn status(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "Odd", "message": "no",
        "metadata": {}})
}

fn error(code: u16) -> Answer {
    Full(code, status(code).to_string())
}

async fn after(milliseconds: u64) {
    sleep(Duration::from_millis(milliseconds)).await;
}

#[tokio::test(start_paused = true)]
async fn pages_are_put_together_and_the_watch_goes_on_from_there() {
    let events = event("ADDED", &pod("d", 31, "checkout-1")) + &event("DELETED", &pod("b", 32, "checkout-1"));
    let rig = Rig::new([
        list(30, "a+b", &[pod("b", 5, "checkout-1")]),
        list(30, "", &[pod("c", 6, "checkout-1")]),
        Open(events + &bookmark(40)),
    ]);
    after(10).await;
    assert_eq!(rig.script.asked(), ["list", "list&continue=a%2Bb", "watch from 30"]);
    assert_eq!(rig.pods(), ["c", "d"], "a was deleted while nobody watched");
    assert!(rig.blind().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_as_planned_is_opened_again_and_nobody_is_blind() {
    let rig = Rig::new([list(30, "", &[]), Full(200, bookmark(44)), Full(200, bookmark(55)), Open(String::new())]);
    after(1).await;
    assert_eq!(rig.script.asked(), ["list", "watch from 30", "watch from 44", "watch from 55"]);
    assert!(rig.blind().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_past_is_listed_anew_whether_told_by_status_or_in_the_stream() {
    for lost in [error(410), Full(200, event("ERROR", &status(410))), Full(200, "no event\n".into())] {
        let rig = Rig::new([list(30, "", &[]), lost, list(50, "", &[pod("z", 45, "checkout-1")]), Open(String::new())]);
        after(1).await;
        assert_eq!(rig.blind(), ["pods: its history was lost, it is listed anew"]);
        after(100).await;
        assert_eq!(rig.script.asked(), ["list", "watch from 30", "list", "watch from 50"]);
        assert_eq!(rig.pods(), ["z"]);
        assert!(rig.blind().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_cut_off_is_told_again() {
    let whole = event("ADDED", &pod("z", 45, "checkout-1"));
    let rig = Rig::new([list(30, "", &[]), Full(200, bookmark(31) + whole.get(..40).unwrap()), Open(whole)]);
    after(1).await;
    assert_eq!(rig.script.asked(), ["list", "watch from 30", "watch from 31"]);
    assert_eq!(rig.pods(), ["z"]);
    assert!(rig.blind().is_empty());
}

#[tokio::test(start_paused = true)]
async fn refusals_are_repeated_more_slowly_and_in_the_end_from_the_list() {
    let refused = || [error(504), error(500), error(504)];
    let rig =
        Rig::new([list(30, "", &[])].into_iter().chain(refused()).chain([list(20, "", &[]), Open(String::new())]));
    after(10).await;
    assert_eq!(rig.blind(), ["pods: the API server refuses to show them"]);
    after(500).await;
    let watches = ["watch from 30"; 3];
    assert_eq!(rig.script.asked(), [&["list"], &watches[..], &["list", "watch from 20"]].concat());
    assert!(rig.blind().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_history_that_runs_backwards_replaces_what_was_newer() {
    let mut newer = pod("a", 100, "checkout-1");
    newer["status"]["phase"] = json!("Failed");
    let rig =
        Rig::new([list(100, "", &[newer]), error(410), list(9, "", &[pod("a", 4, "checkout-1")]), Open(String::new())]);
    after(200).await;
    assert!(!facts(&rig.stores, "checkout").pods[0].finished);
}

#[tokio::test(start_paused = true)]
async fn silence_at_the_start_is_ended_by_the_deadline() {
    let rig = Rig::new([Silence, list(30, "", &[]), Silence, Open(String::new())]);
    after(10_500).await;
    assert_eq!(rig.script.asked(), ["list", "list", "watch from 30"]);
    after(10_500).await;
    assert_eq!(rig.script.asked().len(), 4);
    assert!(rig.blind().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_idle_watch_is_dead() {
    let rig = Rig::new([list(30, "", &[]), Open(bookmark(33)), Open(String::new())]);
    after(34_000).await;
    assert_eq!(rig.script.asked(), ["list", "watch from 30"]);
    after(2_000).await;
    assert_eq!(rig.script.asked(), ["list", "watch from 30", "watch from 33"]);
    assert!(rig.blind().is_empty(), "it worked until then, and was opened again at once");
}

#[tokio::test(start_paused = true)]
async fn who_cannot_get_back_is_blind_and_its_policies_are_told() {
    let rig =
        Rig::new([list(30, "", &[]), Full(200, bookmark(31)), error(503), Full(403, "no".into()), Open(String::new())]);
    after(1).await;
    rig.stores.touched().await;
    assert_eq!(rig.blind().len(), 1);
    after(200).await;
    assert!(rig.blind().is_empty());
    assert_eq!(rig.stores.touched().await, [key("checkout")].into());
}

#[tokio::test(start_paused = true)]
async fn a_malformed_object_stops_neither_list_nor_watch() {
    let odd =
        |name: &str, version: u64| json!({"metadata": owned(name, version, "ReplicaSet", "checkout-1"), "status": 3});
    let events = event("MODIFIED", &odd("b", 31)) + &event("ADDED", &pod("d", 32, "checkout-1"));
    let rig = Rig::new([list(30, "", &[odd("a", 10), pod("b", 11, "checkout-1")]), Open(events)]);
    after(10).await;
    assert_eq!(rig.pods(), ["a", "b", "d"], "what was known of it before is kept");
    assert_eq!(facts(&rig.stores, "checkout").sight.malformed, ["Pod shop/a", "Pod shop/b"]);
    assert!(rig.blind().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_the_cluster_does_not_know_blinds_nobody_and_is_found_when_it_comes() {
    let edge = route("edge", 25, "HTTPRoute", &json!([{"name": "front"}]));
    let rig = Rig::of(
        Kind::HttpRoute,
        [error(404), error(404), list(30, "", &[edge]), error(404), list(60, "", &[]), Open(String::new())],
    );
    let routes = || rig.stores.count(Kind::HttpRoute);
    let unknown = || rig.sight.blind_to(None, clock::monotonic(), |_| true);
    after(10).await;
    tokio::time::timeout(Duration::from_secs(1), rig.sight.ready()).await.expect("ready");
    assert_eq!((rig.script.asked(), rig.blind(), routes()), (vec!["list".to_owned()], vec![], 0));
    assert_eq!(unknown(), ["httproutes: the API server does not know them"], "who needs them is told");
    after(15_000).await;
    assert_eq!((rig.script.asked().len(), routes()), (2, 0));
    after(15_000).await;
    // The watch is refused: the definition went again, and what it defined with it.
    assert_eq!(rig.script.asked(), ["list", "list", "list", "watch from 30"]);
    assert_eq!((rig.blind(), routes()), (vec![], 0));
    rig.stores.touched().await;
    after(15_000).await;
    assert_eq!(rig.script.asked()[4..], ["list", "watch from 60"]);
    assert!(rig.blind().is_empty() && unknown().is_empty());
    // Nothing of the kind is there that would wake anybody.
    let woken = tokio::time::timeout(Duration::from_secs(1), rig.stores.touched()).await;
    assert_eq!(woken.expect("who was blind is told that it sees again"), [key("checkout")].into());
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_need_not_be_known_blinds_everybody_when_it_is_known_and_not_shown() {
    let rig = Rig::of(Kind::HttpRoute, [list(30, "", &[]), error(403), error(403)]);
    after(10).await;
    assert_eq!(rig.blind(), ["httproutes: the API server refuses to show them"]);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_must_be_known_and_is_not_blinds_everybody() {
    let rig = Rig::new([error(404)]);
    after(10).await;
    assert_eq!(rig.blind(), ["pods: the API server refuses to show them"]);
}

#[tokio::test(start_paused = true)]
async fn ready_is_when_everything_was_listed_once() {
    let rig = Rig::new([error(503), list(30, "", &[]), Open(String::new())]);
    tokio::time::timeout(Duration::from_secs(1), rig.sight.ready()).await.expect("ready");
}
