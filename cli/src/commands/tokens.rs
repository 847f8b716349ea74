//! `ffrtmp tokens …`: who may do what.
//!
//! A secret goes to standard output alone, so that it can go straight into a file; what is said about it goes to stderr.

use std::time::Duration;

use clap::{Args, Subcommand};
use ffrtmp_api::rest::{NewToken, Role};
use uuid::Uuid;

use crate::{
    args::{GlobalArgs, OutputArg},
    connection::connect,
    exit::{Failure, Result},
    values,
};

/// A command about tokens.
#[derive(Debug, Subcommand)]
pub enum TokensCommand {
    /// Make a token; its secret is printed now and never again
    #[command(after_help = "Examples:
  ffrtmp tokens create --role submit --name alice > alice.token
  ffrtmp tokens create --role read --name dashboard --expires 90d
  ffrtmp tokens create --role submit --name shop --tenant shop
  ffrtmp tokens create --role join --name rack-4 --uses 12 --expires 1h > join.token

Roles: admin may do everything; submit may submit, control and look; read may look; worker may run
jobs; join may become a worker, --uses times, within a day unless --expires says otherwise.")]
    Create(CreateArgs),
    /// List the tokens, without their secrets
    #[command(
        visible_alias = "ls",
        after_help = "Examples:
  ffrtmp tokens list
  ffrtmp tokens list --output json"
    )]
    List(OutputArg),
    /// Take tokens back, at once and for good; what they opened ends
    #[command(after_help = "Examples:
  ffrtmp tokens revoke 3f0a2c1e-8a57-4a9e-9f0b-7f1d2e3c4b5a")]
    Revoke(RevokeArgs),
}

/// What to make.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What its bearer may do: admin, submit, read, worker or join
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// What to call it, to find it again
    #[arg(long)]
    name: String,
    /// How long it is valid, as in 90d or 1h; without, for ever (a join token: a day)
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    expires: Option<Duration>,
    /// Limit a submit or read token to jobs with this value of the label `tenant`
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// How many workers a join token admits; default: 1
    #[arg(long, value_name = "N")]
    uses: Option<u32>,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// Which tokens.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Ids, as `ffrtmp tokens list` shows them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<Uuid>,
}

/// Does it.
pub fn run(command: TokensCommand, global: &GlobalArgs) -> Result {
    let client = connect(global)?;
    match command {
        TokensCommand::Create(args) => {
            let made = client.create_token(&NewToken {
                name: args.name,
                role: args.role,
                expires_in_seconds: args.expires.map(|time| time.as_secs()),
                tenant: args.tenant,
                uses: args.uses,
            })?;
            Ok(super::face(args.output.output, global).token(&made)?)
        }
        TokensCommand::List(output) => {
            let tokens = client.tokens()?;
            Ok(super::face(output.output, global).tokens(&tokens)?)
        }
        TokensCommand::Revoke(args) => {
            let mut failed = 0;
            for id in args.ids {
                match client.revoke_token(id) {
                    Ok(()) => eprintln!("ffrtmp: token {id} is revoked"),
                    Err(error) => {
                        failed += 1;
                        eprintln!("ffrtmp: token {id}: {error}");
                    }
                }
            }
            if failed > 0 {
                Err(Failure::Silent)
            } else {
                Ok(())
            }
        }
    }
}
