//! A scripted stand-in for the API server: in process, without a network, with a handful of objects.
//!
//! It shows what we send and what we make of an answer. It proves nothing about the real API server: how that one
//! treats a patch, a precondition or managed fields is tested against a real control plane in `tests/`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

pub(crate) type Objects = BTreeMap<String, Value>;

/// What is listed, by its resource.
const LISTED: [&str; 4] = ["/stablestates", "/nodes", "/pods", "/networkpolicies"];

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

/// What to do with a request instead of serving it.
pub(crate) enum Answer {
    /// Refuse it with this code and message.
    Refuse(u16, &'static str),
    /// Take it and never answer.
    Silence,
    /// Serve it, but let the answer get lost.
    Lose,
    /// Let somebody else write first, then serve it.
    After(Box<dyn FnOnce(&mut Objects) + Send>),
}

#[derive(Default)]
struct State {
    objects: Objects,
    calls: Vec<Call>,
    /// By method, and by a part of the path.
    script: VecDeque<(Method, &'static str, Answer)>,
    /// Rights that the caller does not have, as in `create pods`.
    denied: BTreeSet<String>,
    versions: u64,
}

#[derive(Clone, Default)]
pub(crate) struct Server(Arc<Mutex<State>>);

impl Server {
    /// A server with these objects, each under its path.
    pub(crate) fn with(objects: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let server = Self::default();
        for (path, object) in objects {
            server.put(path, object);
        }
        server
    }

    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.take(request).await) }
        });
        Client::new(service, "default")
    }

    pub(crate) fn put(&self, path: &str, object: Value) {
        self.state().objects.insert(path.to_owned(), object);
    }

    pub(crate) fn delete(&self, path: &str) {
        self.state().objects.remove(path);
    }

    pub(crate) fn object(&self, path: &str) -> Option<Value> {
        self.state().objects.get(path).cloned()
    }

    /// The next request with this method is answered so.
    pub(crate) fn next(&self, method: Method, answer: Answer) {
        self.next_to(method, "", answer);
    }

    /// The next request with this method, and with this in its path, is answered so.
    pub(crate) fn next_to(&self, method: Method, path: &'static str, answer: Answer) {
        self.state().script.push_back((method, path, answer));
    }

    /// From now on the caller does not have this right, as in `create pods`.
    pub(crate) fn deny(&self, right: &str) {
        self.state().denied.insert(right.to_owned());
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Requests that write.
    pub(crate) fn writes(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.method != "GET").collect()
    }

    /// The only write there was.
    pub(crate) fn only_write(&self) -> Call {
        let writes = self.writes();
        assert_eq!(writes.len(), 1, "{writes:#?}");
        writes[0].clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    async fn take(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let bytes = body.collect_bytes().await.unwrap();
        let call = Call {
            method: parts.method.to_string(),
            path: parts.uri.to_string(),
            content_type: parts.headers.get("content-type").map_or("", |v| v.to_str().unwrap()).to_owned(),
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        };
        let scripted = {
            let mut state = self.state();
            state.calls.push(call.clone());
            let found =
                state.script.iter().position(|(method, path, _)| *method == parts.method && call.path.contains(path));
            found.and_then(|index| state.script.remove(index))
        };
        let (code, object) = match scripted.map(|(.., answer)| answer) {
            Some(Answer::Refuse(code, message)) => (code, status(code, message)),
            Some(Answer::Silence) => std::future::pending().await,
            Some(Answer::Lose) => {
                self.state().serve(&call);
                std::future::pending().await
            }
            Some(Answer::After(write)) => {
                let mut state = self.state();
                write(&mut state.objects);
                state.serve(&call)
            }
            None => self.state().serve(&call),
        };
        Response::builder().status(code).body(Body::from(object.to_string().into_bytes())).unwrap()
    }
}

impl State {
    fn serve(&mut self, call: &Call) -> (u16, Value) {
        let path = call.path.split('?').next().unwrap();
        let path = path.strip_suffix("/status").unwrap_or(path);
        match call.method.as_str() {
            "GET" => match self.objects.get(path) {
                Some(object) => (200, object.clone()),
                None if LISTED.iter().any(|plural| path.ends_with(plural)) => {
                    let query = call.path.split_once("labelSelector=").map_or("", |(_, query)| query);
                    let carries = |object: &Value| {
                        let labels = &object["metadata"]["labels"];
                        query.split(',').all(|label| {
                            label.split_once('=').is_none_or(|(key, value)| labels[key].as_str() == Some(value))
                        })
                    };
                    (200, json!({"items": self.below(path).into_iter().filter(carries).collect::<Vec<_>>()}))
                }
                None => (404, status(404, "not found")),
            },
            "POST" if path.ends_with("/selfsubjectaccessreviews") => (201, self.review(&call.body)),
            "POST" => {
                let metadata = &call.body["metadata"];
                let name = metadata["name"].as_str().or(metadata["generateName"].as_str()).unwrap();
                let key = format!("{path}/{name}");
                if self.objects.contains_key(&key) {
                    return (409, status(409, "already exists"));
                }
                let mut object = call.body.clone();
                object["metadata"]["uid"] = json!("made-here");
                (201, self.store(call, &key, object))
            }
            "PUT" => match self.objects.get(path) {
                Some(old) if old["metadata"]["resourceVersion"] == call.body["metadata"]["resourceVersion"] => {
                    (200, self.store(call, path, call.body.clone()))
                }
                Some(_) => (409, status(409, "the object has been modified")),
                None => (404, status(404, "not found")),
            },
            "PATCH" => {
                let Some(mut object) = self.objects.get(path).cloned() else { return (404, status(404, "not found")) };
                let patch: json_patch::Patch = serde_json::from_value(call.body.clone()).unwrap();
                match json_patch::patch(&mut object, &patch) {
                    Ok(()) => (200, self.store(call, path, object)),
                    Err(_) => (422, status(422, "the server rejected our request due to an error in our request")),
                }
            }
            "DELETE" => {
                let Some(object) = self.objects.get(path) else { return (404, status(404, "not found")) };
                for (key, expected) in call.body["preconditions"].as_object().unwrap() {
                    if object["metadata"][key] != *expected {
                        return (409, status(409, "the precondition failed"));
                    }
                }
                (200, self.objects.remove(path).unwrap())
            }
            other => panic!("{other} is not served"),
        }
    }

    fn review(&self, body: &Value) -> Value {
        let asked = &body["spec"]["resourceAttributes"];
        let right = format!("{} {}", asked["verb"].as_str().unwrap(), asked["resource"].as_str().unwrap());
        json!({"status": {"allowed": !self.denied.contains(&right)}})
    }

    fn store(&mut self, call: &Call, path: &str, mut object: Value) -> Value {
        if call.path.contains("dryRun=All") {
            return object;
        }
        self.versions += 1;
        object["metadata"]["resourceVersion"] = json!((1000 + self.versions).to_string());
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    fn below(&self, path: &str) -> Vec<Value> {
        self.objects.iter().filter(|(key, _)| key.starts_with(path)).map(|(_, object)| object.clone()).collect()
    }
}

fn status(code: u16, message: &str) -> Value {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        _ => "Unknown",
    };
    json!({"kind": "Status", "status": "Failure", "code": code, "message": message, "reason": reason})
}
