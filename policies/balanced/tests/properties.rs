//! What `balanced` promises, over generated clusters.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

use ffrtmp_policy_balanced::{Balanced, KEEP_CLEAR_AFTER_MS};
use ffrtmp_policy_sdk::sample::Sample;
use ffrtmp_policy_sdk::{
    Answer, Ask, Candidate, Change, Class, Cluster, Instance, JobInfo, Resources, Worker, ageing,
};

fn with_cluster(seed: u64, workers: u32) -> (Sample, Instance<Balanced>) {
    let mut sample = Sample::new(seed);
    let mut instance = Instance::<Balanced>::new("").unwrap();
    instance.sync(true, 1, &sample.snapshot(workers));
    (sample, instance)
}

/// Calls `f` with each placed candidate and the cluster as it is before it is placed; then whatever was not placed.
fn replay(
    cluster: &Cluster,
    ask: &Ask,
    answer: &Answer,
    mut f: impl FnMut(&Cluster, &Candidate, Option<(u32, Option<u32>)>),
) {
    let mut cluster = cluster.clone();
    for candidate in &ask.candidates {
        let place = answer
            .placements
            .iter()
            .find(|p| p.job == candidate.job)
            .map(|p| (p.worker, p.gpu));
        f(&cluster, candidate, place);
        if let Some((worker, gpu)) = place {
            cluster.place(candidate, worker, gpu);
        }
    }
}

fn class<'a>(ask: &'a Ask, candidate: &Candidate) -> &'a Class {
    &ask.classes[candidate.class as usize]
}

#[test]
fn every_placement_fits_and_no_candidate_is_answered_twice() {
    for seed in 0..200 {
        let (mut sample, mut instance) = with_cluster(seed, (seed % 130) as u32);
        let ask = sample.ask(60, instance.cluster());
        let answer = instance.plan(&ask);
        let mut jobs: Vec<u32> = answer
            .placements
            .iter()
            .map(|p| p.job)
            .chain(answer.skips.iter().copied())
            .collect();
        jobs.sort_unstable();
        jobs.dedup();
        assert_eq!(jobs.len(), answer.placements.len() + answer.skips.len());
        replay(
            instance.cluster(),
            &ask,
            &answer,
            |cluster, candidate, place| {
                let Some((worker, gpu)) = place else { return };
                let worker = cluster.worker(worker).unwrap();
                assert!(
                    Cluster::fits(worker, class(&ask, candidate), &candidate.cost),
                    "seed {seed}"
                );
                assert!(!candidate.excluded.contains(&worker.id));
                assert_eq!(gpu.is_some(), class(&ask, candidate).gpu);
                assert!(
                    gpu.is_none_or(|g| Cluster::gpu_fits(
                        &worker.gpus[g as usize],
                        &candidate.cost
                    ))
                );
            },
        );
    }
}

#[test]
fn what_waits_fits_nowhere_that_is_not_kept_clear() {
    for seed in 0..200 {
        let (mut sample, mut instance) = with_cluster(seed, (seed % 130) as u32);
        let mut ask = sample.ask(60, instance.cluster());
        ask.candidates.iter_mut().for_each(|c| c.waited_ms = 0);
        let answer = instance.plan(&ask);
        replay(
            instance.cluster(),
            &ask,
            &answer,
            |cluster, candidate, place| {
                if place.is_none() {
                    let open = |w: &&Worker| {
                        Cluster::fits(w, class(&ask, candidate), &candidate.cost)
                            && !candidate.excluded.contains(&w.id)
                    };
                    assert_eq!(
                        cluster.workers().iter().find(open),
                        None,
                        "seed {seed}, job {}",
                        candidate.job
                    );
                }
            },
        );
    }
}

#[test]
fn a_job_without_a_gpu_goes_to_a_gpu_worker_only_if_no_other_has_room() {
    for seed in 0..200 {
        let (mut sample, mut instance) = with_cluster(seed, 40);
        let mut ask = sample.ask(60, instance.cluster());
        ask.candidates.iter_mut().for_each(|c| c.waited_ms = 0);
        let answer = instance.plan(&ask);
        replay(
            instance.cluster(),
            &ask,
            &answer,
            |cluster, candidate, place| {
                let class = class(&ask, candidate);
                let Some((worker, None)) = place else { return };
                if !cluster.worker(worker).unwrap().gpus.is_empty() {
                    let other = |w: &&Worker| {
                        w.gpus.is_empty()
                            && Cluster::fits(w, class, &candidate.cost)
                            && !candidate.excluded.contains(&w.id)
                    };
                    assert_eq!(cluster.workers().iter().find(other), None);
                }
            },
        );
    }
}

#[test]
fn a_gpu_job_goes_to_the_gpu_with_the_most_room() {
    let mut instance = Instance::<Balanced>::new("").unwrap();
    let mut sample = Sample::new(3);
    let mut workers: Vec<Worker> = (1..=40).map(|id| sample.worker(id)).collect();
    workers.iter_mut().for_each(|w| w.accepting = true);
    instance.sync(
        true,
        1,
        &workers
            .iter()
            .cloned()
            .map(Change::WorkerUp)
            .collect::<Vec<_>>(),
    );
    let class = Class {
        gpu: true,
        ..Class::default()
    };
    let cost = Resources {
        gpu_sessions: 1,
        ..Resources::default()
    };
    let candidate = Candidate {
        job: 1,
        cost,
        ..Candidate::default()
    };
    let answer = instance.plan(&Ask {
        classes: vec![class],
        candidates: vec![candidate],
        ..Ask::default()
    });
    let [placement] = answer.placements[..] else {
        panic!("{answer:?}")
    };
    let chosen =
        &instance.cluster().worker(placement.worker).unwrap().gpus[placement.gpu.unwrap() as usize];
    for worker in workers.iter().filter(|w| w.slots_used < w.slots) {
        for gpu in worker.gpus.iter().filter(|g| Cluster::gpu_fits(g, &cost)) {
            // A thousandth is the grain; and what the session takes counts, which is the same for all here.
            assert!(
                gpu.free() / 1_000 <= chosen.free() / 1_000,
                "{gpu:?} is freer than {chosen:?}"
            );
        }
    }
}

#[test]
fn workers_that_all_measure_full_load_still_share_the_jobs() {
    let mut instance = Instance::<Balanced>::new("").unwrap();
    let worker = |id| Worker {
        id,
        accepting: true,
        slots: 4,
        capacity: Resources {
            cpu_millicores: 4_000,
            ..Resources::default()
        },
        // An encoder takes all there is, and no two measurements are quite the same.
        cpu_load_permille: 1_000 - id % 3,
        ..Worker::default()
    };
    let up: Vec<Change> = (1..=4).map(|id| Change::WorkerUp(worker(id))).collect();
    instance.sync(true, 1, &up);
    let cost = Resources {
        cpu_millicores: 500,
        ..Resources::default()
    };
    let candidates = (1..=8).map(|job| Candidate {
        job,
        cost,
        ..Candidate::default()
    });
    let answer = instance.plan(&Ask {
        classes: vec![Class::default()],
        candidates: candidates.collect(),
        ..Ask::default()
    });
    let mut jobs = [0; 4];
    for placement in &answer.placements {
        jobs[placement.worker as usize - 1] += 1;
    }
    assert_eq!(jobs, [2, 2, 2, 2]);
}

#[test]
fn the_same_question_gets_the_same_answer_however_the_view_came_about() {
    for seed in 0..50 {
        let (mut sample, mut worn) = with_cluster(seed, 100);
        for seq in 2..20 {
            let changes = sample.changes(worn.cluster());
            worn.sync(false, seq, &changes);
            let ask = sample.ask(30, worn.cluster());
            let answer = worn.plan(&ask);
            let mut fresh = Instance::<Balanced>::new("").unwrap();
            let snapshot: Vec<Change> = worn
                .cluster()
                .workers()
                .iter()
                .cloned()
                .map(Change::WorkerUp)
                .collect();
            fresh.sync(true, 1, &snapshot);
            assert_eq!(fresh.plan(&ask), answer, "seed {seed}, sync {seq}");
        }
    }
}

#[test]
fn a_large_job_that_waited_long_gets_a_worker_kept_clear() {
    let mut instance = Instance::<Balanced>::new("").unwrap();
    let worker = |id: u32, used: u32| Worker {
        id,
        accepting: true,
        slots: 8,
        slots_used: used,
        capacity: Resources {
            cpu_millicores: 8000,
            memory_mib: 8000,
            ..Resources::default()
        },
        reserved: Resources {
            cpu_millicores: used * 1000,
            ..Resources::default()
        },
        ..Worker::default()
    };
    instance.sync(
        true,
        1,
        &[
            Change::WorkerUp(worker(1, 6)),
            Change::WorkerUp(worker(2, 5)),
        ],
    );
    let job = |job, cores: u32, waited_ms| Candidate {
        job,
        cost: Resources {
            cpu_millicores: cores * 1000,
            ..Resources::default()
        },
        queue: 1,
        waited_ms,
        ..Candidate::default()
    };
    let mut ask = Ask {
        round: 1,
        classes: vec![Class::default()],
        ..Ask::default()
    };
    ask.candidates = vec![
        job(1, 8, KEEP_CLEAR_AFTER_MS),
        job(2, 1, 0),
        job(3, 1, 0),
        job(4, 1, 0),
    ];
    let answer = instance.plan(&ask);
    // Worker 2 is the freer, so it is kept clear; worker 1 takes what it can.
    assert_eq!(
        answer
            .placements
            .iter()
            .map(|p| (p.job, p.worker))
            .collect::<Vec<_>>(),
        [(2, 1), (3, 1)]
    );
    // The next page of the same round keeps it clear too; the next round decides anew.
    ask.candidates = vec![job(5, 1, 0)];
    assert_eq!(instance.plan(&ask).placements[0].worker, 1);
    ask.round = 2;
    assert_eq!(instance.plan(&ask).placements[0].worker, 2);
}

#[test]
fn no_job_is_overtaken_by_one_submitted_later_than_the_bound() {
    let job = |queue, priority, submitted_ms| JobInfo {
        queue,
        priority,
        submitted_ms,
        ..JobInfo::default()
    };
    let batch_low = ageing::key(&job(2, 2, 0));
    assert!(ageing::key(&job(0, 0, ageing::OVERTAKEN_MS_MAX - 1)) < batch_low);
    assert!(ageing::key(&job(0, 0, ageing::OVERTAKEN_MS_MAX + 1)) > batch_low);
    assert_eq!(ageing::OVERTAKEN_MS_MAX, 31 * 3_600_000);
    // A day's backlog of batch work does not delay a live job.
    assert!(ageing::key(&job(0, 2, 24 * 3_600_000)) < ageing::key(&job(2, 0, 0)));
}
