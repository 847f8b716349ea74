//! `ffrtmp policies …`: the scheduling policies.

mod check;
mod dump;
mod local;
mod log;
mod new;
mod shadow;
mod simulate;
mod template;

use clap::{Args, Subcommand};

use crate::{
    args::{GlobalArgs, OutputArg},
    commands::face,
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
    /// Show one policy: what became of it, and every limit it has with the reason
    #[command(after_help = "Examples:
  ffrtmp policies describe balanced")]
    Describe(NameArgs),
    /// Show what a policy was last asked and answered, and what became of each entry
    Dump(dump::DumpArgs),
    /// Print what happened to policies and what they said, once or as it comes
    Log(log::LogArgs),
    /// Ask a policy what the one that rules is asked, carry out nothing it says, and compare the two
    Shadow(shadow::ShadowArgs),
    /// Let a policy rule and pin it, so that files that arrive choose nothing until `unpin`
    #[command(after_help = "Examples:
  ffrtmp policies activate binpack
  ffrtmp policies activate 3f9a02c4
  ffrtmp policies activate native

Also takes back what was remembered against it: a policy that failed too often gets another chance.")]
    Activate(PolicyArgs),
    /// Let files choose again: the next new one in the folder that passes every check
    #[command(after_help = "Examples:
  ffrtmp policies unpin")]
    Unpin(OutputArg),
    /// Keep a policy from ruling, whatever its file becomes; if it rules, an earlier one does
    #[command(after_help = "Examples:
  ffrtmp policies disable binpack")]
    Disable(NameArgs),
    /// Undo `disable`; the policy may be chosen again, and is not by this
    #[command(after_help = "Examples:
  ffrtmp policies enable binpack")]
    Enable(NameArgs),
    /// Let the policy rule that ruled before this one
    #[command(after_help = "Examples:
  ffrtmp policies rollback")]
    Rollback(OutputArg),
    /// Make a project with a first policy in it, that builds as it is
    #[command(after_help = "Examples:
  ffrtmp policies new night-shift --lang rust
  ffrtmp policies new night-shift --lang python --dir ~/src")]
    New(new::NewArgs),
    /// Try a policy's file: what it imports, whether its answers hold, whether it repeats itself, how fast it is
    Check(check::CheckArgs),
    /// Try policies side by side on the same jobs and workers, in virtual time
    Simulate(simulate::SimulateArgs),
}

/// A policy by its name.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// Its name: the file's name without .wasm
    #[arg(value_name = "NAME")]
    name: String,
    /// How the answer looks.
    #[command(flatten)]
    output: OutputArg,
}

/// A policy by its name or digest.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// Its name, the first digits of its digest (4 at least), or `native` for the built-in one
    #[arg(value_name = "NAME|DIGEST")]
    policy: String,
    /// How the answer looks.
    #[command(flatten)]
    output: OutputArg,
}

/// Does it.
pub fn run(command: PoliciesCommand, global: &GlobalArgs) -> Result {
    // What needs no master comes first.
    let command = match command {
        PoliciesCommand::New(args) => return new::run(&args),
        PoliciesCommand::Check(args) => return check::run(&args, global),
        PoliciesCommand::Simulate(args) => return simulate::run_command(&args, global),
        command => command,
    };
    let client = connect(global)?;
    let (list, output) = match command {
        PoliciesCommand::Shadow(args) => return shadow::run(&args, global),
        PoliciesCommand::Dump(args) => return dump::run(&args, global),
        PoliciesCommand::Log(args) => return log::run(&args, global),
        PoliciesCommand::List(output) => (client.policies()?, output),
        PoliciesCommand::Describe(args) => {
            let policy = client.policy(&args.name)?;
            return Ok(face(args.output.output, global).policy(&policy)?);
        }
        PoliciesCommand::Activate(args) => (client.activate_policy(&args.policy)?, args.output),
        PoliciesCommand::Unpin(output) => (client.unpin_policy()?, output),
        PoliciesCommand::Disable(args) => (client.disable_policy(&args.name)?, args.output),
        PoliciesCommand::Enable(args) => (client.enable_policy(&args.name)?, args.output),
        PoliciesCommand::Rollback(output) => (client.roll_back_policy()?, output),
        PoliciesCommand::New(_) | PoliciesCommand::Check(_) | PoliciesCommand::Simulate(_) => {
            return Ok(()); // done above, without a master
        }
    };
    Ok(face(output.output, global).policies(&list)?)
}
