//! How much of a worker or a GPU is free or taken, as one number: the scarcest thing counts.

use crate::{Gpu, WHOLE, Worker};

impl Worker {
    /// What is free by reservation, of [`WHOLE`]: of slots, CPU and memory the scarcest.
    pub fn free_by_reservation(&self) -> i32 {
        let used = share(self.slots_used, self.slots)
            .max(share(
                self.reserved.cpu_millicores,
                self.capacity.cpu_millicores,
            ))
            .max(share(self.reserved.memory_mib, self.capacity.memory_mib));
        WHOLE - used
    }

    /// What is free, of [`WHOLE`], by reservation or measurement, whichever says less: a worker that is busy with
    /// something the master knows nothing of is as full as one that is reserved.
    pub fn free(&self) -> i32 {
        let measured = share(self.cpu_load_permille, 1_000)
            .max(share(self.memory_used_mib, self.capacity.memory_mib));
        self.free_by_reservation().min(WHOLE - measured)
    }

    /// Slots nothing has taken.
    pub fn free_slots(&self) -> u32 {
        self.slots.saturating_sub(self.slots_used)
    }
}

impl Gpu {
    /// What is free by reservation, of [`WHOLE`]: of sessions and memory the scarcer.
    pub fn free_by_reservation(&self) -> i32 {
        WHOLE
            - share(self.sessions_used, self.sessions_max)
                .max(share(self.memory_reserved_mib, self.memory_mib))
    }

    /// What is free, of [`WHOLE`], by reservation or measured load, whichever says less.
    pub fn free(&self) -> i32 {
        self.free_by_reservation()
            .min(WHOLE - share(self.load_permille, 1_000))
    }
}

/// `part` of `whole`, of [`WHOLE`], at most all of it. Nothing of nothing. In floating point because that divides several
/// times faster than 64-bit integers do, and exact: the product is below 2^53.
fn share(part: u32, whole: u32) -> i32 {
    if whole == 0 {
        return 0;
    }
    (f64::from(part.min(whole)) * f64::from(WHOLE) / f64::from(whole)) as i32
}
