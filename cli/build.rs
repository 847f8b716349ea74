//! What the binary is told when it is built: of which commit and by which compiler it is (for `ffrtmp_build_info` and `ffrtmp
//! version`), and the alert rules of `deploy/rules` (for `ffrtmp up --metrics-stack`).
//!
//! The commit is `FFRTMP_COMMIT` where a packager gives it (a source archive has no repository), else git's, for release builds. A
//! development build says `dev`: asking git would link the binary anew after each commit, and name one that its code is not of.

use std::{env, fmt::Write, fs, io, path::Path, process::Command};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=FFRTMP_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let rustc = said(Command::new(rustc).arg("--version"))
        .and_then(|text| Some(text.split_whitespace().nth(1)?.to_owned()));
    println!(
        "cargo::rustc-env=FFRTMP_BUILD_RUSTC={}",
        rustc.as_deref().unwrap_or("unknown")
    );
    println!("cargo::rustc-env=FFRTMP_BUILD_COMMIT={}", commit());
    rules()
}

/// A list of file names and contents, made from the folder so that a new file of rules needs no second mention.
fn rules() -> io::Result<()> {
    let rules = Path::new("../deploy/rules").canonicalize()?;
    println!("cargo::rerun-if-changed={}", rules.display());
    let mut files: Vec<_> = fs::read_dir(&rules)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|ending| ending == "yml"));
    files.sort();
    let mut list = String::from("&[\n");
    for path in &files {
        let name = path.file_name().unwrap_or_default();
        writeln!(list, "({name:?}, include_str!({path:?})),").map_err(io::Error::other)?;
    }
    list.push(']');
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?;
    fs::write(Path::new(&out).join("rules.rs"), list)
}

fn commit() -> String {
    if let Some(given) = env::var("FFRTMP_COMMIT").ok().filter(|c| !c.is_empty()) {
        return given.chars().take(40).collect();
    }
    if env::var("PROFILE").is_ok_and(|profile| profile != "release") {
        return "dev".into();
    }
    // Grows with each commit and each checkout.
    if let Some(log) = said(Command::new("git").args(["rev-parse", "--git-path", "logs/HEAD"])) {
        println!("cargo::rerun-if-changed={log}");
    }
    said(Command::new("git").args(["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|| "unknown".into())
}

/// The one line a command printed, if it went well.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
