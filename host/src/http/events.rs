//! `GET /v1/events`: what changes in the cluster, as server-sent events.

use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use axum::{
    Extension,
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use ffrtmp_api::{
    ids::{JobRef, JobSeq},
    schema::JobId,
};
use futures_util::{Stream, stream};
use utoipa::IntoParams;

use super::{
    App, auth,
    document::{NotFound, NotNow},
    error::ApiError,
    jobs,
};
use crate::{
    core,
    events::{Listener, Next, STREAMS_MAX, Told},
    tokens::Caller,
};

/// The kinds there are. A reset is always told.
const KINDS: [&str; 3] = ["job", "node", "policy"];
/// Events left out of a stream after which its place in all events is told, so that it can go on there if it breaks.
const SKIPPED_MAX: usize = 1_000;

/// What to hear of.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // describes what `parse` takes
pub struct EventsQuery {
    /// Only of these: `job`, `node` and `policy`, with commas between them. All without; with `job`, only of jobs.
    #[param(pattern = "^(job|node|policy)(,(job|node|policy))*$")]
    types: Option<String>,
    /// Only of this job.
    #[param(inline, value_type = Option<JobId>)]
    job: String,
}

/// Which events a stream carries.
struct Filter {
    kinds: Vec<String>,
    job: Option<JobSeq>,
    /// Only of this tenant's jobs, and of nothing else.
    tenant: Option<Arc<str>>,
}

impl Filter {
    fn passes(&self, told: &Told) -> bool {
        told.kind == "reset"
            || self.kinds.iter().any(|kind| kind == told.kind)
                && (self.job.is_none() || told.job.is_none() || told.job == self.job)
                && self
                    .tenant
                    .as_deref()
                    .is_none_or(|tenant| told.tenant.as_deref() == Some(tenant))
    }
}

/// Streams what changes in the cluster: jobs (each change when it is durable), workers' status, policies' state.
///
/// The data of each event is a `ClusterEvent`, its name the `type` of that. A client that comes back with `Last-Event-ID`
/// misses nothing of the last 10,000 events. A token limited to a tenant hears of that tenant's jobs only. `reset` says that something was missed, and everything is to be looked at again.
#[utoipa::path(get, path = "/v1/events", operation_id = "events", tag = "system",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event seen.")),
    responses(
        (status = 200, description = "Server-sent events; the data of each is a `ClusterEvent`.", content_type = "text/event-stream", body = String),
        NotFound, NotNow,
    ))]
pub async fn events(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let Query(pairs) = query.map_err(|e| ApiError::bad_field("query", e.body_text()))?;
    let filter = parse(&app, &caller, pairs).await?;
    let last = headers
        .get("last-event-id")
        .map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
    let (listener, missed) = app
        .shell
        .outbox()
        .events()
        .listen(last.as_deref())
        .map_err(|_| {
            ApiError::busy(format!(
                "{STREAMS_MAX} event streams are open, and no further one is; close one, or try again later"
            ))
        })?;
    // Once the core has answered, it knows that somebody listens: from here on nothing is missed. While the store is read-only
    // nothing changes, and the reset that ends that time is told.
    let _ = app
        .shell
        .ask(|reply| core::Event::ExplainWaiting {
            jobs: Vec::new(),
            reply,
        })
        .await;
    let first = if missed {
        reset(&listener)
    } else {
        Event::default().id(listener.position())
    };
    let start = Streaming {
        listener,
        filter,
        ready: [first].into(),
        skipped: 0,
    };
    let events = stream::unfold(start, |mut streaming| async move {
        let event = streaming.next().await?;
        Some((Ok(event), streaming))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

async fn parse(
    app: &Arc<App>,
    caller: &Caller,
    pairs: Vec<(String, String)>,
) -> Result<Filter, ApiError> {
    let mut kinds: Option<Vec<String>> = None;
    let mut job = None;
    for (name, value) in pairs {
        match name.as_str() {
            "types" => {
                let asked: Vec<String> = value.split(',').map(str::to_owned).collect();
                if let Some(bad) = asked.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
                    return Err(ApiError::bad_field(
                        "types",
                        format!(
                            "{:?} is not one of {}",
                            bad.chars().take(64).collect::<String>(),
                            KINDS.join(", ")
                        ),
                    ));
                }
                if let Some(tenant) = caller.tenant.as_deref()
                    && asked.iter().any(|kind| kind != "job")
                {
                    return Err(ApiError::forbidden(&format!(
                        "workers and policies are the whole cluster's, and your token ({}) is limited to the tenant {tenant:?}: \
                         ask for types=job, or leave it out",
                        caller.name
                    )));
                }
                kinds = Some(asked);
            }
            "job" => {
                let reference: JobRef = value.parse()?;
                let row = jobs::find(app, reference).await?;
                // Another tenant's job is as if it were not there.
                if !auth::is_own(caller, &row.spec) {
                    return Err(ApiError::no_job(reference));
                }
                job = Some(row.seq);
            }
            other => {
                return Err(ApiError::bad_field(
                    "query",
                    format!(
                        "unknown parameter {:?}; known are types and job",
                        other.chars().take(64).collect::<String>()
                    ),
                ));
            }
        }
    }
    let all = if job.is_some() || caller.tenant.is_some() {
        &KINDS[..1]
    } else {
        &KINDS[..]
    };
    Ok(Filter {
        kinds: kinds.unwrap_or_else(|| all.iter().map(|kind| (*kind).to_owned()).collect()),
        job,
        tenant: caller.tenant.clone(),
    })
}

struct Streaming {
    listener: Listener,
    filter: Filter,
    ready: VecDeque<Event>,
    skipped: usize,
}

impl Streaming {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            match self.listener.next().await {
                Next::Over => return None,
                Next::Missed => return Some(reset(&self.listener)),
                Next::Events(events) => {
                    let passing = events.iter().filter(|told| self.filter.passes(told));
                    self.ready.extend(passing.map(|told| {
                        Event::default()
                            .id(self.listener.id_of(told))
                            .event(told.kind)
                            .data(&told.data)
                    }));
                    self.skipped = if self.ready.is_empty() {
                        self.skipped + events.len()
                    } else {
                        0
                    };
                    if self.skipped > SKIPPED_MAX {
                        self.skipped = 0;
                        self.ready
                            .push_back(Event::default().id(self.listener.position()));
                    }
                }
            }
        }
    }
}

/// Says that something was missed.
fn reset(listener: &Listener) -> Event {
    Event::default()
        .id(listener.position())
        .event("reset")
        .data("{\"type\":\"reset\"}")
}
