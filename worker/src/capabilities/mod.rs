//! What this machine can do: its CPUs and memory, its GPUs, and the encoders that pass a trial.
//!
//! Found once at start; how loaded it is from second to second is the sampler's business.

pub(crate) mod gpu;
pub(crate) mod host;
pub(crate) mod trial;
