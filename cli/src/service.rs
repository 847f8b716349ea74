//! Running the master or the worker as a process: a runtime, and a shutdown when a signal says so.
//!
//! The first SIGTERM or SIGINT asks for an orderly end, the second ends at once. (What is durable stays so, and every
//! ffmpeg dies with its worker.)

use std::{
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Failure, Result};

/// Resolves when the process is to end.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs `serve` to its end.
pub fn run<F>(serve: impl FnOnce(Shutdown) -> F) -> Result
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
            ends.next().await;
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

/// The signals that ask a process to end.
pub struct Ends {
    term: Signal,
    int: Signal,
    hangup: Signal,
    first: Option<Instant>,
}

impl Ends {
    /// From now on, they no longer end the process by themselves.
    pub fn listen() -> std::io::Result<Ends> {
        Ok(Ends {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            first: None,
        })
    }

    /// Waits for one of them. Safe to drop half-way.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
            _ = self.hangup.recv() => {}
        }
        self.first.get_or_insert_with(Instant::now);
    }

    /// Waits for one that comes after the first and is not an echo of it. Safe to drop half-way.
    pub async fn again(&mut self) {
        loop {
            self.next().await;
            if self
                .first
                .is_some_and(|first| first.elapsed() > SAME_REQUEST)
            {
                return;
            }
        }
    }
}
