//! The books of one simulated policy: what each job waited, what was in use when, and who got how much of it.
//!
//! Everything is a whole number until the report is made, so that the same run gives the same figures. It costs the same
//! for each event however many jobs or workers there are; only a sample looks at every worker.

use ffrtmp_policy_sdk::Resources;

use super::{ClusterModel, Workload};

/// Most samples of a run. When there are more, every second one is dropped and the time between them doubles.
const SAMPLES_MAX: usize = 1_024;
/// The wait of a job that never started.
pub const NEVER: u64 = u64::MAX;

/// What was in use at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sample {
    /// When, milliseconds from the first arrival.
    pub at_ms: u64,
    /// Jobs that wait.
    pub waiting: u64,
    /// Jobs that run.
    pub running: u64,
    /// CPU reserved, thousandths of all there is.
    pub cpu_permille: u32,
    /// GPU encode sessions reserved, thousandths of all there are.
    pub gpu_permille: u32,
    /// CPU reserved on the worker that has most of it reserved, thousandths of its own.
    pub busiest_permille: u32,
    /// Jobs on the worker that has most.
    pub jobs_on_fullest: u32,
}

/// One job's fate.
#[derive(Debug, Clone, Copy)]
pub struct Fate {
    /// How long it waited, milliseconds; [`NEVER`] if it never started.
    pub wait_ms: u64,
    /// Whether it ended.
    pub ended: bool,
    /// Whether it ended after its deadline, or never.
    pub late: bool,
}

/// An amount over time.
#[derive(Debug, Clone, Copy, Default)]
struct Integral {
    now: u64,
    most: u64,
    area: u128,
}

impl Integral {
    fn pass(&mut self, ms: u64) {
        self.area += u128::from(self.now) * u128::from(ms);
    }
    fn add(&mut self, amount: u64) {
        self.now += amount;
        self.most = self.most.max(self.now);
    }
    fn take(&mut self, amount: u64) {
        // What is given back was taken before.
        self.now -= amount;
    }
    fn mean(&self, ms: u64) -> f64 {
        if ms == 0 {
            return 0.0;
        }
        self.area as f64 / ms as f64
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Group {
    waiting: u64,
    cpu: u64,
}

/// The books.
#[derive(Debug)]
pub struct Measure {
    /// By the job's place in the workload.
    pub fates: Vec<Fate>,
    /// The names of the groups.
    pub groups: Vec<String>,
    /// The group of each shape of the workload.
    pub group_of_shape: Vec<u32>,
    /// In order.
    pub samples: Vec<Sample>,
    by_group: Vec<Group>,
    /// CPU reserved on each worker, and what it has, thousandths of a core; and its jobs.
    workers: Vec<(u64, u64, u32)>,
    cpu: Integral,
    gpu: Integral,
    busy_workers: Integral,
    waiting: u64,
    running: u64,
    cpu_all: u64,
    gpu_all: u64,
    now_ms: u64,
    last_end_ms: u64,
    sample_ms: u64,
    next_sample_ms: u64,
    /// Jain's index of those moments at which two groups or more had jobs waiting, summed over the time each stands for, and
    /// that time.
    fairness: (f64, u64),
}

impl Measure {
    /// Nothing happened yet. Jobs are grouped by the value of a label.
    pub fn new(workload: &Workload, cluster: &ClusterModel, group_by: &str) -> Measure {
        let mut groups: Vec<String> = workload
            .shapes
            .iter()
            .map(|shape| shape.group(group_by).to_owned())
            .collect();
        groups.sort();
        groups.dedup();
        let group_of_shape = workload
            .shapes
            .iter()
            .map(|shape| {
                let name = shape.group(group_by);
                // Every shape's group was put there above.
                groups.partition_point(|group| group.as_str() < name) as u32
            })
            .collect();
        let span_ms = (workload.last_ms() - workload.first_ms()).unsigned_abs();
        let sample_ms = (span_ms / (SAMPLES_MAX as u64 / 2)).max(1);
        Measure {
            fates: vec![
                Fate {
                    wait_ms: NEVER,
                    ended: false,
                    late: false,
                };
                workload.jobs.len()
            ],
            by_group: vec![Group::default(); groups.len()],
            groups,
            group_of_shape,
            samples: Vec::with_capacity(SAMPLES_MAX),
            workers: cluster
                .workers
                .iter()
                .map(|w| (0, u64::from(w.capabilities.cpu_millicores), 0))
                .collect(),
            cpu: Integral::default(),
            gpu: Integral::default(),
            busy_workers: Integral::default(),
            waiting: 0,
            running: 0,
            cpu_all: cluster.cpu_millicores(),
            gpu_all: cluster.gpu_sessions(),
            now_ms: 0,
            last_end_ms: 0,
            sample_ms,
            next_sample_ms: 0,
            fairness: (0.0, 0),
        }
    }

    /// Time passes to `now_ms` with everything as it is.
    pub fn pass_to(&mut self, now_ms: u64) {
        while self.next_sample_ms < now_ms {
            self.sample();
        }
        let ms = now_ms - self.now_ms;
        self.now_ms = now_ms;
        self.cpu.pass(ms);
        self.gpu.pass(ms);
        self.busy_workers.pass(ms);
    }

    /// A job of that shape waits from now on.
    pub fn arrived(&mut self, shape: u32) {
        self.waiting += 1;
        self.group(shape).waiting += 1;
    }

    /// A job starts on a worker.
    pub fn started(&mut self, job: usize, shape: u32, wait_ms: u64, cost: &Resources, w: usize) {
        let cpu = u64::from(cost.cpu_millicores);
        self.fates[job].wait_ms = wait_ms;
        self.waiting -= 1;
        self.running += 1;
        self.cpu.add(cpu);
        self.gpu.add(u64::from(cost.gpu_sessions));
        let (used, _, jobs) = &mut self.workers[w];
        *used += cpu;
        *jobs += 1;
        if *jobs == 1 {
            self.busy_workers.add(1);
        }
        let group = self.group(shape);
        group.waiting -= 1;
        group.cpu += cpu;
    }

    /// A job ends.
    pub fn ended(&mut self, job: usize, shape: u32, late: bool, cost: &Resources, w: usize) {
        let cpu = u64::from(cost.cpu_millicores);
        self.fates[job].ended = true;
        self.fates[job].late = late;
        self.last_end_ms = self.now_ms;
        self.running -= 1;
        self.cpu.take(cpu);
        self.gpu.take(u64::from(cost.gpu_sessions));
        let (used, _, jobs) = &mut self.workers[w];
        *used -= cpu;
        *jobs -= 1;
        if *jobs == 0 {
            self.busy_workers.take(1);
        }
        self.group(shape).cpu -= cpu;
    }

    /// From the first arrival to the last end, milliseconds.
    pub fn makespan_ms(&self) -> u64 {
        self.last_end_ms
    }

    /// CPU reserved on average until the last end, of all there is.
    pub fn cpu_utilisation(&self) -> f64 {
        self.cpu.mean(self.last_end_ms) / self.cpu_all.max(1) as f64
    }

    /// GPU encode sessions reserved, likewise.
    pub fn gpu_utilisation(&self) -> f64 {
        self.gpu.mean(self.last_end_ms) / self.gpu_all.max(1) as f64
    }

    /// Workers that ran a job, on average and at most.
    pub fn workers_busy(&self) -> (f64, u64) {
        (
            self.busy_workers.mean(self.last_end_ms),
            self.busy_workers.most,
        )
    }

    /// On average over the samples at which any job ran: CPU reserved on the worker that has most of it reserved, of its own;
    /// and jobs on the worker that has most.
    pub fn worst_worker(&self) -> (f64, f64) {
        let busy = self.samples.iter().filter(|s| s.running > 0);
        let (cpu, jobs, n) = busy.fold((0u64, 0u64, 0u64), |(cpu, jobs, n), s| {
            (
                cpu + u64::from(s.busiest_permille),
                jobs + u64::from(s.jobs_on_fullest),
                n + 1,
            )
        });
        let n = n.max(1) as f64;
        (cpu as f64 / 1_000.0 / n, jobs as f64 / n)
    }

    /// Jain's index of the CPU that groups with waiting jobs had, averaged over the moments at which there were two such
    /// groups or more: 1 if each had as much, 1/n if one of n had all of it. `None` if there was no such moment.
    pub fn fairness(&self) -> Option<f64> {
        (self.fairness.1 > 0).then(|| self.fairness.0 / self.fairness.1 as f64)
    }

    fn group(&mut self, shape: u32) -> &mut Group {
        // Both tables were made of the workload's own shapes.
        &mut self.by_group[self.group_of_shape[shape as usize] as usize]
    }

    fn sample(&mut self) {
        let at_ms = self.next_sample_ms;
        let of = |part: u64, whole: u64| (part * 1_000 / whole.max(1)) as u32;
        let busiest = self.workers.iter().map(|(used, all, _)| of(*used, *all));
        self.samples.push(Sample {
            at_ms,
            waiting: self.waiting,
            running: self.running,
            cpu_permille: of(self.cpu.now, self.cpu_all),
            gpu_permille: of(self.gpu.now, self.gpu_all),
            busiest_permille: busiest.max().unwrap_or(0),
            jobs_on_fullest: self.workers.iter().map(|w| w.2).max().unwrap_or(0),
        });
        let shares = self
            .by_group
            .iter()
            .filter(|g| g.waiting > 0)
            .map(|g| g.cpu as f64);
        if let Some(index) = jain(shares) {
            self.fairness.0 += index * self.sample_ms as f64;
            self.fairness.1 += self.sample_ms;
        }
        if self.samples.len() == SAMPLES_MAX {
            let mut keep = false;
            self.samples.retain(|_| {
                keep = !keep;
                keep
            });
            self.sample_ms *= 2;
        }
        // The first of all is kept always, so there is a last one.
        let last_ms = self.samples.last().map_or(0, |sample| sample.at_ms);
        self.next_sample_ms = last_ms + self.sample_ms;
    }
}

/// Jain's fairness index: the square of the sum over n times the sum of squares. `None` of fewer than two, or of nothing.
pub fn jain(shares: impl Iterator<Item = f64>) -> Option<f64> {
    let (n, sum, squares) = shares.fold((0u32, 0.0, 0.0), |(n, sum, squares), x| {
        (n + 1, sum + x, squares + x * x)
    });
    (n >= 2 && squares > 0.0).then(|| sum * sum / (f64::from(n) * squares))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // in a test that is how one fails
mod tests {
    use super::*;

    #[test]
    fn jain_is_one_for_equals_and_one_nth_for_a_winner_of_all() {
        assert_eq!(jain([3.0, 3.0, 3.0].into_iter()), Some(1.0));
        assert_eq!(jain([4.0, 0.0, 0.0, 0.0].into_iter()), Some(0.25));
        assert_eq!(jain([1.0].into_iter()), None);
        assert_eq!(jain([0.0, 0.0].into_iter()), None);
    }

    #[test]
    fn a_long_run_keeps_a_bounded_number_of_samples_that_are_evenly_apart() {
        let cluster = ClusterModel::preset("small").unwrap();
        let workload = Workload::preset("steady", 100, 1, &cluster).unwrap();
        let mut measure = Measure::new(&workload, &cluster, "tenant");
        measure.pass_to(measure.sample_ms * 100_000);
        assert!(measure.samples.len() < SAMPLES_MAX);
        let steps: Vec<u64> = measure
            .samples
            .windows(2)
            .map(|pair| pair[1].at_ms - pair[0].at_ms)
            .collect();
        assert!(steps.iter().all(|step| *step == steps[0]), "{steps:?}");
    }
}
