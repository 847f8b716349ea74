//! The corpus of hostile policies against the real master: each is dropped in as somebody would, jobs go on flowing, the
//! operator sees why, and the master is afterwards as it was before.
//!
//! Those that never pass their checks are in `policy_failures` and the host's own tests.

use ffrtmp_api::{
    ids::{JobRef, JobSeq},
    job::{JobSpec, JobState, Queue},
    rest::PolicyStatus,
};

use crate::cluster::{Cluster, root, tiny, until};

/// What a hostile policy is up to while it rules, and how that shows: a series of the metrics that rises.
struct Row {
    name: &'static str,
    jobs: u64,
    shows: &'static str,
}

const fn row(name: &'static str, jobs: u64, shows: &'static str) -> Row {
    Row { name, jobs, shows }
}

/// A worker has two slots.
const ROWS: [Row; 15] = [
    row(
        "loops_in_plan",
        1,
        "ffrtmp_policy_faults_total{stage=\"plan\"}",
    ),
    row(
        "loops_in_rank",
        1,
        "ffrtmp_policy_faults_total{stage=\"rank\"}",
    ),
    row(
        "loops_in_sync",
        1,
        "ffrtmp_policy_faults_total{stage=\"sync\"}",
    ),
    row(
        "traps_in_plan",
        1,
        "ffrtmp_policy_faults_total{stage=\"plan\"}",
    ),
    row(
        "grows_memory",
        1,
        "ffrtmp_policy_faults_total{stage=\"plan\"}",
    ),
    row("recurses", 1, "ffrtmp_policy_faults_total{stage=\"plan\"}"),
    row(
        "logs_without_end",
        1,
        "ffrtmp_policy_faults_total{stage=\"plan\"}",
    ),
    row(
        "answers_a_million",
        1,
        "ffrtmp_policy_faults_total{stage=\"plan\"}",
    ),
    row(
        "answers_too_much",
        1,
        "ffrtmp_policy_faults_total{stage=\"answer\"}",
    ),
    row(
        "answers_outside_its_memory",
        1,
        "ffrtmp_policy_faults_total{stage=\"plan\"}",
    ),
    row(
        "too_few_ranks",
        1,
        "ffrtmp_policy_faults_total{stage=\"answer\"}",
    ),
    row(
        "traps_now_and_then",
        4,
        "ffrtmp_policy_faults_total{stage=\"plan\"}",
    ),
    row(
        "places_all_on_one",
        6,
        "ffrtmp_placements_refused_total{reason=\"no_capacity\"}",
    ),
    row(
        "places_one_job_twice",
        6,
        "ffrtmp_placements_refused_total{reason=\"not_pending\"}",
    ),
    row("absurd_scores", 1, "ffrtmp_placements_total"),
];

/// Under which name each comes: files of several names within two seconds would leave the choice to a person.
const FILE: &str = "hostile";

fn drop_in(cluster: &Cluster, name: &str) {
    let source = root()
        .join("tests/hostile")
        .join(name)
        .with_extension("wasm");
    cluster.put_in_policies(&format!("{FILE}.wasm"), &std::fs::read(source).unwrap());
    until(&format!("{name} rules"), || {
        let list = cluster.client().policies().ok()?.policies;
        (list[0].name == FILE).then_some(())
    });
}

fn status(cluster: &Cluster) -> PolicyStatus {
    let list = cluster.client().policies().unwrap().policies;
    list.into_iter().find(|p| p.name == FILE).unwrap()
}

/// The file goes, and `balanced` rules again.
fn take_out(cluster: &Cluster) {
    std::fs::remove_file(cluster.path(&format!("policies/{FILE}.wasm"))).unwrap();
    until("balanced rules again", || {
        let list = cluster.client().policies().ok()?.policies;
        (list[0].name == "balanced" && list[0].digest != "native").then_some(())
    });
}

fn submit(cluster: &Cluster, jobs: u64) -> Vec<JobSeq> {
    (0..jobs).map(|_| cluster.submit(tiny(0.2))).collect()
}

/// Resident memory of the master, bytes.
fn resident(cluster: &Cluster) -> u64 {
    let pid = cluster.master.as_ref().unwrap().pid().as_raw_nonzero();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() << 10
}

#[test]
fn whatever_a_policy_does_jobs_flow_it_shows_and_memory_returns() {
    let cluster = Cluster::with_worker(2);
    let mut before = None;
    for row in ROWS {
        let shown = cluster.metrics()[row.shows];
        drop_in(&cluster, row.name);
        let mut jobs = submit(&cluster, row.jobs);
        until(&format!("{} shows in {}", row.name, row.shows), || {
            let shows = cluster.metrics()[row.shows] > shown;
            if !shows
                && jobs
                    .iter()
                    .all(|id| cluster.job(*id).state == JobState::Completed)
            {
                jobs.extend(submit(&cluster, row.jobs));
            }
            shows.then_some(())
        });
        for id in jobs {
            cluster.until_completed(id);
        }
        if row.shows.contains("faults") {
            let status = status(&cluster);
            assert!(status.faults >= 1, "{status:?}");
            assert!(status.last_error.is_some(), "{status:?}");
        }
        take_out(&cluster);
        // Counted from the first row on: the allocator keeps what one needs.
        before.get_or_insert_with(|| resident(&cluster));
    }
    let (before, after) = (before.unwrap(), resident(&cluster));
    assert!(
        after < before + (64 << 20),
        "the master had {before} bytes after the first of them and has {after} after the last"
    );
    cluster.finish();
}

/// One that places nothing that could be: after 10 s the built-in policy decides, and says why.
fn stalls(name: &str) {
    let cluster = Cluster::with_worker(1);
    drop_in(&cluster, name);
    let id = cluster.submit(tiny(0.2));
    let job = cluster.until_completed(id);
    assert_eq!(job.placement.unwrap().digest, "native");
    let faults = cluster.metrics()["ffrtmp_policy_faults_total{stage=\"stall\"}"];
    assert_eq!(faults, 1.0);
    let error = status(&cluster).last_error.unwrap();
    assert!(error.contains("neither placed nor held"), "{error}");
    take_out(&cluster);
    let id = cluster.submit(tiny(0.2));
    assert_eq!(
        cluster.until_completed(id).placement.unwrap().policy,
        "balanced"
    );
    cluster.finish();
}

#[test]
fn a_policy_that_skips_for_ever_is_found_out_and_the_job_runs() {
    stalls("skips_everything");
}

#[test]
fn a_policy_that_places_on_workers_that_never_were_is_found_out_and_the_job_runs() {
    stalls("places_on_no_worker");
}

#[test]
fn a_policy_that_places_jobs_that_never_were_is_found_out_and_the_job_runs() {
    stalls("places_no_jobs");
}

#[test]
fn a_policy_that_holds_for_ever_holds_a_live_job_for_ten_seconds_and_loses_what_it_holds_with_its_place()
 {
    let cluster = Cluster::with_worker(2);
    drop_in(&cluster, "holds_everything");
    let batch = cluster.submit(tiny(0.2));
    let live = cluster.submit(JobSpec {
        queue: Queue::Live,
        ..tiny(0.2)
    });
    until("the batch job is held, and says by whom", || {
        let why = cluster.client().explain(JobRef::Seq(batch)).ok()?.summary;
        why.contains("held by hostile").then_some(())
    });
    cluster.until_completed(live);
    assert_eq!(cluster.job(batch).state, JobState::Pending);
    take_out(&cluster);
    cluster.until_completed(batch);
    cluster.finish();
}
