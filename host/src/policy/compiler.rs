//! Machine code for policies: made in a process of its own where there is one, and kept, so that a restart and a way back cost
//! milliseconds even for an interpreter of 18 MB.
//!
//! Kept code is as good as code of ours, so it is never believed: its folder is ours alone, its digest is remembered apart
//! from it, and that digest is checked on the very bytes that are then loaded. Anything else is compiled again.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::accepted::write_whole;
use super::choice::Memory;
use super::compile_child;
use super::component::{self, Compiled, Refusal, short};
use super::engine::PolicyEngine;
use super::limits::Limits;

/// Bytes of machine code kept. Some ten interpreters, or thousands of policies without one.
const KEPT_BYTES_MAX: u64 = 512 << 20;

/// Makes machine code, and keeps it.
#[derive(Debug)]
pub(super) struct Compiler {
    engine: PolicyEngine,
    /// Where it is kept; none where that cannot be done safely.
    dir: Option<PathBuf>,
    /// What this engine makes differs from what others make by this.
    engine_hash: u64,
}

impl Compiler {
    /// One that keeps what it makes in `dir`, which becomes the master's alone.
    pub(super) fn new(engine: PolicyEngine, dir: PathBuf) -> Compiler {
        let mut hasher = DefaultHasher::new();
        engine
            .wasmtime()
            .precompile_compatibility_hash()
            .hash(&mut hasher);
        let dir = match own(&dir) {
            Ok(()) => Some(dir),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), %error, "compiled policies cannot be kept safely; each start compiles them again");
                None
            }
        };
        Compiler {
            engine,
            dir,
            engine_hash: hasher.finish(),
        }
    }

    /// A component that fits the contract: from kept machine code if there is any, else compiled.
    ///
    /// # Errors
    /// At the first check it fails.
    pub(super) fn compile(
        &self,
        name: &str,
        bytes: &[u8],
        limits: &Limits,
        memory: &mut Memory,
    ) -> Result<Compiled, Refusal> {
        component::check_header(bytes)?;
        let digest = component::digest(bytes);
        let file = format!("{digest}-{:016x}.cwasm", self.engine_hash);
        if let Some(compiled) = self.kept(name, &digest, &file, bytes, memory) {
            return compiled;
        }
        let artefact = match compile_child::is_offered() {
            true => compile_child::compile(bytes, limits)?,
            false => component::precompile(&self.engine, bytes)?,
        };
        let compiled = component::from_artefact(&self.engine, bytes, &artefact)
            .map_err(|e| Refusal::Compile(format!("{e:#}")))??;
        if let Some(dir) = &self.dir {
            match write_whole(&dir.join(&file), &artefact) {
                Ok(()) => memory.compiled(&file, component::digest(&artefact)),
                Err(error) => {
                    tracing::warn!(policy = name, %error, "the policy's machine code could not be kept; a restart compiles it again")
                }
            }
            evict(dir, memory);
        }
        Ok(compiled)
    }

    /// What was kept, if it is what it was.
    fn kept(
        &self,
        name: &str,
        digest: &str,
        file: &str,
        bytes: &[u8],
        memory: &mut Memory,
    ) -> Option<Result<Compiled, Refusal>> {
        let expected = memory.artefact(file)?.to_owned();
        let path = self.dir.as_ref()?.join(file);
        let loaded = read(&path).map_err(|e| e.to_string()).and_then(|artefact| {
            if component::digest(&artefact) != expected {
                return Err("it is not what was written".to_owned());
            }
            component::from_artefact(&self.engine, bytes, &artefact).map_err(|e| format!("{e:#}"))
        });
        match loaded {
            Ok(compiled) => {
                memory.compiled(file, expected); // used of late: others go first
                Some(compiled)
            }
            Err(error) => {
                memory.forget_artefact(file);
                tracing::warn!(
                    event = "policy_artefact_refused",
                    policy = name,
                    digest = short(digest),
                    "the kept machine code is not used: {error}; the policy is compiled again"
                );
                None
            }
        }
    }
}

/// Makes a folder nobody else can write, or says why it is not one.
fn own(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(dir)?;
    if !found.is_dir() {
        return Err(io::Error::other("it is not a folder"));
    }
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me {
        return Err(io::Error::other(format!(
            "it belongs to user {}, and this is user {me}",
            found.uid()
        )));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Reads a kept file: a regular one, never through a link, and no more than there is room for.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(KEPT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Removes what was not used for longest until the rest has room, and what nobody remembers.
fn evict(dir: &Path, memory: &mut Memory) {
    let size = |file: &str| fs::metadata(dir.join(file)).map_or(0, |found| found.len());
    let mut room = KEPT_BYTES_MAX;
    let mut keep = Vec::new();
    for file in memory.artefacts().rev() {
        let Some(left) = room.checked_sub(size(file)) else {
            break;
        };
        room = left;
        keep.push(file.to_owned());
    }
    memory.keep_artefacts(&keep);
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let known = (entry.file_name().to_str()).is_some_and(|n| keep.iter().any(|k| k == n));
        if !known && let Err(error) = fs::remove_file(entry.path()) {
            tracing::warn!(%error, file = %entry.path().display(), "old machine code could not be removed; it stays");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)] // in a test that is how one fails
mod tests {
    use super::*;

    fn guest() -> Vec<u8> {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../tests/hostile/well_behaved.wasm"
        );
        fs::read(path).unwrap()
    }

    struct Bench {
        dir: tempfile::TempDir,
        compiler: Compiler,
        memory: Memory,
    }

    impl Bench {
        fn new() -> Bench {
            let dir = tempfile::tempdir().unwrap();
            let compiler = Compiler::new(PolicyEngine::new().unwrap(), dir.path().join("c"));
            let memory = Memory::default();
            Bench {
                dir,
                compiler,
                memory,
            }
        }

        fn compile(&mut self) {
            let limits = Limits::default();
            self.compiler
                .compile("quiet", &guest(), &limits, &mut self.memory)
                .expect("a good policy compiles");
        }

        fn files(&self) -> Vec<PathBuf> {
            let entries = fs::read_dir(self.dir.path().join("c")).unwrap();
            entries.map(|entry| entry.unwrap().path()).collect()
        }

        fn stamp(&self) -> (u64, i64) {
            let found = fs::metadata(&self.files()[0]).unwrap();
            (found.ino(), found.mtime_nsec())
        }
    }

    #[test]
    fn kept_code_is_used_again() {
        let mut bench = Bench::new();
        bench.compile();
        let before = bench.stamp();
        bench.compile();
        assert_eq!(bench.stamp(), before, "it was compiled twice");
        let mode = fs::metadata(bench.dir.path().join("c")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn code_that_was_touched_is_compiled_again() {
        let mut bench = Bench::new();
        bench.compile();
        let before = bench.stamp();
        let file = bench.files().remove(0);
        let mut bytes = fs::read(&file).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
        bench.compile();
        assert_ne!(bench.stamp(), before, "touched code was believed");
    }

    #[test]
    fn code_behind_a_link_is_not_followed() {
        let mut bench = Bench::new();
        bench.compile();
        let file = bench.files().remove(0);
        let elsewhere = bench.dir.path().join("elsewhere");
        fs::rename(&file, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        bench.compile();
        assert!(fs::symlink_metadata(&bench.files()[0]).unwrap().is_file());
    }

    #[test]
    fn code_nobody_remembers_is_neither_used_nor_kept() {
        let mut bench = Bench::new();
        bench.compile();
        fs::write(bench.dir.path().join("c/stranger.cwasm"), b"code").unwrap();
        bench.memory = Memory::default();
        let before = bench.stamp();
        bench.compile();
        assert_ne!(bench.stamp(), before);
        assert_eq!(bench.files().len(), 1);
    }

    #[test]
    fn a_folder_that_others_could_write_is_closed_and_no_folder_is_no_cache() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        own(&open).unwrap();
        assert_eq!(fs::metadata(&open).unwrap().mode() & 0o777, 0o700);
        let file = dir.path().join("file");
        fs::write(&file, b"").unwrap();
        assert!(own(&file).is_err());
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&open, &link).unwrap();
        assert!(own(&link).is_err());
    }
}
