//! The question of a round: which jobs are offered to the policy.
//!
//! The heads of the queues, so that a round costs the same with a thousand or a million jobs behind them; only of classes
//! some free worker can run, so that a job nobody can take delays no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ffrtmp_api::ids::JobSeq;
use ffrtmp_policy_sdk::{Ask, Candidate, Class};

use super::super::{Core, Now, explain::meets};

/// A round in the making.
#[derive(Debug)]
pub struct Plan {
    /// The question, shared with the policy and with whoever looks at it afterwards.
    pub ask: Arc<Ask>,
    /// The jobs in it, by the number the policy knows them by, with their places among the candidates.
    pub offered: BTreeMap<u32, (JobSeq, usize)>,
    /// Jobs the policy passed over on earlier pages.
    pub skipped: BTreeSet<JobSeq>,
    /// Which page of the round this is, from 1.
    pub page: u32,
    /// Jobs placed on earlier pages.
    pub placed: u64,
    /// Whether the policy failed on some page.
    pub faulted: bool,
}

impl Core {
    /// The question of a round: the heads of the queues whose class has room somewhere.
    pub(super) fn plan(&self, skipped: BTreeSet<JobSeq>, now: Now) -> Plan {
        let free: Vec<_> = self
            .cluster
            .workers()
            .iter()
            .filter(|w| w.accepting && w.slots_used < w.slots)
            .collect();
        let free_slots: u64 = free.iter().map(|w| u64::from(w.slots - w.slots_used)).sum();
        // Twice the free slots: some candidates will not fit (a head that needs more than is left), others behind can.
        let most = self.rounds.window.most(self.config.candidates_max);
        let limit = (free_slots * 2 + 8).min(most as u64) as usize;
        let mut open: Vec<(Class, _)> = Vec::new();
        let mut feasible: BTreeMap<u32, bool> = BTreeMap::new();
        for (class, heap) in self.room.queues() {
            let class = self.classes.get(class);
            if *feasible.entry(class.id).or_insert_with(|| {
                let (cpu, memory) = self.classes.least_cost(class.id);
                free.iter().any(|w| {
                    meets(w, &class)
                        && w.capacity
                            .cpu_millicores
                            .saturating_sub(w.reserved.cpu_millicores)
                            >= cpu
                        && w.capacity.memory_mib.saturating_sub(w.reserved.memory_mib) >= memory
                })
            }) {
                open.push((class, heap));
            }
        }
        let window = limit.div_ceil(open.len().max(1));
        let mut ask = Ask {
            round: self.rounds.last_round,
            now_ms: now.wall_ms,
            seed: self.rounds.last_id.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            ..Ask::default()
        };
        let mut class_index: BTreeMap<u32, u32> = BTreeMap::new();
        let mut chosen: Vec<(i64, JobSeq, u32)> = Vec::new();
        for (class, heap) in open {
            let index = *class_index.entry(class.id).or_insert_with(|| {
                ask.classes.push(class);
                ask.classes.len() as u32 - 1
            });
            let heads = heap
                .iter()
                .filter(|(_, seq)| !skipped.contains(seq))
                .take(window);
            chosen.extend(heads.map(|(rank, seq)| (*rank, *seq, index)));
        }
        chosen.sort_unstable();
        chosen.truncate(most.max(window));
        let mut offered = BTreeMap::new();
        for (rank, seq, class) in chosen {
            let Some(job) = self.jobs.get(&seq) else {
                continue;
            };
            offered.insert(job.policy_id(), (seq, ask.candidates.len()));
            let excluded = self.avoided(job, &ask.classes[class as usize]).to_vec();
            ask.candidates.push(Candidate {
                job: job.policy_id(),
                class,
                group: job.group,
                rank,
                cost: job.cost,
                queue: job.queue as u8,
                priority: job.priority as u8,
                waited_ms: now.mono_ms.saturating_sub(job.pending_since_ms),
                excluded,
            });
        }
        Plan {
            ask: Arc::new(ask),
            offered,
            skipped,
            page: 1,
            placed: 0,
            faulted: false,
        }
    }
}
