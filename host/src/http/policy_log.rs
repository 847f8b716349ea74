//! `GET /v1/policy-log`: what happened to policies and what they said themselves, as it is or as it comes.
//!
//! Beside `/v1/policies` and not below it: there the second word is a policy's name, and one may be called `log`.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use ffrtmp_api::rest::{LogLevel, PolicyLog, PolicyLogEvent};
use futures_util::stream;
use serde::Deserialize;
use tokio::{sync::watch, time::Instant};
use utoipa::IntoParams;

use super::{App, document::NotNow, error::ApiError};
use crate::policy::{JOURNAL_STREAMS_MAX, Wanted};

/// Lines given where nobody says how many.
const LINES_DEFAULT: usize = 200;
/// Most lines at once: more than one policy can have.
const LINES_MAX: usize = 10_000;
/// Shortest time between two looks: a policy that talks without end is read in batches.
const INTERVAL: Duration = Duration::from_millis(100);

/// Which lines, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PolicyLogQuery {
    /// Only of the policy of this name.
    policy: Option<String>,
    /// Only of this level and above.
    level: Option<LogLevel>,
    /// How many of the last lines.
    #[param(inline, default = 200, minimum = 0, maximum = 10000, value_type = Option<usize>)]
    lines: Option<usize>,
    /// Whether to go on with what comes, as server-sent events whose data is a `PolicyLogEvent`, until the master stops.
    #[serde(default)]
    follow: bool,
}

/// What happened to policies (arrivals, refusals, swaps, faults, commands) and what they said: the last lines, kept in memory.
#[utoipa::path(get, path = "/v1/policy-log", operation_id = "policy_log", tag = "policies",
    params(PolicyLogQuery, ("Last-Event-ID" = Option<String>, Header, description = "When following: the id of the last event seen.")),
    responses(
        (status = 200, description = "The lines, oldest first.", content((PolicyLog = "application/json"), (String = "text/event-stream"))),
        NotNow,
    ))]
pub async fn policy_log(
    State(app): State<Arc<App>>,
    query: Result<Query<PolicyLogQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|e| ApiError::bad_field("query", e.body_text()))?;
    let lines = query.lines.unwrap_or(LINES_DEFAULT);
    if lines > LINES_MAX {
        let message = format!("{lines} are more than are given at once; at most {LINES_MAX}");
        return Err(ApiError::bad_field("lines", message));
    }
    let wanted = Wanted {
        policy: query.policy,
        level: query.level,
    };
    let journal = app.policies.journal();
    if !query.follow {
        let page = journal.read(&wanted, 0, lines);
        return Ok(Json(PolicyLog {
            lines: page.lines.iter().map(|(_, l)| (**l).clone()).collect(),
            dropped: page.dropped,
        })
        .into_response());
    }
    let news = journal.listen().ok_or_else(|| {
        ApiError::busy(format!(
            "{JOURNAL_STREAMS_MAX} streams of the policies' log are open, and no further one is; close one, or try again later"
        ))
    })?;
    let run = app.shell.outbox().events().run();
    let last = headers.get("last-event-id").map(|id| {
        let id = id.to_str().ok()?;
        let (of, no) = id.split_once('-')?;
        (u64::from_str_radix(of, 16).ok()? == run).then(|| no.parse().ok())?
    });
    let mut ready = VecDeque::new();
    let mut after = 0;
    match last {
        // As many of the last lines as were asked for, then what comes.
        None => {
            let page = journal.read(&wanted, 0, lines);
            after = page.last;
            let lines = page.lines.into_iter();
            ready.extend(lines.map(|(no, l)| (PolicyLogEvent::Line((*l).clone()), no)));
        }
        Some(Some(no)) => after = no,
        // Of another run of the master: all that this one has is new.
        Some(None) => ready.push_back((PolicyLogEvent::Gap, 0)),
    }
    let follow = Follow {
        app,
        wanted,
        news,
        run,
        after,
        looked: None,
        ready,
    };
    let events = stream::unfold(follow, |mut follow| async move {
        let event = follow.next().await?;
        Some((Ok::<_, Infallible>(event), follow))
    });
    Ok(Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response())
}

struct Follow {
    app: Arc<App>,
    wanted: Wanted,
    news: watch::Receiver<bool>,
    run: u64,
    /// The number of the last line that was looked at.
    after: u64,
    looked: Option<Instant>,
    /// With the number of the line behind which a client that saw the event goes on.
    ready: VecDeque<(PolicyLogEvent, u64)>,
}

impl Follow {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, no)) = self.ready.pop_front() {
                let kind = match &event {
                    PolicyLogEvent::Line(_) => "line",
                    PolicyLogEvent::Gap => "gap",
                };
                let sent = Event::default()
                    .event(kind)
                    .id(format!("{:x}-{no}", self.run));
                return sent.json_data(event).ok();
            }
            if let Some(looked) = self.looked {
                self.news.changed().await.ok()?;
                tokio::time::sleep_until(looked + INTERVAL).await;
            }
            self.looked = Some(Instant::now());
            // What was told up to here is in what is read now.
            if *self.news.borrow_and_update() {
                return None;
            }
            let journal = self.app.policies.journal();
            let page = journal.read(&self.wanted, self.after, LINES_MAX);
            if page.missed && self.after > 0 {
                self.ready.push_back((PolicyLogEvent::Gap, self.after));
            }
            self.after = page.last;
            let lines = page.lines.into_iter();
            self.ready
                .extend(lines.map(|(no, l)| (PolicyLogEvent::Line((*l).clone()), no)));
        }
    }
}
