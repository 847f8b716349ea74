//! Outputs in the spool: workers hand them back and publish them, users download them. And the content of uploads, which
//! workers fetch.
//!
//! The fence is here for bytes and in the core for what counts: bytes are taken only for the attempt that the store says is
//! current, and published only when the store says that this attempt was chosen.

use std::sync::Arc;

use axum::{
    body::Body as Stream,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use ffrtmp_api::{
    ids::AttemptNo,
    job::{JobSpec, JobState},
    rest::{ErrorBody, NewOutput, Upload},
    schema::JobId,
    settings::{BadField, Output, Settings, Source},
};

use super::{
    App,
    body::Body,
    document::{Conflict, NotFound},
    download,
    error::ApiError,
    jobs,
    uploads::{blocking, check_sha256, described, input, parse, receive_as},
};
use crate::{
    core::{NewJob, record::JobRow},
    spool::{Hold, Kind, Maker, SpoolError},
    tokens::Caller,
};

/// Keeps the upload a new job reads until the job is recorded.
///
/// # Errors
/// When there is none that this caller may see, or it is not complete.
pub fn hold_input(app: &App, caller: &Caller, new: &NewJob) -> Result<Option<Hold>, BadField> {
    match new.settings.source {
        Source::Upload(id) => {
            match input(app, caller, id).and_then(|id| app.spool.hold_input(id)) {
                Ok(hold) => Ok(Some(hold)),
                Err(error) => Err(BadField {
                    field: "input",
                    message: error.to_string(),
                }),
            }
        }
        Source::File(_) | Source::Url(_) | Source::Synthetic => Ok(None),
    }
}

/// The content of a complete upload, for the worker that reads it.
#[utoipa::path(get, path = "/v1/uploads/{id}/content", operation_id = "upload_content", tag = "workers",
    params(("id" = uuid::Uuid, Path, description = "The upload.")),
    responses(
        (status = 200, description = "All of it.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The part that `Range` asks for.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 416, description = "It is shorter than that.", body = ErrorBody),
        NotFound, Conflict,
    ))]
pub async fn content(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = parse(&id)?;
    let (stored, file) = blocking(&app, move |app| match app.spool.kind(id)?.0 {
        Kind::Input => app.spool.read(id),
        Kind::Output(_) => Err(SpoolError::Gone(id)),
    })
    .await?;
    download::serve(stored, file, &headers).await
}

/// An attempt announces its output; the bytes then go where uploads go.
#[utoipa::path(post, path = "/v1/jobs/{job}/attempts/{attempt}/output", operation_id = "announce_output", tag = "workers",
    params(("job" = inline(JobId), Path, description = "The job."), ("attempt" = u32, Path, description = "Which attempt.")),
    request_body = NewOutput,
    responses(
        (status = 200, description = "There is room for it; send it with PATCH.", body = Upload),
        (status = 507, description = "The spool or its disk is full.", body = ErrorBody),
        NotFound, Conflict,
    ))]
pub async fn announce(
    State(app): State<Arc<App>>,
    Path((job, attempt)): Path<(String, String)>,
    Body(new): Body<NewOutput>,
) -> Result<impl IntoResponse, ApiError> {
    check_sha256(Some(&new.sha256))?;
    let (row, maker) = attempt_of(&app, &job, &attempt).await?;
    let name = spooled_name(&row)?;
    if !takes_bytes(&row, maker) {
        return Err(stale(maker));
    }
    let upload = blocking(&app, move |app| {
        let make_room = || app.spool.sweep(&app.reader, true);
        app.spool
            .announce_output(maker, name, new.bytes, &new.sha256, make_room)
    })
    .await?;
    Ok(described(upload))
}

/// How far the output of an attempt is.
#[utoipa::path(get, path = "/v1/jobs/{job}/attempts/{attempt}/output", operation_id = "show_output", tag = "workers",
    params(("job" = inline(JobId), Path, description = "The job."), ("attempt" = u32, Path, description = "Which attempt.")),
    responses((status = 200, description = "As announced, and how far it is.", body = Upload), NotFound))]
pub async fn show(
    State(app): State<Arc<App>>,
    Path((job, attempt)): Path<(String, String)>,
) -> Result<impl IntoResponse, ApiError> {
    let (_, maker) = attempt_of(&app, &job, &attempt).await?;
    Ok(described(app.spool.show(announced(&app, maker)?)?))
}

/// Takes the next bytes of an attempt's output, as long as that attempt is the current one.
#[utoipa::path(patch, path = "/v1/jobs/{job}/attempts/{attempt}/output", operation_id = "send_output", tag = "workers",
    params(
        ("job" = inline(JobId), Path, description = "The job."),
        ("attempt" = u32, Path, description = "Which attempt."),
        ("upload-offset" = u64, Header, description = "Where these bytes go: where the output ends."),
    ),
    request_body(content = Vec<u8>, content_type = "application/offset+octet-stream", description = "The bytes."),
    responses(
        (status = 200, description = "They are on disk. `complete` says whether all of it is there and checked.", body = Upload),
        (status = 422, description = "The content has another SHA-256 than announced; it was removed.", body = ErrorBody),
        (status = 507, description = "The disk is full; what was received was removed.", body = ErrorBody),
        NotFound, Conflict,
    ))]
pub async fn receive(
    State(app): State<Arc<App>>,
    Path((job, attempt)): Path<(String, String)>,
    headers: HeaderMap,
    body: Stream,
) -> Response {
    let id = match attempt_of(&app, &job, &attempt).await {
        Ok((row, maker)) if takes_bytes(&row, maker) => announced(&app, maker),
        Ok((_, maker)) => Err(stale(maker)),
        Err(error) => Err(error),
    };
    receive_as(&app, id, &headers, body).await
}

/// The file an attempt announced.
fn announced(app: &App, maker: Maker) -> Result<uuid::Uuid, ApiError> {
    app.spool.made_by(maker).ok_or_else(|| {
        ApiError::new(
            StatusCode::NOT_FOUND,
            "not_found",
            format!(
                "attempt {} of job {} has announced no output; POST it here first",
                maker.attempt, maker.job
            ),
        )
    })
}

/// Makes the file of the attempt that was chosen the job's output. Asked again, it answers the same.
#[utoipa::path(post, path = "/v1/jobs/{job}/attempts/{attempt}/publish", operation_id = "publish_output", tag = "workers",
    params(("job" = inline(JobId), Path, description = "The job."), ("attempt" = u32, Path, description = "Which attempt.")),
    responses((status = 204, description = "It is the output."), NotFound, Conflict))]
pub async fn publish(
    State(app): State<Arc<App>>,
    Path((job, attempt)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (row, maker) = attempt_of(&app, &job, &attempt).await?;
    let chosen = row.status.attempt == maker.attempt
        && matches!(row.status.state, JobState::Publishing | JobState::Completed);
    if !chosen {
        return Err(stale(maker));
    }
    blocking(&app, move |app| {
        let stored = app.spool.output_of(maker);
        let stored = stored.ok_or(SpoolError::Gone(maker.uuid))?;
        // What was chosen is named in the store; an attempt has only one file, so this can differ only by a bug.
        let named = row.status.publishing.as_ref().map(|chosen| &chosen.temp);
        if named.is_some_and(|temp| *temp != Output::Spool(stored.id.to_string()).to_string()) {
            return Err(SpoolError::Gone(stored.id));
        }
        app.spool.publish(stored.id, maker)
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The output of a completed job.
#[utoipa::path(get, path = "/v1/jobs/{job}/output", operation_id = "fetch_output", tag = "jobs",
    params(("job" = inline(JobId), Path, description = "The job.")),
    responses(
        (status = 200, description = "All of it; `etag` is its SHA-256.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The part that `Range` asks for.", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 410, description = "It is not kept any more.", body = ErrorBody),
        (status = 416, description = "It is shorter than that.", body = ErrorBody),
        NotFound, Conflict,
    ))]
pub async fn fetch(
    State(app): State<Arc<App>>,
    Path(job): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let row = jobs::find(&app, job.parse()?).await?;
    let id = output_of(&app, &row)?;
    let opened = blocking(&app, move |app| app.spool.read(id)).await;
    let (stored, file) = opened.map_err(|_| expired(&row))?;
    download::serve(stored, file, &headers).await
}

/// Removes the output of a completed job.
#[utoipa::path(delete, path = "/v1/jobs/{job}/output", operation_id = "remove_output", tag = "jobs",
    params(("job" = inline(JobId), Path, description = "The job.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 410, description = "It was gone already.", body = ErrorBody),
        NotFound, Conflict,
    ))]
pub async fn remove(
    State(app): State<Arc<App>>,
    Path(job): Path<String>,
) -> Result<StatusCode, ApiError> {
    let row = jobs::find(&app, job.parse()?).await?;
    let id = output_of(&app, &row)?;
    blocking(&app, move |app| app.spool.remove(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn attempt_of(app: &Arc<App>, job: &str, attempt: &str) -> Result<(JobRow, Maker), ApiError> {
    let no = attempt.parse().map_err(|_| {
        ApiError::bad_field("attempt", format!("{attempt:?} is not an attempt's number"))
    })?;
    let row = jobs::find(app, job.parse()?).await?;
    let maker = maker_of(&row, AttemptNo(no));
    Ok((row, maker))
}

fn maker_of(row: &JobRow, attempt: AttemptNo) -> Maker {
    Maker {
        job: row.seq,
        uuid: row.uuid,
        attempt,
    }
}

/// Whether the store says that this attempt is current and at work.
fn takes_bytes(row: &JobRow, maker: Maker) -> bool {
    row.status.attempt == maker.attempt
        && matches!(
            row.status.state,
            JobState::Assigned | JobState::Running | JobState::Paused
        )
}

fn stale(maker: Maker) -> ApiError {
    ApiError::new(
        StatusCode::CONFLICT,
        "stale_attempt",
        format!(
            "attempt {} of job {} is not the one at work; its output is not wanted",
            maker.attempt, maker.job
        ),
    )
}

/// The name a job's output is to have in the spool.
fn spooled_name(row: &JobRow) -> Result<String, ApiError> {
    let spec: JobSpec = serde_json::from_str(&row.spec).unwrap_or_default();
    let output = Settings::resolve(&spec)?.output;
    let conflict = |message: String| ApiError::new(StatusCode::CONFLICT, "no_output", message);
    match output {
        Some(Output::Spool(name)) => Ok(name),
        Some(Output::File(path)) => Err(conflict(format!(
            "the output of job {} is not kept by the master: it is written to {path} as the workers see it",
            row.seq
        ))),
        Some(elsewhere) => Err(conflict(format!(
            "the output of job {} is not kept by the master: it goes to {elsewhere}",
            row.seq
        ))),
        None => Err(conflict(format!(
            "job {} keeps no output; submit with --upload, or with an output, to have one",
            row.seq
        ))),
    }
}

/// The file of a completed job.
fn output_of(app: &App, row: &JobRow) -> Result<uuid::Uuid, ApiError> {
    spooled_name(row)?;
    let seq = row.seq;
    match row.status.state {
        JobState::Completed => {}
        JobState::Failed | JobState::Canceled => {
            return Err(ApiError::wrong_state(format!(
                "job {seq} is {} and has no output; `ffrtmp jobs status {seq}` says why",
                row.status.state
            )));
        }
        state => {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                "not_finished",
                format!(
                    "job {seq} is {state}; its output is there when it has completed (`ffrtmp jobs wait {seq}`)"
                ),
            ));
        }
    }
    let stored = app.spool.output_of(maker_of(row, row.status.attempt));
    stored.map(|stored| stored.id).ok_or_else(|| expired(row))
}

fn expired(row: &JobRow) -> ApiError {
    ApiError::new(
        StatusCode::GONE,
        "expired",
        format!(
            "the output of job {} is not in the spool any more: its time was over, or it was removed; run the job again",
            row.seq
        ),
    )
}
