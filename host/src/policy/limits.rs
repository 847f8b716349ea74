//! What a policy may use. One place, so that the reason stands beside each number.

use std::time::Duration;

use ffrtmp_api::rest::PolicyLimit;

/// The bounds on one policy. `wit/scheduler.wit` states the defaults to authors.
#[derive(Debug, Clone)]
pub struct Limits {
    /// CPU time of the calling thread for `plan`, `rank` and a `sync` without reset. 10 ms: a bundled policy's largest
    /// round takes a tenth of it, and a job that waits 10 ms longer notices nothing. Thread time, because a machine that
    /// is busy with something else is no fault of the guest's.
    pub call_cpu: Duration,
    /// The same by the wall clock. 50 ms: scheduling must not wait for ever on a starved thread either, and five times the
    /// CPU budget leaves a fair share of a loaded machine.
    pub call_wall: Duration,
    /// CPU time for `init` and a full `sync`. 1 s: interpreters start up in there, and it happens once a swap.
    pub init_cpu: Duration,
    /// The same by the wall clock.
    pub init_wall: Duration,
    /// Linear memory, bytes, all memories together. 64 MiB: a view of 10,000 workers and a JavaScript engine fit.
    pub memory_bytes: usize,
    /// Elements of each table. A large interpreter has some 20,000 functions.
    pub table_elements: usize,
    /// Core instances in a component: the module, its adapters and shims are four or five; interpreters need a dozen.
    pub instances: usize,
    /// Bytes that a call may hand the host: answers, log lines. 4 MiB: 10,000 placements are 480 KB.
    pub hostcall_bytes: usize,
    /// Bytes of one log line kept.
    pub log_line_bytes: usize,
    /// Log lines of one call kept. More than that is noise, and the guest's time does not pay for our disk.
    pub log_lines_per_call: u32,
    /// Log lines kept in a minute, over all calls: a line each round must not fill a disk.
    pub log_lines_per_minute: u32,
    /// A policy's file, bytes. 64 MiB: the Python interpreter is 18 MB.
    pub file_bytes: u64,
    /// Files looked at in the folder. Compiling costs CPU; a folder of downloads is a mistake, not a library.
    pub files: usize,
    /// Faults in a row at which a policy loses its place. Three: one can be bad luck, three are a rule.
    pub faults_in_a_row: u32,
    /// Faults within a minute at which it does.
    pub faults_in_a_minute: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            call_cpu: Duration::from_millis(10),
            call_wall: Duration::from_millis(50),
            init_cpu: Duration::from_secs(1),
            init_wall: Duration::from_secs(2),
            memory_bytes: 64 << 20,
            table_elements: 100_000,
            instances: 64,
            hostcall_bytes: 4 << 20,
            log_line_bytes: 1_024,
            log_lines_per_call: 50,
            log_lines_per_minute: 300,
            file_bytes: 64 << 20,
            files: 64,
            faults_in_a_row: 3,
            faults_in_a_minute: 5,
        }
    }
}

impl Limits {
    /// Every limit with its value, its default and the reason for it, as `policies describe` shows them.
    pub fn lines(&self) -> Vec<PolicyLimit> {
        let (mine, usual) = (self, Limits::default());
        LINES
            .iter()
            .map(|line| PolicyLimit {
                name: line.name.into(),
                value: (line.value)(mine),
                default: (line.value)(&usual),
                reason: line.reason.into(),
            })
            .chain(FIXED.iter().map(|(name, value, reason)| PolicyLimit {
                name: (*name).into(),
                value: *value,
                default: *value,
                reason: (*reason).into(),
            }))
            .collect()
    }
}

/// How a limit is shown.
struct Line {
    /// With its unit.
    name: &'static str,
    value: fn(&Limits) -> u64,
    reason: &'static str,
}

const fn ms(time: Duration) -> u64 {
    time.as_millis() as u64
}

/// The limits that [`Limits`] holds. The comments on its fields say more.
const LINES: [Line; 15] = [
    Line {
        name: "call_cpu_ms",
        value: |l| ms(l.call_cpu),
        reason: "thread CPU time of plan, rank and sync; the largest round of a bundled policy takes a tenth of it",
    },
    Line {
        name: "call_wall_ms",
        value: |l| ms(l.call_wall),
        reason: "the same by the clock; five times the CPU time, so that a busy machine is not blamed on the policy",
    },
    Line {
        name: "init_cpu_ms",
        value: |l| ms(l.init_cpu),
        reason: "thread CPU time of init and a full sync; interpreters start in there, once a swap",
    },
    Line {
        name: "init_wall_ms",
        value: |l| ms(l.init_wall),
        reason: "the same by the clock",
    },
    Line {
        name: "memory_bytes",
        value: |l| l.memory_bytes as u64,
        reason: "all memories together; a view of 10,000 workers and a JavaScript engine fit",
    },
    Line {
        name: "table_elements",
        value: |l| l.table_elements as u64,
        reason: "all tables together; a large interpreter has some 20,000 functions",
    },
    Line {
        name: "core_instances",
        value: |l| l.instances as u64,
        reason: "a module with its adapters is four or five, an interpreter a dozen",
    },
    Line {
        name: "answer_bytes",
        value: |l| l.hostcall_bytes as u64,
        reason: "what one call may hand over; 10,000 placements are 480 KB",
    },
    Line {
        name: "log_line_bytes",
        value: |l| l.log_line_bytes as u64,
        reason: "a log line is for people; what is longer is cut",
    },
    Line {
        name: "log_lines_per_call",
        value: |l| u64::from(l.log_lines_per_call),
        reason: "more in one call is noise; the rest is dropped and counted",
    },
    Line {
        name: "log_lines_per_minute",
        value: |l| u64::from(l.log_lines_per_minute),
        reason: "a line each round must not fill a disk",
    },
    Line {
        name: "file_bytes",
        value: |l| l.file_bytes,
        reason: "the Python interpreter is 18 MB",
    },
    Line {
        name: "files",
        value: |l| l.files as u64,
        reason: "files looked at in the folder; compiling costs CPU",
    },
    Line {
        name: "faults_in_a_row",
        value: |l| u64::from(l.faults_in_a_row),
        reason: "faults at which it rules no longer: one can be bad luck, three are a rule",
    },
    Line {
        name: "faults_in_a_minute",
        value: |l| l.faults_in_a_minute as u64,
        reason: "the same for one that fails now and then",
    },
];

/// The limits that are the same for every policy.
const FIXED: [(&str, u64, &str); 3] = [
    (
        "stack_bytes",
        STACK_BYTES as u64,
        "recursion beyond it is a fault; wasmtime's own default, and one for the engine",
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
/// Reasons a policy may state.
pub const REASONS_MAX: usize = 256;
/// Bytes of a reason.
pub const REASON_BYTES_MAX: usize = 200;
/// Bytes of the name and the version it states.
pub const INFO_BYTES_MAX: usize = 64;
