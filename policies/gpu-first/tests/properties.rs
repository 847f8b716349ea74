//! What `gpu-first` promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

use ffrtmp_policy_gpu_first::GpuFirst;
use ffrtmp_policy_sdk::sample::Sample;
use ffrtmp_policy_sdk::{Instance, JobInfo, Policy, Resources, verdict};

#[test]
fn other_jobs_take_no_slot_that_a_free_session_could_use() {
    let mut spilled = 0;
    for seed in 0..200 {
        let mut sample = Sample::new(seed);
        let mut policy = Instance::<GpuFirst>::new(r#"{"keep_seconds": 100000}"#).unwrap();
        policy.sync(true, 1, &sample.snapshot((seed % 60) as u32));
        let ask = sample.ask(120, policy.cluster());
        assert!(ask.candidates.iter().all(|c| c.waited_ms < 100_000_000));
        let answer = policy.plan(&ask);
        verdict(policy.cluster(), &ask, &answer).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let mut cluster = policy.cluster().clone();
        for placement in &answer.placements {
            let candidate = ask
                .candidates
                .iter()
                .find(|c| c.job == placement.job)
                .unwrap();
            cluster.place(candidate, placement.worker, placement.gpu);
            let worker = cluster.worker(placement.worker).unwrap();
            if placement.gpu.is_none() && !worker.gpus.is_empty() {
                spilled += 1;
                let sessions: u32 = worker
                    .gpus
                    .iter()
                    .map(|gpu| gpu.sessions_max - gpu.sessions_used)
                    .sum();
                assert!(worker.free_slots() >= sessions, "seed {seed}");
            }
        }
    }
    assert!(spilled > 10, "the samples show it: {spilled}");
}

#[test]
fn a_job_that_has_waited_long_enough_takes_a_kept_slot_and_breaks_nothing() {
    let mut taken = 0;
    for seed in 0..200 {
        let mut sample = Sample::new(seed);
        let [mut patient, mut keeping] = [1, 100_000].map(|seconds| {
            Instance::<GpuFirst>::new(&format!(r#"{{"keep_seconds": {seconds}}}"#)).unwrap()
        });
        let snapshot = sample.snapshot((seed % 60) as u32);
        patient.sync(true, 1, &snapshot);
        keeping.sync(true, 1, &snapshot);
        let ask = sample.ask(120, patient.cluster());
        let (some, fewer) = (patient.plan(&ask), keeping.plan(&ask));
        verdict(patient.cluster(), &ask, &some).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        assert!(
            some.placements.len() >= fewer.placements.len(),
            "seed {seed}"
        );
        taken += some.placements.len() - fewer.placements.len();
    }
    assert!(taken > 10, "the samples show it: {taken}");
}

#[test]
fn a_gpu_job_goes_before_others_up_to_its_head_start() {
    let mut policy = GpuFirst::init(r#"{"head_start_hours": 2}"#).unwrap();
    let mut rank = |sessions, submitted_ms| {
        let cost = Resources {
            gpu_sessions: sessions,
            ..Resources::default()
        };
        let job = JobInfo {
            cost,
            submitted_ms,
            queue: 1,
            priority: 1,
            ..JobInfo::default()
        };
        policy.rank(&job).rank
    };
    assert!(rank(1, 7_199_999) < rank(0, 0));
    assert!(rank(1, 7_200_001) > rank(0, 0));
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_by_name() {
    for (config, why) in [
        (
            r#"{"hours": 1}"#,
            "unknown field `hours`, expected `head_start_hours` or `keep_seconds`",
        ),
        (r#"{"head_start_hours": 169}"#, "is more than 168"),
    ] {
        let error = GpuFirst::init(config).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
