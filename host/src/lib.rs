//! The master as a library.

pub mod core;
pub mod policy;
