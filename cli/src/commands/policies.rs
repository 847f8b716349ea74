//! `ffrtmp policies …`: the scheduling policies.

use clap::Subcommand;

use crate::{
    args::{GlobalArgs, OutputArg},
    connection::connect,
    exit::Result,
};

/// A command about policies.
#[derive(Debug, Subcommand)]
pub enum PoliciesCommand {
    /// List the policies: which one is active, what each has done, how fast it is, what went wrong
    #[command(
        visible_alias = "ls",
        after_help = "Examples:
  ffrtmp policies list
  ffrtmp policies list --output json"
    )]
    List(OutputArg),
}

/// Does it.
pub fn run(command: PoliciesCommand, global: &GlobalArgs) -> Result {
    match command {
        PoliciesCommand::List(output) => {
            let policies = connect(global)?.policies()?;
            Ok(super::face(output.output, global).policies(&policies)?)
        }
    }
}
