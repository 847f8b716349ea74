//! `ffrtmp version`: this tool's version and, if one answers, the master's.

use std::time::Duration;

use crate::{
    args::{GlobalArgs, OutputArg},
    connection::connect,
    exit::Result,
    output::Versions,
};

/// Prints both. A master that does not answer is no failure here: the tool's own version was asked for too.
pub fn run(output: &OutputArg, global: &GlobalArgs) -> Result {
    let client = connect(global)?.with_retry(Duration::ZERO, |_, _| {});
    let master = match client.version() {
        Ok(version) => Some(version),
        Err(error) => {
            eprintln!("ffrtmp: the master's version is not known: {error}");
            None
        }
    };
    let versions = Versions {
        client: env!("CARGO_PKG_VERSION").to_owned(),
        master,
    };
    Ok(super::face(output.output, global).versions(&versions)?)
}
