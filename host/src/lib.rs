//! The master as a library: it keeps the queue, asks the policy, and never loses a job.
//!
//! Start reading at [`core`], the pure state machine; `shell` drives it, [`store`] makes it durable, [`policy`] asks wasm,
//! `http` talks to users and workers, `master` puts them together; [`simulate`] runs the core under virtual time. See `docs/ARCHITECTURE.md` for the map.

pub mod check;
mod clock;
pub mod core;
mod discovery;
mod events;
mod http;
mod live;
mod master;
mod metrics;
mod outbox;
pub mod policy;
mod presets;
mod shell;
pub mod simulate;
mod spool;
pub mod store;
mod tokens;
mod webhooks;

pub use http::RateLimit;
pub use master::{MasterConfig, is_exposed, run};
pub use metrics::described as described_metrics;
pub use spool::SpoolConfig;
pub use webhooks::WebhookConfig;
