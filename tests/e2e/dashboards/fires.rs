//! Alerts that fire because something is really wrong: no worker, jobs that wait too long, a policy that fails, a worker and a master that are
//! killed. The rules are those of `deploy/rules`, word for word, but for how long something must have been wrong.

use std::{
    fs,
    time::{Duration, Instant},
};

use ffrtmp_api::job::JobSpec;

use super::stack::{Alert, Stack};
use crate::cluster::{Cluster, root, tiny, until};

/// Copies of the rules in which every alert waits for a second. What is compared, and over which time, stays.
fn impatient(cluster: &Cluster) {
    let dir = cluster.path("rules");
    fs::create_dir(&dir).unwrap();
    for file in ["alerts.yml", "recording.yml"] {
        let text = fs::read_to_string(root().join("deploy/rules").join(file)).unwrap();
        let lines = text
            .lines()
            .map(|line| match line.starts_with("        for: ") {
                true => "        for: 1s\n".to_owned(),
                false => format!("{line}\n"),
            });
        fs::write(dir.join(file), lines.collect::<String>()).unwrap();
    }
}

fn firing(stack: &Stack, name: &str) -> Option<Alert> {
    let alerts = stack.alerts();
    alerts
        .into_iter()
        .find(|alert| alert.name == name && alert.state == "firing")
}

/// Waits until it fires, and looks at what people are told.
#[track_caller]
fn fires(stack: &Stack, name: &str, says: &str) {
    let patience = Duration::from_secs(150);
    let from = Instant::now();
    let alert = loop {
        if let Some(alert) = firing(stack, name) {
            break alert;
        }
        let others: Vec<_> = stack
            .alerts()
            .into_iter()
            .map(|a| (a.name, a.state))
            .collect();
        assert!(
            from.elapsed() < patience,
            "{name} does not fire; these do: {others:?}"
        );
        std::thread::sleep(Duration::from_millis(200));
    };
    eprintln!(
        "{name} fired after {:.1?}: {}",
        from.elapsed(),
        alert.annotations["summary"]
    );
    let texts = format!("{}{}", alert.annotations, alert.labels);
    assert!(
        alert.annotations["summary"]
            .as_str()
            .unwrap()
            .contains(says),
        "{texts}"
    );
    assert!(
        !texts.contains("no value") && !texts.contains("{{") && !texts.contains("%!"),
        "{texts}"
    );
    assert!(
        ["critical", "warning", "info"]
            .iter()
            .any(|s| alert.labels["severity"] == *s),
        "{texts}"
    );
    let runbook = format!("docs/OPERATIONS.md#{}", name.to_lowercase());
    assert_eq!(alert.annotations["runbook"], runbook.as_str());
}

fn guest(name: &str) -> Vec<u8> {
    fs::read(root().join("tests/hostile").join(name)).unwrap()
}

#[test]
fn dashboards_alerts_fire_when_something_is_wrong_and_end_with_it() {
    let mut cluster = Cluster::new();
    cluster.master_flags = ["--lease", "3s", "--heartbeat", "500ms"]
        .map(String::from)
        .to_vec();
    cluster.start_master();
    let mut stack = Stack::start(&cluster);
    impatient(&cluster);
    stack.watch(&cluster, &cluster.path("rules"));

    // Nobody works, and a live job waits for somebody who can have it: more than a minute, by the rule.
    let waiting = cluster.submit(JobSpec {
        queue: ffrtmp_api::job::Queue::Live,
        require: [("zone".to_owned(), "moon".to_owned())].into(),
        ..tiny(0.1)
    });
    fires(&stack, "FfrtmpNoWorkers", "No worker takes jobs");
    for name in ["w1", "w2"] {
        cluster.start_worker(name, 1);
    }
    until("it ends when somebody works", || {
        firing(&stack, "FfrtmpNoWorkers").is_none().then_some(())
    });
    fires(
        &stack,
        "FfrtmpJobsFitNowhere",
        "what no connected worker has: 1",
    );

    // A file that is no policy, and a policy that traps.
    cluster.put_in_policies("core.wasm", &guest("core_module.wasm"));
    fires(
        &stack,
        "FfrtmpPolicyFileRefused",
        "were refused in 15 minutes: 1",
    );
    cluster.put_in_policies("traps.wasm", &guest("traps_in_plan.wasm"));
    until("it has failed so often that it rules no more", || {
        let job = cluster.submit(tiny(0.1));
        cluster.until_completed(job);
        let open = cluster.metrics()["ffrtmp_policy_breaker_open"];
        (open == 1.0).then_some(())
    });
    fires(
        &stack,
        "FfrtmpPolicyFaulting",
        "Failures of the scheduling policy",
    );
    fires(&stack, "FfrtmpPolicyBreakerOpen", "lost its rule");

    // A worker dies.
    cluster.workers.get_mut("w2").unwrap().0.kill();
    fires(&stack, "FfrtmpWorkerDown", "The worker w2");
    fires(&stack, "FfrtmpWorkerLost", "went silent in 15 minutes: 1");

    fires(&stack, "FfrtmpOldestJobTooOld", "A live job waits for ");
    cluster
        .client()
        .cancel(ffrtmp_api::ids::JobRef::Seq(waiting))
        .unwrap();
    until("it ends when nobody waits", || {
        firing(&stack, "FfrtmpOldestJobTooOld")
            .is_none()
            .then_some(())
    });

    // And the master.
    until("the master is seen to be up", || {
        firing(&stack, "FfrtmpMasterDown").is_none().then_some(())
    });
    cluster.kill_master();
    fires(
        &stack,
        "FfrtmpMasterDown",
        &format!("127.0.0.1:{}", cluster.metrics_port),
    );
    cluster.start_master();
    until("it ends when the master is back", || {
        firing(&stack, "FfrtmpMasterDown").is_none().then_some(())
    });
    cluster.finish();
}
