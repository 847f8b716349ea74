//! What `ffrtmp policies new` writes: it builds by the commands of its own README, and places jobs in a real cluster.
//!
//! The languages' toolchains are fetched by `scripts/test-tools.sh` into `target/tools`, never installed.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::cluster::{Cluster, root, tiny, until};

/// A new project in the cluster's folder.
fn project(cluster: &Cluster, name: &str, lang: &str) -> PathBuf {
    let made = cluster
        .command("new")
        .args(["policies", "new", name, "--lang", lang])
        .args(["--dir", &cluster.file("")])
        .status()
        .unwrap();
    assert!(made.success(), "{}", cluster.log("new"));
    cluster.path(name)
}

/// Runs a command in a project; it must succeed.
fn run(project: &Path, program: impl AsRef<Path>, args: &[&str], env: &[(&str, &str)]) {
    let program = program.as_ref();
    let output = Command::new(program)
        .args(args)
        .current_dir(project)
        .env_remove("CARGO_TARGET_DIR")
        .envs(env.iter().copied())
        .output()
        .unwrap_or_else(|e| {
            panic!(
                "{}: {e}; scripts/test-tools.sh fetches it",
                program.display()
            )
        });
    assert!(
        output.status.success(),
        "{} {args:?}:\n{}\n{}",
        program.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Puts the built policy into the running master's folder, as its README says, and lets it place a job.
fn places_a_job(cluster: &Cluster, project: &Path, name: &str) {
    let file = format!("{name}.wasm");
    cluster.put_in_policies(&file, &std::fs::read(project.join(&file)).unwrap());
    until("the new policy rules", || {
        let list = cluster.client().policies().ok()?.policies;
        let policy = list.into_iter().find(|p| p.name == name)?;
        assert_ne!(policy.state, "refused", "{:?}", policy.last_error);
        (policy.state == "active").then_some(())
    });
    let job = cluster.submit(tiny(0.2));
    let placement = cluster.until_completed(job).placement.unwrap();
    assert_eq!(placement.policy, name, "{placement:?}");
    assert!(
        placement.reason.starts_with("most free slots: 2 of them"),
        "{placement:?}"
    );
}

#[test]
fn a_new_rust_policy_passes_its_tests_builds_and_places_a_job() {
    let cluster = Cluster::with_worker(2);
    let project = project(&cluster, "first-rust", "rust");
    // What was compiled for the last run is not compiled again.
    let kept = root().join("target/tools/rust-policy");
    std::fs::create_dir_all(&kept).unwrap();
    symlink(kept, project.join("target")).unwrap();
    run(&project, "cargo", &["test"], &[]);
    run(&project, "cargo", &["run", "-p", "component"], &[]);
    places_a_job(&cluster, &project, "first-rust");
    cluster.finish();
}

#[test]
fn a_new_javascript_policy_passes_its_tests_builds_and_places_a_job() {
    let cluster = Cluster::with_worker(2);
    let project = project(&cluster, "first-js", "js");
    let modules = root().join("target/tools/componentize-js/node_modules");
    symlink(modules, project.join("node_modules")).unwrap();
    run(&project, "npm", &["test"], &[]);
    run(&project, "npm", &["run", "build"], &[]);
    places_a_job(&cluster, &project, "first-js");
    cluster.finish();
}

#[test]
fn a_new_python_policy_passes_its_tests_builds_and_places_a_job() {
    let cluster = Cluster::with_worker(2);
    let project = project(&cluster, "first-python", "python");
    let bin = root().join("target/tools/componentize-py/bin");
    let world = ["-d", "wit", "-w", "scheduling-policy"];
    let tool = bin.join("componentize-py");
    run(
        &project,
        &tool,
        &[&world[..], &["bindings", "bindings"]].concat(),
        &[],
    );
    let tests = ["-m", "unittest", "discover", "test"];
    let path = [("PYTHONPATH", "bindings:.")];
    run(&project, bin.join("python"), &tests, &path);
    let build = ["componentize", "app", "--stub-wasi", "-o"];
    run(
        &project,
        &tool,
        &[&world[..], &build, &["first-python.wasm"]].concat(),
        &[],
    );
    places_a_job(&cluster, &project, "first-python");
    cluster.finish();
}
