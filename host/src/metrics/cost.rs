//! What a scrape, and the look before it, cost with many workers and jobs.
//!
//! The large one is a figure: `cargo test --release -p ffrtmp-host --lib -- --ignored --nocapture a_scrape_of_a_large_farm`.

use std::time::{Duration, Instant};

use ffrtmp_api::{
    encoder::Encoder,
    job::{Hardware, JobSpec, JobState},
    metrics::BuildInfo,
    protocol::{Capabilities, Hello, ToMaster},
    settings::Settings,
};
use uuid::Uuid;

use super::Metrics;
use crate::core::{
    Config, Core, Effect, Event, NewJob, Now, ReplyTo, SessionId, record::Snapshot,
    round::RoundEnded,
};

/// Kinds of requirements that jobs have.
const CLASSES: usize = 40;

struct Farm {
    core: Core,
    now: Now,
}

impl Farm {
    fn of(workers: usize, jobs: usize) -> Farm {
        let now = Now {
            mono_ms: 1_000,
            wall_ms: 1_700_000_000_000,
        };
        let core = Core::load(Config::default(), Snapshot::default(), now, 1);
        let mut farm = Farm { core, now };
        for n in 0..workers {
            farm.handle(Event::Frame {
                session: SessionId(n as u64 + 1),
                frame: hello(n),
            });
        }
        let specs: Vec<(JobSpec, Settings)> = (0..CLASSES).map(spec).collect();
        for first in (0..jobs).step_by(10_000) {
            let batch = first..jobs.min(first + 10_000);
            let jobs = batch.map(|n| {
                let (spec, settings) = specs[n % CLASSES].clone();
                NewJob {
                    uuid: Uuid::from_u128(n as u128),
                    spec_json: serde_json::to_string(&spec).unwrap().into(),
                    spec,
                    settings,
                }
            });
            let jobs = jobs.collect();
            let reply = ReplyTo(0);
            farm.handle(Event::Submit { jobs, reply });
        }
        farm
    }

    fn handle(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for effect in self.core.handle([event], self.now) {
                if let Effect::Ask(round) = effect {
                    events.push(Event::RoundEnded(RoundEnded::failed(round.id)));
                }
            }
        }
        // Rankings and rounds that one call leaves for the next.
        while self
            .core
            .next_work_ms()
            .is_some_and(|at| at <= self.now.mono_ms)
        {
            for effect in self.core.handle([Event::Timer], self.now) {
                if let Effect::Ask(round) = effect {
                    self.handle(Event::RoundEnded(RoundEnded::failed(round.id)));
                }
            }
        }
    }
}

fn hello(n: usize) -> ToMaster {
    ToMaster::Hello(Box::new(Hello {
        version: 1,
        version_min: 1,
        name: format!("encoder-{n}"),
        install_id: Uuid::nil(),
        software: String::new(),
        capabilities: Capabilities {
            slots: 2,
            cpu_millicores: 2_000,
            memory_mib: 4_000,
            encoders: [Encoder::Libx264].into_iter().collect(),
            ..Capabilities::default()
        },
        attempts: vec![],
        labels: [("zone".to_owned(), (n % CLASSES).to_string())].into(),
        metrics_address: None,
        wall_ms: None,
    }))
}

/// Most need a zone, some a GPU that nobody has, some more than there is.
fn spec(class: usize) -> (JobSpec, Settings) {
    let mut spec = JobSpec {
        scenario: Some(format!("kind {class}")),
        ..JobSpec::default()
    };
    match class % 10 {
        0 => spec.hardware = Some(Hardware::Require),
        1 => spec.memory_mib = Some(1 << 20),
        _ => drop(spec.require.insert("zone".into(), class.to_string())),
    }
    let settings = Settings::resolve(&spec).unwrap();
    (spec, settings)
}

/// The exposition after a look, and how long the look, the copying and the printing took.
fn scrape(farm: &mut Farm, metrics: &Metrics) -> (String, [Duration; 3]) {
    let begun = Instant::now();
    farm.core.look(farm.now);
    let looked = begun.elapsed();
    metrics.looked(farm.core.stats());
    metrics.update(farm.core.stats_mut());
    let updated = begun.elapsed() - looked;
    let begun = Instant::now();
    let text = String::from_utf8(metrics.render().unwrap()).unwrap();
    (text, [looked, updated, begun.elapsed()])
}

fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|l| l.starts_with(&format!("{series} ")));
    line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn many_jobs_and_workers_make_no_more_series_and_every_job_waits_for_a_reason() {
    let metrics = Metrics::new(BuildInfo::default()).unwrap();
    let (empty, _) = scrape(&mut Farm::of(0, 0), &metrics);
    let metrics = Metrics::new(BuildInfo::default()).unwrap();
    let mut farm = Farm::of(80, 2_000);
    let (text, _) = scrape(&mut farm, &metrics);
    assert_eq!(text.lines().count(), empty.lines().count());
    let waiting: f64 = text
        .lines()
        .filter(|l| l.starts_with("ffrtmp_queue_waiting{"))
        .map(|l| l.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum();
    assert_eq!(waiting, value(&text, "ffrtmp_queue_length"));
    let reason = |word: &str| value(&text, &format!("ffrtmp_queue_waiting{{reason=\"{word}\"}}"));
    // Four classes of forty each want what nobody has.
    assert_eq!(reason("too_large"), 200.0, "{text}");
    assert_eq!(reason("no_encoder") + reason("no_gpu"), 200.0, "{text}");
    let pending = farm.core.stats().jobs[&JobState::Pending] as f64;
    assert_eq!(reason("workers_full"), pending - 400.0, "{text}");
}

#[test]
#[ignore = "a figure, for a quiet machine"]
fn a_scrape_of_a_large_farm() {
    let metrics = Metrics::new(BuildInfo::default()).unwrap();
    let mut farm = Farm::of(10_000, 1_000_000);
    let mut each: [Vec<Duration>; 3] = Default::default();
    for _ in 0..100 {
        farm.now.mono_ms += 1_000;
        farm.now.wall_ms += 1_000;
        let (_, took) = scrape(&mut farm, &metrics);
        for (each, took) in each.iter_mut().zip(took) {
            each.push(took);
        }
    }
    let [look, copy, print] = each.map(|mut took| {
        took.sort_unstable();
        (took[50], took[98])
    });
    let (text, _) = scrape(&mut farm, &metrics);
    println!(
        "10,000 workers, {} jobs waiting in {CLASSES} classes: p50 and p99 of 100: look {look:?}, copy {copy:?}, print {print:?} ({} lines, {} bytes)",
        value(&text, "ffrtmp_queue_length"),
        text.lines().count(),
        text.len()
    );
    assert!(print.0 < Duration::from_millis(20), "{print:?}");
}
