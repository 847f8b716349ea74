//! `ffrtmp ready`: whether a master, or a worker, is ready for work, as an exit code. For scripts, containers and monitors.

use std::time::{Duration, Instant};

use clap::Args;
use ffrtmp_api::client::Client;

use crate::{
    args::{GlobalArgs, OutputArg},
    connection::connect,
    exit::{Failure, Result},
    output::ReadySaid,
    tls,
};

/// Between two looks: short beside any start, long beside a look.
const PAUSE: Duration = Duration::from_millis(100);

/// Whom to ask.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp ready
  ffrtmp ready --retry-for 60s
  ffrtmp ready http://127.0.0.1:9091

A master is ready when it can take and place jobs, a worker when its master has welcomed it. Asked
again until --retry-for is over; no token is needed.")]
pub struct ReadyArgs {
    /// Address of a metrics listener, of a master or a worker; default: the master of the other commands
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// How to print it.
    #[command(flatten)]
    output: OutputArg,
}

/// Asks until it is, or time is over.
pub fn run(args: &ReadyArgs, global: &GlobalArgs) -> Result {
    let client = match &args.url {
        Some(url) => {
            Client::new(url, None)?.with_tls(&tls::client(global, |name| std::env::var(name).ok())?)
        }
        None => connect(global)?,
    };
    let since = Instant::now();
    loop {
        match client.check_ready() {
            Ok(()) => {
                let said = ReadySaid {
                    url: client.base().to_owned(),
                    ready: true,
                };
                return Ok(super::face(args.output.output, global).ready(&said)?);
            }
            Err(error) if since.elapsed() + PAUSE >= global.retry_for => {
                return Err(Failure::failed(format!(
                    "{} is not ready: {error}",
                    client.base()
                )));
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
