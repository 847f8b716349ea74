//! `/v1/jobs`: submit, show, control.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::StatusCode,
};
use ffrtmp_api::{
    ids::{JobRef, JobSeq},
    job::{JobSpec, JobState},
    limits,
    preset::Asked,
    rest::{AskedBatch, ChangeJob, Job, SubmitBatch, SubmitBatchAnswer, SubmitItem, Submitted},
    schema::JobId,
    settings::{BadField, Settings},
};
use utoipa::IntoParams;
use uuid::Uuid;

use super::{
    App,
    audit::AboutJobs,
    auth,
    body::Body,
    document::{Conflict, NotFound, ReadOnly},
    error::{ApiError, detail_of},
    outputs,
};
use crate::{
    core::{Control, ControlError, Event, NewJob, Reply, record::JobRow},
    presets::Known,
    store::{Reader, StoreError},
    tokens::Caller,
    webhooks,
};

/// Jobs of one list whose waiting is explained: each costs the core a look at the workers.
const EXPLAINED_MAX: usize = 100;

/// Takes one job. Answers when it is durable.
#[utoipa::path(post, path = "/v1/jobs", operation_id = "submit_job", tag = "jobs", request_body = JobSpec,
    responses(
        (status = 201, description = "Accepted, and durable.", body = Submitted),
        (status = 200, description = "An earlier submit with this idempotency key had already made it.", body = Submitted),
        Conflict,
        ReadOnly,
    ))]
pub async fn submit(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(mut asked): Body<Asked>,
) -> Result<(StatusCode, Extension<AboutJobs>, Json<Submitted>), ApiError> {
    auth::claim(&caller, &mut asked.spec)?;
    let presets = app.presets.for_jobs([&asked].into_iter()).await;
    let mut new = parse(&app, &presets, asked)?;
    auth::scope_key(&caller, &mut new.spec);
    let _hold = outputs::hold_input(&app, &caller, &new)?;
    match app
        .shell
        .ask(|reply| Event::Submit {
            jobs: vec![new],
            reply,
        })
        .await?
    {
        Reply::Submitted(mut items) => match items.pop() {
            Some(SubmitItem::Accepted(submitted)) => {
                let status = if submitted.duplicate {
                    StatusCode::OK
                } else {
                    StatusCode::CREATED
                };
                let about = AboutJobs {
                    count: 1,
                    first: submitted.id,
                    last: submitted.id,
                };
                Ok((status, Extension(about), Json(submitted)))
            }
            Some(SubmitItem::Refused(detail)) => Err(ApiError::refused(detail)),
            None => Err(ApiError::internal("no answer for one job")),
        },
        _ => Err(ApiError::internal("not an answer to a submit")),
    }
}

/// Takes a batch. Jobs that are refused do not keep the others from being accepted.
#[utoipa::path(post, path = "/v1/jobs/batch", operation_id = "submit_batch", tag = "jobs", request_body = SubmitBatch,
    responses((status = 200, description = "What became of each, in order.", body = SubmitBatchAnswer), ReadOnly))]
pub async fn submit_batch(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Body(batch): Body<AskedBatch>,
) -> Result<(Option<Extension<AboutJobs>>, Json<SubmitBatchAnswer>), ApiError> {
    if batch.jobs.len() > limits::BATCH_JOBS_MAX {
        return Err(ApiError::bad_field(
            "jobs",
            format!(
                "{} jobs in one batch; at most {} are accepted",
                batch.jobs.len(),
                limits::BATCH_JOBS_MAX
            ),
        ));
    }
    let mut jobs = Vec::with_capacity(batch.jobs.len());
    let mut refused = Vec::new();
    let mut holds = Vec::new();
    let presets = app.presets.for_jobs(batch.jobs.iter()).await;
    for (i, mut asked) in batch.jobs.into_iter().enumerate() {
        auth::claim(&caller, &mut asked.spec)?;
        let checked = parse(&app, &presets, asked)
            .and_then(|new| Ok((outputs::hold_input(&app, &caller, &new)?, new)));
        match checked {
            Ok((hold, mut new)) => {
                holds.extend(hold);
                auth::scope_key(&caller, &mut new.spec);
                jobs.push(new);
            }
            Err(error) => refused.push((i, SubmitItem::Refused(detail_of(error)))),
        }
    }
    let Reply::Submitted(mut items) = app.shell.ask(|reply| Event::Submit { jobs, reply }).await?
    else {
        return Err(ApiError::internal("not an answer to a submit"));
    };
    // Refused ones go back to where they stood; in rising order, so each index is right when it is used.
    refused
        .into_iter()
        .for_each(|(i, item)| items.insert(i.min(items.len()), item));
    let about = AboutJobs::of(items.iter().filter_map(|item| match item {
        SubmitItem::Accepted(submitted) => Some(submitted.id),
        SubmitItem::Refused(_) => None,
    }));
    Ok((about.map(Extension), Json(SubmitBatchAnswer { items })))
}

/// The job that is asked for: laid over its preset, and checked.
fn parse(app: &App, presets: &Known, asked: Asked) -> Result<NewJob, BadField> {
    let spec = presets.fill(asked)?;
    let settings = Settings::resolve(&spec)?;
    may_bring_raw_args(app, &spec)?;
    let spec_json = serde_json::to_string(&spec)
        .map_err(|e| BadField {
            field: "spec",
            message: format!("cannot be stored: {e}"),
        })?
        .into();
    Ok(NewJob {
        uuid: Uuid::new_v4(),
        spec,
        spec_json,
        settings,
    })
}

/// Raw ffmpeg arguments are taken where the operator allows them. Those of a preset are the operator's own.
fn may_bring_raw_args(app: &App, spec: &JobSpec) -> Result<(), BadField> {
    let given = [
        ("input_args", !spec.input_args.is_empty()),
        ("output_args", !spec.output_args.is_empty()),
    ];
    let of_preset = |field: &str| spec.preset_fields.iter().any(|filled| filled == field);
    match given.into_iter().find(|(field, given)| *given && !of_preset(field)) {
        Some((field, _)) if !app.raw_args => Err(BadField {
            field,
            message: "raw ffmpeg arguments are not taken here: the master is not started with --allow-raw-args. A preset may \
                      hold what is needed"
                .into(),
        }),
        _ => Ok(()),
    }
}

/// Shows a job.
#[utoipa::path(get, path = "/v1/jobs/{job}", operation_id = "show_job", tag = "jobs", params(JobPath),
    responses((status = 200, description = "The job.", body = Job), NotFound))]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(job): Path<String>,
) -> Result<Json<Job>, ApiError> {
    let row = find(&app, job.parse()?).await?;
    let seq = row.seq;
    let mut job = describe(&app, vec![row])
        .await?
        .pop()
        .ok_or_else(|| ApiError::internal("a job vanished while shown"))?;
    if job.spec.webhook.is_some() || app.webhooks.tell_everyone() {
        job.webhooks = Some(read(&app, move |reader| webhooks::state_of(reader, seq)).await?);
    }
    Ok(Json(job))
}

/// Which job, in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code)] // describes what `Path<String>` takes and `JobRef` parses
pub struct JobPath {
    /// Its number, as in 42, or its UUID.
    #[param(inline, value_type = JobId)]
    job: String,
}

/// Ends a job.
#[utoipa::path(post, path = "/v1/jobs/{job}/cancel", operation_id = "cancel_job", tag = "jobs", params(JobPath),
    responses((status = 200, description = "The job, told so.", body = Job), NotFound, Conflict, ReadOnly))]
pub async fn cancel(app: State<Arc<App>>, job: Path<String>) -> Result<Json<Job>, ApiError> {
    control(app, job, Control::Cancel).await
}

/// Has a live job finish with what it has: a recording is published, a push ends.
#[utoipa::path(post, path = "/v1/jobs/{job}/stop", operation_id = "stop_job", tag = "jobs", params(JobPath),
    responses((status = 200, description = "The job, told so.", body = Job), NotFound, Conflict, ReadOnly))]
pub async fn stop(app: State<Arc<App>>, job: Path<String>) -> Result<Json<Job>, ApiError> {
    control(app, job, Control::Stop).await
}

/// Stops a job's ffmpeg; holds a job that waits.
#[utoipa::path(post, path = "/v1/jobs/{job}/pause", operation_id = "pause_job", tag = "jobs", params(JobPath),
    responses((status = 200, description = "The job, told so.", body = Job), NotFound, Conflict, ReadOnly))]
pub async fn pause(app: State<Arc<App>>, job: Path<String>) -> Result<Json<Job>, ApiError> {
    control(app, job, Control::Pause).await
}

/// Lets a paused or held job go on.
#[utoipa::path(post, path = "/v1/jobs/{job}/resume", operation_id = "resume_job", tag = "jobs", params(JobPath),
    responses((status = 200, description = "The job, told so.", body = Job), NotFound, Conflict, ReadOnly))]
pub async fn resume(app: State<Arc<App>>, job: Path<String>) -> Result<Json<Job>, ApiError> {
    control(app, job, Control::Resume).await
}

/// Gives a job that waits another lane or urgency.
#[utoipa::path(patch, path = "/v1/jobs/{job}", operation_id = "change_job", tag = "jobs", params(JobPath), request_body = ChangeJob,
    responses((status = 200, description = "The job, changed.", body = Job), NotFound, Conflict, ReadOnly))]
pub async fn change(
    app: State<Arc<App>>,
    job: Path<String>,
    Body(change): Body<ChangeJob>,
) -> Result<Json<Job>, ApiError> {
    let ChangeJob { queue, priority } = change;
    if queue.is_none() && priority.is_none() {
        return Err(ApiError::bad_field(
            "queue",
            "nothing to change: give queue, priority or both, as in {\"priority\": \"high\"}",
        ));
    }
    control(app, job, Control::Change { queue, priority }).await
}

/// How often a retry looks at a job again that changes under its eyes.
const RETRY_LOOKS_MAX: u32 = 5;

/// Puts a job that failed or was canceled back in line.
#[utoipa::path(post, path = "/v1/jobs/{job}/retry", operation_id = "retry_job", tag = "jobs", params(JobPath),
    responses((status = 200, description = "The job, waiting again.", body = Job), NotFound, Conflict, ReadOnly))]
pub async fn retry(
    State(app): State<Arc<App>>,
    Path(job): Path<String>,
) -> Result<Json<Job>, ApiError> {
    let job: JobRef = job.parse()?;
    for _ in 0..RETRY_LOOKS_MAX {
        let row = Box::new(find(&app, job).await?);
        match app.shell.ask(|reply| Event::Retry { row, reply }).await? {
            Reply::Controlled(Ok(())) => return show(State(app), Path(job.to_string())).await,
            // The answer came behind the commit of what changed it, so the next look sees that.
            Reply::Controlled(Err(ControlError::Stale)) => {}
            Reply::Controlled(Err(error)) => return Err(error.into()),
            _ => return Err(ApiError::internal("not an answer to a retry")),
        }
    }
    Err(ApiError::wrong_state(format!(
        "job {job} changes too fast to be tried again; look at it and ask again"
    )))
}

async fn control(
    State(app): State<Arc<App>>,
    Path(job): Path<String>,
    control: Control,
) -> Result<Json<Job>, ApiError> {
    let job: JobRef = job.parse()?;
    let row = find(&app, job).await?;
    match app
        .shell
        .ask(|reply| Event::Control {
            job: row.seq,
            control,
            reply,
        })
        .await?
    {
        Reply::Controlled(Ok(())) => {}
        Reply::Controlled(Err(ControlError::NotLive)) => {
            let state = find(&app, job).await?.status.state;
            // Canceling what is canceled, or stopping what has completed, is no error: the caller has what it wants.
            if !matches!(
                (control, state),
                (Control::Cancel, JobState::Canceled) | (Control::Stop, JobState::Completed)
            ) {
                return Err(ApiError::wrong_state(format!(
                    "job {job} has ended: it is {state}"
                )));
            }
        }
        Reply::Controlled(Err(error)) => return Err(error.into()),
        _ => return Err(ApiError::internal("not an answer to a control")),
    }
    show(State(app), Path(job.to_string())).await
}

/// The row behind a reference.
pub async fn find(app: &Arc<App>, job: JobRef) -> Result<JobRow, ApiError> {
    read(app, move |reader| reader.job(job))
        .await?
        .ok_or_else(|| ApiError::no_job(job))
}

/// Asks the store, off the async threads.
pub async fn read<R: Send + 'static>(
    app: &Arc<App>,
    ask: impl FnOnce(&Reader) -> Result<R, StoreError> + Send + 'static,
) -> Result<R, ApiError> {
    let app = app.clone();
    tokio::task::spawn_blocking(move || ask(&app.reader))
        .await
        .map_err(ApiError::internal)?
        .map_err(ApiError::internal)
}

/// Rows as users see them: with what is known live, and why those that wait do.
pub async fn describe(app: &Arc<App>, rows: Vec<JobRow>) -> Result<Vec<Job>, ApiError> {
    let pending: Vec<JobSeq> = rows
        .iter()
        .filter(|row| row.status.state == JobState::Pending)
        .map(|row| row.seq)
        .take(EXPLAINED_MAX)
        .collect();
    let mut waiting: HashMap<JobSeq, String> = HashMap::new();
    // While the store is read-only nobody knows; the rest is shown all the same.
    if !pending.is_empty()
        && let Ok(Reply::Waiting(reasons)) = app
            .shell
            .ask(|reply| Event::ExplainWaiting {
                jobs: pending,
                reply,
            })
            .await
    {
        waiting.extend(reasons);
    }
    rows.into_iter()
        .map(|row| {
            // A newer version may have stored fields this one does not know; one such job must not hide the others.
            let spec = serde_json::from_str(&row.spec).unwrap_or_else(|error| {
                tracing::warn!(job = %row.seq, %error, "a stored job is shown without its description");
                JobSpec::default()
            });
            let status = row.status;
            Ok(Job {
                id: row.seq,
                uuid: row.uuid,
                state: status.state,
                queue: row.queue,
                priority: row.priority,
                attempt: status.attempt,
                failures: status.failures,
                submitted_at_ms: row.submitted_ms,
                started_at_ms: status.started_ms,
                finished_at_ms: status.finished_ms,
                node: status.worker,
                placement: status.placement.map(|placement| *placement),
                waiting: waiting.remove(&row.seq),
                held: status.held,
                cancel_requested: status.cancel_requested,
                failure: status.failure,
                result: status.result.map(|result| *result),
                progress: app
                    .live
                    .progress_of(row.seq, status.attempt)
                    .filter(|_| status.state.is_active()),
                webhooks: None,
                spec,
            })
        })
        .collect()
}
