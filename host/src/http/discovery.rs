//! `/v1/sd/workers`: what a scraper is to scrape. Served on the API behind a token, and on the metrics listener without one: whoever may
//! read the metrics may know where the others are.

use std::{sync::Arc, time::Instant};

use axum::{Json, extract::State};
use ffrtmp_api::rest::TargetGroup;

use super::App;

/// Where the workers' metrics are, in the form of Prometheus' HTTP service discovery.
#[utoipa::path(get, path = "/v1/sd/workers", operation_id = "discover_workers", tag = "nodes",
    responses((status = 200, description = "Connected workers, and for an hour those that went without a word.", body = Vec<TargetGroup>)))]
pub async fn workers(State(app): State<Arc<App>>) -> Json<Vec<TargetGroup>> {
    Json(app.discovery.targets(Instant::now()))
}
