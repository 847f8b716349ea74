//! What a policy may use: one table, in which each limit has its name, its default, how far an operator may move it, and why
//! it is what it is. The fields of [`Limits`], `policies describe` and what `NAME.toml` may say all come from it.

use std::ops::RangeInclusive;
use std::time::Duration;

use ffrtmp_api::rest::PolicyLimit;

/// A limit as operators know it.
#[derive(Debug)]
pub struct Limit {
    /// Its name, with its unit, as `NAME.toml` and `policies describe` have it.
    pub name: &'static str,
    /// What it is where nobody says otherwise.
    pub default: u64,
    /// What it may be set to. Beyond these it would not be a limit, or nothing would pass it.
    pub range: RangeInclusive<u64>,
    /// Why it is that much.
    pub reason: &'static str,
    get: fn(&Limits) -> u64,
    set: fn(&mut Limits, u64),
}

impl Limit {
    /// Its value in `limits`.
    pub fn get(&self, limits: &Limits) -> u64 {
        (self.get)(limits)
    }

    /// Sets it. The caller has looked at `range`.
    pub fn set(&self, limits: &mut Limits, value: u64) {
        (self.set)(limits, value);
    }
}

/// What a limit is counted in: times in milliseconds, everything else in what its name says.
trait Quantity {
    fn of(number: u64) -> Self;
    fn number(&self) -> u64;
}

impl Quantity for Duration {
    fn of(number: u64) -> Self {
        Duration::from_millis(number)
    }
    fn number(&self) -> u64 {
        self.as_millis() as u64
    }
}

impl Quantity for usize {
    fn of(number: u64) -> Self {
        number as usize
    }
    fn number(&self) -> u64 {
        *self as u64
    }
}

impl Quantity for u32 {
    fn of(number: u64) -> Self {
        // The ranges below are within it.
        number as u32
    }
    fn number(&self) -> u64 {
        u64::from(*self)
    }
}

impl Quantity for u64 {
    fn of(number: u64) -> Self {
        number
    }
    fn number(&self) -> u64 {
        *self
    }
}

macro_rules! limits {
    ($($field:ident: $type:ty, $name:literal = $default:expr, $range:expr, $reason:literal;)*) => {
        /// The bounds on one policy. `wit/scheduler.wit` states the defaults to authors.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Limits {
            $(#[doc = concat!("`", $name, "`: ", $reason, ".")] pub $field: $type,)*
        }

        impl Default for Limits {
            fn default() -> Self {
                Limits { $($field: Quantity::of($default),)* }
            }
        }

        /// Every limit that can be set, in the order in which they are shown.
        pub static LIMITS: &[Limit] = &[$(Limit {
            name: $name,
            default: $default,
            range: $range,
            reason: $reason,
            get: |limits| limits.$field.number(),
            set: |limits, number| limits.$field = Quantity::of(number),
        },)*];
    };
}

// The walls of a fresh instance's first round, `init`, full sync and call, stay together below the 5 s after which the core
// gives the policy thread up as stuck.
limits! {
    call_cpu: Duration, "call_cpu_ms" = 10, 1..=200,
        "thread CPU time of plan, rank and sync; the largest round of a bundled policy takes a tenth of it";
    call_wall: Duration, "call_wall_ms" = 50, 1..=200,
        "the same by the clock; five times the CPU time, so that a busy machine is not blamed on the policy";
    init_cpu: Duration, "init_cpu_ms" = 1_000, 10..=2_300,
        "thread CPU time of init and of a full sync; interpreters start in there, once a swap";
    init_wall: Duration, "init_wall_ms" = 2_000, 10..=2_300,
        "the same by the clock";
    memory_bytes: usize, "memory_bytes" = 64 << 20, (1 << 16)..=(1 << 30),
        "all memories together; a view of 10,000 workers and a JavaScript engine fit";
    table_elements: usize, "table_elements" = 100_000, 10..=1_000_000,
        "all tables together; a large interpreter has some 20,000 functions";
    instances: usize, "core_instances" = 64, 1..=1_000,
        "a module with its adapters is four or five, an interpreter a dozen";
    hostcall_bytes: usize, "answer_bytes" = 4 << 20, (1 << 10)..=(64 << 20),
        "what one call may hand over; 10,000 placements are 480 KB";
    log_line_bytes: usize, "log_line_bytes" = 1_024, 16..=16_384,
        "a log line is for people; what is longer is cut";
    log_lines_per_call: u32, "log_lines_per_call" = 50, 0..=1_000,
        "more in one call is noise; the rest is dropped and counted";
    log_lines_per_minute: u32, "log_lines_per_minute" = 300, 0..=60_000,
        "a line each round must not fill a disk";
    file_bytes: u64, "file_bytes" = 64 << 20, (1 << 10)..=(256 << 20),
        "the Python interpreter is 18 MB";
    compile_cpu: Duration, "compile_cpu_ms" = 60_000, 1_000..=600_000,
        "CPU time of compiling, in whole seconds; the Python interpreter takes 5 s on two cores";
    compile_wall: Duration, "compile_wall_ms" = 120_000, 1_000..=1_200_000,
        "the same by the clock";
    compile_memory_bytes: u64, "compile_memory_bytes" = 2 << 30, (256 << 20)..=(16 << 30),
        "address space of the process that compiles; what it really touches is a fraction";
    stall: Duration, "stall_ms" = 10_000, 1_000..=86_400_000,
        "how long a job may wait for nothing but the policy; more for one that keeps room free on purpose";
    faults_in_a_row: u32, "faults_in_a_row" = 3, 1..=100,
        "faults at which it rules no longer: one can be bad luck, three are a rule";
    faults_in_a_minute: usize, "faults_in_a_minute" = 5, 1..=1_000,
        "the same for one that fails now and then";
}

impl Limits {
    /// Every limit with its value, its default and the reason for it, as `policies describe` shows them. `set_by` says which
    /// of them a file sets.
    pub fn lines(&self, set_by: impl Fn(&str) -> Option<String>) -> Vec<PolicyLimit> {
        let settable = LIMITS.iter().map(|limit| PolicyLimit {
            name: limit.name.into(),
            value: limit.get(self),
            default: limit.default,
            reason: limit.reason.into(),
            set_by: set_by(limit.name),
        });
        let fixed = FIXED.iter().map(|(name, value, reason)| PolicyLimit {
            name: (*name).into(),
            value: *value,
            default: *value,
            reason: (*reason).into(),
            set_by: None,
        });
        settable.chain(fixed).collect()
    }
}

/// The limits that are the same for every policy.
const FIXED: [(&str, u64, &str); 5] = [
    (
        "stack_bytes",
        STACK_BYTES as u64,
        "recursion beyond it is a fault; wasmtime's own default, and one for the engine",
    ),
    (
        "files",
        FILES_MAX as u64,
        "policies looked at in the folder; compiling costs CPU, and a folder of downloads is a mistake",
    ),
    (
        "settings_bytes",
        SETTINGS_BYTES_MAX,
        "a settings file is written by hand",
    ),
    (
        "reasons",
        REASONS_MAX as u64,
        "texts a policy may give for what it does; they are shown to people",
    ),
    (
        "reason_bytes",
        REASON_BYTES_MAX as u64,
        "one line on a terminal, two at most",
    ),
];

/// A guest's stack, bytes. wasmtime's own default; recursion beyond it is a fault like any other.
pub const STACK_BYTES: usize = 512 * 1024;
/// Policies looked at in the folder.
pub const FILES_MAX: usize = 64;
/// Bytes of a `NAME.toml`.
pub const SETTINGS_BYTES_MAX: u64 = 64 << 10;
/// Reasons a policy may state.
pub const REASONS_MAX: usize = 256;
/// Bytes of a reason.
pub const REASON_BYTES_MAX: usize = 200;
/// Bytes of the name and the version it states.
pub const INFO_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_can_be_set_and_every_name_stands_once() {
        let mut names: Vec<_> = LIMITS.iter().map(|limit| limit.name).collect();
        names.extend(FIXED.iter().map(|(name, ..)| *name));
        names.sort_unstable();
        assert!(names.windows(2).all(|two| two[0] != two[1]), "{names:?}");
        for limit in LIMITS {
            assert!(limit.range.contains(&limit.default), "{limit:?}");
            let mut limits = Limits::default();
            for value in [*limit.range.start(), *limit.range.end()] {
                limit.set(&mut limits, value);
                assert_eq!(limit.get(&limits), value, "{limit:?}");
            }
            limit.set(&mut limits, limit.default);
            assert_eq!(limits, Limits::default());
        }
    }
}
