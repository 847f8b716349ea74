//! The policy, run natively over generated clusters. `ffrtmp policies check my-policy.wasm` tries the component.

use ffrtmp_policy_sdk::sample::Sample;
use ffrtmp_policy_sdk::{Instance, Policy, verdict};
use policy::MyPolicy;

#[test]
fn the_master_would_refuse_nothing_it_answers() {
    for seed in 0..100 {
        let mut sample = Sample::new(seed);
        let mut policy = Instance::<MyPolicy>::new("").unwrap();
        policy.sync(true, 1, &sample.snapshot(40));
        let ask = sample.ask(60, policy.cluster());
        let answer = policy.plan(&ask);
        assert_eq!(verdict(policy.cluster(), &ask, &answer), Ok(()), "seed {seed}");
        assert!(!answer.placements.is_empty(), "seed {seed}");
    }
}

#[test]
fn spare_slots_stay_free() {
    let mut sample = Sample::new(1);
    let mut policy = Instance::<MyPolicy>::new(r#"{"spare_slots": 2}"#).unwrap();
    policy.sync(true, 1, &sample.snapshot(40));
    let ask = sample.ask(60, policy.cluster());
    let answer = policy.plan(&ask);
    assert!(!answer.placements.is_empty());
    for placement in answer.placements {
        let worker = policy.cluster().worker(placement.worker).unwrap();
        assert!(worker.free_slots() > 2);
    }
}

#[test]
fn a_misspelt_configuration_is_refused_by_name() {
    let error = MyPolicy::init(r#"{"spare_slot": 2}"#).unwrap_err();
    assert!(error.contains("unknown field `spare_slot`, expected `spare_slots`"));
}
