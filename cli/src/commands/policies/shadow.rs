//! `ffrtmp policies shadow`: a candidate beside the policy that rules.

use clap::Args;

use crate::{
    args::{GlobalArgs, OutputArg},
    commands::face,
    connection::connect,
    exit::Result,
};

/// Which policy.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp policies shadow binpack
  ffrtmp policies list
  ffrtmp policies shadow --off

The candidate ranks and places the jobs that the policy that rules is asked about, on the cluster as it is, on a thread of its
own. `policies list` shows how the two agree, and which jobs would have waited. It cannot slow what rules: questions that come
while it is busy are left out and counted. To begin, the policy that rules is told the whole cluster once more. A restart of
the master ends it.")]
pub struct ShadowArgs {
    /// Its name, the first digits of its digest (4 at least), or `native` for the built-in one
    #[arg(value_name = "NAME|DIGEST", required_unless_present = "off")]
    policy: Option<String>,
    /// End the shadow that is there
    #[arg(long, conflicts_with = "policy")]
    off: bool,
    /// How the answer looks.
    #[command(flatten)]
    output: OutputArg,
}

/// Does it.
pub fn run(args: &ShadowArgs, global: &GlobalArgs) -> Result {
    let client = connect(global)?;
    let list = match &args.policy {
        Some(policy) => client.shadow_policy(policy)?,
        None => client.unshadow_policy()?,
    };
    Ok(face(args.output.output, global).policies(&list)?)
}
