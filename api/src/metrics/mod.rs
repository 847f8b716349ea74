//! What master and worker share of their metrics: how they are registered, described and printed ([`exposition`]), what software runs
//! ([`build`]), what the process takes of its machine ([`process`]), and the document made of all descriptions ([`reference`]).
//!
//! The metrics themselves belong to whoever counts. Nothing here measures during a scrape.

pub mod build;
pub mod exposition;
pub mod process;
pub mod reference;

pub use build::BuildInfo;
pub use exposition::{CONTENT_TYPE, Described, Exposition};
pub use process::ProcessMetrics;
