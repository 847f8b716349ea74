//! What `deadline` promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

use ffrtmp_policy_deadline::Deadline;
use ffrtmp_policy_sdk::sample::Sample;
use ffrtmp_policy_sdk::{Instance, JobInfo, Policy, verdict};

const HOUR_MS: i64 = 3_600_000;

fn job(queue: u8, submitted_ms: i64, deadline_ms: Option<i64>) -> JobInfo {
    JobInfo {
        queue,
        submitted_ms,
        deadline_ms,
        ..JobInfo::default()
    }
}

#[test]
fn the_earliest_deadline_is_first_whenever_it_was_submitted() {
    let mut policy = Deadline::init("").unwrap();
    let early = policy.rank(&job(2, 1_000, Some(5_000)));
    let late = policy.rank(&job(0, 10, Some(6_000)));
    assert!(early.rank < late.rank);
}

#[test]
fn a_job_without_a_deadline_gets_its_lane_s_so_that_it_cannot_starve() {
    let mut policy = Deadline::init(r#"{"batch_hours": 10}"#).unwrap();
    assert_eq!(policy.rank(&job(0, 7, None)).rank, 7);
    assert_eq!(policy.rank(&job(1, 7, None)).rank, 7 + 24 * HOUR_MS);
    assert_eq!(policy.rank(&job(2, 7, None)).rank, 7 + 10 * HOUR_MS);
    // Whatever states a deadline later than that waits behind it.
    let stated = policy.rank(&job(1, 7, Some(7 + 11 * HOUR_MS)));
    assert!(stated > policy.rank(&job(2, 7, None)));
}

#[test]
fn every_answer_holds_over_generated_clusters() {
    for seed in 0..100 {
        let mut sample = Sample::new(seed);
        let mut policy = Instance::<Deadline>::new("").unwrap();
        policy.sync(true, 1, &sample.snapshot((seed % 130) as u32));
        let ask = sample.ask(80, policy.cluster());
        let answer = policy.plan(&ask);
        verdict(policy.cluster(), &ask, &answer).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
    }
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_by_name() {
    for (config, why) in [
        (
            r#"{"live": 1}"#,
            "unknown field `live`, expected one of `live_hours`",
        ),
        (
            r#"{"batch_hours": 9000}"#,
            "batch_hours = 9000 is more than 8760",
        ),
        (r#"{"batch_hours": -1}"#, "invalid value"),
    ] {
        let error = Deadline::init(config).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
