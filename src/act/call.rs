//! The one place through which every call goes: permit, deadline, classification. Nothing is repeated here.

use std::time::Duration;

use http::{HeaderValue, Method, Request, header};
use json_patch::PatchOperation;
use kube::Client;
use serde_json::{Value, json};

use super::address::{Address, Kind};
use super::live::Live;
use super::{Error, Hands};
use crate::api::FIELD_MANAGER;
use crate::clock;

const JSON: &str = "application/json";
const DRY_RUN: &str = "dryRun=All";
/// What the API server says of a webhook that cannot be asked without an effect.
pub(super) const NO_DRY_RUN: &str = "does not support dry run";
const JSON_PATCH: &str = "application/json-patch+json";

impl Hands {
    /// Reads an object as it is in the API server now.
    pub(super) async fn get(&self, address: Address<'_>) -> Result<Value, Error> {
        self.call(request(Method::GET, &address.path()?, JSON, None)?).await
    }

    /// Reads all objects of a kind in a namespace.
    pub(super) async fn list(&self, kind: Kind, namespace: &str) -> Result<Vec<Value>, Error> {
        self.list_at(&kind.collection(namespace)?).await
    }

    /// Reads all objects of a list.
    pub(super) async fn list_at(&self, path: &str) -> Result<Vec<Value>, Error> {
        match self.call(request(Method::GET, path, JSON, None)?).await?.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
            _ => Err(Error::Transient(format!("the list {path} cannot be read"))),
        }
    }

    /// Creates the object at `address`; its name is that in `object`.
    pub(super) async fn create(&self, address: Address<'_>, object: &Value) -> Result<Value, Error> {
        let path = self.written(&address.kind.collection(address.namespace)?);
        let request = in_name_of(address, request(Method::POST, &path, JSON, Some(object))?)?;
        self.call(request).await.map_err(|error| discreet(address, error))
    }

    /// Sends one JSON Patch. After a 422 the object is read again: if it changed since `live`, that is [`Error::Moved`]
    /// (or [`Error::Gone`]); if not, the patch itself was refused: [`Error::Invalid`].
    pub(super) async fn patch(
        &self,
        address: Address<'_>,
        subresource: &str,
        before: &Version<'_>,
        operations: &[PatchOperation],
    ) -> Result<Value, Error> {
        let path = self.written(&format!("{}{subresource}", address.path()?));
        let request = request(Method::PATCH, &path, JSON_PATCH, Some(&json!(operations)))?;
        let answer = self.call(in_name_of(address, request)?).await;
        let message = match answer.map_err(|error| discreet(address, error)) {
            Err(Error::Moved(message)) => message,
            answer => return answer,
        };
        if before.uid.is_none() && before.resource_version.is_none() {
            return Err(Error::Invalid(format!("the API server refused to change {address}: {message}")));
        }
        let now = Live::new(self.get(address).await?);
        if before.uid.is_some_and(|uid| uid != now.uid()) {
            return Err(Error::Gone);
        }
        if before.resource_version.is_none_or(|version| version == now.resource_version()) {
            return Err(Error::Invalid(format!("the API server refused to change {address}: {message}")));
        }
        Err(Error::Moved(format!("{address} changed while we wrote")))
    }

    /// Deletes exactly the object that was read.
    pub(super) async fn delete(&self, address: Address<'_>, live: &Live) -> Result<(), Error> {
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": live.uid(), "resourceVersion": live.resource_version()},
        });
        let path = address.path()?;
        let path = if self.dry_run { format!("{path}?{DRY_RUN}") } else { path };
        let request = request(Method::DELETE, &path, JSON, Some(&options))?;
        self.call(in_name_of(address, request)?).await.map(|_| ())
    }

    /// Evicts a pod, if disruption budgets allow it.
    pub(super) async fn evict(&self, address: Address<'_>, eviction: &Value) -> Result<(), Error> {
        let path = format!("{}/eviction", address.path()?);
        match self.call(request(Method::POST, &path, JSON, Some(eviction))?).await {
            // What a disruption budget refuses is refused for now, and said; it is not worth hammering at.
            Err(Error::Transient(message)) if message.ends_with("(429)") => Err(Error::Invalid(message)),
            answer => answer.map(|_| ()),
        }
    }

    /// The path of a write; of one that stores nothing, if that is what these hands are for.
    fn written(&self, path: &str) -> String {
        let path = managed(path);
        if self.dry_run { format!("{path}&{DRY_RUN}") } else { path }
    }

    pub(super) async fn call(&self, request: Request<Vec<u8>>) -> Result<Value, Error> {
        if !self.permit.borrow().covers(clock::monotonic(), self.deadline) {
            return Err(Error::NoPermit);
        }
        send(&self.client, request, self.deadline).await
    }
}

/// Whoever refuses a Secret may quote it: of such an answer only its class is kept.
fn discreet(address: Address<'_>, error: Error) -> Error {
    let unquoted = || "what was said to that is not repeated, because it may quote the Secret".to_owned();
    match error {
        error if address.kind != Kind::SECRET => error,
        Error::Moved(_) => Error::Moved(unquoted()),
        Error::Forbidden(_) => Error::Forbidden(format!("to write {address}, or an admission rule refuses it")),
        Error::Invalid(said) if said.contains(NO_DRY_RUN) => {
            Error::Invalid(format!("an admission webhook for {address} {NO_DRY_RUN}"))
        }
        Error::Invalid(_) => Error::Invalid(unquoted()),
        Error::Transient(_) => Error::Transient(unquoted()),
        error => error,
    }
}

/// What a write is conditional on.
pub(super) struct Version<'a> {
    pub(super) uid: Option<&'a str>,
    pub(super) resource_version: Option<&'a str>,
}

/// Sends one request, once, and waits for its answer until the deadline.
pub(super) async fn send(client: &Client, request: Request<Vec<u8>>, deadline: Duration) -> Result<Value, Error> {
    let answer = tokio::time::timeout(deadline, client.request_text(request)).await;
    let text = answer.map_err(|_| Error::Timeout(deadline))??;
    // The text itself is not quoted: it may be a Secret.
    serde_json::from_str(&text).map_err(|error| Error::Transient(format!("the answer cannot be read: {error}")))
}

/// With the rights of the ServiceAccount that the address names, instead of ours.
fn in_name_of(address: Address<'_>, mut request: Request<Vec<u8>>) -> Result<Request<Vec<u8>>, Error> {
    if let Some(account) = address.account {
        let user = format!("system:serviceaccount:{}:{account}", address.namespace);
        let user = HeaderValue::from_str(&user)
            .map_err(|_| Error::Invalid(format!("{account:?} is not the name of a ServiceAccount")))?;
        request.headers_mut().insert("impersonate-user", user);
    }
    Ok(request)
}

/// The path of a write, in our name: so that what we own can be found, and handed back.
pub(super) fn managed(path: &str) -> String {
    format!("{path}?fieldManager={FIELD_MANAGER}")
}

pub(super) fn request(
    method: Method,
    path: &str,
    type_: &str,
    body: Option<&Value>,
) -> Result<Request<Vec<u8>>, Error> {
    let body = body.map(|value| value.to_string().into_bytes()).unwrap_or_default();
    let builder = Request::builder().method(method).uri(path).header(header::ACCEPT, JSON);
    let request = builder.header(header::CONTENT_TYPE, type_).body(body);
    request.map_err(|error| Error::Invalid(format!("{path} is not a path: {error}")))
}

/// The JSON Patch content type, for the one caller that has no `Hands` yet.
pub(super) fn patch_request(path: &str, operations: &Value) -> Result<Request<Vec<u8>>, Error> {
    request(Method::PATCH, &managed(path), JSON_PATCH, Some(operations))
}
