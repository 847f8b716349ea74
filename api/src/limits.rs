//! The bounds on what is accepted from outside, in one place so that client, master and worker agree on them.

/// Largest HTTP request body, in bytes. A batch of 1,000 generous job specs fits; a body beyond it answers 413.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest path and query of a URL, in bytes. A list's filters fit many times over.
pub const URL_BYTES_MAX: usize = 8 * 1024;
/// Largest headers of a request, all names and values together, in bytes.
pub const HEADERS_BYTES_MAX: usize = 32 * 1024;
/// Most jobs in one submit. Larger batches gain nothing from group commit (measured: 460,000 rows/s at 100 a commit).
pub const BATCH_JOBS_MAX: usize = 10_000;
/// Largest WebSocket frame between master and worker, in bytes, either way.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Longest scenario, label key or value, node name and similar short string, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest name of one file or directory, in bytes: Linux's `NAME_MAX`.
pub const FILE_NAME_BYTES_MAX: usize = 255;
/// Longest path or URL, in bytes: Linux's `PATH_MAX`.
pub const PATH_BYTES_MAX: usize = 4096;
/// Most labels, and most requirements, on one job.
pub const LABELS_MAX: usize = 32;
/// Most retries a job may ask for.
pub const RETRIES_MAX: u32 = 100;
/// Longest duration or timeout a job may ask for, in seconds: 30 days.
pub const DURATION_SECONDS_MAX: f64 = 30.0 * 86_400.0;
/// Shortest duration or timeout, in seconds: less is below one frame, and ffmpeg reads it as 0.
pub const DURATION_SECONDS_MIN: f64 = 0.001;
/// Most CPU a job may ask for, in thousandths of a core: 1,024 cores.
pub const CPU_MILLICORES_MAX: u32 = 1_024_000;
/// Most memory a job may ask for, in MiB: 64 TiB.
pub const MEMORY_MIB_MAX: u32 = 64 * 1024 * 1024;
/// How far two machines' wall clocks may be apart before people are told, in milliseconds: above what delays on the way and
/// clocks without a time service show within a day, and below what confuses whoever reads two logs side by side.
pub const CLOCK_SKEW_MS_MAX: u64 = 5_000;
/// Shortest token accepted, in bytes: anything shorter can be guessed over the network.
pub const TOKEN_BYTES_MIN: usize = 16;
/// Jobs a list answers with when the caller does not say.
pub const LIST_LIMIT_DEFAULT: usize = 100;
/// Most jobs one list page carries.
pub const LIST_LIMIT_MAX: usize = 1_000;
/// Bytes of ffmpeg's stderr kept as a job's log: the last so many. Early lines are dropped with a note.
pub const LOG_BYTES_MAX: usize = 256 * 1024;
/// Workers an explanation names. A farm has more, but the first few dozen tell why.
pub const EXPLAIN_NODES_MAX: usize = 50;
/// Lines of a job's history that are shown: the last so many. Most jobs have fewer than ten.
pub const HISTORY_MAX: usize = 1_000;
/// Longest a live job may wait for its source, in seconds: a day. It keeps its slot all the while.
pub const INPUT_WAIT_SECONDS_MAX: f64 = 86_400.0;
/// Longest name of a preset, in bytes: it is a file's name, and fits a column.
pub const PRESET_NAME_BYTES_MAX: usize = 64;
/// Largest file of a preset, in bytes. The longest there is comes to 1 KiB.
pub const PRESET_BYTES_MAX: usize = 64 * 1024;
/// Most presets in an operator's folder.
pub const PRESETS_MAX: usize = 256;
/// Most raw ffmpeg arguments on either side of a job.
pub const RAW_ARGS_MAX: usize = 64;
/// Longest raw ffmpeg argument, in bytes: a filter graph of some length.
pub const RAW_ARG_BYTES_MAX: usize = 2048;
