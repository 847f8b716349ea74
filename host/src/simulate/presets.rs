//! Workloads by name, made from a seed and scaled to a cluster: enough work to make it matter who decides.
//!
//! A preset first makes the jobs, then lays their arrivals over the time in which the cluster could do so much work at the
//! preset's load. `night` is the other way round: it is always a day, and the run times are scaled.

use std::collections::BTreeMap;

use ffrtmp_api::job::{JobSpec, Priority, Queue};
use ffrtmp_policy_sdk::sample::Sample;

use super::{ClusterModel, Workload};

/// The presets, each with what it is.
pub const PRESETS: [(&str, &str); 6] = [
    (
        "steady",
        "jobs of one kind at an even pace, four fifths of what the cluster can do",
    ),
    (
        "burst",
        "the same jobs, most of them in five bursts with quiet between them",
    ),
    (
        "mixed",
        "live, default and batch jobs, small and large, a quarter on GPUs, nine tenths of the cluster",
    ),
    (
        "tenants",
        "five tenants (label `tenant`): one floods the queue early, the others submit at an even pace",
    ),
    (
        "deadlines",
        "jobs with deadlines, tight and loose, in waves that are more than the cluster can do at once",
    ),
    (
        "night",
        "a day from midnight (UTC): live jobs mostly by day, batch jobs at all hours; run times are scaled to the cluster",
    ),
];

/// 2026-01-05T00:00:00Z, a Monday: the first moment of every preset.
pub const EPOCH_MS: i64 = 1_767_571_200_000;
const DAY_MS: u64 = 24 * 3_600_000;

/// A job before it has a time.
struct Draft {
    spec: JobSpec,
    runs_ms: u64,
    /// When, as a share of the whole, in millionths.
    at_ppm: u64,
    /// Its deadline: so many hundredths of its run time after it arrives.
    slack_percent: Option<u64>,
}

/// Makes a preset; `None` for a name that is none.
pub(super) fn make(name: &str, jobs: usize, seed: u64, cluster: &ClusterModel) -> Option<Workload> {
    let mut dice = Sample::new(seed);
    let gpus = cluster.gpu_sessions() > 0;
    let (load_percent, draft): (u64, fn(&mut Sample, bool) -> Draft) = match name {
        "steady" => (80, steady),
        "burst" => (70, burst),
        "mixed" => (90, mixed),
        "tenants" => (90, tenant),
        "deadlines" => (90, deadline),
        "night" => (60, night),
        _ => return None,
    };
    let mut drafts: Vec<Draft> = (0..jobs).map(|_| draft(&mut dice, gpus)).collect();
    let work_ms = busy_ms(&drafts, cluster) * 100 / load_percent;
    let span_ms = if name == "night" {
        for draft in &mut drafts {
            let scaled =
                u128::from(draft.runs_ms) * u128::from(DAY_MS) / u128::from(work_ms.max(1));
            draft.runs_ms = (scaled as u64).max(1_000);
        }
        DAY_MS
    } else {
        work_ms
    };
    let mut workload = Workload::named(name);
    for mut draft in drafts {
        let after_ms = (u128::from(span_ms) * u128::from(draft.at_ppm) / 1_000_000) as i64;
        let at_ms = EPOCH_MS + after_ms;
        if let Some(percent) = draft.slack_percent {
            // To the minute, as people set them; it also lets many jobs share a shape.
            let due_ms = at_ms + (draft.runs_ms * percent / 100) as i64;
            draft.spec.deadline_ms = Some((due_ms / 60_000 + 1) * 60_000);
        }
        // Presets ask for nothing a job cannot have; a test makes each.
        let _ = workload.push(at_ms, draft.runs_ms, draft.spec);
    }
    workload.jobs.sort_by_key(|job| job.at_ms);
    Some(workload)
}

/// How long that cluster is busy with all of it, its scarcest thing fully used.
fn busy_ms(drafts: &[Draft], cluster: &ClusterModel) -> u64 {
    let sum = |amount: fn(&Draft) -> u64| -> u128 {
        drafts
            .iter()
            .map(|d| u128::from(amount(d)) * u128::from(d.runs_ms))
            .sum()
    };
    let cpu = |d: &Draft| u64::from(d.spec.cpu_millicores.unwrap_or(1_000));
    let by = |work: u128, capacity: u64| (work / u128::from(capacity.max(1))) as u64;
    by(sum(cpu), cluster.cpu_millicores())
        .max(by(sum(|_| 1), cluster.slots()))
        .max(match cluster.gpu_sessions() {
            0 => 0,
            sessions => by(sum(|d| u64::from(d.spec.gpu)), sessions),
        })
        .max(1)
}

/// A number from `from` to `to`, each power of two between them about equally likely: most jobs are short, some are long.
fn spread(dice: &mut Sample, from: u64, to: u64) -> u64 {
    let doublings = (to / from).max(1).ilog2();
    let low = from << dice.below(u64::from(doublings) + 1);
    (low + dice.below(low)).min(to)
}

fn any_time(dice: &mut Sample) -> u64 {
    dice.below(1_000_000)
}

fn priority(dice: &mut Sample) -> Priority {
    match dice.below(4) {
        0 => Priority::High,
        3 => Priority::Low,
        _ => Priority::Medium,
    }
}

fn steady(dice: &mut Sample, _gpus: bool) -> Draft {
    Draft {
        spec: JobSpec {
            priority: priority(dice),
            ..JobSpec::default()
        },
        runs_ms: spread(dice, 15_000, 120_000),
        at_ppm: any_time(dice),
        slack_percent: None,
    }
}

fn burst(dice: &mut Sample, gpus: bool) -> Draft {
    let draft = steady(dice, gpus);
    let at_ppm = match dice.below(10) {
        0..=2 => draft.at_ppm,
        _ => dice.below(5) * 200_000 + dice.below(20_000),
    };
    Draft { at_ppm, ..draft }
}

fn mixed(dice: &mut Sample, gpus: bool) -> Draft {
    let kind = dice.below(100);
    let gpu = gpus && dice.below(4) == 0;
    let (queue, cores, runs_ms) = match kind {
        0..=14 => (Queue::Live, 1, spread(dice, 4_000, 16_000)),
        15..=69 => (
            Queue::Default,
            1 + dice.below(2),
            spread(dice, 15_000, 120_000),
        ),
        _ => (
            Queue::Batch,
            2 << dice.below(2),
            spread(dice, 60_000, 480_000),
        ),
    };
    Draft {
        spec: JobSpec {
            queue,
            priority: priority(dice),
            gpu,
            codec: Some(if dice.below(5) == 0 { "hevc" } else { "h264" }.into()),
            cpu_millicores: Some(if gpu { 500 } else { cores as u32 * 1_000 }),
            memory_mib: Some(if gpu { 512 } else { cores as u32 * 512 }),
            ..JobSpec::default()
        },
        runs_ms: if gpu { runs_ms / 3 } else { runs_ms },
        at_ppm: any_time(dice),
        slack_percent: None,
    }
}

fn tenant(dice: &mut Sample, _gpus: bool) -> Draft {
    let (name, at_ppm) = match dice.below(10) {
        0..=5 => ("whale", dice.below(150_000)),
        n => (
            ["ant", "bee", "cat", "dog"][(n - 6) as usize],
            any_time(dice),
        ),
    };
    Draft {
        spec: JobSpec {
            labels: BTreeMap::from([("tenant".to_owned(), name.to_owned())]),
            ..JobSpec::default()
        },
        runs_ms: spread(dice, 15_000, 60_000),
        at_ppm,
        slack_percent: None,
    }
}

fn deadline(dice: &mut Sample, _gpus: bool) -> Draft {
    let wave = dice.below(4) * 250_000;
    Draft {
        spec: JobSpec::default(),
        runs_ms: spread(dice, 60_000, 240_000),
        at_ppm: wave + dice.below(100_000),
        slack_percent: Some(if dice.below(3) == 0 {
            150 + dice.below(200)
        } else {
            1_000 + dice.below(3_000)
        }),
    }
}

fn night(dice: &mut Sample, gpus: bool) -> Draft {
    let mut draft = mixed(dice, gpus);
    if draft.spec.queue != Queue::Batch {
        // Nine in ten between 08:00 and 23:00.
        draft.at_ppm = match dice.below(10) {
            0 => any_time(dice),
            _ => 333_333 + dice.below(625_000),
        };
    }
    draft
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test that is how one fails
mod tests {
    use super::*;

    #[test]
    fn every_preset_makes_as_many_jobs_as_asked_and_the_same_from_the_same_seed() {
        let cluster = ClusterModel::preset("small").unwrap();
        for (name, _) in PRESETS {
            let [a, b, other] = [1, 1, 2].map(|seed| make(name, 500, seed, &cluster).unwrap());
            assert_eq!(a.jobs.len(), 500, "{name}");
            assert_eq!(a.jobs, b.jobs, "{name}");
            assert_ne!(a.jobs, other.jobs, "{name}");
            assert!(a.jobs.is_sorted_by_key(|job| job.at_ms), "{name}");
        }
        assert!(make("Steady", 1, 1, &cluster).is_none());
    }

    #[test]
    fn a_night_is_a_day_long_on_any_cluster() {
        for cluster in ["small", "farm"] {
            let cluster = ClusterModel::preset(cluster).unwrap();
            let night = make("night", 5_000, 3, &cluster).unwrap();
            let span = night.last_ms() - night.first_ms();
            assert!((23 * 3_600_000..=24 * 3_600_000).contains(&span), "{span}");
        }
    }
}
