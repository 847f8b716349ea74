//! What `binpack` promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

use ffrtmp_policy_binpack::Binpack;
use ffrtmp_policy_sdk::sample::Sample;
use ffrtmp_policy_sdk::{Ask, Candidate, Change, Class, Cluster, Instance, Resources, Worker};

#[test]
fn jobs_fill_one_worker_before_the_next_is_opened() {
    let mut instance = Instance::<Binpack>::new("").unwrap();
    let worker = |id| Worker {
        id,
        accepting: true,
        slots: 4,
        capacity: Resources {
            cpu_millicores: 4000,
            memory_mib: 4000,
            ..Resources::default()
        },
        ..Worker::default()
    };
    instance.sync(
        true,
        1,
        &(1..=3)
            .map(|id| Change::WorkerUp(worker(id)))
            .collect::<Vec<_>>(),
    );
    let cost = Resources {
        cpu_millicores: 1000,
        ..Resources::default()
    };
    let candidates = (1..=6)
        .map(|job| Candidate {
            job,
            cost,
            ..Candidate::default()
        })
        .collect();
    let answer = instance.plan(&Ask {
        classes: vec![Class::default()],
        candidates,
        ..Ask::default()
    });
    assert_eq!(
        answer
            .placements
            .iter()
            .map(|p| p.worker)
            .collect::<Vec<_>>(),
        [1, 1, 1, 1, 2, 2]
    );
    assert_eq!(
        answer
            .placements
            .iter()
            .map(|p| p.reason)
            .collect::<Vec<_>>(),
        [1, 0, 0, 0, 1, 0]
    );
}

#[test]
fn every_placement_fits() {
    for seed in 0..100 {
        let mut sample = Sample::new(seed);
        let mut instance = Instance::<Binpack>::new("").unwrap();
        instance.sync(true, 1, &sample.snapshot(70));
        let ask = sample.ask(60, instance.cluster());
        let answer = instance.plan(&ask);
        let mut cluster = instance.cluster().clone();
        for placement in &answer.placements {
            let candidate = ask
                .candidates
                .iter()
                .find(|c| c.job == placement.job)
                .unwrap();
            let worker = cluster.worker(placement.worker).unwrap();
            assert!(Cluster::fits(
                worker,
                &ask.classes[candidate.class as usize],
                &candidate.cost
            ));
            cluster.place(candidate, placement.worker, placement.gpu);
        }
    }
}
