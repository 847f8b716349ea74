//! The policy host: strangers' WebAssembly decides rounds, and nothing it does can stall scheduling.
//!
//! From the outside in: [`PolicyHost`] is what the master holds. Its policy thread (`thread`) runs one round at a time in
//! a seat (`seat`). The librarian (`librarian`) watches the folder (`folder`), checks files off the scheduling thread
//! ([`component`]), decides which one rules (`choice`) and hands the policy thread a seat that is ready. [`engine`] and
//! [`limits`] say what a guest may use; [`instance`] makes the calls. What happens to policies, and what they say themselves, is
//! kept for people in the `journal`; what they were last asked and answered, in `dump`. A candidate can be tried in the `shadow` of the one that rules.
//!
//! The core never waits for any of this: it hands over a `Round` and goes on; one `RoundEnded` comes back.

pub(crate) mod accepted;
pub mod bindings;
mod board;
mod bounds;
mod choice;
mod command;
pub mod compile_child;
mod compiler;
pub mod component;
mod convert;
mod dump;
pub mod engine;
mod folder;
mod host;
pub mod instance;
mod journal;
mod language;
mod librarian;
pub mod limits;
mod metrics;
mod reload;
mod seat;
pub mod settings;
mod shadow;
mod thread;

pub use board::Counters;
pub use choice::{Choice, Mode};
pub use command::{CommandError, PolicyCommand};
pub use host::{PolicyEvent, PolicyHost, PolicyHostConfig};
pub use journal::{Journal, Page, STREAMS_MAX as JOURNAL_STREAMS_MAX, Wanted};
pub use limits::Limits;
pub use settings::Settings;

/// What stands for a digest where the built-in policy is meant.
pub const NATIVE: &str = "native";

/// The rule by which a policy is chosen, as `policies list`, the documentation and the log say it.
pub const RULE: &str = "One policy rules: the last file to appear in the policies folder while the master runs, or to change \
    to what it never was under that name, once it passes every check (none, if several arrive within 2 s); when it is removed \
    or keeps failing, the newest earlier one still there that did not fail, else the built-in one. `ffrtmp policies activate` \
    chooses another and pins it: then, and in mode manual, files choose nothing until `ffrtmp policies unpin`.";
