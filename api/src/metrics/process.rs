//! What this process takes of its machine, by the names every Prometheus client has: `process_…`.
//!
//! Read from `/proc` by [`ProcessMetrics::look`], which a sampler calls, never by a scrape: counting open files can mean listing
//! ten thousand. It is our own because the crate that does it (`procfs`) reads in the scrape and lists them each time.

use std::{
    fs,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::{Counter, Gauge, IntGauge, Result};

use super::Exposition;

/// Ticks a second in `/proc/PID/stat`: what the kernel shows programs, 100 on every architecture Rust's standard library runs on.
const TICKS_A_SECOND: f64 = 100.0;

/// The metrics. Clones share the numbers.
#[derive(Debug)]
pub struct ProcessMetrics {
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    virtual_bytes: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
    threads: IntGauge,
    /// CPU time as it was last read: the counter is given what was added.
    cpu_read: Mutex<f64>,
}

/// One look at a process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Look {
    cpu_seconds: f64,
    resident_bytes: i64,
    virtual_bytes: i64,
    threads: i64,
    max_fds: i64,
}

impl ProcessMetrics {
    /// Registers them, and looks for the first time.
    ///
    /// # Errors
    /// When one of these names is taken.
    pub fn new(exposition: &Exposition) -> Result<ProcessMetrics> {
        let start: Gauge = exposition.float(
            "process_start_time_seconds",
            "When the process began, seconds since 1970. One that changed is a restart.",
        )?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        start.set(now.map_or(0.0, |since| since.as_secs_f64()));
        let metrics = ProcessMetrics {
            cpu_seconds: exposition.sum(
                "process_cpu_seconds_total",
                "CPU time of the process itself, without the ffmpegs it runs.",
            )?,
            resident_bytes: exposition.gauge(
                "process_resident_memory_bytes",
                "Memory of the process that is in RAM.",
            )?,
            virtual_bytes: exposition.gauge(
                "process_virtual_memory_bytes",
                "Address space of the process. Far above what is in RAM: WebAssembly reserves much and uses little.",
            )?,
            open_fds: exposition.gauge(
                "process_open_fds",
                "Open files and connections; a connected worker is one.",
            )?,
            max_fds: exposition.gauge(
                "process_max_fds",
                "Most open files and connections the process may have.",
            )?,
            threads: exposition.gauge("process_threads", "Threads of the process.")?,
            cpu_read: Mutex::default(),
        };
        metrics.look();
        Ok(metrics)
    }

    /// Looks again. What cannot be read keeps its last value.
    pub fn look(&self) {
        let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).ok();
        if let (Some(stat), Some(status), Some(limits)) =
            (read("stat"), read("status"), read("limits"))
        {
            let look = parse(&stat, &status, &limits);
            let mut before = self.cpu_read.lock().unwrap_or_else(PoisonError::into_inner);
            if look.cpu_seconds > *before {
                self.cpu_seconds.inc_by(look.cpu_seconds - *before);
                *before = look.cpu_seconds;
            }
            self.resident_bytes.set(look.resident_bytes);
            self.virtual_bytes.set(look.virtual_bytes);
            self.threads.set(look.threads);
            self.max_fds.set(look.max_fds);
        }
        if let Some(open) = open_fds() {
            self.open_fds.set(open);
        }
    }
}

/// How many files are open: told as the folder's size by Linux 6.2 and later, counted before that.
fn open_fds() -> Option<i64> {
    let told = fs::metadata("/proc/self/fd").ok()?.len();
    let open = match told {
        // The one that listing it opens is not counted.
        0 => (fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1),
        told => told,
    };
    i64::try_from(open).ok()
}

/// What the three files say; 0 for what is not in them.
fn parse(stat: &str, status: &str, limits: &str) -> Look {
    // The second field is the program's name, which may hold spaces and brackets; after the last bracket it is numbers.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .collect();
    // Fields 14 and 15 of the whole line: user and system time.
    let ticks: u64 = [11, 12]
        .iter()
        .filter_map(|at| fields.get(*at)?.parse::<u64>().ok())
        .sum();
    let number = |name: &str| {
        status
            .lines()
            .find_map(|line| {
                line.strip_prefix(name)?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .unwrap_or(0i64)
    };
    let max_fds = limits
        .lines()
        .find_map(|line| {
            line.strip_prefix("Max open files")?
                .split_whitespace()
                .next()
        })
        .and_then(|soft| soft.parse().ok())
        .unwrap_or(0);
    Look {
        cpu_seconds: ticks as f64 / TICKS_A_SECOND,
        resident_bytes: number("VmRSS:") * 1024,
        virtual_bytes: number("VmSize:") * 1024,
        threads: number("Threads:"),
        max_fds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_files_are_read_whatever_the_program_is_called() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 900 0 0 0 250 50 7 8 20 0 9 0 1000 1 1 1";
        let status = "Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t     1024 kB\nThreads:\t9\n";
        let limits = "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024  524288  files\n";
        assert_eq!(
            parse(stat, status, limits),
            Look {
                cpu_seconds: 3.0,
                resident_bytes: 1 << 20,
                virtual_bytes: 2 << 20,
                threads: 9,
                max_fds: 1024
            }
        );
        assert_eq!(parse("", "", "Max open files unlimited"), Look::default());
    }

    #[test]
    fn this_process_has_memory_threads_and_open_files_and_uses_time() {
        let metrics = ProcessMetrics::new(&Exposition::default()).unwrap();
        assert!(metrics.resident_bytes.get() > 1 << 20);
        assert!(metrics.threads.get() >= 1);
        let open = metrics.open_fds.get();
        let files: Vec<_> = (0..20)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        metrics.look();
        assert!(
            metrics.open_fds.get() >= open + 10,
            "of {} opened",
            files.len()
        );
        let before = metrics.cpu_seconds.get();
        while metrics.cpu_seconds.get() < before + 0.02 {
            metrics.look();
        }
    }
}
