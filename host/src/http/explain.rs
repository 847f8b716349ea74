//! What happened to a job and why it is where it is; the cluster in numbers.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use ffrtmp_api::{
    job::JobState,
    rest::{Explanation, JobHistory, Stats, Waiting},
};

use super::{
    App,
    document::NotFound,
    error::ApiError,
    jobs::{JobPath, find, read},
};
use crate::core::{Event, Reply, record::JobRow};

/// Everything that happened to a job, oldest first.
#[utoipa::path(get, path = "/v1/jobs/{job}/history", operation_id = "job_history", tag = "jobs", params(JobPath),
    responses((status = 200, description = "Its lines; at most the last 1,000.", body = JobHistory), NotFound))]
pub async fn history(
    State(app): State<Arc<App>>,
    Path(job): Path<String>,
) -> Result<Json<JobHistory>, ApiError> {
    let id = find(&app, job.parse()?).await?.seq;
    let entries = read(&app, move |reader| reader.history(id)).await?;
    Ok(Json(JobHistory { id, entries }))
}

/// Why a job is where it is.
#[utoipa::path(get, path = "/v1/jobs/{job}/explain", operation_id = "explain_job", tag = "jobs", params(JobPath),
    responses((status = 200, description = "For what it waits, which workers could take it, what happened so far.", body = Explanation), NotFound))]
pub async fn explain(
    State(app): State<Arc<App>>,
    Path(job): Path<String>,
) -> Result<Json<Explanation>, ApiError> {
    let id = find(&app, job.parse()?).await?.seq;
    // The core is asked first: its answer comes behind the commit of what it knows, so the row read then is no older.
    let (explained, choice) = match app
        .shell
        .ask(|reply| Event::Explain { job: id, reply })
        .await
    {
        Ok(Reply::Explained { waits, choice }) => (waits, choice),
        // While the store is read-only nobody knows why; the rest is told all the same.
        Err(_) => (None, None),
        Ok(_) => return Err(ApiError::internal("not an explanation")),
    };
    let row = find(&app, ffrtmp_api::ids::JobRef::Seq(id)).await?;
    let entries = read(&app, move |reader| reader.history(id)).await?;
    let explained = explained.filter(|_| row.status.state == JobState::Pending);
    // One of an earlier attempt would explain nothing.
    let placed = row.status.attempt;
    let is_placed = row.status.state != JobState::Pending;
    let choice = choice.filter(|choice| is_placed && choice.attempt == placed);
    let (waiting, nodes, nodes_left_out) = match explained {
        Some(explained) => (
            Some(explained.waiting),
            explained.nodes,
            explained.nodes_left_out,
        ),
        None => (None, Vec::new(), 0),
    };
    Ok(Json(Explanation {
        id,
        state: row.status.state,
        summary: summary(&row, waiting.as_ref()),
        waiting,
        nodes,
        nodes_left_out,
        placement: row.status.placement.map(|placement| *placement),
        choice: choice.map(|choice| *choice),
        history: entries,
    }))
}

/// Where a job stands and why, in one sentence.
fn summary(row: &JobRow, waiting: Option<&Waiting>) -> String {
    let status = &row.status;
    let on = status.worker.as_deref().unwrap_or("a worker");
    let attempt = status.attempt;
    match status.state {
        JobState::Pending => match waiting {
            Some(waiting) => format!("it waits: {}", waiting.message),
            None => "it waits, and why is not known at this moment".into(),
        },
        JobState::Assigned => {
            format!("it was given to {on} as attempt {attempt}, and its ffmpeg has not started yet")
        }
        JobState::Running if status.cancel_requested => format!("it is being canceled on {on}"),
        JobState::Running if status.pause_requested => format!("it is being paused on {on}"),
        JobState::Running => format!("its ffmpeg runs on {on}, attempt {attempt}"),
        JobState::Paused => {
            format!("it was paused: its ffmpeg is stopped on {on} until it is resumed")
        }
        JobState::Publishing => format!("it is encoded, and {on} moves its output into place"),
        JobState::Completed => format!("it completed on {on}, attempt {attempt}"),
        JobState::Failed => match &status.failure {
            Some(failure) => format!(
                "it failed for good after {attempt} attempts, the last with {}: {}",
                failure.reason, failure.message
            ),
            None => format!("it failed for good after {attempt} attempts"),
        },
        JobState::Canceled => "it was canceled".into(),
    }
}

/// The cluster in numbers.
#[utoipa::path(get, path = "/v1/stats", operation_id = "stats", tag = "system",
    responses((status = 200, description = "Now, and since the master started.", body = Stats)))]
pub async fn stats(State(app): State<Arc<App>>) -> Result<Json<Stats>, ApiError> {
    let mut stats = app.metrics.stats();
    // The room is not known while the store is read-only; the rest is.
    if let Ok(Reply::Room(room)) = app.shell.ask(|reply| Event::Room { reply }).await {
        (stats.slots, stats.slots_used) = (room.slots, room.slots_used);
        stats.oldest_waiting_seconds = room.oldest_waiting_ms.map(|ms| ms as f64 / 1e3);
    }
    if let Some(active) = app.policies.status().policies.first() {
        stats.policy = format!("{} {}", active.name, active.digest);
    }
    Ok(Json(stats))
}
