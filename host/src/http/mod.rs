//! The HTTP API: `/v1`, JSON, bearer token. Turns requests into events for the core and rows of the store into answers;
//! decides nothing itself.

mod auth;
mod download;
mod error;
mod jobs;
mod nodes;
mod origin;
mod outputs;
mod serve;
mod session;
mod uploads;
mod watch;

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    middleware,
    response::IntoResponse,
    routing::{get, post},
};
use ffrtmp_api::{limits, protocol, rest::Version};

use crate::{
    live::Live, metrics, metrics::Metrics, policy::PolicyHost, shell::Shell, spool::Spool,
    store::Reader,
};

pub use auth::Token;
use error::ApiError;
pub use serve::serve;

/// What every handler needs.
#[derive(Debug)]
pub struct App {
    /// The core.
    pub shell: Shell,
    /// The store, for questions.
    pub reader: Arc<Reader>,
    /// Files of users without shared storage.
    pub spool: Arc<Spool>,
    /// Progress and logs of what runs.
    pub live: Arc<Live>,
    /// The policies.
    pub policies: Arc<PolicyHost>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// How long a worker's session may be silent before it is closed.
    pub silence_max: Duration,
    /// The token every caller must show, if there is one.
    pub token: Option<Token>,
}

/// The API's routes.
pub fn api(app: Arc<App>) -> Router {
    let v1 = Router::new()
        .route("/jobs", post(jobs::submit).get(jobs::list))
        .route("/jobs/batch", post(jobs::submit_batch))
        .route("/jobs/{job}", get(jobs::show))
        .route("/jobs/{job}/watch", get(watch::watch))
        .route("/jobs/{job}/logs", get(jobs::logs))
        .route("/jobs/{job}/cancel", post(jobs::cancel))
        .route("/jobs/{job}/pause", post(jobs::pause))
        .route("/jobs/{job}/resume", post(jobs::resume))
        .route("/nodes", get(nodes::list))
        .route("/policies", get(nodes::policies))
        .route("/uploads", post(uploads::create))
        .route(
            "/uploads/{id}",
            get(uploads::show)
                .patch(uploads::receive)
                .delete(uploads::remove),
        )
        .route("/uploads/{id}/content", get(outputs::content))
        .route(
            "/jobs/{job}/output",
            get(outputs::fetch).delete(outputs::remove),
        )
        .route(
            "/jobs/{job}/attempts/{attempt}/output",
            post(outputs::announce),
        )
        .route(
            "/jobs/{job}/attempts/{attempt}/publish",
            post(outputs::publish),
        )
        .route("/worker/session", get(session::open))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            auth::require_token,
        ))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            origin::refuse_other_sites,
        ))
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES_MAX));
    Router::new()
        .nest("/v1", v1)
        .route("/v1/version", get(version))
        .route("/healthz", get(version))
        .route("/readyz", get(ready))
        .fallback(|| async { ApiError::no_route() })
        .method_not_allowed_fallback(|| async { ApiError::no_method() })
        .with_state(app)
}

/// The metrics listener's routes.
pub fn metrics_routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/metrics", get(exposition))
        .route("/healthz", get(version))
        .route("/readyz", get(ready))
        .with_state(app)
}

async fn version() -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION").into(),
        protocol: protocol::VERSION,
    })
}

/// Serving, and able to make things durable.
async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, ApiError> {
    if app.shell.is_read_only() {
        Err(ApiError::read_only())
    } else {
        Ok("ready\n")
    }
}

async fn exposition(State(app): State<Arc<App>>) -> Result<impl IntoResponse, ApiError> {
    let text = app.metrics.render().map_err(ApiError::internal)?;
    Ok((
        StatusCode::OK,
        [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)],
        text,
    ))
}
