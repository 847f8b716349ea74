//! Settings: which there are, where each may be given, and which value is in force.
//!
//! A setting is a flag of the command tree. Its key in a file, its variable, its type, its default and its explanation are all
//! read off that flag (see `table`), so that adding a flag adds the setting everywhere. The order is decided once, in
//! `layers`: flag, environment, file, default. What comes from below is handed to clap as the flag's default, so that one
//! parser, the flag's own, checks every value.
//!
//! No secret is a setting: a token is named by its file or comes from the environment.

mod file;
mod layers;
mod load;
mod sample;
mod table;

pub use file::{File, MachineOrUser};
pub use layers::{Source, Value, token_variable};
pub use load::{Loaded, load, load_for};
pub use sample::sample;
pub use table::{Role, of};
