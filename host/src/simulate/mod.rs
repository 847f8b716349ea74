//! What a policy would do: the real core under virtual time, with workers that are models, for `ffrtmp policies simulate`.
//!
//! The core is the master's own ([`crate::core::Core`]) and the guest is asked as the master asks it; only what is around
//! them is made up. Jobs arrive when the [`workload`] says, run for as long as it says on the workers of the [`cluster`],
//! and the frames a worker would send come back at once. [`run`] is the loop, [`ruler`] answers rounds, [`measure`] keeps
//! the books, [`report`] is what people and programs get, [`page`] the same as HTML with plots.
//!
//! **Invariant: no clock and no randomness but the seed.** The same workload, cluster, seed and policy give the same
//! report, byte for byte. What is left out is written in `docs/SIMULATION.md`.

pub mod cluster;
mod measure;
pub mod page;
mod plot;
mod presets;
pub mod report;
pub mod ruler;
pub mod run;
pub mod workload;

pub use cluster::ClusterModel;
pub use report::{Comparison, PolicyReport};
pub use ruler::Ruler;
pub use run::{Options, run};
pub use workload::Workload;

/// What is wrong with a workload or a cluster, with the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

/// The group of jobs that do not carry the label jobs are grouped by.
pub const NO_GROUP: &str = "(none)";
