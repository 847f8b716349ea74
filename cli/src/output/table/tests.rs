//! What tables look like.

use ffrtmp_api::{
    ids::{AttemptNo, JobSeq},
    job::{FailureReason, JobSpec, JobState, Priority, Queue},
    preset::{Asked, FieldSet},
    rest::{
        Failure, HistoryEntry, JobProgress, NodeRoom, NodeStatus, NodeVerdict, Placement,
        PlacementChoice, PolicyLimit, PolicyStatus, WaitReason, Waiting,
    },
    settings::Settings,
};

use super::*;
use crate::output::Origins;

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
        webhooks: None,
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
        restarts: 0,
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
  settings    h264 by libx264, crf 23, encoder preset ultrafast, aac 128k
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
There are more: --cursor 42 shows the next, --limit shows more at once.
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
fn many_that_were_accepted_are_told_as_ranges() {
    let accepted = |id| {
        SubmitItem::Accepted(Submitted {
            id: JobSeq(id),
            uuid: "12345678-0000-4000-8000-000000000000".parse().unwrap(),
            duplicate: false,
        })
    };
    let text = shown(|table| {
        for id in [3, 4, 5, 9, 11, 12] {
            table.item(None, &accepted(id))?;
        }
        let tally = Tally {
            accepted: 6,
            duplicates: 1,
            refused: 2,
        };
        table.items_end(&tally, Some("synthetic, 10s"))
    });
    assert_eq!(
        text,
        "6 jobs submitted (1 of them already before), 2 refused: 3-5, 9, 11-12\n  the first: synthetic, 10s\n"
    );
}

#[test]
fn a_plan_names_every_setting_and_the_worker_it_needs() {
    let spec = JobSpec {
        scenario: Some("1080p60-h265".into()),
        require: [("zone".to_owned(), "eu".to_owned())].into(),
        cpu_millicores: Some(2500),
        ..JobSpec::default()
    };
    let settings = Settings::resolve(&spec).unwrap();
    let asked = Asked::from(spec.clone());
    let mut flags = FieldSet::default();
    flags.insert("cpu_millicores");
    let origins = Origins::of(&asked, &spec, flags);
    let text = shown(|table| table.plan(&Plan::new(spec, origins, settings)));
    let (text, runs) = text.split_once("  runs        ").unwrap();
    assert!(
        runs.starts_with("ffmpeg -nostdin ")
            && runs.contains(" -c:v libx265 -preset ultrafast -crf 28 "),
        "{runs}"
    );
    assert_eq!(
        text,
        "Not submitted
  scenario    1080p60-h265
  input       synthetic, 10s  [default]
  output      none: measured, then deleted  [default]
  mode        file  [default]
  container   matroska  [default]
  codec       hevc  [scenario]
  encoder     libx265  [scenario]
  its preset  ultrafast  [default]
  size        1080 lines high  [scenario]
  rate        crf 28  [default]
  fps         60  [scenario]
  pixels      yuv420p  [default]
  key frames  as the encoder places them  [default]
  passes      one  [default]
  audio       aac, if the input has sound  [default]
  audio rate  128 kbit/s  [default]
  channels    as the input  [default]
  subtitles   none  [default]
  queue       default, medium priority  [default]
  retries     3  [default]
  timeout     none  [default]
  needs       a worker with libx265, 2.5 cores and 256 MiB free, the labels zone=eu  [cpu: flag, labels: file]
"
    );
}

#[test]
fn an_explanation_is_the_answer_then_the_workers_then_what_happened() {
    let text = shown(|table| {
        table.explanation(&Explanation {
            id: JobSeq(7),
            state: JobState::Pending,
            summary: "It waits because no worker has a GPU.".into(),
            waiting: Some(Waiting {
                reason: WaitReason::NoGpu,
                message: "no worker has a GPU".into(),
                until_ms: None,
            }),
            placement: None,
            choice: None,
            nodes: vec![NodeVerdict {
                node: "w1".into(),
                fits: false,
                why: "has no GPU".into(),
            }],
            nodes_left_out: 3,
            history: vec![HistoryEntry {
                at_ms: SUBMITTED,
                attempt: AttemptNo(0),
                from: JobState::Pending,
                to: JobState::Pending,
                node: None,
                detail: "submitted".into(),
            }],
        })
    });
    assert_eq!(
        text,
        "Job 7  pending
It waits because no worker has a GPU.

WORKER  COULD  WHY
w1      no     has no GPU
and 3 more workers

WHEN                     ATTEMPT  STATE    WORKER  WHAT HAPPENED
2025-11-23 10:48:11 UTC        -  pending  -       submitted
"
    );
}

#[test]
fn an_explanation_of_a_placed_job_names_the_workers_and_the_jobs_there_were_to_choose_from() {
    let room = |node: &str, chosen| NodeRoom {
        node: node.into(),
        chosen,
        slots: 2,
        cpu_millicores: 3_500,
        memory_mib: 2_048,
    };
    let text = shown(|table| {
        table.explanation(&Explanation {
            id: JobSeq(7),
            state: JobState::Running,
            summary: "its ffmpeg runs on w1, attempt 1".into(),
            waiting: None,
            placement: None,
            choice: Some(PlacementChoice {
                attempt: AttemptNo(1),
                at_ms: SUBMITTED,
                candidates: 30,
                jobs: vec![JobSeq(6), JobSeq(7)],
                nodes_with_room: Some(12),
                nodes: vec![room("w2", false), room("w1", true)],
            }),
            nodes: Vec::new(),
            nodes_left_out: 0,
            history: Vec::new(),
        })
    });
    assert_eq!(
        text,
        "Job 7  running
its ffmpeg runs on w1, attempt 1
  chosen from 12 workers with room, 2025-11-23 10:48:11 UTC
  beside      29 other jobs: 6 and 28 more

WORKER  CHOSEN  FREE SLOTS  FREE CORES  FREE MEMORY
w2      no               2         3.5      2.0 GiB
w1      yes              2         3.5      2.0 GiB
"
    );
}

#[test]
fn stats_are_one_page_without_zeros() {
    let stats = Stats {
        jobs: [
            (JobState::Pending, 2),
            (JobState::Running, 1),
            (JobState::Failed, 0),
        ]
        .into(),
        waiting_by_queue: [(Queue::Live, 2), (Queue::Batch, 0)].into(),
        oldest_waiting_seconds: Some(65.0),
        nodes: [(NodeStatus::Busy, 1), (NodeStatus::Offline, 0)].into(),
        slots: 2,
        slots_used: 1,
        submitted: 3,
        failed: [(FailureReason::InputError, 4)].into(),
        uptime_seconds: 3725.0,
        policy: "balanced 1a2b".into(),
        ..Stats::default()
    };
    assert_eq!(
        shown(|table| table.stats(&stats)),
        "Now
  jobs        2 pending, 1 running
  waiting     2 live, the oldest for 1m05s
  workers     1 busy
  slots       1 of 2 used
  policy      balanced 1a2b
Since the master started 1h02m ago
  jobs        3 submitted, 0 completed, 4 failed, 0 canceled
  failures    4 input_error
  mean wait   -
  mean run    -
"
    );
}

#[test]
fn a_worker_is_described_with_all_that_is_known_of_it() {
    let node: Node = serde_json::from_value(serde_json::json!({
        "name": "w1", "status": "draining", "drained": true, "software": "0.1.0", "ffmpeg": "ffmpeg version 7",
        "slots": 2, "slots_used": 1, "cpu_millicores": 4000, "memory_mib": 8192, "cpu_percent": 50.0,
        "memory_used_mib": 2048, "encoders": ["libx264"],
        "unavailable": [
            {"encoder": "hevc_nvenc", "gpu": 0, "why": "not licensed"},
            {"encoder": "h264_qsv", "why": "no Intel render node"},
            {"encoder": "hevc_qsv", "why": "no Intel render node"}
        ],
        "unfit": "ffprobe is missing",
        "gpus": [
            {"model": "T4", "memory_mib": 15360, "sessions_max": 3, "uuid": "GPU-1"},
            {"model": "T4", "memory_mib": 15360, "sessions_max": 0, "uuid": "GPU-2", "unusable": "it is lost"}
        ],
        "gpu_loads": [{"utilisation_percent": 12.4, "sessions": 1, "encoder_percent": 30.0,
            "temperature_celsius": 61.0, "power_watts": 33.46, "fault": "memory: unknown"}],
        "labels": {"zone": "eu"}, "metrics_address": null, "silent_ms": 400, "jobs": [7]
    }))
    .unwrap();
    assert_eq!(
        shown(|table| table.nodes_whole(std::slice::from_ref(&node))),
        "w1  draining (finishes what it has)
  unfit       ffprobe is missing; it is given nothing
  software    0.1.0
  ffmpeg      ffmpeg version 7
  heard       0.4s ago
  slots       1 of 2 used
  cpu         50 % of 4 cores in use
  memory      2.0/8.0 GiB in use
  encoders    libx264
  not usable  hevc_nvenc on GPU 0: not licensed
  not usable  h264_qsv, hevc_qsv: no Intel render node
  GPU 0       T4 (GPU-1): 12 % busy, ? of 15360 MiB, 1 of 3 encode sessions, encoder 30 %, 61 °C, 33.5 W; not told: memory: unknown
  GPU 1       T4 (GPU-2): cannot be used: it is lost
  labels      zone=eu
  metrics     none
  jobs        7
"
    );
}

#[test]
fn a_list_that_does_not_fit_says_how_many_are_left_out() {
    let list = JobList {
        jobs: (0..10).map(|_| job(running)).collect(),
        next_cursor: None,
    };
    let text = shown(|table| {
        table.fit(8);
        table.jobs(&list)
    });
    assert_eq!(text.lines().count(), 7, "{text}");
    assert!(text.ends_with("and 5 more\n"), "{text}");
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
                set_by: Some("balanced.toml".into()),
            }],
            config: Some(serde_json::json!({"weight": 3})),
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
        "balanced.toml",
        "{\"weight\":3}",
    ] {
        assert!(text.contains(part), "{part} is missing from\n{text}");
    }
}
