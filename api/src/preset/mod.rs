//! Presets: what an operator says once, for many jobs to name.
//!
//! Separate from [`crate::settings`], which takes a job as it is: here it becomes one, from what was asked ([`Asked`]) and what
//! its preset says. `file` reads a preset, `built_in` has those that are compiled in, `fill` lays a job over one. Pure; which
//! presets there are is known by whoever keeps a folder of them.

mod asked;
mod built_in;
mod file;
mod fill;

pub use asked::{Asked, FieldSet};
pub use built_in::{BUILT_IN, built_in};
pub use file::{BadPreset, Preset, is_name};
pub use fill::{fill, unknown, wanted};
