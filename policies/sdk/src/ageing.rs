//! An order for the queue, ready to use: when a job was submitted, less a bonus for its queue and priority.
//!
//! Because the bonus is a number of hours, waiting makes up for it: that is ageing, without ranking anything twice. The
//! key never changes, two jobs are always in the same order, and every wait has a bound that can be stated:
//!
//! **The starvation bound.** A job is overtaken only by jobs submitted at most `bonus(theirs) - bonus(its)` after it. The
//! widest such gap, a batch/low job's behind live/high ones, is [`OVERTAKEN_MS_MAX`], 31 hours: whatever is submitted
//! later than that waits its turn behind it.
//!
//! **The other way round:** a live job waits behind default jobs only if those are already 24 h old, and behind batch jobs
//! only if those are 30 h old; a day's backlog of batch work never delays a live encode.

use crate::JobInfo;

const HOUR_MS: i64 = 3_600_000;

/// Bonus of each queue: live, default, batch. A live encode's viewers wait now, so a day; batch yields six hours to
/// everything else, about the length of a night.
pub const QUEUE_BONUS_MS: [i64; 3] = [24 * HOUR_MS, 0, -6 * HOUR_MS];
/// Bonus of each priority: high, medium, low. Half an hour a step: it orders a busy day's work, not the week's.
pub const PRIORITY_BONUS_MS: [i64; 3] = [HOUR_MS / 2, 0, -HOUR_MS / 2];
/// How much later than a job another can be submitted and still go before it.
pub const OVERTAKEN_MS_MAX: i64 =
    QUEUE_BONUS_MS[0] - QUEUE_BONUS_MS[2] + PRIORITY_BONUS_MS[0] - PRIORITY_BONUS_MS[2];

/// Where a job stands; smaller goes first.
pub fn key(job: &JobInfo) -> i64 {
    let bonus =
        QUEUE_BONUS_MS[job.queue.min(2) as usize] + PRIORITY_BONUS_MS[job.priority.min(2) as usize];
    job.submitted_ms.saturating_sub(bonus)
}
