//! What keeps a process from starting, each with its exact message and exit code; and what must not keep it.
//!
//! Where permissions matter, the process runs as nobody: as root there are none.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::getuid;
use tempfile::TempDir;

use crate::cluster::{Cluster, FFRTMP, Process, free_port, until};

/// The user and group `nobody`.
const NOBODY: u32 = 65_534;

/// A folder for one process that is not to start.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        // Others may look, as in most folders.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Place { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// `ffrtmp` with these words, logging nothing, so that stderr is its messages alone.
    fn ffrtmp(&self, words: &[&str]) -> Command {
        self.program(Path::new(FFRTMP), words)
    }

    fn program(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("RUST_LOG", "off")
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .args(words);
        command
    }

    /// [`Place::ffrtmp`], as a user who may do nothing special. (As another user than root we are that already.)
    fn as_nobody(&self, words: &[&str]) -> Command {
        if !getuid().is_root() {
            return self.ffrtmp(words);
        }
        // The folder the binary was built in may be closed to others.
        let program = self.path("ffrtmp-binary");
        if !program.exists() && fs::hard_link(FFRTMP, &program).is_err() {
            fs::copy(FFRTMP, &program).unwrap();
        }
        let mut command = self.program(&program, words);
        command.uid(NOBODY).gid(NOBODY);
        command
    }

    /// A master on free ports with further words.
    fn master(&self, words: &[&str]) -> Vec<String> {
        let listen = format!("127.0.0.1:{}", free_port());
        let (data, policies) = (self.text("data"), self.text("policies"));
        let mut all: Vec<String> = ["master", "--listen", &listen, "--no-metrics"]
            .map(String::from)
            .to_vec();
        for (flag, value) in [("--data-dir", data), ("--policies", policies)] {
            if !words.contains(&flag) {
                all.extend([flag.to_owned(), value]);
            }
        }
        all.extend(words.iter().map(|word| (*word).to_owned()));
        all
    }

    /// A worker with further words, of a master that is not there.
    fn worker(&self, words: &[&str]) -> Vec<String> {
        let state = self.text("state");
        let mut all: Vec<String> = ["worker", "--no-metrics"].map(String::from).to_vec();
        for (flag, value) in [
            ("--master", "http://127.0.0.1:1"),
            ("--state-dir", state.as_str()),
        ] {
            if !words.contains(&flag) {
                all.extend([flag.to_owned(), value.to_owned()]);
            }
        }
        all.extend(words.iter().map(|word| (*word).to_owned()));
        all
    }
}

fn words(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

/// The exit code and everything on stderr. A process that does not end by itself fails the test.
#[track_caller]
fn refused(command: &mut Command) -> (i32, String) {
    let mut err = tempfile::tempfile().unwrap();
    command
        .stdout(Stdio::null())
        .stderr(err.try_clone().unwrap());
    let mut process = Process {
        child: command.spawn().unwrap(),
    };
    let status = process.wait();
    let mut text = String::new();
    std::io::Seek::rewind(&mut err).unwrap();
    std::io::Read::read_to_string(&mut err, &mut text).unwrap();
    (status.code().unwrap(), text)
}

// Ports.

#[test]
fn a_taken_port_is_named_with_what_wanted_it_and_the_flag_that_changes_it() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (port, address) = (address.port(), address.to_string());
    let free = format!("127.0.0.1:{}", free_port());
    let (data, state) = (place.text("data"), place.text("state"));
    for (what, flag, words) in [
        (
            "the API",
            "--listen",
            vec![
                "master",
                "--no-metrics",
                "--data-dir",
                &data,
                "--listen",
                &address,
            ],
        ),
        (
            "the master's metrics",
            "--metrics-listen",
            vec![
                "master",
                "--listen",
                &free,
                "--data-dir",
                &data,
                "--metrics-listen",
                &address,
            ],
        ),
        (
            "the worker's metrics",
            "--metrics-listen",
            vec![
                "worker",
                "--state-dir",
                &state,
                "--metrics-listen",
                &address,
            ],
        ),
        (
            "the API",
            "--listen",
            vec!["up", "--data-dir", &data, "--listen", &address],
        ),
    ] {
        let message = format!(
            "ffrtmp: port {port} is taken, which {what} was to listen on ({address}). Is another ffrtmp running? \
             Choose another port with {flag} 127.0.0.1:PORT\n"
        );
        assert_eq!(refused(&mut place.ffrtmp(&words)), (1, message));
    }
    assert!(!place.path("data").exists(), "nothing was made");
}

// The data directory.

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let place = Place::new();
    fs::create_dir(place.path("data")).unwrap();
    fs::set_permissions(place.path("data"), fs::Permissions::from_mode(0o555)).unwrap();
    let args = place.master(&[]);
    assert_eq!(
        refused(&mut place.as_nobody(&words(&args))),
        (
            1,
            format!(
                "ffrtmp: the data directory {} cannot be used: Permission denied (os error 13); choose another with \
                 --data-dir or change its permissions\n",
                place.text("data")
            )
        )
    );
}

#[test]
fn a_file_is_no_data_directory() {
    let place = Place::new();
    fs::write(place.path("data"), "").unwrap();
    let args = place.master(&[]);
    assert_eq!(
        refused(&mut place.ffrtmp(&words(&args))),
        (
            1,
            format!(
                "ffrtmp: the data directory {} cannot be used: it is a file; choose another with --data-dir or change \
                 its permissions\n",
                place.text("data")
            )
        )
    );
}

#[test]
fn a_data_directory_that_another_master_holds_is_left_alone() {
    let cluster = Cluster::with_master();
    let place = Place::new();
    let data = cluster.file("data");
    let args = place.master(&["--data-dir", &data]);
    assert_eq!(
        refused(&mut place.ffrtmp(&words(&args))),
        (
            1,
            format!(
                "ffrtmp: the data directory {data} is in use by another master; stop that one or choose another with \
                 --data-dir\n"
            )
        )
    );
    cluster.finish();
}

#[test]
fn data_of_a_newer_version_is_left_alone_and_both_versions_are_named() {
    let mut cluster = Cluster::with_master();
    cluster.kill_master();
    let store = rusqlite::Connection::open(cluster.path("data/ffrtmp.sqlite")).unwrap();
    let known: i64 = store
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    store.pragma_update(None, "user_version", 4_000).unwrap();
    drop(store);
    let place = Place::new();
    let data = cluster.file("data");
    let args = place.master(&["--data-dir", &data]);
    assert_eq!(
        refused(&mut place.ffrtmp(&words(&args))),
        (
            1,
            format!(
                "ffrtmp: the data in {data} has schema version 4000, this software knows up to {known}; install the \
                 newer version again\n"
            )
        )
    );
}

// The policies folder: a master without a policy of its own decides all the same, and says so.

/// A master with this policies folder, ready, and what it logged.
fn log_with_policies(cluster: &mut Cluster, nobody: Option<&Place>) -> String {
    let args = cluster.master_args();
    let mut command = match nobody {
        Some(place) => place.as_nobody(&words(&args)),
        None => {
            let mut command = cluster.command("master");
            command.args(&args);
            command
        }
    };
    let log = fs::File::create(cluster.path("master.log")).unwrap();
    command.env("RUST_LOG", "info").stderr(log);
    cluster.master = Some(Process {
        child: command.spawn().unwrap(),
    });
    cluster.until_ready();
    cluster.log("master")
}

#[test]
fn a_missing_policies_folder_is_made_good_by_the_built_in_policy() {
    let mut cluster = Cluster::new();
    fs::remove_dir_all(cluster.path("policies")).unwrap();
    log_with_policies(&mut cluster, None);
    let list = cluster.client().policies().unwrap().policies;
    assert!(
        list.iter()
            .any(|p| p.digest == "native" && p.state == "active"),
        "{list:?}"
    );
    cluster.finish();
}

#[test]
fn an_unreadable_policies_folder_is_named_and_the_built_in_policy_rules() {
    let place = Place::new();
    let mut cluster = Cluster::new();
    fs::set_permissions(cluster.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(cluster.path("policies"), fs::Permissions::from_mode(0o000)).unwrap();
    let log = log_with_policies(&mut cluster, Some(&place));
    let line = format!(
        "the policies folder cannot be read; what ruled goes on ruling, looking again every 5 s dir={} error=Permission denied (os error 13)",
        cluster.file("policies")
    );
    assert!(log.contains(&line), "{log}");
    let list = cluster.client().policies().unwrap().policies;
    assert!(
        list.iter()
            .any(|p| p.digest == "native" && p.state == "active"),
        "{list:?}"
    );
    cluster.finish();
}

#[test]
fn junk_in_the_policies_folder_is_refused_by_name_and_costs_nothing() {
    let mut cluster = Cluster::new();
    fs::write(cluster.path("policies/junk.wasm"), "not wasm at all").unwrap();
    log_with_policies(&mut cluster, None);
    // Files are judged while the master serves already.
    until("junk is refused and balanced rules", || {
        let list = cluster.client().policies().ok()?.policies;
        let is = |name: &str, state: &str| list.iter().any(|p| p.name == name && p.state == state);
        (is("junk", "refused") && is("balanced", "active")).then_some(())
    });
    cluster.finish();
}

// The worker.

#[test]
fn a_state_directory_that_cannot_be_written_is_named() {
    let place = Place::new();
    fs::create_dir(place.path("state")).unwrap();
    let args = place.worker(&[]);
    assert_eq!(
        refused(&mut place.as_nobody(&words(&args))),
        (
            1,
            format!(
                "ffrtmp: the state directory {} cannot be made: Permission denied (os error 13)\n",
                place.text("state")
            )
        )
    );
}

#[test]
fn a_program_that_is_no_ffmpeg_is_refused_and_so_is_one_that_is_not_there() {
    let place = Place::new();
    for (program, message) in [
        (
            "/bin/true",
            "ffrtmp: /bin/true is not ffmpeg: asked for its version it said \"\"; name another with --ffmpeg\n",
        ),
        (
            "/bin/false",
            "ffrtmp: /bin/false -version failed (exit status: 1): it said nothing; name another ffmpeg with --ffmpeg\n",
        ),
        (
            "/no/such/ffmpeg",
            "ffrtmp: /no/such/ffmpeg is not an executable file; install it or name another with --ffmpeg\n",
        ),
        (
            "no-such-ffmpeg",
            "ffrtmp: no-such-ffmpeg was not found in PATH; install it or name it with --ffmpeg\n",
        ),
    ] {
        let args = place.worker(&["--ffmpeg", program]);
        assert_eq!(
            refused(&mut place.ffrtmp(&words(&args))),
            (1, message.to_owned())
        );
    }
    let args = place.worker(&["--ffprobe", "/bin/true"]);
    assert_eq!(
        refused(&mut place.ffrtmp(&words(&args))),
        (1, "ffrtmp: /bin/true is not ffprobe: asked for its version it said \"\"; name another with --ffprobe\n".to_owned())
    );
}

#[test]
fn a_master_s_address_that_is_none_is_refused_before_anything_is_made() {
    let place = Place::new();
    let args = place.worker(&["--master", "ftp://farm"]);
    let (code, err) = refused(&mut place.ffrtmp(&words(&args)));
    assert_eq!(code, 2);
    assert!(
        err.starts_with(
            "ffrtmp: \"ftp://farm\" is not a master's address: ftp:// is not spoken; use http"
        ),
        "{err}"
    );
    assert!(!place.path("state").exists());
}

#[test]
fn two_workers_cannot_share_a_state_directory() {
    let cluster = Cluster::with_worker(1);
    let place = Place::new();
    let state = cluster.file("state-w1");
    let args = place.worker(&["--state-dir", &state, "--name", "other"]);
    assert_eq!(
        refused(&mut place.ffrtmp(&words(&args))),
        (
            1,
            format!(
                "ffrtmp: another worker uses the state directory {state}; stop it, or give this one a directory of its \
                 own with --state-dir\n"
            )
        )
    );
    cluster.finish();
}

// Settings.

#[test]
fn a_lease_of_less_than_three_heartbeats_is_refused() {
    let place = Place::new();
    let args = place.master(&["--lease", "5s", "--heartbeat", "2s"]);
    assert_eq!(
        refused(&mut place.ffrtmp(&words(&args))),
        (
            2,
            "ffrtmp: the lease (5s) must be at least three heartbeats (2s each), or one lost frame loses a job\n"
                .to_owned()
        )
    );
}

#[test]
fn a_settings_file_with_mistakes_is_refused_whole_with_every_line_that_has_one() {
    let place = Place::new();
    fs::write(
        place.path("f.toml"),
        "[master]\nlisen = \"127.0.0.1:1\"\nlease = true\n\n[worker]\nslots = 0\n",
    )
    .unwrap();
    let message = "ffrtmp: f.toml:2: [master] lisen: there is no such setting; did you mean listen?\n  \
                   f.toml:3: [master] lease = true: it takes a length of time, as in \"30s\", or a number of seconds\n  \
                   f.toml:6: [worker] slots = 0: 0 is not in 1..=1024\n";
    for command in ["master", "worker", "up"] {
        assert_eq!(
            refused(&mut place.ffrtmp(&[command, "--config", "f.toml"])),
            (2, message.to_owned())
        );
    }
    // A client reads the same format.
    assert_eq!(
        refused(
            place
                .ffrtmp(&["jobs", "list"])
                .env("FFRTMP_CONFIG", "f.toml")
        ),
        (2, message.to_owned())
    );
}

#[test]
fn a_settings_file_that_is_not_toml_not_there_not_a_file_or_not_readable_says_so() {
    let place = Place::new();
    fs::write(place.path("torn.toml"), "[master]\nlease = \"30s\n").unwrap();
    let (code, err) = refused(&mut place.ffrtmp(&["master", "--config", "torn.toml"]));
    assert_eq!(code, 2);
    assert!(err.starts_with("ffrtmp: torn.toml:2: not TOML: "), "{err}");
    for (file, why) in [
        ("none.toml", "No such file or directory (os error 2)"),
        (".", "it is not a regular file"),
    ] {
        assert_eq!(
            refused(&mut place.ffrtmp(&["master", "--config", file])),
            (
                1,
                format!("ffrtmp: cannot read the settings file {file}: {why}\n")
            )
        );
    }
    fs::write(place.path("closed.toml"), "").unwrap();
    fs::set_permissions(place.path("closed.toml"), fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(
        refused(&mut place.as_nobody(&["master", "--config", "closed.toml"])),
        (
            1,
            "ffrtmp: cannot read the settings file closed.toml: Permission denied (os error 13)\n"
                .to_owned()
        )
    );
}

#[test]
fn a_variable_that_makes_no_sense_is_named() {
    let place = Place::new();
    assert_eq!(
        refused(
            place
                .ffrtmp(&["master"])
                .env("FFRTMP_MASTER_LISTEN", "everywhere")
        ),
        (
            2,
            "ffrtmp: FFRTMP_MASTER_LISTEN=\"everywhere\": invalid socket address syntax\n"
                .to_owned()
        )
    );
    assert_eq!(
        refused(place.ffrtmp(&["worker"]).env("RUST_LOG", "ffrtmp_host=loud")),
        (
            2,
            "ffrtmp: RUST_LOG=\"ffrtmp_host=loud\": error parsing level filter: expected one of \"off\", \"error\", \
             \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5; as in info, or info,ffrtmp_host=debug\n"
                .to_owned()
        )
    );
}
