//! `ffrtmp jobs explain`: why a job is where it is.

use clap::Args;
use ffrtmp_api::ids::JobRef;

use crate::{
    args::{GlobalArgs, OutputArg},
    commands::face,
    connection::connect,
    exit::{Result, of_job},
};

/// Which job.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp jobs explain 42
  ffrtmp jobs explain 42 --output json")]
pub struct ExplainArgs {
    /// Number or UUID
    #[arg(value_name = "ID")]
    id: JobRef,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// Explains.
pub fn run(args: &ExplainArgs, global: &GlobalArgs) -> Result {
    let client = connect(global)?;
    let explanation = client
        .explain(args.id)
        .map_err(|error| of_job(args.id, error))?;
    Ok(face(args.output.output, global).explanation(&explanation)?)
}
