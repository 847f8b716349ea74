//! Finds out of which commit, and by which compiler, the binary is built: for `ffrtmp_build_info` and `ffrtmp version`.
//!
//! The commit is `FFRTMP_COMMIT` where a packager gives it (a source archive has no repository), else git's, for release builds. A
//! development build says `dev`: asking git would link the binary anew after each commit, and name one that its code is not of.

use std::{env, process::Command};

fn main() {
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
