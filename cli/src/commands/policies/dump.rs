//! `ffrtmp policies dump`: what a policy was last asked and answered.

use clap::Args;

use crate::{
    args::{GlobalArgs, OutputArg},
    commands::face,
    connection::connect,
    exit::{Failure, Result},
};

/// Whose question.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp policies dump
  ffrtmp policies dump binpack
  ffrtmp policies dump 3f9a02c4 --output json

Numbers of jobs, workers, classes and groups are those that the policy sees. The question in which it last failed is kept
beside the last one; both in memory, for the last four policies that were asked.")]
pub struct DumpArgs {
    /// Its name, the first digits of its digest (4 at least), or `native` for the built-in one; without, the one that rules
    #[arg(value_name = "NAME|DIGEST")]
    policy: Option<String>,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// Shows it.
pub fn run(args: &DumpArgs, global: &GlobalArgs) -> Result {
    let client = connect(global)?;
    let policy = match &args.policy {
        Some(policy) => policy.clone(),
        None => {
            let list = client.policies()?;
            let rules = list.policies.into_iter().find(|p| p.state == "active");
            rules
                .ok_or_else(|| Failure::failed("no policy rules at this moment; name one"))?
                .digest
        }
    };
    let dump = client.dump_policy(&policy)?;
    Ok(face(args.output.output, global).policy_dump(&dump)?)
}
