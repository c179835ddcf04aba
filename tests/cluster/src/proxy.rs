//! A proxy in front of the API server, one per operator: it cuts the connection, and holds back the answer to a chosen
//! request so that the operator can be killed between effect and knowledge.
//!
//! HTTP/1.1 on loopback, streams included, no upgrades (exec, port-forward). It adds no credentials of its own, and
//! changes no request and no answer.

mod link;
mod record;

use std::convert::Infallible;
use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result};
use http::{HeaderName, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::client::Body;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use link::Cut;
use link::{Link, Relay};
pub use record::{Hold, ProxiedRequest};
use record::{Journal, Point};

/// A running proxy. Dropping it ends it and all connections through it.
pub struct Proxy {
    url: String,
    shared: Arc<Shared>,
    server: JoinHandle<Infallible>,
}

struct Shared {
    upstream: Client,
    link: Link,
    journal: Journal,
    released: watch::Sender<u64>,
}

impl Proxy {
    /// Listens on a free port. `upstream` reaches the API server and has no credentials.
    pub(crate) async fn start(upstream: Client) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen on loopback")?;
        let url = format!("http://{}", listener.local_addr()?);
        let (link, journal, released) = (Link::default(), Journal::default(), watch::Sender::default());
        let shared = Arc::new(Shared { upstream, link, journal, released });
        let server = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { url, shared, server })
    }

    /// What to put into a kubeconfig as the server.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Cuts every connection, until [`Proxy::restore`].
    pub fn cut(&self, cut: Cut) {
        self.shared.link.cut(cut);
    }

    /// Lets new requests through again. What went silent stays silent: the caller has to notice by itself.
    pub fn restore(&self) {
        self.shared.link.restore();
    }

    /// From now on, lets the `n`-th effective write (the first is 1) reach the API server and withholds its answer for
    /// ever. Replaces a hold that has not been reached. See [`ProxiedRequest::is_effective_write`].
    pub fn hold_after_write(&self, n: usize) -> Hold {
        self.shared.journal.hold(n, Point::After)
    }

    /// Like [`Proxy::hold_after_write`], but the write does not reach the API server until [`Proxy::release`].
    pub fn hold_before_write(&self, n: usize) -> Hold {
        self.shared.journal.hold(n, Point::Before)
    }

    /// Like [`Proxy::hold_before_write`], for the next write whose path ends like this.
    pub fn hold_before_write_to(&self, path_end: &str) -> Hold {
        self.shared.journal.hold_from(path_end, 1, Point::Before)
    }

    /// Like [`Proxy::hold_after_write`], for the next write whose path ends like this.
    pub fn hold_after_write_to(&self, path_end: &str) -> Hold {
        self.shared.journal.hold_from(path_end, 1, Point::After)
    }

    /// Like [`Proxy::hold_after_write`], for the `n`th write of an operator's incident: the first is the one that records
    /// it. What a status says before that is no part of it, and how often it says it depends on the machine.
    pub fn hold_after_write_of_incident(&self, n: usize) -> Hold {
        self.shared.journal.hold_from("/recoveries", n, Point::After)
    }

    /// Lets the write that is held before the API server go on.
    pub fn release(&self) {
        self.shared.released.send_modify(|count| *count += 1);
    }

    /// All writing requests so far, in the order of their arrival; see [`ProxiedRequest::background`] and
    /// [`ProxiedRequest::dry_run`] for those that change nothing of interest.
    pub fn writes(&self) -> Vec<ProxiedRequest> {
        self.shared.journal.select(ProxiedRequest::is_write)
    }

    /// All requests so far, also reads.
    pub fn requests(&self) -> Vec<ProxiedRequest> {
        self.shared.journal.select(|_| true)
    }

    /// Waits for a request that satisfies the predicate: one that was seen before counts too, and each is looked at
    /// again when its answer has come.
    pub async fn wait_for(
        &self,
        what: &str,
        deadline: std::time::Duration,
        predicate: impl Fn(&ProxiedRequest) -> bool,
    ) -> Result<ProxiedRequest> {
        self.shared.journal.wait_for(what, deadline, predicate).await
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: wait until a connection ends.
                    eprintln!("cluster: the proxy cannot accept a connection: {error}");
                    if connections.join_next().await.is_none() {
                        tokio::task::yield_now().await;
                    }
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let refused = shared.link.refused();
    // Only a delay is at stake.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        biased;
        () = refused => {}
        // Broken connections are what this proxy is for; the caller sees them.
        _ = connection => {}
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Relay>> {
    let silenced = shared.link.silenced();
    tokio::select! {
        biased;
        () = silenced => pending().await,
        response = forward(request, &shared) => response,
    }
}

/// An error breaks the connection, as an API server that went away would.
async fn forward(request: Request<Incoming>, shared: &Shared) -> Result<Response<Relay>> {
    let silenced = shared.link.silenced();
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let (number, hold) = shared.journal.arrived(&parts.method, &parts.uri, &body);
    let hold = match hold {
        Some((Point::Before, reached)) => {
            let mut released = shared.released.subscribe();
            shared.journal.reached(reached, number);
            // Ends with an error only together with the proxy.
            let _ = released.changed().await;
            None
        }
        Some((Point::After, reached)) => Some(reached),
        None => None,
    };

    remove_connection_headers(&mut parts.headers);
    parts.headers.remove(header::HOST);
    let response = shared.upstream.send(Request::from_parts(parts, Body::from(body))).await?;
    shared.journal.answered(number, response.status());
    if let Some(reached) = hold {
        shared.journal.reached(reached, number);
        return pending().await;
    }
    let (mut parts, body) = response.into_parts();
    remove_connection_headers(&mut parts.headers);
    Ok(Response::from_parts(parts, Relay::new(body, silenced)))
}

/// What belongs to one connection must not go over the next; the length of the body does, and stays.
fn remove_connection_headers(headers: &mut http::HeaderMap) {
    const NAMES: [HeaderName; 4] =
        [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, HeaderName::from_static("keep-alive")];
    for name in NAMES {
        headers.remove(name);
    }
}
