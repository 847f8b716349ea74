//! A small supervisor: starts child processes, starts again those that die, and ends them in order.
//!
//! It knows nothing of masters or workers; `commands::up` says what to run. Everything happens on one thread, which must
//! be the process's main thread: the kernel's parent-death signal fires when the *thread* that spawned a child ends.
//! Only this thread reaps, so a pid it holds is never somebody else's.

mod backoff;
mod child;

use std::{
    ffi::OsString,
    io,
    process::ExitStatus,
    time::{Duration, Instant},
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use self::{backoff::Backoff, child::Child};
use crate::service::{Asked, Ends};

/// What a child runs.
#[derive(Debug, Clone)]
pub enum Program {
    /// This very program, even if its file has been replaced since: a cluster does not change version by a crash.
    Own,
    /// Another one. Of the environment it gets `PATH` and `HOME`: a token there is none of its business.
    Other(OsString),
}

/// What a child process is.
#[derive(Debug, Clone)]
pub struct Role {
    /// What messages call it.
    pub name: String,
    /// The program.
    pub program: Program,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables added to its environment.
    pub env: Vec<(String, String)>,
    /// How long it may take to end after SIGTERM before it is killed.
    pub end_within: Duration,
}

/// What the owner of a supervisor must know.
#[derive(Debug)]
pub enum Event {
    /// A signal asks for the end.
    Stop,
    /// A signal asks for the settings to be read again.
    Reload,
    /// A child died. It will be started again.
    Died {
        /// Its role's name.
        name: String,
        /// How.
        status: ExitStatus,
        /// After this pause.
        again_in: Duration,
    },
}

/// How the end went.
#[derive(Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every child ended by itself.
    Cleanly,
    /// Some had to be killed, because they took too long or a second signal came.
    ByForce,
}

/// A role and the process that plays it.
struct Post {
    role: Role,
    child: Option<Child>,
    backoff: Backoff,
    /// When to start it again, while it is not running.
    due: Option<Instant>,
}

/// Child processes, the first to end last.
pub struct Supervisor {
    posts: Vec<Post>,
    ends: Ends,
    deaths: Signal,
}

impl Supervisor {
    /// No children yet. From now on SIGTERM, SIGINT and SIGHUP come out of [`Supervisor::next`].
    pub fn new() -> io::Result<Supervisor> {
        Ok(Supervisor {
            posts: Vec::new(),
            ends: Ends::listen()?,
            deaths: signal(SignalKind::child())?,
        })
    }

    /// Starts a child.
    pub fn start(&mut self, role: Role) -> io::Result<()> {
        self.start_at(self.posts.len(), role)
    }

    /// Starts a child that is to end after all the others.
    pub fn start_and_end_last(&mut self, role: Role) -> io::Result<()> {
        self.start_at(0, role)
    }

    fn start_at(&mut self, place: usize, role: Role) -> io::Result<()> {
        let child = Child::spawn(&role)?;
        self.posts.insert(
            place,
            Post {
                role,
                child: Some(child),
                backoff: Backoff::default(),
                due: None,
            },
        );
        Ok(())
    }

    /// Passes SIGHUP on to every child.
    pub fn hang_up(&self) {
        self.posts
            .iter()
            .filter_map(|post| post.child.as_ref())
            .for_each(Child::hang_up);
    }

    /// Waits for something worth telling, starting again what is due meanwhile. Safe to drop half-way.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.reap() {
                return event;
            }
            self.start_due();
            let due = self.posts.iter().filter_map(|post| post.due).min();
            tokio::select! {
                asked = self.ends.next() => return match asked {
                    Asked::End => Event::Stop,
                    Asked::Reload => Event::Reload,
                },
                _ = self.deaths.recv() => {}
                () = sleep_until(due) => {}
            }
        }
    }

    /// Ends everything, the last first: SIGTERM, then SIGKILL when time is over or a second signal comes.
    pub async fn drain(mut self) -> Drained {
        let mut drained = Drained::Cleanly;
        while let Some(mut post) = self.posts.pop() {
            // Children of the same kind (several workers) drain side by side: all are told before one is waited for.
            let kin: Vec<Post> = extract_kin(&mut self.posts, &post.role);
            let mut group: Vec<Child> = post
                .child
                .take()
                .into_iter()
                .chain(kin.into_iter().filter_map(|p| p.child))
                .collect();
            group.iter().for_each(Child::terminate);
            let deadline = Some(Instant::now() + post.role.end_within);
            while group.iter_mut().any(|child| child.exited().is_none()) {
                tokio::select! {
                    _ = self.deaths.recv() => continue,
                    () = self.ends.again() => {}
                    () = sleep_until(deadline) => {}
                }
                drained = Drained::ByForce;
                group.iter_mut().for_each(Child::kill);
                for post in &mut self.posts {
                    // After a second signal nobody is waited for.
                    post.role.end_within = Duration::ZERO;
                }
            }
        }
        drained
    }

    /// Notices one child that died and plans its return.
    fn reap(&mut self) -> Option<Event> {
        for post in &mut self.posts {
            let Some(child) = &mut post.child else {
                continue;
            };
            let Some(status) = child.exited() else {
                continue;
            };
            let again_in = post.backoff.after_run_of(child.age());
            post.child = None;
            post.due = Some(Instant::now() + again_in);
            return Some(Event::Died {
                name: post.role.name.clone(),
                status,
                again_in,
            });
        }
        None
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        for post in self
            .posts
            .iter_mut()
            .filter(|post| post.due.is_some_and(|due| due <= now))
        {
            match Child::spawn(&post.role) {
                Ok(child) => (post.child, post.due) = (Some(child), None),
                Err(error) => {
                    let again_in = post.backoff.after_run_of(Duration::ZERO);
                    eprintln!(
                        "ffrtmp up: cannot start {}: {error}; trying again in {again_in:.1?}",
                        post.role.name
                    );
                    post.due = Some(now + again_in);
                }
            }
        }
    }
}

/// Takes out the posts that run the same command (the first argument) as `role`.
fn extract_kin(posts: &mut Vec<Post>, role: &Role) -> Vec<Post> {
    let (kin, rest) = std::mem::take(posts)
        .into_iter()
        .partition(|post| post.role.args.first() == role.args.first());
    *posts = rest;
    kin
}

/// Sleeps until then; for ever when there is no then.
async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
