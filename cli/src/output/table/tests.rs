//! What tables look like.

use ffrtmp_api::{
    ids::{AttemptNo, JobSeq},
    job::{FailureReason, JobSpec, Priority, Queue},
    rest::{Failure, PolicyLimit, PolicyStatus},
};

use super::*;

/// 2025-11-23 10:48:11 UTC.
const SUBMITTED: i64 = 1_763_894_891_000;

fn job(edit: impl FnOnce(&mut Job)) -> Job {
    let mut job = Job {
        id: JobSeq(42),
        uuid: "12345678-0000-4000-8000-000000000000".parse().unwrap(),
        state: JobState::Pending,
        spec: JobSpec {
            scenario: Some("news".into()),
            ..JobSpec::default()
        },
        queue: Queue::Live,
        priority: Priority::High,
        attempt: AttemptNo(0),
        failures: 0,
        submitted_at_ms: SUBMITTED,
        started_at_ms: None,
        finished_at_ms: None,
        node: None,
        placement: None,
        waiting: None,
        held: false,
        cancel_requested: false,
        failure: None,
        result: None,
        progress: None,
    };
    edit(&mut job);
    job
}

fn running(job: &mut Job) {
    job.state = JobState::Running;
    job.attempt = AttemptNo(1);
    job.started_at_ms = Some(SUBMITTED + 12);
    job.node = Some("w1".into());
    job.placement = Some(Placement {
        policy: "binpack".into(),
        digest: "1a2b3c4d5e6f".into(),
        reason: "fullest that fits".into(),
        score: 880,
        gpu: None,
        round: 17,
    });
    job.progress = Some(JobProgress {
        percent: Some(45.24),
        frames: 60,
        fps: 118.4,
        speed: 4.72,
        media_seconds: 2.4,
        bytes: 2048,
        eta_seconds: Some(0.6),
    });
}

fn shown(show: impl FnOnce(&mut Table<&mut Vec<u8>>) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    show(&mut Table::new(&mut out, false, SUBMITTED + 65_000)).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn status_says_who_placed_the_job_where_and_why() {
    let text = shown(|table| table.job(&job(running)));
    assert_eq!(
        text,
        "Job 42  running
  uuid        12345678-0000-4000-8000-000000000000
  scenario    news
  input       synthetic, 10s
  output      none: measured, then deleted
  settings    h264 by libx264, crf 23, preset ultrafast, aac
  queue       live, high priority
  submitted   2025-11-23 10:48:11 UTC (1m05s ago)
  started     2025-11-23 10:48:11 UTC (1m04s ago; 12 ms after the submit)
  placed by   binpack 1a2b3c4d5e6f on w1: fullest that fits (score 880, round 17)
  progress    45.2 %, frame 60, 118 fps, 4.7x, 2.0 KiB, 0.6s to go
"
    );
}

#[test]
fn status_of_a_failed_job_gives_reason_and_message() {
    let text = shown(|table| {
        table.job(&job(|job| {
            running(job);
            job.state = JobState::Failed;
            job.finished_at_ms = Some(SUBMITTED + 2_012);
            job.failures = 1;
            job.failure = Some(Failure {
                reason: FailureReason::InputError,
                message: "no such file: /a.mp4".into(),
            });
        }))
    });
    assert!(
        text.contains("failure     input_error: no such file: /a.mp4"),
        "{text}"
    );
    assert!(text.contains("ran 2.0s"), "{text}");
    assert!(!text.contains("progress"), "{text}");
}

#[test]
fn a_list_has_one_line_for_each_job_and_says_when_there_are_more() {
    let list = JobList {
        jobs: vec![
            job(running),
            job(|job| job.waiting = Some("no free slot".into())),
        ],
        next_cursor: Some("42".into()),
    };
    assert_eq!(
        shown(|table| table.jobs(&list)),
        "ID  STATE    QUEUE  PRIORITY  NAME  NODE  PLACED BY  DONE    AGE  NOTE
42  running  live   high      news  w1    binpack     45%  1m05s
42  pending  live   high      news  -     -             -  1m05s  no free slot
There are more: --before 42 shows the next, --limit shows more at once.
"
    );
}

#[test]
fn names_cannot_drive_the_terminal() {
    let text = shown(|table| {
        table.jobs(&JobList {
            jobs: vec![job(|job| job.spec.scenario = Some("\x1b[2Jx".into()))],
            next_cursor: None,
        })
    });
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn empty_lists_say_what_to_do_next() {
    assert!(
        shown(|table| table.jobs(&JobList {
            jobs: Vec::new(),
            next_cursor: None
        }))
        .contains("ffrtmp jobs submit")
    );
    assert!(
        shown(|table| table.nodes(&NodeList { nodes: Vec::new() }))
            .contains("ffrtmp worker --master")
    );
}

#[test]
fn policies_are_listed_with_the_rule_that_chooses() {
    let policy = PolicyStatus {
        name: "balanced".into(),
        state: "active".into(),
        since_ms: SUBMITTED,
        ..PolicyStatus::default()
    };
    let text = shown(|table| {
        table.policies(&PolicyList {
            policies: vec![policy],
            rule: "the newest file".into(),
            ..PolicyList::default()
        })
    });
    assert!(
        text.starts_with("NAME ")
            && text.contains("\nbalanced ")
            && text.ends_with("\n\nthe newest file\n"),
        "{text}"
    );
}

#[test]
fn a_pinned_policy_is_said_to_be_pinned_with_the_way_out() {
    let text = shown(|table| {
        table.policies(&PolicyList {
            rule: "the newest file".into(),
            pinned: Some("binpack@0123456789ab".into()),
            ..PolicyList::default()
        })
    });
    assert!(
        text.ends_with(
            "the newest file\nNow: binpack@0123456789ab is pinned; `ffrtmp policies unpin` lets files choose again.\n"
        ),
        "{text}"
    );
}

#[test]
fn a_policy_is_described_with_every_limit_and_its_reason() {
    let text = shown(|table| {
        table.policy(&PolicyDetail {
            policies: vec![PolicyStatus {
                name: "balanced".into(),
                state: "active".into(),
                since_ms: SUBMITTED,
                last_error: Some("plan: it trapped".into()),
                ..PolicyStatus::default()
            }],
            limits: vec![PolicyLimit {
                name: "call_cpu_ms".into(),
                value: 20,
                default: 10,
                reason: "a round must be short".into(),
            }],
        })
    });
    for part in [
        "balanced",
        "active",
        "plan: it trapped",
        "call_cpu_ms",
        "20",
        "10",
        "a round must be short",
    ] {
        assert!(text.contains(part), "{part} is missing from\n{text}");
    }
}
