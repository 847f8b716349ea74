//! Following jobs until they end: bars on a terminal, plain lines elsewhere, nothing when only waiting.
//!
//! Separate from the commands because `submit`, `status` and `wait` all follow. It shows; the jobs go on without it, and
//! it says so when it is interrupted.

mod bar;
pub mod bytes;
mod interrupt;
mod lines;

use std::{
    io::{self, IsTerminal},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Instant,
};

use ffrtmp_api::{client::Client, ids::JobRef, job::JobState, rest::Job};

use crate::{
    exit::{Failure, Result},
    output::Format,
};

/// Jobs followed at once; each holds a connection and, on a terminal, a line. Further ones follow as these end, and
/// nothing is missed: what ended meanwhile is seen at once.
const AT_ONCE_MAX: usize = 16;

/// Something that shows a job's states as they come.
trait Show {
    /// The next state.
    fn update(&mut self, job: &Job) -> io::Result<()>;
    /// Nothing more comes; clear away what is not to stay.
    fn finish(&mut self) {}
}

/// How to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Say nothing.
    Silently,
    /// A bar if both outputs are terminals; else lines, or JSON lines.
    Visibly(Format),
}

/// Waits until the job has ended and gives its last state.
pub fn follow(client: Client, job: JobRef, how: How) -> Result<Job> {
    let mut following = Following::start(client, vec![job], how)?;
    match following.next(None) {
        Next::Ended(_, job) => *job,
        // Without a time limit, and with one job, there is no other.
        Next::Late | Next::Over => Err(Failure::failed(format!("job {job} was not followed"))),
    }
}

/// Jobs that are being followed.
pub struct Following {
    ended: Receiver<(usize, Result<Job>)>,
    screen: Screen,
}

/// What came of following.
pub enum Next {
    /// The job at this place has ended, or cannot be followed.
    Ended(usize, Box<Result<Job>>),
    /// The time given is over.
    Late,
    /// All have ended.
    Over,
}

impl Following {
    /// Begins to follow `jobs`.
    pub fn start(client: Client, jobs: Vec<JobRef>, how: How) -> Result<Following> {
        let screen = Screen::new(how);
        let cleared = screen.clone();
        let goes_on = goes_on(&jobs);
        interrupt::once(move || {
            cleared.clear();
            eprintln!("ffrtmp: {goes_on}");
        })?;
        let (client, jobs) = (Arc::new(client), Arc::new(jobs));
        let next = Arc::new(AtomicUsize::new(0));
        let (sender, ended) = channel();
        for _ in 0..jobs.len().min(AT_ONCE_MAX) {
            let (client, jobs, next) = (client.clone(), jobs.clone(), next.clone());
            let (sender, screen) = (sender.clone(), screen.clone());
            thread::spawn(move || follow_some(&client, &jobs, &next, &screen, &sender));
        }
        Ok(Following { ended, screen })
    }

    /// The next that ends, before `until`.
    pub fn next(&mut self, until: Option<Instant>) -> Next {
        let received = match until {
            None => self
                .ended
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                self.ended.recv_timeout(left)
            }
        };
        match received {
            Ok((at, job)) => Next::Ended(at, Box::new(job)),
            Err(RecvTimeoutError::Timeout) => {
                self.screen.clear();
                Next::Late
            }
            Err(RecvTimeoutError::Disconnected) => Next::Over,
        }
    }

    /// Prints something while bars may stand on the terminal.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.screen.aside(print)
    }
}

/// Follows one job after the other until none is left or nobody listens.
fn follow_some(
    client: &Client,
    jobs: &[JobRef],
    next: &AtomicUsize,
    screen: &Screen,
    ended: &Sender<(usize, Result<Job>)>,
) {
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(job) = jobs.get(at) else {
            return;
        };
        if ended.send((at, to_the_end(client, *job, screen))).is_err() {
            return;
        }
    }
}

fn to_the_end(client: &Client, job: JobRef, screen: &Screen) -> Result<Job> {
    let mut show = screen.show();
    let mut last = None;
    for state in client.watch(job) {
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                show.iter_mut().for_each(|show| show.finish());
                return Err(crate::exit::of_job(job, error));
            }
        };
        if let Some(show) = &mut show {
            show.update(&state)?;
        }
        last = Some(state);
    }
    show.iter_mut().for_each(|show| show.finish());
    last.ok_or_else(|| Failure::failed(format!("the master sent nothing about job {job}")))
}

/// Where jobs are shown.
#[derive(Clone)]
enum Screen {
    Nowhere,
    Bars(bar::Bars),
    LinesOnStdout,
    LinesOnStderr,
    JsonLines,
}

impl Screen {
    fn new(how: How) -> Screen {
        match how {
            How::Silently => Screen::Nowhere,
            How::Visibly(Format::Jsonl) => Screen::JsonLines,
            How::Visibly(_) if io::stdout().is_terminal() && io::stderr().is_terminal() => {
                Screen::Bars(bar::Bars::default())
            }
            How::Visibly(Format::Table) => Screen::LinesOnStdout,
            // Standard output is for the one document at the end.
            How::Visibly(Format::Json) => Screen::LinesOnStderr,
        }
    }

    /// A place for one more job.
    fn show(&self) -> Option<Box<dyn Show>> {
        match self {
            Screen::Nowhere => None,
            Screen::Bars(bars) => Some(Box::new(bars.add())),
            Screen::LinesOnStdout => Some(Box::new(lines::Lines::new(io::stdout()))),
            Screen::LinesOnStderr => Some(Box::new(lines::Lines::new(io::stderr()))),
            Screen::JsonLines => Some(Box::new(JsonLines)),
        }
    }

    fn clear(&self) {
        if let Screen::Bars(bars) = self {
            bars.clear();
        }
    }

    fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match self {
            Screen::Bars(bars) => bars.aside(print),
            _ => print(),
        }
    }
}

/// What a user who interrupts should know.
fn goes_on(jobs: &[JobRef]) -> String {
    match jobs {
        [job] => {
            format!("job {job} goes on; see it again with: ffrtmp jobs status {job} --follow")
        }
        jobs => format!(
            "the {} jobs go on; see them with: ffrtmp jobs list",
            jobs.len()
        ),
    }
}

/// The exit of a command that waited: success only if the job completed, else its reason.
pub fn verdict(job: &Job) -> Result {
    let id = job.id;
    match (job.state, &job.failure) {
        (JobState::Completed, _) => Ok(()),
        (JobState::Canceled, _) => Err(Failure::failed(format!("job {id} was canceled"))),
        (_, Some(failure)) => Err(Failure::failed(format!(
            "job {id} failed: {}: {}\n  see its log: ffrtmp jobs logs {id}",
            failure.reason,
            crate::output::clean(&failure.message)
        ))),
        (state, None) => Err(Failure::failed(format!("job {id} ended as {state}"))),
    }
}

/// Every state as a line of JSON, as it comes.
struct JsonLines;

impl Show for JsonLines {
    fn update(&mut self, job: &Job) -> io::Result<()> {
        crate::output::to_stdout(Format::Jsonl, false).job(job)
    }
}

/// How fast it goes, the same on both faces: `118 fps  4.7x`.
fn rates(job: &Job) -> String {
    match &job.progress {
        Some(progress) => format!("{:.0} fps  {:.1}x", progress.fps, progress.speed),
        None => String::new(),
    }
}
