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

    /// How much room there is, of [`WHOLE`], by reservation and by measurement: see [`room`].
    pub fn free(&self) -> i32 {
        let measured = share(self.cpu_load_permille, 1_000)
            .max(share(self.memory_used_mib, self.capacity.memory_mib));
        room(self.free_by_reservation(), WHOLE - measured)
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

    /// How much room there is, of [`WHOLE`], by reservation and by measured load: see [`room`].
    pub fn free(&self) -> i32 {
        room(
            self.free_by_reservation(),
            WHOLE - share(self.load_permille, 1_000),
        )
    }
}

/// Three parts of what the scarcer of the two leaves, one part of what reservations leave. Of three parts because a worker
/// that is busy with something the master knows nothing of is nearly as full as one that is reserved; not of all four because
/// encoders take every core there is: where all workers measure 100 %, the number of jobs is what tells them apart, and
/// within a round it is the only thing that moves with each placement.
fn room(free_by_reservation: i32, free_by_measurement: i32) -> i32 {
    (3 * free_by_reservation.min(free_by_measurement) + free_by_reservation) / 4
}

/// `part` of `whole`, of [`WHOLE`], at most all of it. Nothing of nothing. In floating point because that divides several
/// times faster than 64-bit integers do, and exact: the product is below 2^53.
fn share(part: u32, whole: u32) -> i32 {
    if whole == 0 {
        return 0;
    }
    (f64::from(part.min(whole)) * f64::from(WHOLE) / f64::from(whole)) as i32
}
