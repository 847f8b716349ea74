//! `ffrtmp webhooks …`: what is told to web servers, and what they have not taken.

use std::io::Write as _;

use clap::{Args, Subcommand};
use ffrtmp_api::ids::JobRef;

use crate::{
    args::{GlobalArgs, OutputArg},
    connection::connect,
    exit::{Failure, Result},
};

/// A command about webhooks.
#[derive(Debug, Subcommand)]
pub enum WebhooksCommand {
    /// List what was not delivered, and why
    #[command(
        visible_alias = "ls",
        after_help = "Examples:
  ffrtmp webhooks list
  ffrtmp webhooks list --job 42 --output json

What was delivered is not listed. What could not be for a day is given up, and shown for a week."
    )]
    List(ListArgs),
    /// Try again, now, what is to be told of jobs
    #[command(after_help = "Examples:
  ffrtmp webhooks retry 42 43")]
    Retry(RetryArgs),
    /// Send a signed test event to a URL, and say what came of it
    #[command(after_help = "Examples:
  ffrtmp webhooks test https://example.com/hooks/ffrtmp")]
    Test(TestArgs),
    /// Print the secret that receivers check signatures with
    #[command(after_help = "Examples:
  ffrtmp webhooks secret > webhook.secret

A token that is limited to a tenant prints that tenant's own.")]
    Secret,
}

/// What to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only what is to be told of this job
    #[arg(long, value_name = "ID")]
    job: Option<JobRef>,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// Of which jobs.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// Numbers or UUIDs
    #[arg(required = true, value_name = "ID")]
    jobs: Vec<JobRef>,
}

/// Where to.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// An http:// or https:// URL, as the master reaches it
    url: String,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// Does it.
pub fn run(command: WebhooksCommand, global: &GlobalArgs) -> Result {
    let client = connect(global)?;
    match command {
        WebhooksCommand::List(args) => {
            let list = client.deliveries(args.job)?;
            Ok(super::face(args.output.output, global).deliveries(&list)?)
        }
        WebhooksCommand::Retry(args) => {
            let mut failed = 0;
            for job in args.jobs {
                match client.retry_webhooks(job) {
                    Ok(answer) if answer.retried == 0 => {
                        eprintln!("ffrtmp: job {job}: everything was delivered");
                    }
                    Ok(answer) => eprintln!("ffrtmp: job {job}: {} tried again", answer.retried),
                    Err(error) => {
                        failed += 1;
                        eprintln!("ffrtmp: job {job}: {error}");
                    }
                }
            }
            if failed > 0 {
                Err(Failure::Silent)
            } else {
                Ok(())
            }
        }
        WebhooksCommand::Test(args) => {
            let tested = client.test_webhook(&args.url)?;
            super::face(args.output.output, global).webhook_tested(&tested)?;
            if tested.delivered {
                Ok(())
            } else {
                Err(Failure::Silent)
            }
        }
        WebhooksCommand::Secret => {
            let secret = client.webhook_secret()?;
            Ok(writeln!(std::io::stdout(), "{}", secret.secret)?)
        }
    }
}
