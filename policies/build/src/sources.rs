//! The digest of everything a bundled component is made from, so that a stale one is found without a wasm toolchain.
//!
//! Shared, as a file, with the test in the product that recomputes it; so it uses `std` and `sha2` alone.

use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

/// The custom section of a component that holds the digest, as 64 hex digits.
pub const SECTION: &str = "ffrtmp:sources";

/// The bundled policies and where their components go, from the repository's root. The live folder holds one alone:
/// whatever lies there may be chosen.
pub const BUNDLED: [(&str, &str); 8] = [
    ("balanced", "policies/balanced.wasm"),
    ("binpack", "policies/bundled/binpack.wasm"),
    ("chaos", "policies/bundled/chaos.wasm"),
    ("deadline", "policies/bundled/deadline.wasm"),
    ("fair-share", "policies/bundled/fair-share.wasm"),
    ("gpu-first", "policies/bundled/gpu-first.wasm"),
    ("spread", "policies/bundled/spread.wasm"),
    ("time-of-day", "policies/bundled/time-of-day.wasm"),
];

/// The digest of a bundled policy's sources: the contract, the SDK and its own crate. `root` is the repository's.
pub fn digest(root: &Path, policy: &str) -> io::Result<String> {
    let mut files = Vec::new();
    for part in [
        "wit".into(),
        "policies/sdk".into(),
        format!("policies/{policy}"),
    ] {
        list(root, Path::new(&part), &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let bytes = std::fs::read(root.join(&file))?;
        hash.update(format!("{file}\0{}\0", bytes.len()));
        hash.update(&bytes);
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// The files that matter to a build below `folder`, by their paths from `root`. Tests and examples do not.
fn list(root: &Path, folder: &Path, files: &mut Vec<String>) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            if !["tests", "examples", "target"]
                .iter()
                .any(|skip| name == *skip)
            {
                list(root, &path, files)?;
            }
        } else if path
            .extension()
            .is_some_and(|e| e == "rs" || e == "toml" || e == "wit")
            && let Some(path) = path.to_str()
        {
            files.push(path.replace('\\', "/"));
        }
    }
    Ok(())
}
