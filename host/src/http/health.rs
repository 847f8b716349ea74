//! Whether the master runs, and whether it can do its work.

use std::sync::Arc;

use axum::{Json, extract::State};
use ffrtmp_api::{
    protocol,
    rest::{Readiness, Version},
};

use super::{App, document::NotNow, error::ApiError};

/// What speaks.
#[utoipa::path(get, path = "/v1/version", operation_id = "version", tag = "system",
    responses((status = 200, description = "The versions.", body = Version)))]
pub async fn version() -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION").into(),
        protocol: protocol::VERSION,
    })
}

/// Whether the process runs.
#[utoipa::path(get, path = "/healthz", operation_id = "alive", tag = "system",
    responses((status = 200, description = "It does.", body = Version)))]
pub async fn alive() -> Json<Version> {
    version().await
}

/// Whether it serves, and can make things durable.
#[utoipa::path(get, path = "/readyz", operation_id = "ready", tag = "system",
    responses((status = 200, description = "It does.", body = Readiness), NotNow))]
pub async fn ready(State(app): State<Arc<App>>) -> Result<Json<Readiness>, ApiError> {
    if app.shell.is_read_only() {
        Err(ApiError::not_ready())
    } else {
        Ok(Json(Readiness { ready: true }))
    }
}
