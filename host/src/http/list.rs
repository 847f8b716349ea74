//! `GET /v1/jobs`: what a list can be asked for, from the query of its URL.
//!
//! Parsed by hand because some parameters may be given several times, and because what is wrong is to be named.

use std::{fmt::Display, str::FromStr, sync::Arc};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use ffrtmp_api::{limits, rest::JobList};

use super::{App, error::ApiError, jobs};
use crate::store::{Cursor, JobFilter};

/// The parameters there are.
const KNOWN: [&str; 10] = [
    "state", "queue", "priority", "label", "node", "since_ms", "until_ms", "sort", "limit",
    "cursor",
];

/// Lists jobs, a page at a time.
pub async fn list(
    State(app): State<Arc<App>>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<JobList>, ApiError> {
    let Query(pairs) = query.map_err(|e| ApiError::bad_field("query", e.body_text()))?;
    let filter = parse(pairs)?;
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
            "node" => filter.node = Some(value),
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
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(ApiError::bad_field(
            "label",
            format!(
                "{:?} is not KEY=VALUE (in a URL: label=KEY%3DVALUE)",
                short(value)
            ),
        )),
    }
}

/// As much of what was given as a message needs.
fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
