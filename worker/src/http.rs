//! The worker's own small listener: `/metrics`, `/healthz` (the process runs) and `/readyz` (the master has welcomed it).
//!
//! It answers from memory; a scrape costs nothing but printing. It takes no orders.

use std::net::SocketAddr;

use anyhow::Context;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use ffrtmp_api::tls::ServerTls;
use tokio::{net::TcpListener, sync::watch};

use crate::{metrics::Metrics, secure_listener::SecureListener};

#[derive(Clone)]
struct Shared {
    metrics: Metrics,
    connected: watch::Receiver<bool>,
}

/// Binds the listener: where asked, or on a free port if that one is taken.
pub(crate) async fn bind(asked: SocketAddr) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(asked).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let free = SocketAddr::new(asked.ip(), 0);
            let listener = TcpListener::bind(free)
                .await
                .with_context(|| format!("metrics: no free port on {}", asked.ip()))?;
            tracing::warn!(%asked, bound = %listener.local_addr()?, "the metrics port is taken; another one is used");
            Ok(listener)
        }
        Err(error) => Err(error).with_context(|| format!("metrics: cannot listen on {asked}")),
    }
}

/// Serves until dropped, over TLS if it is given. `connected` says whether the master has welcomed this worker.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<ServerTls>,
    metrics: Metrics,
    connected: watch::Receiver<bool>,
) {
    let app = Router::new()
        .route("/metrics", get(render))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Shared { metrics, connected });
    let served = match tls {
        None => axum::serve(listener, app).await,
        Some(tls) => match SecureListener::new(listener, tls) {
            Ok(listener) => axum::serve(listener, app).await,
            Err(error) => Err(error),
        },
    };
    if let Err(error) = served {
        tracing::error!(%error, "the metrics listener ended; encodes go on");
    }
}

async fn render(State(shared): State<Shared>) -> axum::response::Response {
    match shared.metrics.render() {
        Ok(text) => (
            [(header::CONTENT_TYPE, ffrtmp_api::metrics::CONTENT_TYPE)],
            text,
        )
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    match *shared.connected.borrow() {
        true => (StatusCode::OK, "ready\n"),
        false => (
            StatusCode::SERVICE_UNAVAILABLE,
            "not connected to the master\n",
        ),
    }
}
