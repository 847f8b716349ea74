//! Where pending jobs wait: not yet ranked, queued by (class, group) in rank order, delayed until a time, or held by a user.
//!
//! A round looks at the heads only, so it costs the same with a thousand or a million jobs behind them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ffrtmp_api::ids::JobSeq;
use ffrtmp_policy_sdk::{ClassId, GroupId, Rank};

/// Most groups a policy may make; jobs of further ones share [`GROUP_OVERFLOW`].
pub const GROUPS_MAX: usize = 1024;
/// The group of jobs whose own would be one too many.
pub const GROUP_OVERFLOW: GroupId = GroupId::MAX;

type Heap = BTreeSet<(i64, JobSeq)>;

/// All pending jobs, each in exactly one place.
#[derive(Debug, Default)]
pub struct WaitingRoom {
    unranked: VecDeque<JobSeq>,
    queues: BTreeMap<(ClassId, GroupId), Heap>,
    groups: BTreeMap<GroupId, usize>,
    delayed: BTreeSet<(u64, JobSeq)>,
    parked: BTreeMap<ClassId, BTreeSet<JobSeq>>,
    queued: usize,
    /// How many of them, by class.
    queued_of: BTreeMap<ClassId, usize>,
}

/// In which place of the waiting room a job is; kept with the job, so that it can be taken out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Not here: on a worker.
    Elsewhere,
    /// In line for its rank.
    Unranked,
    /// In the queue of its class and this group, at this rank.
    Queued {
        /// As given by the policy, or [`GROUP_OVERFLOW`].
        group: GroupId,
        /// As given by the policy.
        rank: i64,
    },
    /// Out of line until a worker introduces itself: it needs more than any connected one has in all.
    Parked,
    /// Not before this monotonic time, in milliseconds.
    Delayed {
        /// When.
        until_ms: u64,
    },
    /// Out of line until a user lets it go on.
    Held {
        /// Not before this monotonic time even then, in milliseconds: what is left of a pause after a failure.
        until_ms: Option<u64>,
    },
}

impl WaitingRoom {
    /// Puts a job in line for its rank.
    pub fn push_unranked(&mut self, seq: JobSeq) -> Place {
        self.unranked.push_back(seq);
        Place::Unranked
    }

    /// Takes up to `max` jobs that are in line for their rank. A job that has left since is still named: ask its place.
    pub fn take_unranked(&mut self, max: usize) -> Vec<JobSeq> {
        let n = self.unranked.len().min(max);
        self.unranked.drain(..n).collect()
    }

    /// Whether any job is in line for its rank.
    pub fn has_unranked(&self) -> bool {
        !self.unranked.is_empty()
    }

    /// Queues a job by its rank.
    pub fn queue(&mut self, seq: JobSeq, class: ClassId, rank: Rank) -> Place {
        let group = if self.groups.contains_key(&rank.group) || self.groups.len() < GROUPS_MAX {
            rank.group
        } else {
            GROUP_OVERFLOW
        };
        *self.groups.entry(group).or_default() += 1;
        self.queues
            .entry((class, group))
            .or_default()
            .insert((rank.rank, seq));
        self.queued += 1;
        *self.queued_of.entry(class).or_default() += 1;
        Place::Queued {
            group,
            rank: rank.rank,
        }
    }

    /// Delays a job.
    pub fn delay(&mut self, seq: JobSeq, until_ms: u64) -> Place {
        self.delayed.insert((until_ms, seq));
        Place::Delayed { until_ms }
    }

    /// Takes a job out of line that no worker could hold, so that it does not stand before those that could run.
    pub fn park(&mut self, seq: JobSeq, class: ClassId) -> Place {
        self.parked.entry(class).or_default().insert(seq);
        Place::Parked
    }

    /// Takes all parked jobs.
    pub fn take_parked(&mut self) -> BTreeSet<JobSeq> {
        let parked = std::mem::take(&mut self.parked);
        parked.into_values().flatten().collect()
    }

    /// Takes a job out of its place.
    pub fn remove(&mut self, seq: JobSeq, class: ClassId, place: Place) {
        match place {
            Place::Elsewhere | Place::Held { .. } => {}
            // Left in the line; whoever takes the line looks at the job's place. A job that ends there is rare.
            Place::Unranked => {}
            Place::Queued { group, rank } => {
                if let Some(heap) = self.queues.get_mut(&(class, group))
                    && heap.remove(&(rank, seq))
                {
                    self.queued -= 1;
                    if let Some(count) = self.queued_of.get_mut(&class) {
                        *count -= 1;
                        if *count == 0 {
                            self.queued_of.remove(&class);
                        }
                    }
                    if heap.is_empty() {
                        self.queues.remove(&(class, group));
                    }
                    if let Some(count) = self.groups.get_mut(&group) {
                        *count -= 1;
                        if *count == 0 {
                            self.groups.remove(&group);
                        }
                    }
                }
            }
            Place::Parked => {
                if let Some(parked) = self.parked.get_mut(&class) {
                    parked.remove(&seq);
                    if parked.is_empty() {
                        self.parked.remove(&class);
                    }
                }
            }
            Place::Delayed { until_ms } => {
                self.delayed.remove(&(until_ms, seq));
            }
        }
    }

    /// Takes one job whose delay is over.
    pub fn take_due(&mut self, now_ms: u64) -> Option<JobSeq> {
        match self.delayed.first() {
            Some((due, _)) if *due <= now_ms => self.delayed.pop_first().map(|(_, seq)| seq),
            _ => None,
        }
    }

    /// When the next delay is over.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.delayed.first().map(|(due, _)| *due)
    }

    /// How many jobs wait for a time to come.
    pub fn delayed_count(&self) -> usize {
        self.delayed.len()
    }

    /// The classes that have jobs in line or (`true`) parked: one of the jobs that are first, and how many there are.
    pub fn classes(&self) -> BTreeMap<(ClassId, bool), (JobSeq, usize)> {
        let queued = self.queued_of.iter().filter_map(|(class, count)| {
            let (_, heap) = self.queues.range((*class, 0)..).next()?;
            Some(((*class, false), (heap.first()?.1, *count)))
        });
        let parked = self
            .parked
            .iter()
            .filter_map(|(class, jobs)| Some(((*class, true), (*jobs.first()?, jobs.len()))));
        queued.chain(parked).collect()
    }

    /// Whether any job is queued by rank.
    pub fn has_queued(&self) -> bool {
        self.queued > 0
    }

    /// The non-empty queues.
    pub fn queues(&self) -> impl Iterator<Item = (ClassId, &Heap)> {
        self.queues.iter().map(|((class, _), heap)| (*class, heap))
    }
}
