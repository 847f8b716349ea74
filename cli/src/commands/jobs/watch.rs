//! `ffrtmp jobs list --watch`: a list that stays true, driven by the master's events.
//!
//! Separate because it does not end by itself. The list is asked for again after something changed, never by the clock;
//! what changes within [`GATHER`] is one change, so that a busy cluster is not asked for every event.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write, stdout},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use ffrtmp_api::{
    client::{Client, ClientError, EventFilter, JobQuery},
    ids::{JobRef, JobSeq},
    rest::{ClusterEvent, Job, JobList},
};

use crate::{
    args::GlobalArgs,
    commands::face_of,
    connection::connect,
    exit::Result,
    output::{Format, Output},
};

/// How long changes are gathered before the list is asked for again.
const GATHER: Duration = Duration::from_millis(250);

/// Shows the list until it is interrupted or its reader is gone.
pub fn run(
    client: &Client,
    query: &JobQuery,
    limit: usize,
    format: Format,
    face: Box<dyn Output>,
    wide: bool,
    global: &GlobalArgs,
) -> Result {
    let events = listen(connect(global)?);
    let redraws = format == Format::Table && !global.quiet && stdout().is_terminal();
    let mut view = if redraws {
        View::Screen { wide }
    } else {
        View::Lines { face, before: None }
    };
    // The first event comes at once: what is shown first cannot be older than what is listened to.
    loop {
        let seen = gather(&events)?;
        let list = client.jobs_up_to(query.clone(), limit)?;
        view.show(client, list, seen, global)?;
    }
}

/// What happened since the last look.
struct Seen {
    /// Jobs that changed.
    jobs: Vec<JobSeq>,
}

/// Waits for an event, then gathers those that follow closely.
fn gather(events: &Receiver<std::result::Result<ClusterEvent, ClientError>>) -> Result<Seen> {
    let mut seen = Seen { jobs: Vec::new() };
    let mut until: Option<Instant> = None;
    loop {
        let event = match until {
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => events.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        match event {
            Ok(Ok(ClusterEvent::Job(change))) => seen.jobs.push(change.id),
            Ok(Ok(ClusterEvent::Reset)) => {}
            // Neither is in a list of jobs.
            Ok(Ok(ClusterEvent::Node(_) | ClusterEvent::Policy(_))) => continue,
            Ok(Err(error)) => return Err(error.into()),
            Err(RecvTimeoutError::Timeout) => return Ok(seen),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(crate::exit::Failure::failed(
                    "the master's events have ended",
                ));
            }
        }
        until.get_or_insert_with(|| Instant::now() + GATHER);
    }
}

/// Listens on a thread, so that events can be gathered for a while.
fn listen(client: Client) -> Receiver<std::result::Result<ClusterEvent, ClientError>> {
    let (sender, events) = channel();
    thread::spawn(move || {
        let filter = EventFilter {
            types: vec!["job".to_owned()],
            job: None,
        };
        for event in client.events_of(&filter) {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    events
}

/// How the list is shown.
enum View {
    /// Drawn again from the top of the terminal.
    Screen { wide: bool },
    /// What changed, as it changes.
    Lines {
        face: Box<dyn Output>,
        before: Option<BTreeMap<JobSeq, String>>,
    },
}

impl View {
    fn show(&mut self, client: &Client, list: JobList, seen: Seen, global: &GlobalArgs) -> Result {
        match self {
            View::Screen { wide } => {
                // Home, and clear from there on: what stood above stays in the terminal's history.
                write!(stdout(), "\x1b[H\x1b[J")?;
                let mut face = face_of(Format::Table, global);
                if *wide {
                    face.widen();
                }
                face.fit(terminal_lines());
                face.jobs(&list)?;
                stdout().flush()?;
            }
            View::Lines { face, before } => {
                let now: BTreeMap<JobSeq, String> =
                    list.jobs.iter().map(|job| (job.id, mark(job))).collect();
                let was = before.replace(now);
                // Oldest first, so that the newest stands last, as in a log.
                for job in list.jobs.iter().rev() {
                    if was.as_ref().and_then(|was| was.get(&job.id)) != Some(&mark(job)) {
                        face.row(job)?;
                    }
                }
                // Those that matched and no longer do are told once more, as they are now.
                let listed = |id: &JobSeq| list.jobs.iter().any(|job| job.id == *id);
                for id in seen.jobs {
                    let left =
                        was.as_ref().is_some_and(|was| was.contains_key(&id)) && !listed(&id);
                    if left && let Ok(job) = client.job(JobRef::Seq(id)) {
                        face.row(&job)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// What makes a job look different in a list. Progress does not: it changes without events.
fn mark(job: &Job) -> String {
    format!(
        "{} {} {} {} {:?} {}",
        job.state, job.queue, job.priority, job.attempt, job.node, job.held
    )
}

/// Lines of the terminal; 24 where it does not say.
fn terminal_lines() -> usize {
    let lines = terminal_size::terminal_size().map(|(_, height)| usize::from(height.0));
    lines.filter(|lines| *lines > 0).unwrap_or(24)
}
