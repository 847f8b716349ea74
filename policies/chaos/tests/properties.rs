//! What `chaos` promises: to misbehave when told to, and only then. What it does to a master is shown where one runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // in a test that is how one fails

use ffrtmp_policy_chaos::Chaos;
use ffrtmp_policy_sdk::sample::Sample;
use ffrtmp_policy_sdk::{Answer, Instance, Policy, verdict};

/// The answer of round `round`, and what its verdict is.
fn answer(config: &str, round: u64) -> (Answer, Result<(), String>) {
    let mut sample = Sample::new(3);
    let mut policy = Instance::<Chaos>::new(config).unwrap();
    policy.sync(true, 1, &sample.snapshot(30));
    let mut ask = sample.ask(40, policy.cluster());
    ask.round = round;
    let answer = policy.plan(&ask);
    let verdict = verdict(policy.cluster(), &ask, &answer);
    (answer, verdict)
}

#[test]
fn it_misbehaves_in_every_nth_round_alone_and_not_in_its_trial() {
    let config = r#"{"fault": "nonsense", "every": 3}"#;
    for round in [0, 1, 2, 4, 5] {
        assert_eq!(answer(config, round).1, Ok(()), "round {round}");
    }
    for round in [3, 6] {
        assert!(answer(config, round).1.is_err(), "round {round}");
    }
}

#[test]
fn each_misdeed_is_the_one_it_is_named_for() {
    let misdeed = |fault| answer(&format!(r#"{{"fault": "{fault}", "every": 1}}"#), 1);
    assert_eq!(misdeed("silence").0, Answer::default());
    assert_eq!(misdeed("flood").0.placements.len(), 1_040);
    assert_eq!(misdeed("hold").0.holds.len(), 40);
    for late_or_loud in ["slow", "log"] {
        let (answer, verdict) = misdeed(late_or_loud);
        assert!(verdict.is_ok() && !answer.placements.is_empty());
    }
    let trapped = std::panic::catch_unwind(|| misdeed("trap"));
    assert!(trapped.is_err());
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_by_name() {
    for (config, why) in [
        (
            r#"{"fault": "sulk"}"#,
            "unknown variant `sulk`, expected one of `trap`",
        ),
        (r#"{"every": 0}"#, "`every` is 0"),
        (
            r#"{"often": 1}"#,
            "unknown field `often`, expected one of `fault`",
        ),
    ] {
        let error = Chaos::init(config).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
