//! The routes of [psantana5/ffmpeg-rtmp](https://github.com/psantana5/ffmpeg-rtmp) that its clients use, in its shapes, so that
//! scripts written for it go on working.
//!
//! Each is one of ours with another face: it goes through the same handler and the same checks, and its errors are ours (JSON,
//! where upstream wrote plain text). A list is bounded; upstream's was not.

mod request;
mod shapes;

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
};
use ffrtmp_api::{limits, schema::PageLimit};
use utoipa::IntoParams;

use super::{
    App,
    audit::AboutJobs,
    body::Body,
    document::{Conflict, NotFound, NotNow, ReadOnly},
    error::ApiError,
    jobs, list, nodes,
};
use crate::{clock, tokens::Caller};

use request::JobRequest;
use shapes::{Canceled, Job, Jobs, Nodes};

/// Takes one job, in upstream's shape. Answers when it is durable.
#[utoipa::path(post, path = "/jobs", operation_id = "upstream_submit_job", tag = "upstream", request_body = JobRequest,
    responses((status = 201, description = "Accepted, and durable.", body = Job), ReadOnly))]
pub async fn submit(
    State(app): State<Arc<App>>,
    caller: Extension<Caller>,
    Body(request): Body<JobRequest>,
) -> Result<(StatusCode, Extension<AboutJobs>, Json<Job>), ApiError> {
    let spec = request.into_spec()?;
    let (_, about, Json(submitted)) =
        jobs::submit(State(app.clone()), caller, Body(spec.into())).await?;
    let job = jobs::show(State(app), Path(submitted.id.to_string())).await?;
    Ok((StatusCode::CREATED, about, Json(job.0.into())))
}

/// How much of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // describes what `list` takes
pub struct Limit {
    /// At most so many; 1,000 without.
    #[param(inline, value_type = Option<PageLimit>)]
    limit: String,
}

/// Lists jobs in upstream's shape, newest first.
#[utoipa::path(get, path = "/jobs", operation_id = "upstream_list_jobs", tag = "upstream", params(Limit),
    responses((status = 200, description = "The newest jobs.", body = Jobs)))]
pub async fn list(
    app: State<Arc<App>>,
    caller: Extension<Caller>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Jobs>, ApiError> {
    let Query(mut pairs) = query.map_err(|e| ApiError::bad_field("query", e.body_text()))?;
    if let Some((name, _)) = pairs.iter().find(|(name, _)| name != "limit") {
        let message = format!("unknown parameter {name:?}; known is limit");
        return Err(ApiError::bad_field("query", message));
    }
    if pairs.is_empty() {
        pairs.push(("limit".to_owned(), limits::LIST_LIMIT_MAX.to_string()));
    }
    let Json(page) = list::list(app, caller, Ok(Query(pairs))).await?;
    Ok(Json(page.jobs.into()))
}

/// Shows a job in upstream's shape.
#[utoipa::path(get, path = "/jobs/{job}", operation_id = "upstream_show_job", tag = "upstream", params(jobs::JobPath),
    responses((status = 200, description = "The job.", body = Job), NotFound))]
pub async fn show(app: State<Arc<App>>, job: Path<String>) -> Result<Json<Job>, ApiError> {
    Ok(Json(jobs::show(app, job).await?.0.into()))
}

/// Ends a job. One that runs is still `processing` until its ffmpeg has ended.
#[utoipa::path(post, path = "/jobs/{job}/cancel", operation_id = "upstream_cancel_job", tag = "upstream", params(jobs::JobPath),
    responses((status = 200, description = "It was told.", body = Canceled), NotFound, Conflict, ReadOnly))]
pub async fn cancel(app: State<Arc<App>>, job: Path<String>) -> Result<Json<Canceled>, ApiError> {
    let Json(job) = jobs::cancel(app, job).await?;
    Ok(Json(Canceled::new(job.uuid)))
}

/// Lists workers in upstream's shape, by name.
#[utoipa::path(get, path = "/nodes", operation_id = "upstream_list_nodes", tag = "upstream",
    responses((status = 200, description = "All of them.", body = Nodes), NotNow))]
pub async fn list_nodes(app: State<Arc<App>>) -> Result<Json<Nodes>, ApiError> {
    let Json(list) = nodes::list(app).await?;
    Ok(Json(Nodes::new(list.nodes, clock::wall_ms())))
}
