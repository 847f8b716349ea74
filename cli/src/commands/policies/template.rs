//! The projects that `ffrtmp policies new` writes, embedded in the binary.
//!
//! One source for both: a template is a folder of `policies/examples/`, written for a policy named [`PLACEHOLDER`], plus
//! the contract and, for Rust, the SDK and the two files of the tool that makes components. So what a stranger gets is what
//! the tests build and run.

use super::new::Language;

/// The name that a template gives its policy.
pub const PLACEHOLDER: &str = "my-policy";

/// A file of a project: where it goes, and what is in it.
pub type File = (&'static str, &'static str);

/// Files by their places in a project, from a folder of this repository.
macro_rules! files {
    ($from:literal, $to:literal, $($path:literal),+ $(,)?) => {
        &[$((
            concat!($to, $path),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../", $from, $path)),
        )),+]
    };
}

const CONTRACT: &[File] = files!["wit/", "wit/", "scheduler.wit"];
const RUST: &[File] = files![
    "policies/examples/rust/",
    "",
    "Cargo.toml",
    "README.md",
    "component/Cargo.toml",
    "component/src/main.rs",
    "src/lib.rs",
    "tests/policy.rs",
];
const RUST_IGNORED: &[File] = &[(".gitignore", "target/\n*.wasm\n")];
const COMPONENT: &[File] = files![
    "policies/build/src/",
    "component/src/",
    "compile.rs",
    "component.rs",
];
const SDK: &[File] = files![
    "policies/sdk/",
    "sdk/",
    "Cargo.toml",
    "src/ageing.rs",
    "src/cluster.rs",
    "src/component/bindings.rs",
    "src/component/convert.rs",
    "src/component/mod.rs",
    "src/component/rt.rs",
    "src/config.rs",
    "src/instance.rs",
    "src/lib.rs",
    "src/log.rs",
    "src/most_room.rs",
    "src/places/mod.rs",
    "src/places/table.rs",
    "src/room.rs",
    "src/sample.rs",
    "src/types.rs",
    "src/usage.rs",
    "src/verdict.rs",
];
const JS: &[File] = files![
    "policies/examples/js/",
    "",
    "README.md",
    "build.js",
    "cluster.js",
    "package.json",
    "policy.js",
    "test/policy.test.js",
];
const JS_IGNORED: &[File] = &[(".gitignore", "node_modules/\n*.wasm\n")];
const PYTHON: &[File] = files![
    "policies/examples/python/",
    "",
    "README.md",
    "app.py",
    "cluster.py",
    "requirements.txt",
    "test/test_policy.py",
];
const PYTHON_IGNORED: &[File] = &[(".gitignore", "venv/\nbindings/\n__pycache__/\n*.wasm\n")];

/// Every file of a project in that language, still with the placeholder's name.
pub fn of(language: Language) -> impl Iterator<Item = &'static File> {
    let parts: &[&[File]] = match language {
        Language::Rust => &[CONTRACT, RUST, RUST_IGNORED, COMPONENT, SDK],
        Language::Js => &[CONTRACT, JS, JS_IGNORED],
        Language::Python => &[CONTRACT, PYTHON, PYTHON_IGNORED],
    };
    parts.iter().copied().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Every file below a folder of the repository, by its path from there.
    fn below(folder: &Path, from: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if ["node_modules", "venv", "bindings", "__pycache__", "target"].contains(&name) {
                continue; // what somebody built there
            }
            if path.is_dir() {
                below(&path, from, found);
            } else if !name.ends_with(".wasm") && !name.ends_with("-lock.json") {
                let path = path.strip_prefix(from).unwrap();
                found.insert(path.to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_file_of_the_examples_and_the_sdk_is_in_a_template() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for (folder, prefix, files) in [
            ("policies/examples/rust", "", RUST),
            ("policies/examples/js", "", JS),
            ("policies/examples/python", "", PYTHON),
            ("policies/sdk", "sdk/", SDK),
            ("wit", "wit/", CONTRACT),
        ] {
            let mut there = BTreeSet::new();
            below(&root.join(folder), &root.join(folder), &mut there);
            let here: BTreeSet<String> = files
                .iter()
                .map(|(path, _)| path.strip_prefix(prefix).unwrap().to_owned())
                .collect();
            assert_eq!(here, there, "of {folder}");
        }
    }
}
