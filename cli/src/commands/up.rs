//! `ffrtmp up`: a whole cluster on one machine, as child processes of this one.
//!
//! The children are exactly what `ffrtmp master` and `ffrtmp worker` run, so nothing is tried here that is not used in
//! production. This file says what they are and when the cluster is ready; `supervisor` keeps them.

use std::{
    ffi::OsString,
    fs,
    io::{Write, stdout},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use ffrtmp_api::{client::Client, rest::NodeStatus};
use serde::Serialize;

use crate::{
    args::GlobalArgs,
    commands::worker::METRICS_PORT_DEFAULT,
    dirs,
    exit::{Failure, Result},
    listen,
    logging::LogArgs,
    output::Format,
    supervisor::{Drained, Event, Role, Supervisor},
    tls::{self, ApiTlsArgs},
    token, values,
};

/// How long the cluster may take to become ready. Compiling a policy in another language takes seconds on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a master may take to end: a last commit on a slow disk.
const MASTER_ENDS_WITHIN: Duration = Duration::from_secs(15);
/// What a worker may take beyond its grace time, to kill and to report.
const WORKER_ENDS_WITHIN: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ffrtmp up
  ffrtmp up --workers 2 --slots 2 --data-dir /tmp/ffrtmp
  ffrtmp up --listen 127.0.0.1:18080 --metrics-listen 127.0.0.1:19090

Ctrl-C ends it in order: running encodes get --grace to finish, what is left goes back to the queue,
which is kept in --data-dir. A second Ctrl-C ends it at once. Logs go to stderr; RUST_LOG=info shows more.")]
pub struct UpArgs {
    /// Where everything is kept; default: ffrtmp in $XDG_STATE_HOME or ~/.local/state
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address of the API
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Address of the master's metrics
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9090")]
    metrics_listen: SocketAddr,
    /// Address of the first worker's metrics; the others take the ports after it
    #[arg(long, value_name = "ADDR:PORT", default_value_t = SocketAddr::from(([127, 0, 0, 1], METRICS_PORT_DEFAULT)))]
    worker_metrics_listen: SocketAddr,
    /// Workers to run
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=64))]
    workers: u16,
    /// Most encodes at once on each worker; default: by the number of cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    slots: Option<u32>,
    /// Folder watched for policies (*.wasm); default: ./policies if there is one, else policies in --data-dir
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Policy that decides on a fresh data directory
    #[arg(long, value_name = "NAME", default_value = "balanced")]
    policy: String,
    /// How long running encodes may go on after Ctrl-C
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::duration)]
    grace: Duration,
    /// The ffmpeg to run
    #[arg(long, value_name = "PATH", default_value = "ffmpeg")]
    ffmpeg: PathBuf,
    /// The ffprobe to run
    #[arg(long, value_name = "PATH", default_value = "ffprobe")]
    ffprobe: PathBuf,
    /// The master's certificate.
    #[command(flatten)]
    tls: ApiTlsArgs,
    /// How the children log.
    #[command(flatten)]
    log: LogArgs,
}

/// A cluster that is ready, as `--format json` prints it.
#[derive(Debug, Serialize)]
struct Ready {
    api: String,
    master_metrics: String,
    worker_metrics: Vec<String>,
    data_dir: PathBuf,
    policies: PathBuf,
}

/// Runs it until a signal ends it.
pub fn run(args: UpArgs, global: &GlobalArgs) -> Result {
    let token = token::find(global.token_file.as_deref(), |name| {
        std::env::var(name).ok()
    })?;
    listen::require_token_beyond_loopback("up", args.listen, token.is_some())?;
    listen::require_free("the API", "--listen", args.listen)?;
    listen::require_free(
        "the master's metrics",
        "--metrics-listen",
        args.metrics_listen,
    )?;
    let worker_metrics = worker_metrics(&args)?;
    for address in &worker_metrics {
        listen::require_free("a worker's metrics", "--worker-metrics-listen", *address)?;
    }
    let data_dir = made(args.data_dir.clone().map_or_else(dirs::data_dir, Ok)?)?;
    let policies = made(dirs::policies_dir(args.policies.clone(), &data_dir))?;
    let ready = Ready {
        api: format!("{}://{}", scheme(&args), near(args.listen)),
        master_metrics: format!("http://{}/metrics", near(args.metrics_listen)),
        worker_metrics: worker_metrics
            .iter()
            .map(|address| format!("http://{}/metrics", near(*address)))
            .collect(),
        data_dir,
        policies,
    };
    let tls = tls::client(global, |name| std::env::var(name).ok())?;
    let probe = Client::new(&ready.api, token)?.with_tls(&tls);
    let roles = Roles {
        args: &args,
        global,
        ready: &ready,
        worker_metrics: &worker_metrics,
    };
    // One thread, this one: see `supervisor`.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    let outcome = runtime.block_on(supervise(&roles, probe, global.format.unwrap_or_default()));
    runtime.shutdown_background();
    outcome
}

/// The folder, made if it is missing, by its full name.
fn made(dir: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&dir)
        .and_then(|()| dir.canonicalize())
        .map_err(|error| {
            Failure::failed(format!("cannot make the folder {}: {error}", dir.display()))
        })
}

/// The life of the cluster: start, ready, run, drain.
async fn supervise(roles: &Roles<'_>, probe: Client, format: Format) -> Result {
    let failed = |what: &str, error: std::io::Error| {
        Failure::failed(format!("cannot start {what}: {error}"))
    };
    let mut supervisor = Supervisor::new().map_err(|error| failed("the supervisor", error))?;
    let names: Vec<String> = (0..roles.worker_metrics.len()).map(worker_name).collect();
    supervisor
        .start(roles.master())
        .map_err(|error| failed("the master", error))?;

    let probe = std::sync::Arc::new(probe);
    let mut outcome = wait_ready(
        &mut supervisor,
        {
            let probe = probe.clone();
            move || probe.ready()
        },
        "the master",
    )
    .await;
    if matches!(outcome, Ok(true)) {
        for i in 0..names.len() {
            supervisor
                .start(roles.worker(i))
                .map_err(|error| failed("a worker", error))?;
        }
        outcome = wait_ready(
            &mut supervisor,
            move || all_connected(&probe, &names),
            "the cluster",
        )
        .await;
    }
    if matches!(outcome, Ok(true)) {
        announce(roles.ready, format)?;
        loop {
            match supervisor.next().await {
                Event::Stop => break,
                Event::Died {
                    name,
                    status,
                    again_in,
                } => {
                    eprintln!(
                        "ffrtmp up: {name} ended ({status}); starting it again in {again_in:.1?}"
                    );
                }
            }
        }
    }
    if outcome.is_ok() {
        eprintln!(
            "ffrtmp up: ending; running encodes have {:.0?} to finish (Ctrl-C again ends them now)",
            roles.args.grace
        );
    }
    match (supervisor.drain().await, outcome) {
        (_, Err(error)) => Err(error),
        (Drained::Cleanly, Ok(_)) => Ok(()),
        (Drained::ByForce, Ok(_)) => Err(Failure::failed(
            "ended by force; unfinished encodes will run again at the next start",
        )),
    }
}

/// Waits until `check` holds. `false`: a signal asked for the end meanwhile. A child that dies before is an error, not
/// something to try again: what keeps a first start from succeeding does not pass by itself.
async fn wait_ready(
    supervisor: &mut Supervisor,
    check: impl Fn() -> bool + Send + 'static,
    what: &str,
) -> Result<bool> {
    let deadline = Instant::now() + READY_WITHIN;
    let checking = tokio::task::spawn_blocking(move || {
        while Instant::now() < deadline {
            if check() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        false
    });
    tokio::select! {
        ready = checking => match ready {
            Ok(true) => Ok(true),
            _ => Err(Failure::failed(format!("{what} was not ready within {READY_WITHIN:.0?}; RUST_LOG=info shows what it does"))),
        },
        event = supervisor.next() => match event {
            Event::Stop => Ok(false),
            Event::Died { name, status, .. } => {
                Err(Failure::failed(format!("{name} ended before the cluster was ready ({status}); its message is above")))
            }
        },
    }
}

/// Whether every worker is connected.
fn all_connected(probe: &Client, names: &[String]) -> bool {
    let Ok(list) = probe.nodes() else {
        return false;
    };
    names.iter().all(|name| {
        list.nodes
            .iter()
            .any(|node| node.name == *name && node.status != NodeStatus::Offline)
    })
}

/// Says that the cluster is ready and what to do with it.
fn announce(ready: &Ready, format: Format) -> Result {
    let mut out = stdout();
    match format {
        Format::Table => writeln!(
            out,
            "ffrtmp is ready
  API       {}
  metrics   {} (master), {} (workers)
  data      {}
  policies  {} (drop a .wasm in)

Try, in another terminal{}:
  ffrtmp jobs submit --scenario hello --follow
  ffrtmp jobs submit --input in.mp4 --output out.mp4 --size 1280x720 --follow
  ffrtmp nodes list

Ctrl-C ends it.",
            ready.api,
            ready.master_metrics,
            if ready.worker_metrics.is_empty() {
                "none".to_owned()
            } else {
                ready.worker_metrics.join(", ")
            },
            ready.data_dir.display(),
            ready.policies.display(),
            if ready.api == ffrtmp_api::client::MASTER_DEFAULT {
                String::new()
            } else {
                format!(", after export FFRTMP_MASTER={}", ready.api)
            },
        )?,
        Format::Json | Format::Jsonl => {
            let text =
                serde_json::to_string(ready).map_err(|error| Failure::failed(error.to_string()))?;
            writeln!(out, "{text}")?;
        }
    }
    Ok(out.flush()?)
}

/// What the children run.
struct Roles<'a> {
    args: &'a UpArgs,
    global: &'a GlobalArgs,
    ready: &'a Ready,
    worker_metrics: &'a [SocketAddr],
}

impl Roles<'_> {
    fn master(&self) -> Role {
        let mut args = Words::new("master");
        args.flag("--listen", self.args.listen.to_string());
        args.flag("--metrics-listen", self.args.metrics_listen.to_string());
        args.flag("--data-dir", self.ready.data_dir.join("master"));
        args.flag("--policies", &self.ready.policies);
        args.flag("--policy", &self.args.policy);
        let tls = &self.args.tls;
        for (flag, file) in [
            ("--tls-cert", &tls.tls_cert),
            ("--tls-key", &tls.tls_key),
            ("--tls-client-ca", &tls.tls_client_ca),
        ] {
            if let Some(file) = file {
                args.flag(flag, file);
            }
        }
        if tls.tls_require_client_cert {
            args.0.push("--tls-require-client-cert".into());
        }
        self.role("the master".to_owned(), args, MASTER_ENDS_WITHIN)
    }

    fn worker(&self, i: usize) -> Role {
        let name = worker_name(i);
        let mut args = Words::new("worker");
        args.flag("--master", &self.ready.api);
        args.flag("--name", &name);
        args.flag(
            "--state-dir",
            self.ready.data_dir.join("workers").join(&name),
        );
        args.flag("--metrics-listen", self.worker_metrics[i].to_string());
        args.flag("--grace", format!("{}ms", self.args.grace.as_millis()));
        args.flag("--ffmpeg", &self.args.ffmpeg);
        args.flag("--ffprobe", &self.args.ffprobe);
        if let Some(slots) = self.args.slots {
            args.flag("--slots", slots.to_string());
        }
        self.role(
            format!("worker {name}"),
            args,
            self.args.grace + WORKER_ENDS_WITHIN,
        )
    }

    fn role(&self, name: String, mut args: Words, end_within: Duration) -> Role {
        args.flag("--log-format", self.args.log.log_format.as_str());
        // The token itself is inherited in the environment, or read from the same file; never an argument.
        if let Some(file) = &self.global.token_file {
            args.flag("--token-file", file);
        }
        for (flag, file) in [
            ("--tls-ca", &self.global.tls_ca),
            ("--tls-client-cert", &self.global.tls_client_cert),
            ("--tls-client-key", &self.global.tls_client_key),
        ] {
            if let Some(file) = file {
                args.flag(flag, file);
            }
        }
        // Two processes share this terminal with the user: only what they should know, unless they ask for more.
        let quiet = std::env::var_os("RUST_LOG").is_none_or(|filter| filter.is_empty());
        let env = if quiet {
            vec![("RUST_LOG".to_owned(), "warn".to_owned())]
        } else {
            Vec::new()
        };
        // This very program, even if its file has been replaced since: a cluster does not change version by a crash.
        Role {
            name,
            program: "/proc/self/exe".into(),
            args: args.0,
            env,
            end_within,
        }
    }
}

/// A command line under construction.
struct Words(Vec<OsString>);

impl Words {
    fn new(command: &str) -> Words {
        Words(vec![command.into()])
    }
    /// `--flag=value`, as one word, so that no value can be taken for a flag.
    fn flag(&mut self, flag: &str, value: impl AsRef<Path>) {
        let mut word = OsString::from(flag);
        word.push("=");
        word.push(value.as_ref());
        self.0.push(word);
    }
}

fn worker_name(i: usize) -> String {
    format!("w{}", i + 1)
}

/// The metrics addresses of the workers: consecutive ports.
fn worker_metrics(args: &UpArgs) -> Result<Vec<SocketAddr>> {
    let first = args.worker_metrics_listen;
    (0..args.workers)
        .map(|i| match first.port().checked_add(i) {
            Some(port) => Ok(SocketAddr::new(first.ip(), port)),
            None => Err(Failure::usage(
                "--worker-metrics-listen: there are not enough ports after it for --workers",
            )),
        })
        .collect()
}

/// How the API is spoken to.
fn scheme(args: &UpArgs) -> &'static str {
    match args.tls.tls_cert {
        Some(_) => "https",
        None => "http",
    }
}

/// The address at which this machine itself reaches a listener.
fn near(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn roles_of(words: &str, check: impl FnOnce(&Roles)) {
        let args = Args::try_parse_from(words.split_whitespace()).unwrap();
        let Command::Up(up) = args.command else {
            panic!("not up")
        };
        let worker_metrics = worker_metrics(&up).unwrap();
        let ready = Ready {
            api: format!("{}://{}", scheme(&up), near(up.listen)),
            master_metrics: String::new(),
            worker_metrics: Vec::new(),
            data_dir: "/d".into(),
            policies: "/p".into(),
        };
        check(&Roles {
            args: &up,
            global: &args.global,
            ready: &ready,
            worker_metrics: &worker_metrics,
        });
    }

    #[test]
    fn the_children_s_command_lines_are_ones_that_master_and_worker_accept() {
        roles_of(
            "ffrtmp up --listen 0.0.0.0:1 --workers 2 --slots 3 --grace 1.5s --token-file /t --log-format json --tls-cert /c --tls-key /k --tls-ca /a",
            |roles| {
                for role in [roles.master(), roles.worker(0), roles.worker(1)] {
                    let words = std::iter::once(OsString::from("ffrtmp")).chain(role.args.clone());
                    let parsed = Args::try_parse_from(words)
                        .unwrap_or_else(|error| panic!("{role:?}: {error}"));
                    assert!(matches!(
                        parsed.command,
                        Command::Master(_) | Command::Worker(_)
                    ));
                    assert_eq!(parsed.global.token_file.as_deref(), Some(Path::new("/t")));
                }
                let words = roles
                    .worker(1)
                    .args
                    .join(&OsString::from(" "))
                    .into_string()
                    .unwrap();
                for word in [
                    "--master=https://127.0.0.1:1",
                    "--tls-ca=/a",
                    "--name=w2",
                    "--metrics-listen=127.0.0.1:9092",
                    "--grace=1500ms",
                    "--slots=3",
                ] {
                    assert!(words.contains(word), "{word} is missing in {words}");
                }
            },
        );
    }

    #[test]
    fn too_many_workers_for_the_ports_is_an_error() {
        let args = Args::try_parse_from(
            "ffrtmp up --workers 3 --worker-metrics-listen 127.0.0.1:65534".split_whitespace(),
        )
        .unwrap();
        let Command::Up(up) = args.command else {
            panic!("not up")
        };
        assert!(worker_metrics(&up).is_err());
    }
}
