//! Compiles a policy's crate to a core wasm module.
//!
//! With rustup's wasm target where it is installed. Where it is not, with Debian's `rustc-web` and `rust-web-src`, whose
//! standard library is built on the spot. Nothing is downloaded.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

const TARGET: &str = "wasm32-unknown-unknown";
/// Debian's compiler with wasm support, and its standard library's sources.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_SOURCES: &str = "/usr/lib/rustlib/src/rust/library";

/// Fast code over small code, one unit, no debug information; function names stay, for they make traps readable.
const PROFILE: [&str; 6] = [
    "profile.release.opt-level=3",
    "profile.release.lto=true",
    "profile.release.codegen-units=1",
    "profile.release.panic='abort'",
    "profile.release.debug=false",
    "profile.release.strip='debuginfo'",
];

/// Compiles the crate in `folder` and returns the module. `name` is the package's; `root` is what its paths are told from
/// in a panic's text.
pub fn module(
    root: &Path,
    folder: &Path,
    name: &str,
    target_dir: &Path,
) -> anyhow::Result<Vec<u8>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args([
        "rustc",
        "--release",
        "--lib",
        "--crate-type",
        "cdylib",
        "--target",
        TARGET,
    ]);
    cargo.arg("--manifest-path").arg(folder.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(target_dir);
    if root.join("Cargo.lock").exists() {
        cargo.arg("--locked");
    }
    for setting in PROFILE {
        cargo.args(["--config", setting]);
    }

    // Vector instructions take a plain search over workers from 2.4 to 1.4 times the native time.
    let mut flags = vec!["-Ctarget-feature=+simd128".to_owned()];
    // No path of the building machine in the panics' texts.
    flags.push(format!("--remap-path-prefix={}=", root.display()));
    flags.push("--remap-path-prefix=/usr/lib/rustlib/src/rust=/rust".into());
    let sysroot = sysroot()?;
    if !sysroot.join("lib/rustlib").join(TARGET).exists() {
        ensure!(
            Path::new(DEBIAN_SOURCES).exists(),
            "no wasm compiler: run `rustup target add {TARGET}`, or `apt-get install rustc-web rust-web-src`"
        );
        cargo
            .args(["-Zbuild-std=std,panic_abort"])
            .env("RUSTC", DEBIAN_RUSTC)
            .env("RUSTC_BOOTSTRAP", "1");
        flags.push(format!("-Clinker={}", rust_lld(&sysroot)?.display()));
    }
    cargo
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));

    let status = cargo.status().context("cargo does not start")?;
    ensure!(status.success(), "{name} does not compile");
    let file = format!("{}.wasm", name.replace('-', "_"));
    let module = target_dir.join(TARGET).join("release").join(&file);
    std::fs::read(&module).with_context(|| format!("cargo left no {}", module.display()))
}

fn sysroot() -> anyhow::Result<PathBuf> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .context("rustc does not start")?;
    Ok(String::from_utf8(output.stdout)?.trim().into())
}

/// The linker that comes with a rustup toolchain, for whichever host it is.
fn rust_lld(sysroot: &Path) -> anyhow::Result<PathBuf> {
    for entry in std::fs::read_dir(sysroot.join("lib/rustlib"))? {
        let lld = entry?.path().join("bin/rust-lld");
        if lld.exists() {
            return Ok(lld);
        }
    }
    bail!("no rust-lld in {}", sysroot.display())
}
