//! Compiling a stranger's code in a process of its own: the program runs itself again with nothing but the bytes to compile,
//! and caps on CPU time and memory that the kernel keeps.
//!
//! A compiler is a large program whose time and memory depend on its input in ways nobody has bounded. Here it can take no
//! more than its caps, has no secrets (an empty environment), no files and no children, and its end ends nothing else. What
//! it gives back is machine code, so it is trusted as much as the compiler inside the master would be.
//!
//! A program that offers itself calls [`run_if_asked`] first of all. One that does not (tests, tools) compiles in its own
//! process.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Instant;

use rustix::process::{Resource, Rlimit, Signal};

use super::component::{Refusal, compile_error};
use super::engine;
use super::limits::Limits;

/// The first argument by which the program knows what it is asked. Not among its commands: nobody types it.
const ASKED: &str = "--compile-policy-for";
/// How the child says that the fault is the file's.
const REFUSED: u8 = 3;
/// Most bytes of an artefact. Machine code is two to five times its wasm, whose own limit is 256 MiB at most.
const ARTEFACT_BYTES_MAX: u64 = 1 << 30;
/// Most bytes of its complaint.
const COMPLAINT_BYTES_MAX: u64 = 16 << 10;
/// Threads that compile. The caps are for all of them together, and the machine has other work.
const THREADS: &str = "4";
/// What the child may have open: its three pipes, and what the allocator and the thread pool look up of the machine.
const FILES: u64 = 16;
/// How much the child yields to everything else, the policy thread above all.
const NICE: i32 = 10;

/// Whether this program knows what [`ASKED`] means.
static OFFERED: AtomicBool = AtomicBool::new(false);

/// Whether compiling can happen in a process of its own.
pub(super) fn is_offered() -> bool {
    OFFERED.load(Ordering::Relaxed)
}

/// To be called first in `main`. In a child that was made to compile, does that and gives the exit code; anywhere else, notes
/// that this program can be run so.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(ASKED)) {
        OFFERED.store(true, Ordering::Relaxed);
        return None;
    }
    let numbers: Vec<u64> = arguments
        .filter_map(|word| word.to_str()?.parse().ok())
        .collect();
    let done = match numbers.as_slice() {
        [parent, cpu_s, memory] => cap(*parent, *cpu_s, *memory).and_then(|()| work()),
        _ => Err("it was asked in a way it does not know".to_owned()),
    };
    Some(match done {
        Ok(code) => code,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    })
}

/// In the child: gives up what it does not need, before it sees the first byte.
fn cap(parent: u64, cpu_s: u64, memory_bytes: u64) -> Result<(), String> {
    let limit = |what, soft: u64, hard: u64| {
        let limit = Rlimit {
            current: Some(soft),
            maximum: Some(hard),
        };
        rustix::process::setrlimit(what, limit).map_err(|e| format!("no limit can be set: {e}"))
    };
    // The first second beyond it is told by a signal of its own, the next by one that means anything.
    limit(Resource::Cpu, cpu_s, cpu_s + 1)?;
    limit(Resource::As, memory_bytes, memory_bytes)?;
    limit(Resource::Nofile, FILES, FILES)?;
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Core, 0, 0)?;
    // Yielding is a courtesy; without it the caps hold all the same.
    let _ = rustix::process::nice(NICE);
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| format!("its parent's end would not end it: {e}"))?;
    // The parent may have ended before that was asked for.
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    match now.is_some_and(|now| u64::from(now.unsigned_abs()) == parent) {
        true => Ok(()),
        false => Err("its parent is gone".to_owned()),
    }
}

/// In the child: bytes in, machine code out.
fn work() -> Result<ExitCode, String> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|e| format!("the file did not arrive: {e}"))?;
    let engine = wasmtime::Engine::new(&engine::config()).map_err(|e| format!("{e:#}"))?;
    match engine.precompile_component(&bytes) {
        Ok(artefact) => std::io::stdout()
            .write_all(&artefact)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|e| format!("the machine code could not be handed over: {e}")),
        Err(error) => {
            let refusal = compile_error(&error);
            let (Refusal::Validate(why) | Refusal::Compile(why)) = &refusal else {
                return Err(refusal.to_string());
            };
            eprint!("{}\n{why}", refusal.stage());
            Ok(ExitCode::from(REFUSED))
        }
    }
}

/// In the parent: has `bytes` compiled.
///
/// # Errors
/// When they do not compile, or not within the caps.
pub(super) fn compile(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, Refusal> {
    let cannot = |error: std::io::Error| {
        Refusal::Compile(format!("no process could be made for it: {error}"))
    };
    let from = Instant::now();
    let cpu_s = limits.compile_cpu.as_secs().max(1);
    // The link names this very program, even when its file has been replaced meanwhile.
    let mut child = Command::new("/proc/self/exe")
        .arg0("ffrtmp-compile-policy")
        .arg(ASKED)
        .args(
            [
                u64::from(std::process::id()),
                cpu_s,
                limits.compile_memory_bytes,
            ]
            .map(|number| number.to_string()),
        )
        .env_clear()
        .env("RAYON_NUM_THREADS", THREADS)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cannot)?;
    let ended = talk(&mut child, bytes, from + limits.compile_wall);
    if ended.is_err() {
        // It has ended already, or does now.
        let _ = child.kill();
    }
    let status = child.wait().map_err(cannot)?;
    let (artefact, complaint) = ended?;
    judge(status, artefact, &complaint, cpu_s, limits)
}

/// Gives the child its bytes and takes what it says, until it has said all or `until` is over.
fn talk(child: &mut Child, bytes: &[u8], until: Instant) -> Result<(Vec<u8>, String), Refusal> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (done, over) = channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A child that ends early reads no more; its exit says why.
            let _ = stdin.map(|mut pipe| pipe.write_all(bytes));
        });
        let artefact = scope.spawn({
            let done = done.clone();
            move || {
                let read = stdout.map_or_else(|| Ok(Vec::new()), |p| all(p, ARTEFACT_BYTES_MAX));
                // Nobody listens any more once the time is over.
                let _ = done.send(());
                read
            }
        });
        let complaint = scope.spawn(move || {
            let read = stderr.map_or_else(|| Ok(Vec::new()), |p| all(p, COMPLAINT_BYTES_MAX));
            let _ = done.send(());
            read
        });
        for _ in 0..2 {
            let left = until.saturating_duration_since(Instant::now());
            if let Err(RecvTimeoutError::Timeout) = over.recv_timeout(left) {
                // Closes the pipes, so that the threads above end too.
                let _ = child.kill();
                return Err(Refusal::Compile(
                    "it took more than `compile_wall_ms` by the clock".to_owned(),
                ));
            }
        }
        let lost = |_| Refusal::Compile("what came of it was lost".to_owned());
        let artefact = artefact.join().map_err(lost)?;
        let complaint = complaint.join().map_err(lost)?.unwrap_or_default();
        let artefact =
            artefact.map_err(|e| Refusal::Compile(format!("its machine code was lost: {e}")))?;
        Ok((artefact, String::from_utf8_lossy(&complaint).into_owned()))
    })
}

fn all(pipe: impl Read, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn judge(
    status: ExitStatus,
    artefact: Vec<u8>,
    complaint: &str,
    cpu_s: u64,
    limits: &Limits,
) -> Result<Vec<u8>, Refusal> {
    if status.success() {
        return Ok(artefact);
    }
    if status.code() == Some(i32::from(REFUSED)) {
        let (stage, why) = complaint.split_once('\n').unwrap_or(("compile", complaint));
        return Err(match stage {
            "validate" => Refusal::Validate(why.to_owned()),
            _ => Refusal::Compile(why.to_owned()),
        });
    }
    let signal = status.signal().and_then(Signal::from_named_raw);
    let text = complaint.lines().next().unwrap_or_default();
    Err(Refusal::Compile(match signal {
        Some(Signal::XCPU) => {
            format!("it took more than {cpu_s} s of CPU time (`compile_cpu_ms`)")
        }
        Some(Signal::KILL) => {
            "the process that compiled it was killed; is this machine out of memory?".to_owned()
        }
        // What the allocator says when the kernel gives it no more.
        Some(Signal::ABORT) if complaint.contains("memory allocation of") => format!(
            "it took more than {} bytes of memory (`compile_memory_bytes`)",
            limits.compile_memory_bytes
        ),
        _ => format!("the process that compiled it ended with {status}: {text}"),
    }))
}
