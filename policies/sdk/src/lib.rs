//! Write an ffrtmp scheduling policy in Rust: implement [`Policy`] against plain slices, and `export!` makes it a component.
//!
//! ```ignore
//! struct First;
//! impl ffrtmp_policy_sdk::Policy for First { /* init, rank, plan */ }
//! #[cfg(target_arch = "wasm32")]
//! ffrtmp_policy_sdk::export!(First);
//! ```
//!
//! A policy is pure: it has no clock, no randomness and no I/O; time and a seed come as arguments. The same crate is the
//! wasm policy that operators drop in and, linked natively, the master's fallback and the benchmark's twin. That is why
//! nothing here depends on wasm tooling outside `cfg(target_arch = "wasm32")`.
//!
//! The contract itself, with every rule the host enforces, is `wit/scheduler.wit`; these types mirror it one to one.

pub mod ageing;
mod cluster;
#[cfg(target_arch = "wasm32")]
pub mod component;
#[cfg(feature = "config")]
pub mod config;
mod instance;
mod log;
pub mod most_room;
mod places;
mod room;
pub mod sample;
mod types;
mod usage;
mod verdict;

pub use cluster::Cluster;
pub use instance::Instance;
pub use log::{Level, log};
pub use most_room::MostRoom;
pub use places::{NOWHERE, Place, Places, ScoreOf, Scoring, WHOLE};
pub use types::*;
pub use usage::{Amount, Usage};
pub use verdict::verdict;

/// A scheduling policy.
///
/// The host calls `init` once, then, round after round: changes are applied to the [`Cluster`] by the SDK, newly queued
/// jobs are ranked by [`Policy::rank`], and [`Policy::plan`] decides. A policy that traps, overruns its time or answers
/// nonsense is replaced for that round by the built-in one; it can be foolish, it cannot break the scheduler.
pub trait Policy: Sized {
    /// Name and reasons.
    fn info() -> Info;

    /// Makes the policy from its configuration (the text of its `NAME.toml`'s `[config]` table, as JSON; empty without one).
    ///
    /// # Errors
    /// What is wrong with the configuration, for the operator. The policy is then refused and the earlier one stays.
    fn init(config: &str) -> Result<Self, String>;

    /// Where a job stands in its queue, smaller first, and which group it belongs to. Called once for each job when it is
    /// queued, so it must not depend on the current time: express ageing as a static key (`submitted - bonus(priority)`).
    fn rank(&mut self, job: &JobInfo) -> Rank;

    /// Decides a round. Places candidates with [`Cluster::place`] so that later candidates see the capacity taken, and
    /// writes what it decides to `answer`.
    fn plan(&mut self, cluster: &mut Cluster, ask: &Ask, answer: &mut Answer);

    /// Told of every change before it is applied to the cluster; for policies that keep their own books (fair share).
    fn observe(&mut self, _change: &Change) {}

    /// Forget what `observe` told: a full snapshot follows.
    fn reset(&mut self) {}
}
