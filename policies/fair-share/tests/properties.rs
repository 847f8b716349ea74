//! What `fair-share` promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

use std::collections::BTreeMap;

use ffrtmp_policy_fair_share::{FairShare, group_of};
use ffrtmp_policy_sdk::sample::Sample;
use ffrtmp_policy_sdk::{
    Answer, Ask, Candidate, Change, Class, Instance, JobInfo, JobOn, Policy, Resources, Worker,
    verdict,
};

const ONE_CORE: Resources = Resources {
    cpu_millicores: 1_000,
    memory_mib: 100,
    gpu_sessions: 0,
    gpu_memory_mib: 0,
};

fn worker(slots: u32) -> Change {
    Change::WorkerUp(Worker {
        id: 1,
        accepting: true,
        slots,
        capacity: Resources {
            cpu_millicores: slots * 1_000,
            memory_mib: slots * 1_000,
            ..Resources::default()
        },
        ..Worker::default()
    })
}

fn ask(candidates: Vec<Candidate>) -> Ask {
    Ask {
        round: 1,
        classes: vec![Class::default()],
        candidates,
        ..Ask::default()
    }
}

fn candidate(job: u32, tenant: &str) -> Candidate {
    Candidate {
        job,
        group: group_of(tenant),
        rank: i64::from(job),
        cost: ONE_CORE,
        ..Candidate::default()
    }
}

fn placed(ask: &Ask, answer: &Answer) -> BTreeMap<u32, usize> {
    let mut placed = BTreeMap::new();
    for placement in &answer.placements {
        let of = ask.candidates.iter().find(|c| c.job == placement.job);
        *placed.entry(of.unwrap().group).or_default() += 1;
    }
    placed
}

#[test]
fn slots_are_shared_by_weight_however_many_jobs_each_has() {
    let mut policy = Instance::<FairShare>::new(r#"{"weights": {"a": 3, "b": 1}}"#).unwrap();
    policy.sync(true, 1, &[worker(8)]);
    // `a` has few jobs, all late; `b` has a hundred before them.
    let mut candidates: Vec<_> = (0..100).map(|job| candidate(job, "b")).collect();
    candidates.extend((100..120).map(|job| candidate(job, "a")));
    let ask = ask(candidates);
    let answer = policy.plan(&ask);
    verdict(policy.cluster(), &ask, &answer).unwrap();
    let placed = placed(&ask, &answer);
    assert_eq!((placed[&group_of("a")], placed[&group_of("b")]), (6, 2));
}

#[test]
fn what_a_group_already_runs_counts_against_it_also_after_a_reset() {
    let on = |job, group| JobOn {
        job,
        worker: 1,
        group,
        cost: ONE_CORE,
        gpu: None,
    };
    let mut policy = Instance::<FairShare>::new("").unwrap();
    // As a swap tells it: first in no group, then in the one this policy ranked the job into.
    let mut changes = vec![worker(8)];
    changes.extend((1..=4).map(|job| Change::JobStarted(on(job, 0))));
    policy.sync(true, 1, &changes);
    let regrouped: Vec<_> = (1..=4)
        .map(|job| Change::JobRegrouped(on(job, group_of("a"))))
        .collect();
    policy.sync(false, 2, &regrouped);
    let mut candidates: Vec<_> = (10..20).map(|job| candidate(job, "a")).collect();
    candidates.extend((20..30).map(|job| candidate(job, "b")));
    let ask = ask(candidates);
    let answer = policy.plan(&ask);
    assert_eq!(placed(&ask, &answer), BTreeMap::from([(group_of("b"), 4)]));
}

#[test]
fn what_one_group_does_not_want_is_the_others() {
    let mut policy = Instance::<FairShare>::new(r#"{"weights": {"a": 1000}}"#).unwrap();
    policy.sync(true, 1, &[worker(8)]);
    let mut candidates = vec![candidate(0, "a")];
    candidates.extend((1..20).map(|job| candidate(job, "b")));
    let ask = ask(candidates);
    let placed = placed(&ask, &policy.plan(&ask));
    assert_eq!((placed[&group_of("a")], placed[&group_of("b")]), (1, 7));
}

#[test]
fn every_answer_holds_over_generated_clusters() {
    for seed in 0..100 {
        let mut sample = Sample::new(seed);
        let mut policy = Instance::<FairShare>::new("").unwrap();
        policy.sync(true, 1, &sample.snapshot((seed % 130) as u32));
        for seq in 2..6 {
            let ask = sample.ask(80, policy.cluster());
            let answer = policy.plan(&ask);
            verdict(policy.cluster(), &ask, &answer).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
            let changes = sample.changes(policy.cluster());
            policy.sync(false, seq, &changes);
        }
    }
}

#[test]
fn a_group_follows_from_the_label_and_is_none_that_means_something_else() {
    let mut policy = FairShare::init(r#"{"by": "customer"}"#).unwrap();
    let mut job = JobInfo {
        labels: vec![
            ("tenant".into(), "x".into()),
            ("customer".into(), "acme".into()),
        ],
        ..JobInfo::default()
    };
    assert_eq!(policy.rank(&job).group, group_of("acme"));
    job.labels.clear();
    assert_eq!(policy.rank(&job).group, group_of(""));
    assert!(group_of("") != 0 && group_of("acme") != group_of(""));
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_by_name() {
    for (config, why) in [
        (
            r#"{"weight": {}}"#,
            "unknown field `weight`, expected one of `by`",
        ),
        (
            r#"{"weights": {"a": 0}}"#,
            "the weight 0 of \"a\" is not from 1 to 1000",
        ),
        (
            r#"{"default_weight": 2000}"#,
            "the weight 2000 of \"default_weight\"",
        ),
        (r#"{"by": ""}"#, "`by` is empty"),
        (r#"{"by": 3}"#, "expected a string"),
    ] {
        let error = FairShare::init(config).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
