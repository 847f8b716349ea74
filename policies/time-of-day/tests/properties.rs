//! What `time-of-day` promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

use ffrtmp_policy_sdk::sample::Sample;
use ffrtmp_policy_sdk::{Ask, Instance, Policy, verdict};
use ffrtmp_policy_time_of_day::TimeOfDay;

/// Wednesday, 15 January 2025, 00:00 UTC.
const WEDNESDAY: i64 = 1_736_899_200_000;
const HOUR_MS: i64 = 3_600_000;

fn asked(seed: u64, hour: i64) -> (Instance<TimeOfDay>, Ask) {
    let mut sample = Sample::new(seed);
    let mut policy = Instance::<TimeOfDay>::new(
        r#"{"windows": ["20:00-04:00"], "utc_offset": "-01:00", "max_wait_hours": 5}"#,
    )
    .unwrap();
    policy.sync(true, 1, &sample.snapshot(60));
    let mut ask = sample.ask(80, policy.cluster());
    ask.now_ms = WEDNESDAY + hour * HOUR_MS;
    (policy, ask)
}

#[test]
fn batch_jobs_are_held_outside_their_hours_and_nothing_else_is() {
    for seed in 0..50 {
        let (mut policy, ask) = asked(seed, 12);
        let answer = policy.plan(&ask);
        verdict(policy.cluster(), &ask, &answer).unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        for candidate in &ask.candidates {
            let hold = answer.holds.iter().find(|hold| hold.job == candidate.job);
            assert_eq!(hold.is_some(), candidate.queue == 2);
            if let Some(hold) = hold {
                // 20:00 an hour behind UTC is nine hours off; five hours of waiting come sooner.
                let waited = candidate.waited_ms as i64;
                assert_eq!(hold.until_ms, ask.now_ms + 5 * HOUR_MS - waited);
                assert_eq!(hold.arg, 2000);
            }
        }
    }
}

#[test]
fn a_hold_ends_when_the_window_opens() {
    let (mut policy, ask) = asked(1, 19);
    let answer = policy.plan(&ask);
    assert!(!answer.holds.is_empty());
    for hold in answer.holds {
        assert_eq!(hold.until_ms, WEDNESDAY + 21 * HOUR_MS);
    }
}

#[test]
fn in_its_hours_and_after_the_longest_wait_nothing_is_held() {
    let (mut policy, ask) = asked(1, 23);
    assert_eq!(policy.plan(&ask).holds, []);
    let (mut policy, mut ask) = asked(1, 12);
    let longest = 5 * HOUR_MS as u64;
    ask.candidates
        .iter_mut()
        .for_each(|c| c.waited_ms = longest);
    assert_eq!(policy.plan(&ask).holds, []);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_by_name() {
    for (config, why) in [
        (
            r#"{"window": []}"#,
            "unknown field `window`, expected one of `windows`",
        ),
        (r#"{"windows": []}"#, "`windows` is empty"),
        (r#"{"windows": ["10-12"]}"#, "the window \"10-12\""),
        (r#"{"utc_offset": "CET"}"#, "utc_offset = \"CET\""),
        (
            r#"{"queues": ["live"]}"#,
            "unknown variant `live`, expected `default` or `batch`",
        ),
        (
            r#"{"max_wait_hours": 25}"#,
            "max_wait_hours = 25 is not from 1 to 24",
        ),
    ] {
        let error = TimeOfDay::init(config).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
