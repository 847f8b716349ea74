//! CPUs and memory this process may use: the machine's, or what its container leaves of them.

use anyhow::Context;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// How many CPUs may be used: affinity and cgroup quota counted.
pub(crate) fn cpus() -> u32 {
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get());
    u32::try_from(cpus).unwrap_or(u32::MAX)
}

/// Memory that may be used, in MiB.
pub(crate) fn memory_mib() -> anyhow::Result<u32> {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system =
        System::new_with_specifics(memory).context("this machine's memory cannot be measured")?;
    let machine = system.total_memory();
    let bytes = system
        .cgroup_limits()
        .map_or(machine, |limits| limits.total_memory.min(machine));
    Ok(u32::try_from(bytes / (1024 * 1024)).unwrap_or(u32::MAX))
}
