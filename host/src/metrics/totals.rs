//! Counters that follow sums kept elsewhere: what was added since the last look is what they grow by.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use prometheus::{IntCounter, IntCounterVec};

/// A counter behind a sum.
#[derive(Debug)]
pub(super) struct Total {
    counter: IntCounter,
    seen: AtomicU64,
}

impl Total {
    /// Behind a sum that is 0 now.
    pub(super) fn new(counter: IntCounter) -> Total {
        Total {
            counter,
            seen: AtomicU64::new(0),
        }
    }

    /// The sum is this now.
    pub(super) fn is(&self, sum: u64) {
        let seen = self.seen.swap(sum, Relaxed);
        self.counter.inc_by(sum.saturating_sub(seen));
    }

    /// The sum begins at zero again.
    pub(super) fn begins_anew(&self) {
        self.seen.store(0, Relaxed);
    }

    /// All that was counted.
    pub(super) fn get(&self) -> u64 {
        self.counter.get()
    }
}

/// Counters behind sums by a word.
#[derive(Debug)]
pub(super) struct Totals<K> {
    counters: IntCounterVec,
    word: fn(K) -> &'static str,
    seen: Mutex<BTreeMap<K, u64>>,
}

impl<K: Ord + Copy> Totals<K> {
    /// Behind sums that are all 0 now.
    pub(super) fn new(counters: IntCounterVec, word: fn(K) -> &'static str) -> Totals<K> {
        Totals {
            counters,
            word,
            seen: Mutex::default(),
        }
    }

    /// The sums are these now.
    pub(super) fn are(&self, sums: &BTreeMap<K, u64>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, sum) in sums {
            let before = seen.entry(*key).or_default();
            if sum > before {
                self.counters
                    .with_label_values(&[(self.word)(*key)])
                    .inc_by(sum - *before);
                *before = *sum;
            }
        }
    }

    /// The sums begin at zero again.
    pub(super) fn begin_anew(&self) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}
