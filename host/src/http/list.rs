//! `GET /v1/jobs`: what a list can be asked for, from the query of its URL.
//!
//! Parsed by hand because some parameters may be given several times, and because what is wrong is to be named.

use std::{fmt::Display, str::FromStr, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Query, State, rejection::QueryRejection},
};
use ffrtmp_api::{
    job::{JobState, Priority, Queue},
    limits,
    rest::{JobList, JobSort},
    schema::{LabelPair, PageCursor, PageLimit, ShortText},
};
use utoipa::IntoParams;

use super::{App, auth, error::ApiError, jobs};
use crate::{
    store::{Cursor, JobFilter},
    tokens::Caller,
};

/// The parameters there are.
const KNOWN: [&str; 10] = [
    "state", "queue", "priority", "label", "node", "since_ms", "until_ms", "sort", "limit",
    "cursor",
];

/// What a list can be asked for. Conditions are joined by *and*, the values of one by *or*.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // describes what `parse` takes
pub struct ListQuery {
    /// In this state, or one of these.
    #[param(inline, value_type = Option<Vec<JobState>>)]
    state: String,
    /// In this lane, or one of these.
    #[param(inline, value_type = Option<Vec<Queue>>)]
    queue: String,
    /// Of this urgency, or one of these.
    #[param(inline, value_type = Option<Vec<Priority>>)]
    priority: String,
    /// With this label, `KEY=VALUE`, or all of these.
    #[param(inline, value_type = Option<Vec<LabelPair>>)]
    label: String,
    /// Whose latest attempt is or was on this worker.
    #[param(inline, value_type = Option<ShortText>)]
    node: String,
    /// Accepted at or after this time, milliseconds since 1970.
    since_ms: Option<i64>,
    /// Accepted before this time, milliseconds since 1970.
    until_ms: Option<i64>,
    /// In this order; the newest first without.
    #[param(inline, value_type = Option<JobSort>)]
    sort: String,
    /// At most so many; 100 without. A page may hold fewer, even none, and still have a next one.
    #[param(inline, value_type = Option<PageLimit>)]
    limit: String,
    /// From here on: `next_cursor` of the page before, with the same conditions and order.
    #[param(inline, value_type = Option<PageCursor>)]
    cursor: String,
}

/// Lists jobs, a page at a time.
#[utoipa::path(get, path = "/v1/jobs", operation_id = "list_jobs", tag = "jobs", params(ListQuery),
    responses((status = 200, description = "One page.", body = JobList)))]
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<JobList>, ApiError> {
    let Query(pairs) = query.map_err(|e| ApiError::bad_field("query", e.body_text()))?;
    let mut filter = parse(pairs)?;
    auth::narrow(&caller, &mut filter.labels);
    let page = jobs::read(&app, move |reader| reader.jobs(&filter)).await?;
    Ok(Json(JobList {
        jobs: jobs::describe(&app, page.jobs).await?,
        next_cursor: page.next.map(Cursor::to_text),
    }))
}

/// What a query asks for.
///
/// # Errors
/// Names the parameter, what was given and what is accepted.
pub fn parse(pairs: Vec<(String, String)>) -> Result<JobFilter, ApiError> {
    let mut filter = JobFilter {
        limit: limits::LIST_LIMIT_DEFAULT,
        ..JobFilter::default()
    };
    let mut cursor = None;
    let mut once: Vec<&'static str> = Vec::new();
    for (name, value) in pairs {
        let Some(known) = KNOWN.into_iter().find(|known| *known == name) else {
            return Err(ApiError::bad_field(
                "query",
                format!(
                    "unknown parameter {:?}; known are {}",
                    short(&name),
                    KNOWN.join(", ")
                ),
            ));
        };
        let repeatable = matches!(known, "state" | "queue" | "priority" | "label");
        if !repeatable && once.contains(&known) {
            return Err(ApiError::bad_field(
                known,
                "given more than once; only state, queue, priority and label may be repeated",
            ));
        }
        once.push(known);
        match known {
            "state" => filter.states.push(word(known, &value)?),
            "queue" => filter.queues.push(word(known, &value)?),
            "priority" => filter.priorities.push(word(known, &value)?),
            "label" => filter.labels.push(label(&value)?),
            "node" => filter.node = Some(bounded(known, value)?),
            "since_ms" => filter.since_ms = Some(number(known, &value)?),
            "until_ms" => filter.until_ms = Some(number(known, &value)?),
            "sort" => filter.sort = word(known, &value)?,
            "limit" => filter.limit = limit(&value)?,
            _ => cursor = Some(value),
        }
    }
    if filter.labels.len() > limits::LABELS_MAX {
        return Err(ApiError::bad_field(
            "label",
            format!(
                "{} labels; a job has at most {}",
                filter.labels.len(),
                limits::LABELS_MAX
            ),
        ));
    }
    filter.after = cursor
        .map(|text| Cursor::parse(&text, filter.sort))
        .transpose()
        .map_err(|why| ApiError::bad_field("cursor", why))?;
    Ok(filter)
}

fn word<T: FromStr<Err = String>>(field: &str, value: &str) -> Result<T, ApiError> {
    value.parse().map_err(|why| ApiError::bad_field(field, why))
}

fn number<T: FromStr<Err: Display>>(field: &str, value: &str) -> Result<T, ApiError> {
    value.parse().map_err(|_| {
        ApiError::bad_field(field, format!("{:?} is not a whole number", short(value)))
    })
}

fn limit(value: &str) -> Result<usize, ApiError> {
    let limit: u64 = number("limit", value)?;
    if limit == 0 || limit > limits::LIST_LIMIT_MAX as u64 {
        return Err(ApiError::bad_field(
            "limit",
            format!("must be between 1 and {}", limits::LIST_LIMIT_MAX),
        ));
    }
    Ok(limit as usize)
}

fn label(value: &str) -> Result<(String, String), ApiError> {
    match value.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((
            bounded("label", key.to_owned())?,
            bounded("label", value.to_owned())?,
        )),
        _ => Err(ApiError::bad_field(
            "label",
            format!(
                "{:?} is not KEY=VALUE (in a URL: label=KEY%3DVALUE)",
                short(value)
            ),
        )),
    }
}

/// A text that a name or a label could be.
fn bounded(field: &str, text: String) -> Result<String, ApiError> {
    if text.len() > limits::NAME_BYTES_MAX {
        let bytes = text.len();
        return Err(ApiError::bad_field(
            field,
            format!(
                "{bytes} bytes are longer than any there can be; at most {}",
                limits::NAME_BYTES_MAX
            ),
        ));
    }
    if let Some(what) = ffrtmp_api::text::unfit(&text) {
        return Err(ApiError::bad_field(
            field,
            format!("holds {what}, which no name has"),
        ));
    }
    Ok(text)
}

/// As much of what was given as a message needs.
fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
