//! The pure core: queue, cluster, leases and job states in one synchronous state machine.

pub mod round;
