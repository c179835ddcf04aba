//! What the kubelet and Prometheus ask: `/livez`, `/readyz`, `/metrics`. It must not offer anything that changes something.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// What the endpoints answer from.
#[derive(Clone)]
pub struct Health {
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// True once every kind was listed. A replica that does not lead is ready as well: it is ready to take over.
    pub ready: Arc<AtomicBool>,
}

/// Serves until `stopped` resolves.
///
/// # Errors
/// If the address cannot be listened on, or the server fails.
pub async fn serve(
    address: SocketAddr,
    health: Health,
    stopped: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| anyhow::anyhow!("failed to listen on {address} (--admin-address): {error}"))?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "listening");
    }
    let app = Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(health);
    axum::serve(listener, app).with_graceful_shutdown(stopped).await?;
    Ok(())
}

async fn readyz(State(health): State<Health>) -> (StatusCode, &'static str) {
    match health.ready.load(Ordering::Acquire) {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not every kind has been listed yet"),
    }
}

async fn metrics(State(health): State<Health>) -> ([(&'static str, &'static str); 1], String) {
    ([("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")], health.metrics.text())
}
