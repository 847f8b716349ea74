//! `GET /v1/jobs/{job}/logs`: ffmpeg's log, as it is or as it grows.
//!
//! A running attempt's log is in memory, the end of it; when the attempt is over, the worker's own copy is in the store. A
//! stream that follows a job goes from one to the other without saying a line twice, and on to the next attempt.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use ffrtmp_api::{
    ids::{AttemptNo, JobRef, JobSeq},
    rest::{JobLogs, LogEvent},
};
use futures_util::stream;
use serde::Deserialize;
use tokio::{sync::watch, time::Instant};
use utoipa::IntoParams;

use super::{
    App,
    document::NotFound,
    error::ApiError,
    jobs::{JobPath, find, read},
};
use crate::core::record::JobRow;

/// Shortest time between two looks at a log that grows.
const INTERVAL: Duration = Duration::from_millis(100);
/// Bytes of what was said last that are looked for in the stored log, to go on behind them.
const TAIL_BYTES: usize = 4_096;

/// How to answer.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LogsQuery {
    /// Whether to go on as the log grows, as server-sent events whose data is a `LogEvent`, until the job ends.
    #[serde(default)]
    follow: bool,
    /// Of this attempt, from 1; the latest without. Not when following.
    attempt: Option<u32>,
}

/// The log of an attempt, the latest if none is named: live while it runs, stored afterwards; or all that comes, attempt after
/// attempt.
#[utoipa::path(get, path = "/v1/jobs/{job}/logs", operation_id = "job_logs", tag = "jobs",
    params(JobPath, LogsQuery, ("Last-Event-ID" = Option<String>, Header, description = "When following: the id of the last event seen.")),
    responses(
        (status = 200, description = "The log.", content((JobLogs = "application/json"), (String = "text/event-stream"))),
        NotFound,
    ))]
pub async fn logs(
    State(app): State<Arc<App>>,
    Path(job): Path<String>,
    query: Result<Query<LogsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|e| ApiError::bad_field("query", e.body_text()))?;
    let row = find(&app, job.parse()?).await?;
    if !query.follow {
        let logs = match query.attempt.map(AttemptNo) {
            Some(attempt) if attempt != row.status.attempt => earlier(&app, row, attempt).await?,
            _ => as_it_is(&app, row).await?,
        };
        return Ok(Json(logs).into_response());
    }
    if query.attempt.is_some() {
        return Err(ApiError::bad_field(
            "attempt",
            "a log that is followed goes on from attempt to attempt; leave out attempt or follow",
        ));
    }
    let last = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .and_then(|id| Place::parse(id, app.shell.outbox().events().run()));
    let follow = Follow {
        changes: app.shell.outbox().watch(row.seq),
        lines: app.shell.outbox().watch_log(row.seq),
        app,
        seq: row.seq,
        place: last,
        tail: None,
        looked: None,
        ready: VecDeque::new(),
        over: false,
    };
    let events = stream::unfold(follow, |mut follow| async move {
        let event = follow.next().await?;
        Some((Ok::<_, Infallible>(event), follow))
    });
    Ok(Sse::new(events)
        .keep_alive(KeepAlive::default())
        .into_response())
}

async fn as_it_is(app: &Arc<App>, row: JobRow) -> Result<JobLogs, ApiError> {
    let (id, live) = (row.seq, !row.status.state.is_terminal());
    let attempt = row.status.attempt;
    let growing = app.live.log_of(id, attempt).filter(|_| live);
    let (attempt, text) = match growing {
        Some((_, text)) => (attempt, text),
        None => read(app, move |reader| reader.log(id))
            .await?
            .unwrap_or((attempt, String::new())),
    };
    Ok(JobLogs {
        id,
        attempt,
        text,
        live,
    })
}

/// The stored log of an attempt that is not the latest; empty for one that left none (its worker was lost).
async fn earlier(app: &Arc<App>, row: JobRow, attempt: AttemptNo) -> Result<JobLogs, ApiError> {
    let (id, latest) = (row.seq, row.status.attempt);
    if attempt.0 == 0 || attempt > latest {
        let had = match latest.0 {
            0 => "has had no attempt yet".to_owned(),
            1 => "has had 1 attempt".to_owned(),
            n => format!("has had {n} attempts"),
        };
        return Err(ApiError::bad_field(
            "attempt",
            format!("job {id} {had}, so there is no log of attempt {attempt}"),
        ));
    }
    let text = read(app, move |reader| reader.log_of(id, attempt)).await?;
    Ok(JobLogs {
        id,
        attempt,
        text: text.unwrap_or_default(),
        live: false,
    })
}

/// How far a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    attempt: AttemptNo,
    /// Bytes of that attempt's log that were said, counted from its beginning; [`ALL`] when it is over and all was.
    said: u64,
}

/// See [`Place::said`].
const ALL: u64 = u64::MAX;

impl Place {
    fn id(self, run: u64) -> String {
        format!("{run:x}-{}-{}", self.attempt, self.said)
    }

    /// From an event's id, if it is of this run of the master: another counts anew.
    fn parse(id: &str, run: u64) -> Option<Place> {
        let mut parts = id.splitn(3, '-');
        if u64::from_str_radix(parts.next()?, 16).ok()? != run {
            return None;
        }
        let attempt = AttemptNo(parts.next()?.parse().ok()?);
        let said = parts.next()?.parse().ok()?;
        Some(Place { attempt, said })
    }
}

struct Follow {
    app: Arc<App>,
    seq: JobSeq,
    changes: watch::Receiver<()>,
    lines: watch::Receiver<()>,
    place: Option<Place>,
    /// The end of what was said of this attempt; none if an earlier connection said it.
    tail: Option<String>,
    looked: Option<Instant>,
    ready: VecDeque<(LogEvent, Option<Place>)>,
    over: bool,
}

impl Follow {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, place)) = self.ready.pop_front() {
                let run = self.app.shell.outbox().events().run();
                let kind = match &event {
                    LogEvent::Attempt { .. } => "attempt",
                    LogEvent::Text { .. } => "text",
                    LogEvent::Gap { .. } => "gap",
                    LogEvent::End { .. } => "end",
                };
                let mut sent = Event::default().event(kind);
                if let Some(place) = place {
                    sent = sent.id(place.id(run));
                }
                return sent.json_data(event).ok();
            }
            if self.over {
                return None;
            }
            if let Some(looked) = self.looked {
                tokio::select! {
                    // An error means that the master stops.
                    changed = self.changes.changed() => changed.ok()?,
                    changed = self.lines.changed() => changed.ok()?,
                }
                tokio::time::sleep_until(looked + INTERVAL).await;
            }
            self.looked = Some(Instant::now());
            // What changed up to here is in what is read now.
            self.changes.mark_unchanged();
            self.lines.mark_unchanged();
            self.look().await.ok()?;
        }
    }

    /// Makes ready what is new.
    async fn look(&mut self) -> Result<(), ApiError> {
        // Read before the row: a log that is forgotten with its attempt is in the store by then.
        let shown = self.place.map(|place| place.attempt);
        let growing = shown.and_then(|attempt| self.app.live.log_of(self.seq, attempt));
        let row = find(&self.app, JobRef::Seq(self.seq)).await?;
        let status = &row.status;
        if let Some((before, text)) = growing {
            self.say_growing(before, &text);
        }
        let is_over = !status.state.is_active();
        if shown.is_some_and(|attempt| attempt < status.attempt || is_over) {
            self.say_rest().await?;
        }
        if status.attempt.0 > 0 && shown.is_none_or(|attempt| attempt < status.attempt) {
            let place = Place {
                attempt: status.attempt,
                said: 0,
            };
            self.place = Some(place);
            self.tail = Some(String::new());
            let event = LogEvent::Attempt {
                attempt: status.attempt,
                node: status.worker.clone(),
            };
            self.ready.push_back((event, Some(place)));
            match self.app.live.log_of(self.seq, status.attempt) {
                Some((before, text)) => self.say_growing(before, &text),
                None if is_over => self.say_rest().await?,
                None => {}
            }
        }
        if status.state.is_terminal() {
            let state = status.state;
            self.ready.push_back((LogEvent::End { state }, self.place));
            self.over = true;
        }
        Ok(())
    }

    /// Says what is new in the log of the attempt that runs; `text` begins `before` bytes into it.
    fn say_growing(&mut self, before: u64, text: &str) {
        let Some(mut place) = self.place.filter(|place| place.said != ALL) else {
            return;
        };
        if before + (text.len() as u64) < place.said {
            // The master forgot it with its memory, and it grows anew.
            self.ready.push_back((LogEvent::Gap { bytes: 0 }, None));
            self.tail = Some(String::new());
            place.said = 0;
        }
        let known = place.said.saturating_sub(before) as usize;
        let (old, new) = text.split_at_checked(known).unwrap_or((text, ""));
        if place.said < before {
            let bytes = before - place.said;
            self.ready.push_back((LogEvent::Gap { bytes }, None));
        }
        let tail = self.tail.get_or_insert_with(|| old.to_owned());
        tail.push_str(new);
        keep_end(tail);
        let said = before + text.len() as u64;
        if said > place.said {
            self.say(new.to_owned(), said);
        }
    }

    /// Says what is left of the log of an attempt that is over, from the store.
    async fn say_rest(&mut self) -> Result<(), ApiError> {
        let Some(place) = self.place.filter(|place| place.said != ALL) else {
            return Ok(());
        };
        let (seq, attempt) = (self.seq, place.attempt);
        let stored = read(&self.app, move |reader| reader.log_of(seq, attempt)).await?;
        let rest = stored.map(|stored| rest_of(&stored, place.said, self.tail.as_deref()));
        match rest {
            Some(Some(rest)) => self.say(rest, ALL),
            Some(None) => {
                // What was said cannot be found in it, so where to go on is not known.
                self.ready.push_back((LogEvent::Gap { bytes: 0 }, None));
            }
            // Lost with its worker: there is no more than what was said. If that comes back with it, its log grows anew.
            None => {
                self.tail = Some(String::new());
                self.place = Some(Place { said: 0, ..place });
                return Ok(());
            }
        }
        self.place = Some(Place { said: ALL, ..place });
        Ok(())
    }

    fn say(&mut self, text: String, said: u64) {
        let place = self.place.map(|place| Place { said, ..place });
        self.place = place;
        if !text.is_empty() {
            self.ready.push_back((LogEvent::Text { text }, place));
        }
    }
}

/// What of a stored log was not said yet; none if that cannot be told.
fn rest_of(stored: &str, said: u64, tail: Option<&str>) -> Option<String> {
    match tail {
        _ if said == 0 => Some(stored.to_owned()),
        Some(tail) if !tail.is_empty() => {
            let at = stored.rfind(tail)?;
            Some(stored[at + tail.len()..].to_owned())
        }
        // An earlier connection said it: by its length, which is right as long as nothing was left out.
        _ => stored.get(said as usize..).map(str::to_owned),
    }
}

/// Drops all but the last [`TAIL_BYTES`] or so.
fn keep_end(text: &mut String) {
    if text.len() > 2 * TAIL_BYTES {
        let mut start = text.len() - TAIL_BYTES;
        while !text.is_char_boundary(start) {
            start += 1;
        }
        text.drain(..start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_log_is_gone_on_with_behind_what_was_said() {
        let stored = "one\ntwo\nthree\n";
        assert_eq!(rest_of(stored, 0, None).unwrap(), stored);
        assert_eq!(rest_of(stored, 8, Some("one\ntwo\n")).unwrap(), "three\n");
        assert_eq!(rest_of(stored, 999, Some("two\n")).unwrap(), "three\n");
        assert_eq!(rest_of(stored, 8, None).unwrap(), "three\n");
        assert_eq!(rest_of(stored, 14, Some("three\n")).unwrap(), "");
        assert_eq!(rest_of(stored, 3, Some("four\n")), None);
        assert_eq!(rest_of(stored, 15, None), None);
    }

    #[test]
    fn a_place_survives_its_id_and_means_nothing_to_another_run() {
        let place = Place {
            attempt: AttemptNo(3),
            said: 4_711,
        };
        assert_eq!(Place::parse(&place.id(0xbeef), 0xbeef), Some(place));
        assert_eq!(Place::parse(&place.id(0xbeef), 0xbeee), None);
        for bad in ["", "beef", "beef-3", "beef-x-1", "beef-3--1", "-3-1"] {
            assert_eq!(Place::parse(bad, 0xbeef), None, "{bad:?}");
        }
    }

    #[test]
    fn only_the_end_of_what_was_said_is_kept() {
        let mut text = "é".repeat(3 * TAIL_BYTES);
        keep_end(&mut text);
        assert!(text.len() <= TAIL_BYTES && text.ends_with('é'));
    }
}
