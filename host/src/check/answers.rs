//! Judging an answer by the truth, entry by entry, as the master does, and saying what is wrong with it for its author.

use std::collections::{BTreeMap, BTreeSet};

use ffrtmp_policy_sdk::{Answer, Ask, Candidate, Class, Cluster, JobOn, Placement};

use super::{Finding, Item};

/// The longest hold that is not cut short: a day, milliseconds.
const HOLD_MAX_MS: i64 = 24 * 3_600_000;

/// What is wrong, by item: the worst found and the first example of it.
#[derive(Debug, Default)]
pub(super) struct Wrong {
    found: BTreeMap<Item, (bool, String, u64)>,
}

impl Wrong {
    /// Something is wrong. `place` says where in the script.
    pub(super) fn note(&mut self, item: Item, fails: bool, place: &str, what: String) {
        let example = format!("{place}: {what}");
        let entry = self
            .found
            .entry(item)
            .or_insert_with(|| (fails, example.clone(), 0));
        if fails && !entry.0 {
            (entry.0, entry.1) = (true, example);
        }
        entry.2 += 1;
    }

    /// What to say of an item.
    pub(super) fn verdict(&self, item: Item, good: &str) -> (Finding, String) {
        match self.found.get(&item) {
            None => (Finding::Pass, good.to_owned()),
            Some((fails, example, times)) => {
                let finding = if *fails { Finding::Fail } else { Finding::Warn };
                let times = match times {
                    1 => String::new(),
                    n => format!(" ({n} times in all)"),
                };
                (finding, format!("{example}{times}"))
            }
        }
    }
}

/// Judges an answer. Gives what would be carried out; the capacity it takes is taken in `cluster`.
pub(super) fn judge(
    ask: &Ask,
    answer: &Answer,
    cluster: &mut Cluster,
    reasons: usize,
    place: &str,
    wrong: &mut Wrong,
) -> Vec<JobOn> {
    let candidates: BTreeMap<u32, &Candidate> = ask.candidates.iter().map(|c| (c.job, c)).collect();
    let mut named = BTreeSet::new();
    let mut name = |job: u32, as_: &str, wrong: &mut Wrong| {
        if !candidates.contains_key(&job) {
            let what = format!("it {as_} job {job}, which is no candidate");
            wrong.note(Item::Candidates, true, place, what);
            return false;
        }
        if !named.insert(job) {
            let what = format!("it {as_} job {job}, which it had named before");
            wrong.note(Item::Candidates, true, place, what);
            return false;
        }
        true
    };
    let mut carried_out = Vec::new();
    for placement in &answer.placements {
        if !name(placement.job, "places", wrong) {
            continue;
        }
        let candidate = candidates[&placement.job];
        // Candidates name classes of the same question.
        let class = &ask.classes[candidate.class as usize];
        match fault_of(placement, candidate, class, cluster) {
            Some((item, fails, what)) => wrong.note(
                item,
                fails,
                place,
                format!(
                    "it places job {} on worker {}, {what}",
                    placement.job, placement.worker
                ),
            ),
            None => {
                let on = JobOn {
                    job: placement.job,
                    worker: placement.worker,
                    gpu: placement.gpu.filter(|_| class.gpu),
                    group: candidate.group,
                    cost: candidate.cost,
                };
                cluster.apply(&ffrtmp_policy_sdk::Change::JobStarted(on));
                carried_out.push(on);
            }
        }
        if placement.reason as usize >= reasons {
            let what = format!("reason {} of {reasons} stated", placement.reason);
            wrong.note(Item::Words, false, place, what);
        }
    }
    for job in &answer.skips {
        name(*job, "skips", wrong);
    }
    for hold in &answer.holds {
        if !name(hold.job, "holds", wrong) {
            continue;
        }
        let ms = hold.until_ms.saturating_sub(ask.now_ms);
        if ms <= 0 {
            let what = format!("it holds job {} until a time that is past", hold.job);
            wrong.note(Item::Words, false, place, what);
        } else if ms > HOLD_MAX_MS {
            let what = format!(
                "it holds job {} for {} h; holds end after 24 h",
                hold.job,
                ms / 3_600_000
            );
            wrong.note(Item::Words, false, place, what);
        }
        if hold.reason as usize >= reasons {
            let what = format!("reason {} of {reasons} stated", hold.reason);
            wrong.note(Item::Words, false, place, what);
        }
    }
    carried_out
}

/// Why a placement does not hold, if it does not: under which item, whether that fails, and the rest of the sentence.
fn fault_of(
    placement: &Placement,
    candidate: &Candidate,
    class: &Class,
    cluster: &Cluster,
) -> Option<(Item, bool, String)> {
    let Some(worker) = cluster.worker(placement.worker) else {
        return Some((Item::Workers, true, "which does not exist".into()));
    };
    if !worker.accepting {
        return Some((Item::Workers, true, "which takes no new work".into()));
    }
    if worker.encoders & class.encoders != class.encoders {
        let missing = class.encoders & !worker.encoders;
        let what = format!("where the encoders {missing:#b} are not proven");
        return Some((Item::Requirements, true, what));
    }
    if worker.tags & class.tags != class.tags {
        let missing = class.tags & !worker.tags;
        let what = format!("which does not meet the requirements {missing:#b}");
        return Some((Item::Requirements, true, what));
    }
    if candidate.excluded.contains(&placement.worker) {
        let what = "where the job failed and is not to go now";
        return Some((Item::Requirements, true, what.into()));
    }
    let without_gpu = Class {
        gpu: false,
        ..*class
    };
    if !Cluster::fits(worker, &without_gpu, &candidate.cost) {
        let what = format!(
            "which has {} of {} slots, {} of {} millicores and {} of {} MiB taken and is to hold {} and {} more",
            worker.slots_used,
            worker.slots,
            worker.reserved.cpu_millicores,
            worker.capacity.cpu_millicores,
            worker.reserved.memory_mib,
            worker.capacity.memory_mib,
            candidate.cost.cpu_millicores,
            candidate.cost.memory_mib
        );
        return Some((Item::Capacity, true, what));
    }
    if !class.gpu {
        return None;
    }
    let gpu = placement.gpu.and_then(|gpu| worker.gpus.get(gpu as usize));
    match gpu {
        None => {
            let what = format!("naming GPU {:?} of {}", placement.gpu, worker.gpus.len());
            Some((Item::Requirements, true, what))
        }
        Some(gpu) if !Cluster::gpu_fits(gpu, &candidate.cost) => {
            let what = format!(
                "on a GPU with {} of {} sessions and {} of {} MiB taken",
                gpu.sessions_used, gpu.sessions_max, gpu.memory_reserved_mib, gpu.memory_mib
            );
            Some((Item::Capacity, true, what))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test that is how one fails
mod tests {
    use ffrtmp_policy_sdk::{Change, Gpu, Hold, Resources, Worker};

    use super::*;

    /// Worker 1 has one slot, one GPU with one session, and encoders 0 and 4; worker 2 takes nothing. Job 1 needs no GPU, job
    /// 2 does, job 3 needs encoder 1, job 4 failed on worker 1.
    fn situation() -> (Ask, Cluster) {
        let worker = Worker {
            id: 1,
            accepting: true,
            slots: 2,
            capacity: Resources {
                cpu_millicores: 2_000,
                memory_mib: 2_000,
                ..Resources::default()
            },
            encoders: 0b1_0001,
            gpus: vec![Gpu {
                sessions_max: 1,
                sessions_used: 1,
                memory_mib: 100,
                ..Gpu::default()
            }],
            ..Worker::default()
        };
        let away = Worker {
            id: 2,
            accepting: false,
            ..worker.clone()
        };
        let mut cluster = Cluster::default();
        for worker in [worker, away] {
            cluster.apply(&Change::WorkerUp(worker));
        }
        let class = |encoders, gpu| Class {
            encoders,
            gpu,
            ..Class::default()
        };
        let candidate = |job, class, gpu_sessions, excluded| Candidate {
            job,
            class,
            excluded,
            cost: Resources {
                cpu_millicores: 1_500,
                gpu_sessions,
                ..Resources::default()
            },
            ..Candidate::default()
        };
        let ask = Ask {
            now_ms: 1_000,
            classes: vec![class(1, false), class(0b1_0000, true), class(2, false)],
            candidates: vec![
                candidate(1, 0, 0, vec![]),
                candidate(2, 1, 1, vec![]),
                candidate(3, 2, 0, vec![]),
                candidate(4, 0, 0, vec![1]),
                candidate(5, 0, 0, vec![]),
            ],
            ..Ask::default()
        };
        (ask, cluster)
    }

    fn place(job: u32, worker: u32, gpu: Option<u32>) -> Placement {
        Placement {
            job,
            worker,
            gpu,
            ..Placement::default()
        }
    }

    /// The items under which something is wrong with an answer, and whether each fails.
    fn wrong_with(answer: Answer) -> Vec<(Item, bool)> {
        let (ask, mut cluster) = situation();
        let mut wrong = Wrong::default();
        judge(&ask, &answer, &mut cluster, 1, "here", &mut wrong);
        let found = wrong.found.into_iter();
        found.map(|(item, (fails, _, _))| (item, fails)).collect()
    }

    #[test]
    fn each_foolish_placement_is_put_down_to_what_is_wrong_with_it() {
        let of = |placements: &[Placement]| {
            wrong_with(Answer {
                placements: placements.to_vec(),
                ..Answer::default()
            })
        };
        assert_eq!(of(&[place(1, 1, None)]), []);
        assert_eq!(of(&[place(9, 1, None)]), [(Item::Candidates, true)]);
        assert_eq!(
            of(&[place(1, 1, None), place(1, 1, None)]),
            [(Item::Candidates, true)]
        );
        assert_eq!(of(&[place(1, 7, None)]), [(Item::Workers, true)]);
        assert_eq!(of(&[place(1, 2, None)]), [(Item::Workers, true)]);
        // Two of 1,500 millicores on a worker of 2,000.
        assert_eq!(
            of(&[place(1, 1, None), place(5, 1, None)]),
            [(Item::Capacity, true)]
        );
        assert_eq!(of(&[place(2, 1, Some(0))]), [(Item::Capacity, true)]);
        assert_eq!(of(&[place(2, 1, None)]), [(Item::Requirements, true)]);
        assert_eq!(of(&[place(2, 1, Some(3))]), [(Item::Requirements, true)]);
        assert_eq!(of(&[place(3, 1, None)]), [(Item::Requirements, true)]);
        assert_eq!(of(&[place(4, 1, None)]), [(Item::Requirements, true)]);
        let unstated = Placement {
            reason: 1,
            ..place(1, 1, None)
        };
        assert_eq!(of(&[unstated]), [(Item::Words, false)]);
    }

    #[test]
    fn holds_and_skips_are_judged_too() {
        let hold = |job, until_ms, reason| Hold {
            job,
            until_ms,
            reason,
            ..Hold::default()
        };
        let of = |holds: &[Hold], skips: &[u32]| {
            wrong_with(Answer {
                holds: holds.to_vec(),
                skips: skips.to_vec(),
                ..Answer::default()
            })
        };
        assert_eq!(of(&[hold(1, 2_000, 0)], &[2]), []);
        assert_eq!(of(&[hold(1, 2_000, 0)], &[1]), [(Item::Candidates, true)]);
        assert_eq!(of(&[hold(1, 1_000, 0)], &[]), [(Item::Words, false)]);
        assert_eq!(of(&[hold(1, i64::MAX, 0)], &[]), [(Item::Words, false)]);
        assert_eq!(of(&[hold(1, 2_000, 9)], &[]), [(Item::Words, false)]);
        assert_eq!(of(&[], &[8]), [(Item::Candidates, true)]);
    }

    #[test]
    fn the_worst_is_said_first_and_the_rest_counted() {
        let mut wrong = Wrong::default();
        wrong.note(Item::Requirements, false, "a", "x".into());
        wrong.note(Item::Requirements, true, "b", "y".into());
        assert_eq!(
            wrong.verdict(Item::Requirements, ""),
            (Finding::Fail, "b: y (2 times in all)".into())
        );
        assert_eq!(
            wrong.verdict(Item::Words, "good"),
            (Finding::Pass, "good".into())
        );
    }
}
