//! `kill -9` of the master: nothing acknowledged is lost, nothing completes twice, running encodes survive.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ffrtmp_api::{
    client::{Client, JobQuery},
    ids::JobSeq,
    job::{JobSpec, JobState},
};

use crate::cluster::{Cluster, footage, tiny};

/// A submitter that never stops: every acknowledged job, by its idempotency key.
fn submit_until(
    stop: Arc<AtomicBool>,
    url: String,
    out: String,
    acknowledged: Arc<Mutex<BTreeMap<String, JobSeq>>>,
    thread: u64,
) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let client = Client::new(&url, None)
        .unwrap()
        .with_retry(Duration::from_secs(30), |_, _| {});
    while !stop.load(Ordering::Relaxed) {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let key = format!("key-{n}");
        let output = n.is_multiple_of(4).then(|| format!("{out}/{n}.mkv"));
        let spec = JobSpec {
            idempotency_key: Some(key.clone()),
            output,
            ..tiny(0.1)
        };
        match client.submit(&spec) {
            Ok(submitted) => drop(acknowledged.lock().unwrap().insert(key, submitted.id)),
            Err(error) => eprintln!("submitter {thread}: {error}"),
        }
    }
}

#[test]
fn twenty_kills_under_load_lose_no_acknowledged_job_and_complete_none_twice() {
    let mut cluster = Cluster::with_worker(2);
    cluster.start_worker("w2", 2);
    let out = cluster.file("out");
    std::fs::create_dir(&out).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged: Arc<Mutex<BTreeMap<String, JobSeq>>> = Arc::default();
    let submitters: Vec<_> = (0..3)
        .map(|thread| {
            let (stop, url, out, acknowledged) = (
                stop.clone(),
                cluster.url(),
                out.clone(),
                acknowledged.clone(),
            );
            std::thread::spawn(move || submit_until(stop, url, out, acknowledged, thread))
        })
        .collect();
    for kill in 0..20 {
        // Each life lasts until so many more jobs were acknowledged, and one more completed, so that every kill meets a
        // busy master and busy workers.
        let target = acknowledged.lock().unwrap().len() + 10 + kill;
        // Counted in the store: a gauge may be ahead of the disk by a commit, and that commit may be the one a kill prevents.
        let query = JobQuery {
            states: vec![JobState::Completed],
            ..JobQuery::default()
        };
        let completed = || {
            cluster
                .client()
                .jobs_up_to(query.clone(), 1_000)
                .map_or(0, |page| page.jobs.len())
        };
        let before = completed();
        crate::cluster::until("jobs are acknowledged and completed", || {
            (acknowledged.lock().unwrap().len() >= target && completed() > before).then_some(())
        });
        cluster.kill_master();
        cluster.start_master();
    }
    stop.store(true, Ordering::Relaxed);
    submitters.into_iter().for_each(|s| s.join().unwrap());
    let acknowledged = acknowledged.lock().unwrap().clone();
    // Encoding them all would take long and prove nothing more: what still waits is canceled.
    for job in cluster
        .jobs()
        .into_iter()
        .filter(|job| job.state == JobState::Pending)
    {
        let _ = cluster
            .client()
            .cancel(ffrtmp_api::ids::JobRef::Seq(job.id)); // it may have been placed meanwhile
    }
    let jobs = cluster.until_all_ended();
    let known: BTreeSet<JobSeq> = jobs.iter().map(|job| job.id).collect();
    assert_eq!(known.len(), jobs.len(), "no number was given twice");
    for (key, id) in &acknowledged {
        let job = jobs
            .iter()
            .find(|job| job.id == *id)
            .unwrap_or_else(|| panic!("job {id} was acknowledged and is gone"));
        assert_eq!(
            job.spec.idempotency_key.as_ref(),
            Some(key),
            "job {id} is another one"
        );
        assert_ne!(job.state, JobState::Failed, "{job:#?}");
    }
    let keys: BTreeSet<_> = jobs
        .iter()
        .map(|job| job.spec.idempotency_key.clone().unwrap())
        .collect();
    assert_eq!(
        keys.len(),
        jobs.len(),
        "a repeated submit made a second job"
    );
    let completed = jobs
        .iter()
        .filter(|job| job.state == JobState::Completed)
        .count();
    assert!(
        completed >= 20,
        "the cluster worked while it was being killed: {completed} of {}",
        jobs.len()
    );
    // Completed at most once, by the history the store keeps.
    let history = rusqlite::Connection::open(cluster.path("data/ffrtmp.sqlite")).unwrap();
    let twice: i64 = history
        .query_row("SELECT COUNT(*) FROM (SELECT seq FROM job_events WHERE to_state = 'completed' GROUP BY seq HAVING COUNT(*) > 1)", [], |r| r.get(0))
        .unwrap();
    assert_eq!(twice, 0);
    for job in jobs.iter().filter(|job| job.state == JobState::Completed) {
        if let Some(output) = &job.spec.output {
            assert_eq!(
                std::fs::metadata(output).unwrap().len(),
                job.result.as_ref().unwrap().bytes,
                "{output}"
            );
        }
    }
    println!(
        "{} acknowledged, {} stored, {completed} completed",
        acknowledged.len(),
        jobs.len()
    );
    cluster.finish();
}

#[test]
fn a_running_encode_survives_a_master_restart_and_its_result_is_accepted() {
    let mut cluster = Cluster::with_worker(1);
    let output = cluster.file("out.mp4");
    let id = cluster.submit(JobSpec {
        input: Some(footage()),
        output: Some(output.clone()),
        encoder_preset: Some("slow".into()),
        ..JobSpec::default()
    });
    cluster.until_state(id, &[JobState::Running]);
    cluster.kill_master();
    cluster.start_master();
    let job = cluster.until_completed(id);
    assert_eq!(
        (job.attempt.0, job.failures),
        (1, 0),
        "the first attempt is the one that completed"
    );
    assert!(std::path::Path::new(&output).exists());
    cluster.finish();
}

#[test]
fn a_result_that_came_while_the_master_was_away_is_delivered_when_it_is_back() {
    let mut cluster = Cluster::with_worker(1);
    let output = cluster.file("out.mp4");
    let id = cluster.submit(JobSpec {
        input: Some(footage()),
        output: Some(output.clone()),
        encoder_preset: Some("medium".into()),
        ..JobSpec::default()
    });
    cluster.until_state(id, &[JobState::Running]);
    cluster.kill_master();
    // The encode ends with nobody to tell: its process goes, its finished file stays, unpublished.
    let children = format!("/proc/{}/task", cluster.worker("w1").pid().as_raw_nonzero());
    crate::cluster::until("ffmpeg ends", || {
        let busy = std::fs::read_dir(&children).unwrap().flatten().any(|task| {
            !std::fs::read_to_string(task.path().join("children"))
                .unwrap_or_default()
                .trim()
                .is_empty()
        });
        (!busy).then_some(())
    });
    assert!(
        !std::path::Path::new(&output).exists(),
        "nothing is published without the master"
    );
    cluster.start_master();
    let job = cluster.until_completed(id);
    assert_eq!(job.attempt.0, 1);
    assert!(std::path::Path::new(&output).exists());
    cluster.finish();
}
