//! `ffrtmp token`: a new random token on standard output, and nothing else, so that it can go straight into a file.

use std::io::{Write, stdout};

use crate::{exit::Result, token};

/// Prints one.
pub fn run() -> Result {
    Ok(writeln!(stdout(), "{}", token::generate()?)?)
}
