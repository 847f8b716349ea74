//! `ffrtmp nodes …`: the workers, and taking them out of service and back.

use std::collections::HashSet;

use clap::{Args, Subcommand};
use ffrtmp_api::{
    client::{Client, ClientError},
    ids::{JobRef, JobSeq},
    rest::Node,
};

use super::{face, format};
use crate::{
    args::{GlobalArgs, OutputArg},
    connection::connect,
    exit::{Failure, Result, say},
    output::Format,
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
    /// Show everything known of workers: labels, GPUs, encoders, load, jobs
    #[command(after_help = "Examples:
  ffrtmp nodes describe w1
  ffrtmp nodes describe w1 w2 --output json")]
    Describe(NamesArgs),
    /// Take workers out of service: they finish what they have and are given nothing new
    #[command(after_help = "Examples:
  ffrtmp nodes drain w1
  ffrtmp nodes drain w1 w2 --wait

It holds through restarts of the worker and of the master, until `ffrtmp nodes undrain`.")]
    Drain(DrainArgs),
    /// Put drained workers back into service
    #[command(after_help = "Examples:
  ffrtmp nodes undrain w1")]
    Undrain(NamesArgs),
    /// Forget workers that are gone for good; only those that are offline
    #[command(after_help = "Examples:
  ffrtmp nodes remove w1")]
    Remove(NamesArgs),
}

/// Which workers.
#[derive(Debug, Args)]
pub struct NamesArgs {
    /// Names of workers
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// Which workers, and whether to wait.
#[derive(Debug, Args)]
pub struct DrainArgs {
    /// Names of workers
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Wait until they hold no job
    #[arg(long)]
    wait: bool,
    /// How to print.
    #[command(flatten)]
    output: OutputArg,
}

/// Does it.
pub fn run(command: NodesCommand, global: &GlobalArgs) -> Result {
    let client = connect(global)?;
    match command {
        NodesCommand::List(output) => {
            let nodes = client.nodes()?;
            Ok(face(output.output, global).nodes(&nodes)?)
        }
        NodesCommand::Describe(args) => {
            let asked = for_each(&args.names, |name| client.node(name))?;
            if !asked.done.is_empty() {
                face(args.output.output, global).nodes_whole(&asked.done)?;
            }
            asked.outcome
        }
        NodesCommand::Drain(args) => drain(&client, &args, global),
        NodesCommand::Undrain(args) => {
            let asked = for_each(&args.names, |name| client.undrain(name))?;
            show_changed("takes work again", asked, &args.output, global)
        }
        NodesCommand::Remove(args) => {
            let asked = for_each(&args.names, |name| {
                client.remove_node(name).map(|()| name.to_owned())
            })?;
            let mut face = face(args.output.output, global);
            for name in &asked.done {
                face.remark(&format!("{name} is forgotten"))?;
            }
            asked.outcome
        }
    }
}

fn drain(client: &Client, args: &DrainArgs, global: &GlobalArgs) -> Result {
    let asked = for_each(&args.names, |name| client.drain(name))?;
    if !args.wait {
        return show_changed("takes nothing new", asked, &args.output, global);
    }
    if format(args.output.output, global) == Format::Table {
        let changed = told("takes nothing new", &asked.done);
        face(args.output.output, global).nodes_changed(&changed)?;
    }
    let mut empty = Vec::new();
    for node in asked.done {
        empty.push(until_empty(client, node)?);
    }
    let changed = told("is empty", &empty);
    face(args.output.output, global).nodes_changed(&changed)?;
    asked.outcome
}

/// Waits until the worker holds no job, by following those it holds.
fn until_empty(client: &Client, mut node: Node) -> Result<Node> {
    let mut followed: HashSet<JobSeq> = HashSet::new();
    loop {
        // One that was followed to its end and is still named there is only not yet reported gone.
        let Some(job) = node.jobs.first().copied() else {
            return Ok(node);
        };
        if !followed.insert(job) {
            return Err(Failure::failed(format!(
                "{} still holds job {job}, which should have left it; see `ffrtmp jobs explain {job}`",
                node.name
            )));
        }
        for state in client.watch(JobRef::Seq(job)) {
            let state = state?;
            if !state.state.is_active() || state.node.as_deref() != Some(&node.name) {
                break;
            }
        }
        node = client.node(&node.name)?;
    }
}

/// What came of asking for each of several workers.
struct Asked<T> {
    done: Vec<T>,
    outcome: Result,
}

/// Asks for each name. What is refused is said for each, and does not keep the others from being done.
fn for_each<T>(
    names: &[String],
    mut ask: impl FnMut(&str) -> std::result::Result<T, ClientError>,
) -> Result<Asked<T>> {
    let mut asked = Asked {
        done: Vec::new(),
        outcome: Ok(()),
    };
    for name in names {
        match ask(name) {
            Ok(done) => asked.done.push(done),
            Err(ClientError::Refused { status, error }) if !matches!(status, 401 | 403) => {
                say(&Failure::Failed(format!(
                    "worker {name}: {}",
                    error.message
                )));
                asked.outcome = Err(Failure::Silent);
            }
            // Nobody to ask, or not allowed to: the other names would fail alike.
            Err(error) => return Err(error.into()),
        }
    }
    Ok(asked)
}

fn told<'a>(done: &'a str, nodes: &[Node]) -> Vec<(&'a str, Node)> {
    nodes.iter().map(|node| (done, node.clone())).collect()
}

fn show_changed(done: &str, asked: Asked<Node>, output: &OutputArg, global: &GlobalArgs) -> Result {
    face(output.output, global).nodes_changed(&told(done, &asked.done))?;
    asked.outcome
}
