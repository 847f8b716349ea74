//! The HTTP API: `/v1`, JSON, bearer token. Turns requests into events for the core and rows of the store into answers;
//! decides nothing itself.
//!
//! To add a route: write a handler with `#[utoipa::path]` (see `jobs`), name it in [`guarded_routes`], and say in `access` who
//! may use it. Then `make openapi`.

mod access;
mod audit;
mod auth;
mod body;
mod discovery;
mod document;
mod download;
mod envelope;
mod error;
mod events;
mod explain;
mod handshake;
mod health;
mod jobs;
mod list;
mod logs;
mod metrics;
mod nodes;
mod origin;
mod outputs;
mod peer;
mod policies;
mod policy_log;
mod presets;
mod rate;
mod serve;
mod session;
mod tokens;
mod uploads;
mod upstream;
mod watch;
mod webhooks;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    middleware,
    response::IntoResponse,
    routing::get,
};
use ffrtmp_api::limits;
use utoipa::openapi::OpenApi;
use utoipa_axum::routes;

use crate::{
    discovery::Discovery, live::Live, metrics::Metrics, policy::PolicyHost, presets::Presets,
    shell::Shell, spool::Spool, store::Reader, tokens::Tokens, webhooks::Webhooks,
};

use document::Routes;
use error::ApiError;
pub use metrics::HttpMetrics;
pub use rate::RateLimit;
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
    /// What jobs can name.
    pub presets: Arc<Presets>,
    /// Whether jobs may bring raw ffmpeg arguments of their own.
    pub raw_args: bool,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Where the workers' metrics are.
    pub discovery: Discovery,
    /// How long a worker's session may be silent before it is closed.
    pub silence_max: Duration,
    /// The tokens callers show.
    pub tokens: Tokens,
    /// What jobs tell web servers.
    pub webhooks: Arc<Webhooks>,
    /// Whether workers must show a certificate.
    pub workers_show_certs: bool,
    /// How often one caller may ask.
    pub rate: Arc<RateLimit>,
}

/// The routes that need no token.
fn open_routes() -> Routes {
    Routes::new()
        .path(routes!(health::version))
        .path(routes!(health::alive))
        .path(routes!(health::ready))
        .path(routes!(document::openapi_json))
        .path(routes!(document::page::docs))
        .path(routes!(document::page::docs_file))
}

/// The routes that need one, if there is one.
fn guarded_routes() -> Routes {
    Routes::new()
        .path(routes!(jobs::submit, list::list))
        .path(routes!(jobs::submit_batch))
        .path(routes!(jobs::show, jobs::change))
        .path(routes!(watch::watch))
        .path(routes!(logs::logs))
        .path(routes!(jobs::cancel))
        .path(routes!(jobs::stop))
        .path(routes!(jobs::pause))
        .path(routes!(jobs::resume))
        .path(routes!(jobs::retry))
        .path(routes!(explain::history))
        .path(routes!(explain::explain))
        .path(routes!(explain::stats))
        .path(routes!(events::events))
        .path(routes!(uploads::create))
        .path(routes!(uploads::show, uploads::receive, uploads::remove))
        .path(routes!(outputs::content))
        .path(routes!(outputs::fetch, outputs::remove))
        .path(routes!(outputs::announce, outputs::show, outputs::receive))
        .path(routes!(outputs::publish))
        .path(routes!(nodes::list))
        .path(routes!(nodes::show, nodes::remove))
        .path(routes!(nodes::drain))
        .path(routes!(nodes::undrain))
        .path(routes!(discovery::workers))
        .path(routes!(tokens::list, tokens::create))
        .path(routes!(tokens::revoke))
        .path(routes!(tokens::join))
        .path(routes!(policies::list))
        .path(routes!(policy_log::policy_log))
        .path(routes!(policies::describe))
        .path(routes!(policies::dump))
        .path(routes!(policies::activate))
        .path(routes!(policies::disable))
        .path(routes!(policies::enable))
        .path(routes!(policies::unpin))
        .path(routes!(policies::shadow))
        .path(routes!(policies::unshadow))
        .path(routes!(policies::rollback))
        .path(routes!(webhooks::list))
        .path(routes!(webhooks::test))
        .path(routes!(webhooks::secret))
        .path(routes!(webhooks::of_job))
        .path(routes!(webhooks::retry))
        .path(routes!(presets::list))
        .path(routes!(presets::show))
        .path(routes!(session::open))
        .path(routes!(upstream::submit, upstream::list))
        .path(routes!(upstream::show))
        .path(routes!(upstream::cancel))
        .path(routes!(upstream::list_nodes))
}

/// The document of the API.
fn document() -> OpenApi {
    document::describe(
        open_routes().into_parts().1,
        guarded_routes().into_parts().1,
    )
}

/// The API.
pub fn api(app: Arc<App>) -> Router {
    let (open, _) = open_routes().into_parts();
    let (guarded, _) = guarded_routes().into_parts();
    let open = open.layer(middleware::from_fn_with_state(
        app.clone(),
        rate::limit_open,
    ));
    let guarded = guarded
        .layer(middleware::from_fn_with_state(
            app.clone(),
            rate::limit_guarded,
        ))
        .layer(middleware::from_fn_with_state(app.clone(), auth::admit))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            rate::limit_strangers,
        ))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            origin::refuse_other_sites,
        ))
        .layer(middleware::from_fn(audit::audit))
        .layer(DefaultBodyLimit::max(limits::BODY_BYTES_MAX));
    open.merge(guarded)
        .fallback(|| async { ApiError::no_route() })
        .method_not_allowed_fallback(|| async { ApiError::no_method() })
        .layer(middleware::from_fn(envelope::envelope))
        .layer(middleware::from_fn_with_state(
            app.metrics.http.clone(),
            metrics::count,
        ))
        .with_state(app)
}

/// The metrics listener's routes.
pub fn metrics_routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/metrics", get(exposition))
        .route("/v1/sd/workers", get(discovery::workers))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .with_state(app)
}

async fn exposition(State(app): State<Arc<App>>) -> Result<impl IntoResponse, ApiError> {
    let text = app.metrics.render().map_err(ApiError::internal)?;
    Ok((
        StatusCode::OK,
        [(header::CONTENT_TYPE, ffrtmp_api::metrics::CONTENT_TYPE)],
        text,
    ))
}
