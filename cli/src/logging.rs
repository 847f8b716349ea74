//! Where master and worker log: stderr, as text for people or JSON for collectors.
//!
//! Separate so that the two processes log alike. Client commands do not log; their messages are answers.

use std::io::{IsTerminal, stderr};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::exit::{Failure, Result};

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text for people
    #[default]
    Pretty,
    /// One JSON object a line
    Json,
}

impl LogFormat {
    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            LogFormat::Pretty => "pretty",
            LogFormat::Json => "json",
        }
    }
}

/// Logging flags of the commands that run for long.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// How log lines on stderr look: pretty or json. What is logged: RUST_LOG, as in RUST_LOG=debug
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub log_format: LogFormat,
}

/// Starts logging. `default` is the filter when `RUST_LOG` is not set.
pub fn start(args: &LogArgs, default: &str) -> Result {
    let wanted = std::env::var("RUST_LOG")
        .ok()
        .filter(|filter| !filter.is_empty());
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(default)).map_err(|error| {
        Failure::usage(format!(
            "RUST_LOG: {error}; as in RUST_LOG=info or RUST_LOG=ffrtmp_host=debug"
        ))
    })?;
    let colour = crate::output::colour_wanted(stderr().is_terminal());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(colour);
    match args.log_format {
        LogFormat::Pretty => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
