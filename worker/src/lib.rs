//! The worker as a library: a session with the master, an ffmpeg runner, probes, limits, metrics.
//!
//! It runs what it is assigned and reports what happened. It never chooses work, and never gives an output its final
//! name but by the master's order. It does not know of policies, queues or other workers.
//!
//! Where to look: [`run`] puts everything together; `session` is the wire; `attempt` is the life of one run, with the
//! table of all held ones in `attempt::held`; `ffmpeg` is everything about a media process; `guard` what a job may reach, `sandbox` what ffmpeg may; `node` is the state
//! directory; `capabilities` is what the machine can do; `transfer` is files from and to the master's spool.

mod advertise;
mod attempt;
mod capabilities;
mod config;
mod disks;
pub mod examine;
mod ffmpeg;
mod guard;
mod http;
mod join;
mod metrics;
mod network;
mod node;
pub mod plan;
mod run;
mod sampler;
mod sandbox;
mod secure_listener;
mod session;
mod transfer;
mod trust;

pub use advertise::Advertised;
pub use config::{JobLimits, WorkerConfig, check_labels};
pub use metrics::described as described_metrics;
pub use node::state_dir::has_joined;
pub use run::run;
pub use sandbox::SandboxMode;
