//! The JSON that the HTTP API speaks, one file for each thing it speaks of.

mod discovery;
mod error;
mod events;
mod jobs;
mod nodes;
mod policies;
mod policy_dump;
mod policy_log;
mod policy_shadow;
mod presets;
mod stats;
mod tokens;
mod uploads;
mod version;
mod webhooks;

pub use discovery::*;
pub use error::*;
pub use events::*;
pub use jobs::*;
pub use nodes::*;
pub use policies::*;
pub use policy_dump::*;
pub use policy_log::*;
pub use policy_shadow::*;
pub use presets::*;
pub use stats::*;
pub use tokens::*;
pub use uploads::*;
pub use version::*;
pub use webhooks::*;
