//! The worker's place on its machine: the state directory, the records of attempts in it, and what is done at start
//! about an earlier life that ended badly; and the control groups its jobs run in, and what a service manager is told.

pub(crate) mod cgroups;
pub(crate) mod reap;
pub(crate) mod records;
pub(crate) mod service;
pub(crate) mod state_dir;
