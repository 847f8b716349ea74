//! One run of one job: prepared, encoded, verified, published. And the table of all that this worker holds.
//!
//! The fence stands here: an encode only ever writes its temporary file. Nothing gets its final name but by
//! [`publish`], and nothing calls that but the master's order.

pub(crate) mod bench;
pub(crate) mod control;
pub(crate) mod encode;
pub(crate) mod folder;
pub(crate) mod held;
mod live;
pub(crate) mod prepare;
pub(crate) mod publish;
pub(crate) mod put;
mod rates;
pub(crate) mod room;
mod runs;
pub(crate) mod shown;
mod verdict;
pub(crate) mod watch;
