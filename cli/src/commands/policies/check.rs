//! `ffrtmp policies check`: everything that would be wrong with a policy, found without a master.

use std::path::PathBuf;

use clap::Args;
use ffrtmp_host::check::Examiner;

use super::local::{Guest, engine};
use crate::{
    args::{GlobalArgs, OutputArg},
    commands::face,
    exit::{Failure, Result},
};

/// What to look at.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp policies check policies/balanced.wasm
  ffrtmp policies check mine.wasm --policy-config staging/mine.toml
  ffrtmp policies check mine.wasm --output json

Exit code: 0 if nothing fails, 1 if something does.")]
pub struct CheckArgs {
    /// The policy's .wasm file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Its settings, where NAME.toml does not lie beside it
    #[arg(long = "policy-config", value_name = "FILE")]
    policy_config: Option<PathBuf>,
    /// What clusters and questions are made from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How the answer looks.
    #[command(flatten)]
    output: OutputArg,
}

/// Looks, prints, and fails if the policy does.
pub fn run(args: &CheckArgs, global: &GlobalArgs) -> Result {
    let configs: Vec<PathBuf> = args.policy_config.iter().cloned().collect();
    let guest = Guest::read(&args.file, &configs, "no policy")?;
    let examiner = Examiner {
        engine: engine()?,
        seed: args.seed,
    };
    let found = examiner.examine(&guest.name, &guest.bytes, &guest.settings);
    face(args.output.output, global).examination(&found)?;
    if found.failed().next().is_some() {
        return Err(Failure::Silent);
    }
    Ok(())
}
