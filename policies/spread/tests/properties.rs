//! What `spread` promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

use std::collections::BTreeMap;

use ffrtmp_policy_sdk::sample::Sample;
use ffrtmp_policy_sdk::{
    Ask, Candidate, Change, Class, Instance, Policy, Resources, Worker, verdict,
};
use ffrtmp_policy_spread::Spread;

fn worker(id: u32, zone: &str, slots_used: u32) -> Change {
    let zone = (!zone.is_empty()).then(|| ("zone".to_owned(), zone.to_owned()));
    Change::WorkerUp(Worker {
        id,
        accepting: true,
        slots: 10,
        slots_used,
        capacity: Resources {
            cpu_millicores: 1_000 * id, // the lower, the smaller: room alone would choose otherwise
            memory_mib: 10_000,
            ..Resources::default()
        },
        labels: zone.into_iter().collect(),
        ..Worker::default()
    })
}

fn ask(jobs: u32) -> Ask {
    Ask {
        round: 1,
        classes: vec![Class::default()],
        candidates: (0..jobs)
            .map(|job| Candidate {
                job,
                ..Candidate::default()
            })
            .collect(),
        ..Ask::default()
    }
}

fn per_worker(config: &str, workers: &[Change], jobs: u32) -> BTreeMap<u32, u32> {
    let mut policy = Instance::<Spread>::new(config).unwrap();
    policy.sync(true, 1, workers);
    let ask = ask(jobs);
    let answer = policy.plan(&ask);
    verdict(policy.cluster(), &ask, &answer).unwrap();
    let mut count = BTreeMap::new();
    for placement in answer.placements {
        *count.entry(placement.worker).or_default() += 1;
    }
    count
}

#[test]
fn no_worker_gets_two_jobs_more_than_another() {
    let workers = [worker(1, "", 0), worker(2, "", 3), worker(3, "", 0)];
    let count = per_worker("", &workers, 6);
    assert_eq!(
        count,
        BTreeMap::from([(1, 3), (3, 3)]),
        "the third has three already"
    );
}

#[test]
fn zones_are_evened_out_before_workers_are() {
    let workers = [
        worker(1, "a", 0),
        worker(2, "b", 0),
        worker(3, "b", 0),
        worker(4, "", 0),
    ];
    let count = per_worker(r#"{"by": "zone"}"#, &workers, 6);
    // Two jobs a zone; the worker without a zone is one of its own.
    assert_eq!(count, BTreeMap::from([(1, 2), (2, 1), (3, 1), (4, 2)]));
}

#[test]
fn every_answer_holds_and_what_waits_fits_nowhere() {
    for seed in 0..100 {
        let mut sample = Sample::new(seed);
        let mut policy = Instance::<Spread>::new(r#"{"by": "zone"}"#).unwrap();
        policy.sync(true, 1, &sample.snapshot((seed % 130) as u32));
        let ask = sample.ask(80, policy.cluster());
        let answer = policy.plan(&ask);
        verdict(policy.cluster(), &ask, &answer).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let mut cluster = policy.cluster().clone();
        for candidate in &ask.candidates {
            match answer.placements.iter().find(|p| p.job == candidate.job) {
                Some(placement) => cluster.place(candidate, placement.worker, placement.gpu),
                None => assert_eq!(cluster.best_place(&ask, candidate, |_, _| Some(())), None),
            }
        }
    }
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_by_name() {
    for (config, why) in [
        (r#"{"zone": "x"}"#, "unknown field `zone`, expected `by`"),
        (r#"{"by": ""}"#, "`by` is empty"),
    ] {
        let error = Spread::init(config).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
