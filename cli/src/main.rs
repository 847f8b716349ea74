//! `ffrtmp`: the one command-line tool. This file only goes from arguments to an exit code.
//!
//! The master and the worker are libraries (`ffrtmp-host`, `ffrtmp-worker`); here is what a person touches. Nothing in this
//! crate decides where a job runs or how it is encoded.

mod args;
mod build;
mod commands;
mod connection;
mod dirs;
mod exit;
mod listen;
mod logging;
mod output;
mod progress;
mod reload;
mod service;
mod settings;
mod supervisor;
mod tls;
mod token;
mod values;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A child made to compile a policy is no command, and needs nothing of what follows.
    if let Some(code) = ffrtmp_host::policy::compile_child::run_if_asked() {
        return code;
    }
    abort_on_panic();
    exit::code_of(settings::load().and_then(commands::run))
}

/// A panic in any thread ends the process, as `kill -9` would: what is durable is recovered at the next start, while a
/// half-dead master or worker would go on doing half of its work. (A hook, because `panic = "abort"` does not hold in tests.)
fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        std::process::abort();
    }));
}
