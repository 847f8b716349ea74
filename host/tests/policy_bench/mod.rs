//! A policy host with folders of its own, and a core that does nothing but ask.

#![allow(dead_code)] // each test binary uses a part of it

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use ffrtmp_api::rest::{PolicyList, PolicyStatus};
use ffrtmp_host::core::round::{Outcome, Round, RoundEnded, Work};
use ffrtmp_host::policy::{
    Choice, CommandError, Limits, Mode, PolicyCommand, PolicyEvent, PolicyHost, PolicyHostConfig,
};
use ffrtmp_policy_sdk::sample::Sample;
use ffrtmp_policy_sdk::{Change, Cluster};
use tempfile::TempDir;

/// Longer than anything here may take.
pub const SOON: Duration = Duration::from_secs(5);

/// A policy host with folders of its own, and a core that does nothing but ask.
pub struct Bench {
    dirs: TempDir,
    pub host: PolicyHost,
    events: Receiver<PolicyEvent>,
    sample: Sample,
    snapshot: Vec<Change>,
    cluster: Cluster,
    pub next: u64,
    pub chosen: Vec<Choice>,
    needs_reset: bool,
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
}

impl Bench {
    pub fn new(files: &[(&str, &str)]) -> Bench {
        let dirs = tempfile::tempdir().unwrap();
        std::fs::create_dir(dirs.path().join("policies")).unwrap();
        for (source, name) in files {
            std::fs::copy(repository(source), dirs.path().join("policies").join(name)).unwrap();
        }
        Bench::start(dirs, None)
    }

    pub fn start(dirs: TempDir, saved: Option<Choice>) -> Bench {
        Bench::start_in(dirs, saved, Mode::Automatic)
    }

    /// In a mode.
    pub fn start_in(dirs: TempDir, saved: Option<Choice>, mode: Mode) -> Bench {
        let (sender, events) = channel();
        let config = PolicyHostConfig {
            dir: dirs.path().join("policies"),
            initial: "balanced".into(),
            mode,
            limits: Limits {
                call_cpu: Duration::from_millis(50),
                call_wall: Duration::from_secs(2),
                ..Limits::default()
            },
        };
        let host = PolicyHost::start(config, saved, dirs.path().join("accepted"), move |event| {
            // A test that has ended listens no more.
            let _ = sender.send(event);
        })
        .unwrap();
        let mut sample = Sample::new(7);
        let snapshot = sample.snapshot(50);
        let mut cluster = Cluster::default();
        snapshot.iter().for_each(|change| cluster.apply(change));
        Bench {
            dirs,
            host,
            events,
            sample,
            snapshot,
            cluster,
            next: 1,
            chosen: Vec::new(),
            needs_reset: true,
        }
    }

    /// Stops, lets something happen to the folder, and starts again.
    pub fn restart_after(self, meanwhile: impl FnOnce(&Path)) -> Bench {
        let saved = self.chosen.last().cloned();
        self.host.shutdown();
        meanwhile(&self.dirs.path().join("policies"));
        Bench::start(self.dirs, saved)
    }

    pub fn folder(&self) -> &Path {
        self.dirs.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder().join("policies").join(name)
    }

    /// As an operator does: written beside, moved into place.
    pub fn drop_in(&self, source: &str, name: &str) {
        self.drop_in_together(&[(source, name)]);
    }

    /// Moves several in, one right after the other, however long it takes to make them.
    pub fn drop_in_together(&self, files: &[(&str, &str)]) {
        let part = |name: &str| self.folder().join(format!("{name}.part"));
        for (source, name) in files {
            std::fs::copy(repository(source), part(name)).unwrap();
        }
        for (_, name) in files {
            std::fs::rename(part(name), self.file(name)).unwrap();
        }
    }

    /// One round, as the core runs it. Gives who answered.
    pub fn round(&mut self) -> RoundEnded {
        // Tests run side by side; one that asks as fast as it can starves the others' librarians.
        std::thread::sleep(Duration::from_micros(500));
        let reset = std::mem::take(&mut self.needs_reset);
        let changes = if reset {
            self.snapshot.clone()
        } else {
            Vec::new()
        };
        let (id, ask) = (self.next, self.sample.ask(20, &self.cluster));
        self.next += 1;
        self.host.submit(Round {
            id,
            reset,
            changes: changes.into(),
            work: Work::Plan(ask.into()),
        });
        let ended = loop {
            match self.events.recv_timeout(SOON).expect("the round was lost") {
                PolicyEvent::RoundEnded(ended) => break ended,
                PolicyEvent::Chosen(choice) => self.chosen.push(choice),
                PolicyEvent::Changed(_) | PolicyEvent::Seated | PolicyEvent::Shadow(_) => {}
            }
        };
        assert_eq!(ended.id, id, "a round ended twice, or out of order");
        self.needs_reset = matches!(ended.outcome, Outcome::NeedsReset | Outcome::Fault { .. });
        ended
    }

    /// A round that is answered. Gives the policy's name.
    pub fn answered_by(&mut self) -> String {
        loop {
            let ended = self.round();
            match ended.outcome {
                Outcome::NeedsReset => continue,
                Outcome::Answer(_) => {
                    return format!("{}@{}", ended.policy.name, ended.policy.digest);
                }
                other => panic!("{} answered {other:?}", ended.policy.name),
            }
        }
    }

    /// Runs rounds until that policy answers one.
    pub fn until(&mut self, name: &str) -> Duration {
        let from = Instant::now();
        while !self.answered_by().starts_with(name) {
            assert!(
                from.elapsed() < SOON,
                "{name} does not rule: {:#?}",
                self.host.status().policies
            );
        }
        from.elapsed()
    }

    pub fn status(&self, name: &str) -> Option<PolicyStatus> {
        self.host
            .status()
            .policies
            .into_iter()
            .find(|p| p.name == name && p.digest != "native")
    }

    pub fn until_state(&mut self, name: &str, state: &str) -> PolicyStatus {
        let from = Instant::now();
        loop {
            if let Some(status) = self.status(name).filter(|s| s.state == state) {
                return status;
            }
            assert!(
                from.elapsed() < SOON,
                "{name} is not {state}: {:#?}",
                self.host.status().policies
            );
            self.round();
        }
    }

    /// Runs rounds for a while; gives the last policy that answered.
    pub fn rounds_for(&mut self, time: Duration) -> String {
        let from = Instant::now();
        loop {
            let name = self.answered_by();
            if from.elapsed() > time {
                return name;
            }
        }
    }

    /// Gives an order, as the API does.
    pub fn order(&self, command: PolicyCommand) -> Result<PolicyList, CommandError> {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        runtime.block_on(self.host.command(command))
    }

    /// The same, where it must be carried out; gives who answers the next round.
    pub fn ordered(&mut self, command: PolicyCommand) -> String {
        self.order(command).unwrap();
        self.answered_by()
    }
}
