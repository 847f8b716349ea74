//! What this machine can do: its CPUs and memory, its GPUs, and the encoders that pass a trial.
//!
//! [`survey`] puts it together and keeps it true; how loaded the machine is from second to second is the sampler's business.

pub(crate) mod device;
pub(crate) mod gpu;
pub(crate) mod host;
pub(crate) mod survey;
pub(crate) mod trial;
