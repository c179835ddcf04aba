//! Contract tests: what we send to the API server for each remediation, and what we make of each answer.
//!
//! They run against a scripted stand-in (see [`server`]); claims about the real API server are tested elsewhere.

mod config_map;
mod cut;
mod deployment;
mod fields;
mod namespace;
mod neighbour;
mod network;
mod node;
mod pod;
mod pre_scale;
mod record;
mod recreate;
mod rehearse;
mod renew;
mod route;
mod seal;
mod secret;
pub(crate) mod server;
mod service;
mod stable_state;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Effect, Error, Hands, Receipt, Sealer};
use crate::api::policy::TargetRef;
use crate::api::recovery::ObjectRef;
use crate::api::stable_state::{Evidence, Member, Record};
use crate::api::{Remediation, StableState, StableStateSpec, Step, StepState};
use crate::clock;
use crate::leader::Permit;
use crate::plan::content;
use server::Server;

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/checkout";
const CONFIG_MAP: &str = "/api/v1/namespaces/shop/configmaps/settings";
const STATE: &str = "/apis/homeostat.dev/v1alpha1/namespaces/shop/stablestates/checkout-1";
const RECOVERY: &str = "checkout-r1";

/// Hands with a permit for an hour, and a deadline of one second.
fn hands(server: &Server) -> Hands {
    hands_until(server, Duration::from_secs(3600))
}

fn hands_until(server: &Server, valid_for: Duration) -> Hands {
    let (_, permit) = watch::channel(Permit { until: clock::monotonic() + valid_for });
    Hands::new(server.client(), permit, Arc::new(sealer()), Duration::from_secs(1))
}

fn sealer() -> Sealer {
    Sealer::new(&[7; 32], "key-1").unwrap()
}

async fn perform(server: &Server, step: &Step) -> Result<Effect, Error> {
    hands(server).perform("shop", RECOVERY, "checkout-1", Some("mender"), step).await
}

/// The receipt of a step that must not fail.
async fn receipt(server: &Server, step: &Step) -> Receipt {
    perform(server, step).await.unwrap().receipt
}

fn step(remediation: Remediation, kind: &str, name: &str, from: &str, to: &str) -> Step {
    let object = ObjectRef { kind: kind.into(), name: name.into(), uid: "u-1".into() };
    let (from, to) = (from.to_owned(), to.to_owned());
    Step {
        remediation,
        object,
        intent: String::new(),
        from,
        to,
        change: String::new(),
        refused: String::new(),
        keeps: vec![],
        leftovers: vec![],
        state: StepState::Planned,
        acknowledged: None,
    }
}

/// An object with a uid and a version, and what `more` adds to its metadata.
fn object(kind: &str, name: &str, more: Value, rest: Value) -> Value {
    let mut object = rest;
    object["kind"] = json!(kind);
    object["metadata"] = more;
    object["metadata"]["name"] = json!(name);
    object["metadata"]["namespace"] = json!("shop");
    object["metadata"]["uid"] = json!("u-1");
    object["metadata"]["resourceVersion"] = json!("7");
    object
}

/// The first operations of every patch.
fn tests() -> Vec<Value> {
    vec![
        json!({"op": "test", "path": "/metadata/uid", "value": "u-1"}),
        json!({"op": "test", "path": "/metadata/resourceVersion", "value": "7"}),
    ]
}

fn guarded(operations: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(tests().into_iter().chain(operations).collect())
}

fn digest(content: &Value) -> String {
    content::digest(&content::canonical(content))
}

fn member(kind: &str, name: &str, content: &Value, copy: &str) -> Member {
    let text = content::canonical(content);
    Member {
        kind: kind.into(),
        name: name.into(),
        absent: false,
        digest: content::digest(&text),
        content: if copy.is_empty() { text } else { String::new() },
        copy: copy.into(),
        creation: String::new(),
        owner: None,
    }
}

fn evidence() -> Evidence {
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().into();
    Evidence {
        from: at("2026-01-01T10:00:00.123456Z"),
        to: at("2026-01-01T10:05:00Z"),
        replicas: 3,
        restarts: 0,
        time_to_ready_seconds: 12,
        checks: vec![],
    }
}

fn target() -> TargetRef {
    TargetRef { api_version: "apps/v1".into(), kind: "Deployment".into(), name: "checkout".into() }
}

/// A sealed state with these members, as the API server would answer it.
fn state(members: Vec<Member>) -> Value {
    let digest = "d".repeat(64);
    let (policy, groups, evidence) = ("checkout".into(), vec![], evidence());
    let record = Record { policy, target: target(), digest, groups, members, evidence };
    let seal = sealer().seal("shop", "checkout-1", &record).unwrap();
    let mut state = StableState::new("checkout-1", StableStateSpec { record, seal, review: None });
    state.metadata.namespace = Some("shop".into());
    state.metadata.uid = Some("s-1".into());
    state.metadata.resource_version = Some("3".into());
    serde_json::to_value(state).unwrap()
}
