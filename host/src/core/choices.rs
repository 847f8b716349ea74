//! What there was to choose from when a job was placed: for the last placements, so that somebody who asks later why a job went
//! where it went sees the workers that had room and the jobs that stood beside it.
//!
//! Kept small and made once for a whole answer: jobs of one class and cost could have gone to the same workers, so each such
//! kind looks at the workers once, which is what making the question costs too. In memory only, below 8 MiB in all.

use std::{collections::VecDeque, sync::Arc};

use ffrtmp_api::{
    ids::{Attempt, JobSeq},
    rest::{NodeRoom, PlacementChoice},
};
use ffrtmp_policy_sdk::{Ask, Class, Cluster, Resources, Worker, WorkerId};

use super::Core;

/// Placements remembered.
const PLACEMENTS_MAX: usize = 10_000;
/// Jobs named of those that were offered together.
const JOBS_MAX: usize = 16;
/// Workers named of those that had room: the ones with most of it.
const WORKERS_MAX: usize = 8;
/// Kinds of jobs looked at in one answer; the workers are walked once for each.
const KINDS_MAX: usize = 16;

/// The last placements. See the module's head.
#[derive(Debug, Default)]
pub struct Choices {
    /// Oldest first.
    placed: VecDeque<Placed>,
}

#[derive(Debug)]
struct Placed {
    attempt: Attempt,
    worker: WorkerId,
    /// Index into [`Offer::kinds`]; none if there were too many kinds.
    kind: Option<usize>,
    offer: Arc<Offer>,
}

/// What a question offered, as it stood when its answer came.
#[derive(Debug)]
pub struct Offer {
    at_ms: i64,
    candidates: usize,
    /// The first of them, by rank.
    first: Vec<JobSeq>,
    kinds: Vec<Kind>,
}

/// Jobs that could have gone to the same workers.
#[derive(Debug)]
struct Kind {
    class: u32,
    cost: Resources,
    had_room: usize,
    /// With most free CPU first.
    most_room: Vec<Room>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Room {
    cpu_millicores: u32,
    memory_mib: u32,
    slots: u32,
    worker: WorkerId,
}

impl Room {
    fn of(worker: &Worker) -> Room {
        let (has, used) = (&worker.capacity, &worker.reserved);
        Room {
            cpu_millicores: has.cpu_millicores.saturating_sub(used.cpu_millicores),
            memory_mib: has.memory_mib.saturating_sub(used.memory_mib),
            slots: worker.slots.saturating_sub(worker.slots_used),
            worker: worker.id,
        }
    }
}

impl Offer {
    /// What `ask` offered, before any of its answer is carried out. `jobs` are the candidates in order; `chosen` are the places
    /// among them of those the answer places.
    pub fn new(
        cluster: &Cluster,
        ask: &Ask,
        jobs: impl Iterator<Item = JobSeq>,
        chosen: impl Iterator<Item = usize>,
        at_ms: i64,
    ) -> Offer {
        let mut kinds: Vec<Kind> = Vec::new();
        for candidate in chosen.filter_map(|index| ask.candidates.get(index)) {
            let (class, cost) = (candidate.class, candidate.cost);
            if kinds.len() < KINDS_MAX
                && !kinds.iter().any(|k| (k.class, k.cost) == (class, cost))
                && let Some(needs) = ask.classes.get(class as usize)
            {
                kinds.push(Kind::new(cluster, class, needs, cost));
            }
        }
        Offer {
            at_ms,
            candidates: ask.candidates.len(),
            first: jobs.take(JOBS_MAX).collect(),
            kinds,
        }
    }

    fn kind_of(&self, ask: &Ask, index: usize) -> Option<usize> {
        let candidate = ask.candidates.get(index)?;
        let kind = (candidate.class, candidate.cost);
        self.kinds.iter().position(|k| (k.class, k.cost) == kind)
    }
}

impl Kind {
    fn new(cluster: &Cluster, class: u32, needs: &Class, cost: Resources) -> Kind {
        let mut kind = Kind {
            class,
            cost,
            had_room: 0,
            most_room: Vec::new(),
        };
        for worker in cluster.workers() {
            if !Cluster::fits(worker, needs, &cost) {
                continue;
            }
            kind.had_room += 1;
            let room = Room::of(worker);
            let most = &mut kind.most_room;
            if most.len() < WORKERS_MAX || most.last().is_some_and(|least| room > *least) {
                most.truncate(WORKERS_MAX - 1);
                let at = most.partition_point(|other| *other >= room);
                most.insert(at, room);
            }
        }
        kind
    }
}

impl Choices {
    /// A job was placed; `index` is its place in the question.
    pub fn placed(
        &mut self,
        attempt: Attempt,
        worker: WorkerId,
        ask: &Ask,
        index: usize,
        offer: &Arc<Offer>,
    ) {
        if self.placed.len() == PLACEMENTS_MAX {
            self.placed.pop_front();
        }
        self.placed.push_back(Placed {
            attempt,
            worker,
            kind: offer.kind_of(ask, index),
            offer: offer.clone(),
        });
    }
}

impl Core {
    /// What there was to choose from when a job was last placed, if that is still known.
    pub(super) fn choice_of(&self, job: JobSeq) -> Option<PlacementChoice> {
        let placed = self.choices.placed.iter().rev();
        let placed = { placed }.find(|placed| placed.attempt.job == job)?;
        let name = |id: WorkerId| match self.workers.get(&id) {
            Some(worker) => worker.name.clone(),
            None => format!("worker {id}, since forgotten"),
        };
        let offer = &placed.offer;
        let kind = placed.kind.and_then(|kind| offer.kinds.get(kind));
        let rooms = kind.map_or(&[][..], |kind| &kind.most_room);
        Some(PlacementChoice {
            attempt: placed.attempt.no,
            at_ms: offer.at_ms,
            candidates: offer.candidates,
            jobs: offer.first.clone(),
            nodes_with_room: kind.map(|kind| kind.had_room),
            nodes: rooms
                .iter()
                .map(|room| NodeRoom {
                    node: name(room.worker),
                    chosen: room.worker == placed.worker,
                    slots: room.slots,
                    cpu_millicores: room.cpu_millicores,
                    memory_mib: room.memory_mib,
                })
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::ids::AttemptNo;
    use ffrtmp_policy_sdk::{Candidate, Change};

    use super::*;

    fn worker(id: WorkerId, free: u32) -> Change {
        Change::WorkerUp(Worker {
            id,
            accepting: true,
            slots: 4,
            capacity: Resources {
                cpu_millicores: free,
                memory_mib: 1_000,
                ..Resources::default()
            },
            ..Worker::default()
        })
    }

    fn ask(costs: &[u32]) -> Ask {
        Ask {
            classes: vec![Class::default()],
            candidates: costs
                .iter()
                .map(|cpu| Candidate {
                    cost: Resources {
                        cpu_millicores: *cpu,
                        ..Resources::default()
                    },
                    ..Candidate::default()
                })
                .collect(),
            ..Ask::default()
        }
    }

    #[test]
    fn the_workers_with_most_room_are_named_and_all_that_had_room_are_counted() {
        let mut cluster = Cluster::default();
        for id in 1..=20 {
            cluster.apply(&worker(id, id * 100));
        }
        let ask = ask(&[1_000]);
        let offer = Offer::new(&cluster, &ask, [JobSeq(7)].into_iter(), [0].into_iter(), 5);
        let kind = &offer.kinds[0];
        assert_eq!(kind.had_room, 11, "those with 1,000 to 2,000 free");
        let named: Vec<WorkerId> = kind.most_room.iter().map(|room| room.worker).collect();
        assert_eq!(named, [20, 19, 18, 17, 16, 15, 14, 13]);
    }

    #[test]
    fn jobs_of_one_kind_share_one_look_and_too_many_kinds_are_left_out() {
        let mut cluster = Cluster::default();
        cluster.apply(&worker(1, 100_000));
        let costs: Vec<u32> = (0..40).map(|n| n % 20).collect();
        let ask = ask(&costs);
        let offer = Offer::new(&cluster, &ask, std::iter::empty(), 0..40, 5);
        assert_eq!(offer.kinds.len(), KINDS_MAX);
        assert_eq!(offer.kind_of(&ask, 3), offer.kind_of(&ask, 23));
        assert_eq!(offer.kind_of(&ask, 19), None);
    }

    #[test]
    fn only_the_last_placements_are_remembered() {
        let (cluster, ask) = (Cluster::default(), ask(&[1]));
        let offer = Offer::new(&cluster, &ask, std::iter::empty(), 0..1, 5);
        let (mut choices, offer) = (Choices::default(), Arc::new(offer));
        for n in 0..PLACEMENTS_MAX as u64 + 3 {
            let attempt = Attempt {
                job: JobSeq(n),
                no: AttemptNo(1),
            };
            choices.placed(attempt, 1, &ask, 0, &offer);
        }
        assert_eq!(choices.placed.len(), PLACEMENTS_MAX);
        assert_eq!(choices.placed[0].attempt.job, JobSeq(3));
    }
}
