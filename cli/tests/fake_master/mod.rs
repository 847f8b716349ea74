//! A master of cardboard: it answers as the API says and remembers what it was asked, for tests of the command line alone.
//! Whatever needs real scheduling is tested with the real master, in the workspace's `tests/`.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use ffrtmp_api::{
    ids::{AttemptNo, JobSeq},
    job::{FailureReason, JobSpec, JobState},
    preset::{BUILT_IN, built_in, unknown},
    rest::*,
};

/// What the master knows, and what it was asked.
#[derive(Default)]
pub struct Memory {
    /// Jobs, in order of submission.
    pub jobs: Vec<Job>,
    /// Scripts for `watch`: each connection takes the next and sends its states, then closes.
    pub watches: Vec<Vec<Job>>,
    /// The same for jobs by their numbers: every connection gets all of it.
    pub watches_by_id: std::collections::BTreeMap<u64, Vec<Job>>,
    /// `Authorization` headers seen.
    pub authorizations: Vec<Option<String>>,
    /// Token demanded, if any.
    pub token: Option<String>,
    /// Sizes of the batches submitted.
    pub batches: Vec<usize>,
    /// Queries of `GET /v1/jobs`.
    pub queries: Vec<String>,
}

type Shared = Arc<Mutex<Memory>>;

/// A running master of cardboard.
pub struct FakeMaster {
    /// Where it listens.
    pub url: String,
    /// What it knows.
    pub memory: Shared,
}

impl FakeMaster {
    /// Starts on a free port.
    pub fn start() -> FakeMaster {
        FakeMaster::start_on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// Starts on a listener that exists.
    pub fn start_on(listener: TcpListener) -> FakeMaster {
        let address: SocketAddr = listener.local_addr().unwrap();
        let memory = Shared::default();
        let app = router(memory.clone());
        listener.set_nonblocking(true).unwrap();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, app).await.unwrap();
            });
        });
        FakeMaster {
            url: format!("http://{address}"),
            memory,
        }
    }

    /// Changes or reads what it knows.
    pub fn with<T>(&self, f: impl FnOnce(&mut Memory) -> T) -> T {
        f(&mut self.memory.lock().unwrap())
    }
}

/// A job in `state`, as the API shows it.
pub fn job(id: u64, state: JobState) -> Job {
    let failed = state == JobState::Failed;
    Job {
        id: JobSeq(id),
        uuid: uuid(id),
        state,
        spec: JobSpec::default(),
        queue: Default::default(),
        priority: Default::default(),
        attempt: AttemptNo(1),
        failures: u32::from(failed),
        submitted_at_ms: 0,
        started_at_ms: Some(12),
        finished_at_ms: state.is_terminal().then_some(3_012),
        node: Some("w1".into()),
        placement: None,
        waiting: None,
        held: false,
        cancel_requested: false,
        failure: failed.then(|| Failure {
            reason: FailureReason::InputError,
            message: "/no/such.mp4: no such file".into(),
        }),
        result: None,
        progress: None,
        webhooks: None,
    }
}

fn uuid(id: u64) -> uuid::Uuid {
    uuid::Uuid::from_u128(0x0192_0000_0000_4000_8000_0000_0000_0000 + u128::from(id))
}

fn router(memory: Shared) -> Router {
    Router::new()
        .route("/v1/jobs", post(submit).get(list))
        .route("/v1/jobs/batch", post(submit_batch))
        .route("/v1/jobs/{id}", get(show))
        .route("/v1/jobs/{id}/watch", get(watch))
        .route("/v1/jobs/{id}/logs", get(logs))
        .route("/v1/jobs/{id}/cancel", post(cancel))
        .route("/v1/presets/{name}", get(preset))
        .route(
            "/v1/nodes",
            get(async || Json(NodeList { nodes: Vec::new() })),
        )
        .route(
            "/v1/version",
            get(async || {
                Json(Version {
                    version: "9.9.9".into(),
                    protocol: 1,
                })
            }),
        )
        .layer(from_fn_with_state(memory.clone(), guard))
        .with_state(memory)
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let error = ErrorDetail::new(code, message);
    (status, Json(ErrorBody { error })).into_response()
}

async fn guard(
    State(memory): State<Shared>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let given = headers
        .get("authorization")
        .map(|value| value.to_str().unwrap().to_owned());
    let wanted = {
        let mut memory = memory.lock().unwrap();
        memory.authorizations.push(given.clone());
        memory.token.clone().map(|token| format!("Bearer {token}"))
    };
    if wanted.is_some() && wanted != given {
        return refusal(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the token is missing or wrong",
        );
    }
    next.run(request).await
}

/// It has none but those compiled in.
async fn preset(Path(name): Path<String>) -> Response {
    match built_in(&name) {
        Some(preset) => Json(PresetDetail {
            name: preset.name.clone(),
            description: preset.description.clone(),
            source: PresetSource::BuiltIn,
            outputs: Vec::new(),
            job: preset.job.clone(),
            refused: None,
        })
        .into_response(),
        None => {
            let none = unknown(&name, BUILT_IN.keys().copied());
            refusal(StatusCode::NOT_FOUND, "not_found", &none.message)
        }
    }
}

async fn submit(State(memory): State<Shared>, Json(spec): Json<JobSpec>) -> Response {
    let mut memory = memory.lock().unwrap();
    let id = memory.jobs.len() as u64 + 1;
    let (queue, priority) = (spec.queue, spec.priority);
    memory.jobs.push(Job {
        spec,
        queue,
        priority,
        ..job(id, JobState::Pending)
    });
    (
        StatusCode::CREATED,
        Json(Submitted {
            id: JobSeq(id),
            uuid: uuid(id),
            duplicate: false,
        }),
    )
        .into_response()
}

/// Refuses scenarios called `refuse-me`, as the real one refuses what only it can know.
async fn submit_batch(State(memory): State<Shared>, Json(batch): Json<SubmitBatch>) -> Response {
    let mut memory = memory.lock().unwrap();
    memory.batches.push(batch.jobs.len());
    let items = batch
        .jobs
        .into_iter()
        .map(|spec| {
            if spec.scenario.as_deref() == Some("refuse-me") {
                return SubmitItem::Refused(ErrorDetail {
                    code: "bad_field".into(),
                    message: "scenario: refused here".into(),
                    field: Some("scenario".into()),
                    request_id: None,
                });
            }
            let same = |job: &&Job| job.spec.idempotency_key == spec.idempotency_key;
            let before = memory.jobs.iter().find(same).map(|job| job.id.0);
            let id = before.unwrap_or(memory.jobs.len() as u64 + 1);
            if before.is_none() {
                memory.jobs.push(Job {
                    spec,
                    ..job(id, JobState::Pending)
                });
            }
            SubmitItem::Accepted(Submitted {
                id: JobSeq(id),
                uuid: uuid(id),
                duplicate: before.is_some(),
            })
        })
        .collect();
    Json(SubmitBatchAnswer { items }).into_response()
}

async fn list(
    State(memory): State<Shared>,
    query: Query<std::collections::BTreeMap<String, String>>,
) -> Response {
    let mut memory = memory.lock().unwrap();
    let text = query
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join("&");
    memory.queries.push(text);
    let limit: usize = query
        .get("limit")
        .map_or(100, |limit| limit.parse().unwrap());
    let before: u64 = query
        .get("cursor")
        .map_or(u64::MAX, |before| before.parse().unwrap());
    let older: Vec<Job> = memory
        .jobs
        .iter()
        .rev()
        .filter(|job| job.id.0 < before)
        .cloned()
        .collect();
    // Pages of at most two, so that a few jobs are several pages.
    let page: Vec<Job> = older.iter().take(limit.min(2)).cloned().collect();
    let next_cursor = (page.len() < older.len()).then(|| page.last().unwrap().id.to_string());
    Json(JobList {
        jobs: page,
        next_cursor,
    })
    .into_response()
}

fn find(memory: &Memory, id: &str) -> Result<Job, Box<Response>> {
    let found = memory
        .jobs
        .iter()
        .find(|job| job.id.to_string() == id || job.uuid.to_string() == id);
    found.cloned().ok_or_else(|| {
        Box::new(refusal(
            StatusCode::NOT_FOUND,
            "not_found",
            &format!("there is no job {id}"),
        ))
    })
}

async fn show(State(memory): State<Shared>, Path(id): Path<String>) -> Response {
    find(&memory.lock().unwrap(), &id).map_or_else(|error| *error, |job| Json(job).into_response())
}

async fn watch(State(memory): State<Shared>, Path(id): Path<String>) -> Response {
    let mut memory = memory.lock().unwrap();
    let by_id = id.parse().ok().and_then(|id| memory.watches_by_id.get(&id));
    let states = match by_id.cloned() {
        Some(states) => states,
        None if memory.watches.is_empty() => {
            return refusal(StatusCode::NOT_FOUND, "not_found", "nothing to watch");
        }
        None => memory.watches.remove(0),
    };
    let events: String = states
        .iter()
        .map(|job| format!("data: {}\n\n", serde_json::to_string(job).unwrap()))
        .collect();
    (
        [("content-type", "text/event-stream")],
        Body::from(format!(": hello\n\n{events}")),
    )
        .into_response()
}

async fn logs(State(memory): State<Shared>, Path(id): Path<String>) -> Response {
    match find(&memory.lock().unwrap(), &id) {
        Ok(job) => {
            let text = "frame 1\nframe 2\n".into();
            Json(JobLogs {
                id: job.id,
                attempt: AttemptNo(1),
                text,
                live: false,
            })
            .into_response()
        }
        Err(error) => *error,
    }
}

async fn cancel(State(memory): State<Shared>, Path(id): Path<String>) -> Response {
    let mut memory = memory.lock().unwrap();
    match find(&memory, &id) {
        Ok(mut job) => {
            job.state = JobState::Canceled;
            let at = memory
                .jobs
                .iter()
                .position(|other| other.id == job.id)
                .unwrap();
            memory.jobs[at] = job.clone();
            Json(job).into_response()
        }
        Err(error) => *error,
    }
}
