//! `ffrtmp stats`: the cluster in numbers.

use crate::{
    args::{GlobalArgs, OutputArg},
    connection::connect,
    exit::Result,
};

/// Prints them.
pub fn run(output: &OutputArg, global: &GlobalArgs) -> Result {
    let stats = connect(global)?.stats()?;
    Ok(super::face(output.output, global).stats(&stats)?)
}
