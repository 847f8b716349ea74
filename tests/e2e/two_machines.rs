//! The walk of `docs/SECURITY.md`, as it stands there, on two machines: network namespaces joined by a cable. They share a
//! file system; what the document copies with scp is copied.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::cluster::{FFRTMP, Process, footage, root, until};

/// Two network namespaces, 10.0.0.5 and 10.0.0.6. Deleted when dropped.
struct Machines {
    names: [String; 2],
}

impl Machines {
    /// Says why not, where the system does not let us.
    fn make() -> Result<Machines, String> {
        let id = std::process::id();
        let machines = Machines {
            names: [format!("ffrtmp-a-{id}"), format!("ffrtmp-b-{id}")],
        };
        let [a, b] = &machines.names;
        let (at_a, at_b) = (
            format!("ffa{}", id % 100_000),
            format!("ffb{}", id % 100_000),
        );
        ip(&["netns", "add", a])?;
        ip(&["netns", "add", b])?;
        ip(&[
            "link", "add", &at_a, "netns", a, "type", "veth", "peer", "name", &at_b, "netns", b,
        ])?;
        for (name, link, address) in [(a, &at_a, "10.0.0.5/24"), (b, &at_b, "10.0.0.6/24")] {
            ip(&["-n", name, "address", "add", address, "dev", link])?;
            ip(&["-n", name, "link", "set", link, "up"])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        Ok(machines)
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&["netns", "delete", name]); // it may not have been made
        }
    }
}

fn ip(words: &[&str]) -> Result<(), String> {
    let output = Command::new("ip")
        .args(words)
        .output()
        .map_err(|error| format!("`ip` cannot be run: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "ip {}: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}

/// The fenced blocks ```` ```sh WHERE ```` of the document, in order.
fn blocks() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("docs/SECURITY.md")).unwrap();
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if let Some(place) = line.strip_prefix("```sh ") {
            blocks.push((place.to_owned(), String::new()));
            inside = true;
        } else if line == "```" {
            inside = false;
        } else if inside {
            let script = &mut blocks.last_mut().unwrap().1;
            script.push_str(line);
            script.push('\n');
        }
    }
    blocks
}

/// One machine's folder, in its namespace.
struct Place<'a> {
    namespace: &'a str,
    dir: PathBuf,
}

impl Place<'_> {
    /// A shell there, with `ffrtmp` in its path and nothing of ours in its environment.
    fn shell(&self, script: &str) -> Command {
        let bin = Path::new(FFRTMP).parent().unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", self.namespace, "sh", "-euc", script])
            .env_clear()
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("HOME", &self.dir)
            .env("RUST_LOG", "debug,hyper=info")
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .process_group(0);
        command
    }

    fn run(&self, script: &str) -> Output {
        self.shell(script).output().unwrap()
    }

    /// A script whose last command is to stay in the background.
    fn stay(&self, script: &str, log: &str) -> Process {
        let script = script.trim_end().strip_suffix('&').unwrap();
        let (before, last) = script.rsplit_once('\n').unwrap_or(("", script));
        let log = fs::File::create(self.dir.join(log)).unwrap();
        let child = self
            .shell(&format!("{before}\nexec {last}"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Process { child }
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{out}\n{err}");
    out.into_owned()
}

#[test]
fn the_walk_of_the_security_guide_works_on_two_machines_as_it_stands_there() {
    let machines = match Machines::make() {
        Ok(machines) => machines,
        Err(why) => {
            eprintln!("SKIPPED: network namespaces cannot be made here ({why})");
            return;
        }
    };
    let dir = TempDir::new().unwrap();
    let place = |name: &str, machine: usize| {
        let dir = dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        Place {
            namespace: &machines.names[machine],
            dir,
        }
    };
    let (master, worker, user) = (place("master", 0), place("worker", 1), place("user", 1));
    let blocks = blocks();
    let places: Vec<&str> = blocks.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["master", "master", "worker", "user"]);
    let script = |i: usize| blocks[i].1.as_str();
    let copy = |from: &str, to: &Place| {
        let from = master.dir.join(from);
        fs::copy(&from, to.dir.join(from.file_name().unwrap())).unwrap();
    };

    let _master = master.stay(script(0), "master.log");
    until("the master is ready", || {
        master
            .log("master.log")
            .contains("the master is ready")
            .then_some(())
    });
    succeeded(&master.run(script(1)));
    copy("tls/ca.pem", &worker);
    copy("join.token", &worker);
    let running = worker.stay(script(2), "worker.log");
    until("the worker is welcomed", || {
        worker
            .log("worker.log")
            .contains("welcomed by the master")
            .then_some(())
    });
    copy("tls/ca.pem", &user);
    copy("alice.token", &user);
    copy("read.token", &user);
    fs::copy(footage(), user.dir.join("in.mp4")).unwrap();
    succeeded(&user.run(script(3)));
    let probed = succeeded(&user.run(
        "ffprobe -v error -select_streams v:0 -show_entries stream=codec_name,width,height -of csv=p=0 out.mp4",
    ));
    assert_eq!(probed.trim(), "h264,640,360");

    // Who only looks may look and not submit.
    let as_user = |words: &str| {
        user.run(&format!(
            "export FFRTMP_MASTER=https://10.0.0.5:8080 FFRTMP_TLS_CA=ca.pem\n{words}"
        ))
    };
    let list = succeeded(&as_user(
        "ffrtmp jobs list --token-file read.token --output json",
    ));
    assert!(list.contains("\"completed\""), "{list}");
    let refused = as_user("ffrtmp jobs submit --token-file read.token --input in.mp4");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("role submit") && said.contains("role read") && said.contains("dashboard"),
        "{said}"
    );
    // Without the authority it fails, and says what to do.
    let refused = as_user("unset FFRTMP_TLS_CA\nffrtmp jobs list --token-file read.token");
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("--tls-ca") && said.contains("FFRTMP_TLS_CA"),
        "{said}"
    );
    // The join token is used up: another machine cannot join with it.
    let refused = worker.run(
        "ffrtmp worker --master https://10.0.0.5:8080 --tls-ca ca.pem --join-token-file join.token --name worker-2 \
         --state-dir other --no-metrics",
    );
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("admitted as many workers as it may"),
        "{said}"
    );
    // The first needs no join token any more.
    drop(running);
    fs::remove_file(worker.dir.join("join.token")).unwrap();
    let _again = worker.stay(
        "ffrtmp worker --master https://10.0.0.5:8080 --tls-ca ca.pem --name worker-1 &",
        "again.log",
    );
    until("the worker is welcomed again", || {
        worker
            .log("again.log")
            .contains("welcomed by the master")
            .then_some(())
    });

    // No secret is in what any of them logged, however much they logged.
    let logs = [
        master.log("master.log"),
        worker.log("worker.log"),
        worker.log("again.log"),
    ];
    let state = worker.dir.join(".local/state/ffrtmp/worker/token");
    for secret in [
        master.dir.join("admin.token"),
        master.dir.join("join.token"),
        master.dir.join("alice.token"),
        master.dir.join("read.token"),
        state,
    ] {
        let secret = fs::read_to_string(&secret).unwrap().trim().to_owned();
        assert!(secret.len() >= 64);
        for log in &logs {
            assert!(!log.contains(&secret), "a secret is in a log");
        }
    }
    // What happened is in the audit.
    let audit = &logs[0];
    for part in ["/v1/tokens", "/v1/join", "alice", "10.0.0.6", "refused"] {
        assert!(
            audit
                .lines()
                .any(|line| line.contains("audit") && line.contains(part)),
            "{part:?} is not in the audit lines"
        );
    }
}
