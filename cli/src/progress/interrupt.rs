//! Ctrl-C while following: what is on the terminal is cleared and what goes on is said, then the process ends.
//!
//! Separate because it is the only place of the client commands that handles a signal. Exit code 130, as shells give it
//! to what SIGINT ended.

use std::{process, thread};

use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use crate::exit::{Failure, Result};

/// What shells say of a process that SIGINT ended: 128 + 2.
const INTERRUPTED: i32 = 130;

/// At the first SIGINT, `last_words` are said and the process ends.
pub fn once(last_words: impl FnOnce() + Send + 'static) -> Result {
    let cannot =
        |error: std::io::Error| Failure::failed(format!("signals cannot be handled: {error}"));
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(cannot)?;
    // From here on, not from when the thread gets its turn: an interrupt in between would not be handled.
    let mut interrupts = {
        let _entered = runtime.enter();
        signal(SignalKind::interrupt()).map_err(cannot)?
    };
    thread::spawn(move || {
        if runtime.block_on(interrupts.recv()).is_some() {
            last_words();
            process::exit(INTERRUPTED);
        }
    });
    Ok(())
}
