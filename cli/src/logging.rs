//! Where master and worker log: stderr, as text for people or JSON for collectors.
//!
//! Separate so that the two processes log alike. Client commands do not log; their messages are answers.

use std::io::{IsTerminal, stderr};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::exit::{Failure, Result};

/// Set by `ffrtmp up` for its children: they share a terminal with the user, so they say only what he should know.
pub const SUPERVISED: &str = "FFRTMP_SUPERVISED";

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
    /// How log lines on stderr look: pretty or json
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace, or by module as in info,ffrtmp_host=debug. Else
    /// RUST_LOG; default: info, below `ffrtmp up` warn,audit=info
    #[arg(long, value_name = "FILTER", value_parser = filter_text)]
    pub log_level: Option<String>,
}

impl LogArgs {
    /// What is logged.
    pub fn level(&self) -> &str {
        match &self.log_level {
            Some(level) => level,
            // What somebody changed belongs into the log of whoever runs the cluster, wherever that goes.
            None if std::env::var_os(SUPERVISED).is_some() => "warn,audit=info",
            None => "info",
        }
    }
}

/// A filter that can be read, as it was written.
fn filter_text(text: &str) -> std::result::Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; as in info, or info,ffrtmp_host=debug")),
    }
}

/// A handle to what is logged.
pub struct Log {
    reload: Box<dyn Fn(EnvFilter) -> std::result::Result<(), String> + Send>,
}

impl Log {
    /// From now on, logs this.
    pub fn set_level(&self, level: &str) -> Result {
        let wrong = |why: String| Failure::failed(format!("log_level {level:?}: {why}"));
        let filter = EnvFilter::try_new(level).map_err(|error| wrong(error.to_string()))?;
        (self.reload)(filter).map_err(wrong)
    }
}

/// Starts logging.
pub fn start(args: &LogArgs) -> Result<Log> {
    let filter = EnvFilter::try_new(args.level())
        .map_err(|error| Failure::usage(format!("--log-level: {error}")))?;
    let colour = crate::output::colour_wanted(stderr().is_terminal());
    let builder = tracing_subscriber::fmt()
        .with_writer(stderr)
        // What cannot be written (the disk of the log is full) would be told to stderr, which fails too, and that is a panic.
        .log_internal_errors(false)
        .with_ansi(colour)
        .with_env_filter(filter);
    let reload: Box<dyn Fn(EnvFilter) -> _ + Send> = match args.log_format {
        LogFormat::Pretty => {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
        }
        LogFormat::Json => {
            let builder = builder.json().with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
        }
    };
    Ok(Log { reload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_refused_with_one_that_can() {
        for good in ["debug", "warn,ffrtmp_host=debug", "debug,hyper=info"] {
            assert_eq!(filter_text(good).as_deref(), Ok(good));
        }
        let error = filter_text("ffrtmp_host=loud").unwrap_err();
        assert!(error.contains("as in info"), "{error}");
    }
}
