//! `/v1/jobs/{job}/watch`: a job as it changes, as server-sent events, until it ends.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::{Path, State},
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use ffrtmp_api::ids::JobRef;
use futures_util::{Stream, stream};
use tokio::time::Instant;

use super::{App, document::NotFound, error::ApiError, jobs};

/// Shortest time between two events: a bar that moves ten times a second is smooth.
const INTERVAL: Duration = Duration::from_millis(100);

/// Streams the job, now and whenever it changes. The stream ends after the event that shows it ended.
#[utoipa::path(get, path = "/v1/jobs/{job}/watch", operation_id = "watch_job", tag = "jobs", params(jobs::JobPath),
    responses(
        (status = 200, description = "Server-sent events; the data of each is a `Job`.", content_type = "text/event-stream", body = String),
        NotFound,
    ))]
pub async fn watch(
    State(app): State<Arc<App>>,
    Path(job): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let job: JobRef = job.parse()?;
    let seq = jobs::find(&app, job).await?.seq;
    // Subscribed before the first look that is shown, so that no change falls between.
    let changes = app.shell.outbox().watch(seq);
    let start = Watch {
        app,
        seq: JobRef::Seq(seq),
        changes,
        last: None,
        ended: false,
    };
    let events = stream::unfold(start, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok(event), watch))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

struct Watch {
    app: Arc<App>,
    seq: JobRef,
    changes: tokio::sync::watch::Receiver<()>,
    last: Option<Instant>,
    ended: bool,
}

impl Watch {
    async fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        if let Some(last) = self.last {
            // An error means that the master stops.
            self.changes.changed().await.ok()?;
            tokio::time::sleep_until(last + INTERVAL).await;
        }
        self.last = Some(Instant::now());
        // Changes up to here are in what is read now.
        self.changes.mark_unchanged();
        let row = jobs::find(&self.app, self.seq).await.ok()?;
        let job = jobs::describe(&self.app, vec![row]).await.ok()?.pop()?;
        self.ended = job.state.is_terminal();
        Event::default().json_data(job).ok()
    }
}
