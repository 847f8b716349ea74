//! Running the master or the worker as a process: a runtime, and what signals ask of it.
//!
//! The first SIGTERM or SIGINT asks for an orderly end, the second ends at once. (What is durable stays so, and every
//! ffmpeg dies with its worker.) SIGHUP asks for the settings to be read again; but when the terminal it was started from
//! is gone, which the kernel says with the same signal, it asks for the end.

use std::{
    fs::File,
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    exit::{Failure, Result},
    reload::Reload,
};

/// Resolves when the process is to end.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs `serve` to its end. `reload` is what SIGHUP is for.
pub fn run<F>(mut reload: Reload, serve: impl FnOnce(Shutdown) -> F) -> Result
where
    F: Future<Output = anyhow::Result<()>>,
{
    let failed = |error: std::io::Error| Failure::failed(format!("cannot start: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let outcome = runtime.block_on(async {
        let mut ends = Ends::listen().map_err(failed)?;
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        tokio::spawn(async move {
            while ends.next().await == Asked::Reload {
                // It reads a small file; on this thread, so that two never overlap.
                tokio::task::block_in_place(|| reload.now());
            }
            // The receiver is gone only when the service has ended by itself.
            let _ = tell.send(());
            ends.again().await;
            std::process::exit(1);
        });
        let shutdown = Box::pin(async {
            let _ = told.await;
        });
        serve(shutdown)
            .await
            .map_err(|error| Failure::failed(format!("{error:#}")))
    });
    // Blocking work that outlives an orderly end is not waited for.
    runtime.shutdown_background();
    outcome
}

/// Signals within this time are one request: a terminal, a shell and a `timeout` may each pass on the same Ctrl-C.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To end.
    End,
    /// To read the settings again.
    Reload,
}

/// The signals that ask something of a process.
pub struct Ends {
    term: Signal,
    int: Signal,
    hangup: Signal,
    terminal: Terminal,
    first: Option<Instant>,
}

impl Ends {
    /// From now on, they no longer end the process by themselves.
    pub fn listen() -> std::io::Result<Ends> {
        let terminal = Terminal::now();
        Ok(Ends {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            terminal,
            first: None,
        })
    }

    /// Waits for one of them. Safe to drop half-way.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
            _ = self.hangup.recv() => if !self.terminal.is_gone() {
                return Asked::Reload;
            },
        }
        self.first.get_or_insert_with(Instant::now);
        Asked::End
    }

    /// Waits for one that asks for the end after the first and is not an echo of it. Safe to drop half-way.
    pub async fn again(&mut self) {
        loop {
            if self.next().await == Asked::End
                && self
                    .first
                    .is_some_and(|first| first.elapsed() > SAME_REQUEST)
            {
                return;
            }
        }
    }
}

/// The terminal that this process was started from, if it was to end with it.
struct Terminal {
    minded: bool,
}

impl Terminal {
    /// Must be asked before SIGHUP is caught: `nohup` starts a process with it ignored, and means it.
    fn now() -> Terminal {
        Terminal {
            minded: has_terminal() && !hangup_is_ignored(),
        }
    }

    fn is_gone(&self) -> bool {
        self.minded && !has_terminal()
    }
}

/// Whether this process has a controlling terminal. The kernel takes it away before it sends SIGHUP.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is the lowest bit.
    mask.is_some_and(|mask| mask & 1 == 1)
}
