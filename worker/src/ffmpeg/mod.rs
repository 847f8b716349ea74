//! Everything that touches a media program: how its command line is made, how its process is born, watched and ended,
//! and how what it says is read.
//!
//! Nothing here knows of the master or of attempts' states.

pub(crate) mod capture;
pub(crate) mod command;
pub(crate) mod diagnosis;
pub(crate) mod hidden;
pub(crate) mod log;
pub(crate) mod loudness;
pub(crate) mod orphans;
pub(crate) mod probe;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod progress;
pub(crate) mod quality;
pub(crate) mod reach;
pub(crate) mod spawner;
pub(crate) mod verify;
