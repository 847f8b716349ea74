//! The failure table: at whatever stage a policy fails, the operator sees which file, at which stage and why, in the list and in
//! the metrics, and jobs keep flowing.

use ffrtmp_api::{job::JobState, rest::PolicyStatus};

use crate::cluster::{Cluster, root, tiny, until};

fn guest(name: &str) -> Vec<u8> {
    std::fs::read(root().join("tests/hostile").join(name)).unwrap()
}

fn drop_in(cluster: &Cluster, bytes: &[u8]) {
    cluster.put_in_policies("bad.wasm", bytes);
}

fn listed(cluster: &Cluster, state: &str) -> Option<PolicyStatus> {
    let list = cluster.client().policies().ok()?;
    list.policies
        .into_iter()
        .find(|p| p.name == "bad" && p.state == state)
}

/// A row for a stage before a policy rules: it is refused, says why, and `balanced` goes on.
fn refused_at(stage: &str, bytes: &[u8], why: &str) {
    let cluster = Cluster::with_worker(1);
    drop_in(&cluster, bytes);
    let status = until("the file is refused", || listed(&cluster, "refused"));
    let error = status.last_error.unwrap();
    assert!(error.contains(why), "{error:?} does not say {why:?}");
    let series = format!("ffrtmp_policy_files_refused_total{{stage=\"{stage}\"}}");
    assert_eq!(cluster.metrics()[&series], 1.0, "{series}");
    let log = cluster.log("master");
    assert!(log.contains("policy_refused") && log.contains(why), "{log}");
    until("nobody looks for what is mended", || {
        (cluster.metrics()["ffrtmp_policy_on_fallback"] == 0.0).then_some(())
    });
    let id = cluster.submit(tiny(0.2));
    let placement = cluster.until_completed(id).placement.unwrap();
    assert_eq!(placement.policy, "balanced");
    assert_ne!(placement.digest, "native");
    cluster.finish();
}

/// A row for a stage at which it rules: each round it fails is decided by the built-in policy, until it rules no longer.
fn faulted_at(stage: &str, name: &str, why: &str) {
    let cluster = Cluster::with_worker(1);
    drop_in(&cluster, &guest(name));
    until("it rules", || listed(&cluster, "active"));
    let mut by_the_built_in_one = 0;
    let status = until("it has failed too often", || {
        let id = cluster.submit(tiny(0.2));
        let job = cluster.until_completed(id);
        assert_eq!(job.state, JobState::Completed);
        by_the_built_in_one += u64::from(job.placement.unwrap().digest == "native");
        listed(&cluster, "faulted")
    });
    let error = status.last_error.clone().unwrap();
    assert!(error.contains(why), "{error:?} does not say {why:?}");
    assert!(status.faults >= 3 && by_the_built_in_one >= 1, "{status:?}");
    let metrics = cluster.metrics();
    let series = format!("ffrtmp_policy_faults_total{{stage=\"{stage}\"}}");
    assert!(metrics[&series] >= 3.0, "{series}: {metrics:#?}");
    assert!(metrics["ffrtmp_policy_fallback_rounds_total"] >= 1.0);
    assert_eq!(metrics["ffrtmp_policy_breaker_open"], 1.0);
    let log = cluster.log("master");
    assert!(log.contains("policy_dethroned"), "{log}");
    until("the earlier choice rules again", || {
        let list = cluster.client().policies().ok()?.policies;
        (list[0].name == "balanced" && list[0].digest != "native").then_some(())
    });
    let id = cluster.submit(tiny(0.2));
    let placement = cluster.until_completed(id).placement.unwrap();
    assert_eq!(placement.policy, "balanced");
    assert_ne!(placement.digest, "native");
    // What decides now is well, and yet somebody should look: until a policy is chosen anew.
    let metrics = cluster.metrics();
    assert_eq!(metrics["ffrtmp_policy_on_fallback"], 0.0);
    assert_eq!(metrics["ffrtmp_policy_breaker_open"], 1.0);
    cluster.client().activate_policy("balanced").unwrap();
    assert_eq!(cluster.metrics()["ffrtmp_policy_breaker_open"], 0.0);
    cluster.finish();
}

#[test]
fn read_a_file_that_is_no_file_is_refused() {
    let cluster = Cluster::with_worker(1);
    std::fs::create_dir(cluster.path("policies/bad.wasm")).unwrap();
    let status = until("it is refused", || listed(&cluster, "refused"));
    assert!(
        status
            .last_error
            .unwrap()
            .contains("it is not a regular file")
    );
    let id = cluster.submit(tiny(0.2));
    cluster.until_completed(id);
    assert_eq!(
        cluster.metrics()["ffrtmp_policy_files_refused_total{stage=\"read\"}"],
        1.0
    );
    cluster.finish();
}

#[test]
fn validate_a_file_cut_short_is_refused() {
    let whole = guest("well_behaved.wasm");
    refused_at(
        "validate",
        &whole[..whole.len() / 2],
        "is not a WebAssembly component",
    );
}

#[test]
fn settings_that_cannot_be_keep_their_policy_out() {
    let cluster = Cluster::with_worker(1);
    std::fs::write(
        cluster.path("policies/bad.toml"),
        "[limits]\ncall_cpu = 3\n",
    )
    .unwrap();
    drop_in(&cluster, &guest("well_behaved.wasm"));
    let status = until("the file is refused", || listed(&cluster, "refused"));
    let error = status.last_error.unwrap();
    assert!(error.contains("did you mean `call_cpu_ms`?"), "{error}");
    assert!(cluster.metrics()["ffrtmp_policy_files_refused_total{stage=\"settings\"}"] >= 1.0);
    let id = cluster.submit(tiny(0.2));
    assert_eq!(
        cluster.until_completed(id).placement.unwrap().policy,
        "balanced"
    );
    std::fs::write(
        cluster.path("policies/bad.toml"),
        "[limits]\ncall_cpu_ms = 3\n",
    )
    .unwrap();
    until("made good, it rules", || listed(&cluster, "active"));
    std::fs::remove_file(cluster.path("policies/bad.wasm")).unwrap();
    cluster.finish();
}

/// A component around a core module that is valid, small, and takes a compiler minutes: one function in which every value
/// depends on all before it.
fn compile_bomb(instructions: usize) -> Vec<u8> {
    fn size(mut n: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let low = (n & 0x7f) as u8;
            n >>= 7;
            bytes.push(if n == 0 { low } else { low | 0x80 });
            if n == 0 {
                return bytes;
            }
        }
    }
    fn section(id: u8, content: Vec<u8>) -> Vec<u8> {
        [vec![id], size(content.len()), content].concat()
    }
    // (func (param i32) (result i32) (local i32 ...) ...): locals mixed into each other under branches.
    let locals = 1_000;
    let mut body = [vec![1], size(locals), vec![0x7f]].concat();
    for n in 0..instructions {
        let (to, from) = (1 + n % locals, 1 + (n * 7 + 3) % locals);
        body.extend([0x20, 0x00, 0x04, 0x40]); // local.get 0, if
        body.push(0x20);
        body.extend(size(from));
        body.push(0x20);
        body.extend(size(to));
        body.extend([0x6a, 0x21]); // i32.add, local.set
        body.extend(size(to));
        body.push(0x0b);
    }
    body.extend([0x20, 0x01, 0x0b]);
    let code = [vec![1], size(body.len()), body].concat();
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, vec![1, 0x60, 1, 0x7f, 1, 0x7f]),
        section(3, vec![1, 0]),
        section(10, code),
    ]
    .concat();
    [b"\0asm\x0d\0\x01\0".to_vec(), section(1, module)].concat()
}

#[test]
fn compile_a_policy_that_takes_a_compiler_too_long_is_refused() {
    let cluster = Cluster::with_worker(1);
    std::fs::write(
        cluster.path("policies/bad.toml"),
        "[limits]\ncompile_cpu_ms = 1000\n",
    )
    .unwrap();
    drop_in(&cluster, &compile_bomb(300_000));
    // Meanwhile jobs flow.
    let id = cluster.submit(tiny(0.2));
    cluster.until_completed(id);
    let status = until("the file is refused", || listed(&cluster, "refused"));
    let error = status.last_error.unwrap();
    assert!(
        error.contains("does not compile: it took more than 1 s of CPU time (`compile_cpu_ms`)"),
        "{error}"
    );
    let series = "ffrtmp_policy_files_refused_total{stage=\"compile\"}";
    assert_eq!(cluster.metrics()[series], 1.0);
    let id = cluster.submit(tiny(0.2));
    let placement = cluster.until_completed(id).placement.unwrap();
    assert_eq!(placement.policy, "balanced");
    cluster.finish();
}

#[test]
fn compile_a_policy_that_takes_a_compiler_too_much_memory_is_refused() {
    let cluster = Cluster::with_worker(1);
    std::fs::write(
        cluster.path("policies/bad.toml"),
        "[limits]\ncompile_memory_bytes = 268435456\n",
    )
    .unwrap();
    drop_in(&cluster, &compile_bomb(450_000));
    let status = until("the file is refused", || listed(&cluster, "refused"));
    let error = status.last_error.unwrap();
    assert!(
        error.contains("more than 268435456 bytes of memory (`compile_memory_bytes`)"),
        "{error}"
    );
    let id = cluster.submit(tiny(0.2));
    cluster.until_completed(id);
    cluster.finish();
}

#[test]
fn link_a_policy_that_wants_more_than_the_contract_is_refused() {
    refused_at("link", &guest("imports_wasi.wasm"), "wasi:cli/environment");
}

#[test]
fn init_a_policy_that_refuses_its_configuration_is_refused() {
    refused_at(
        "init",
        &guest("refuses_its_configuration.wasm"),
        "there is no [config] I would take",
    );
}

#[test]
fn call_a_policy_that_traps_loses_its_say_in_that_round_and_then_its_place() {
    faulted_at("plan", "traps_in_plan.wasm", "unreachable");
}

#[test]
fn call_a_policy_that_hangs_loses_its_say_in_that_round_and_then_its_place() {
    faulted_at("plan", "loops_in_plan.wasm", "more than");
}

#[test]
fn answer_a_policy_that_answers_too_much_loses_its_say_in_that_round_and_then_its_place() {
    faulted_at("answer", "answers_too_much.wasm", "answered 1000 entries");
}
