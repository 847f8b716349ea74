//! `ffrtmp nodes …`: the workers.

use clap::Subcommand;

use crate::{
    args::{GlobalArgs, OutputArg},
    connection::connect,
    exit::Result,
};

/// A command about workers.
#[derive(Debug, Subcommand)]
pub enum NodesCommand {
    /// List the workers: status, slots, load, encoders, jobs
    #[command(
        visible_alias = "ls",
        after_help = "Examples:
  ffrtmp nodes list
  ffrtmp nodes list --output json"
    )]
    List(OutputArg),
}

/// Does it.
pub fn run(command: NodesCommand, global: &GlobalArgs) -> Result {
    match command {
        NodesCommand::List(output) => {
            let nodes = connect(global)?.nodes()?;
            Ok(super::face(output.output, global).nodes(&nodes)?)
        }
    }
}
