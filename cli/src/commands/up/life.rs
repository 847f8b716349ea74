//! The life of a cluster on one machine: start, ready, run, drain.

use std::{
    io::{Write, stdout},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::{Duration, Instant},
};

use ffrtmp_api::{client::Client, rest::NodeStatus};
use serde::Serialize;

use super::children::{Children, worker_name};
use crate::{
    exit::{Failure, Result},
    output::Format,
    settings::{self, Value},
    supervisor::{Drained, Event, Supervisor},
};

/// How long the cluster may take to become ready. Compiling a policy in another language takes seconds on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A cluster that is ready, as `--format json` prints it.
#[derive(Debug, Serialize)]
pub struct Ready {
    /// Address of the API.
    pub api: String,
    /// Address of the master's metrics.
    pub master_metrics: String,
    /// Addresses of the workers' metrics.
    pub worker_metrics: Vec<String>,
    /// Address of VictoriaMetrics, if it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub victoria_metrics: Option<String>,
    /// Address of vmalert, if it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmalert: Option<String>,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// The live folder of policies.
    pub policies: PathBuf,
}

/// The life of the cluster: start, ready, run, drain.
pub async fn supervise(children: &Children<'_>, probe: Client, format: Format) -> Result {
    let failed = |what: &str, error: std::io::Error| {
        Failure::failed(format!("cannot start {what}: {error}"))
    };
    let mut supervisor = Supervisor::new().map_err(|error| failed("the supervisor", error))?;
    let names: Vec<String> = (0..children.worker_metrics.len())
        .map(worker_name)
        .collect();
    supervisor
        .start(children.master())
        .map_err(|error| failed("the master", error))?;

    let probe = std::sync::Arc::new(probe);
    let mut outcome = wait_ready(
        &mut supervisor,
        {
            let probe = probe.clone();
            move || probe.check_ready().map_err(|error| error.to_string())
        },
        "the master",
    )
    .await;
    if let (Ok(true), Some(stack)) = (&outcome, children.stack) {
        let (role, listening) = (stack.store(), stack.store_listening());
        // It sees the cluster drain.
        supervisor
            .start_and_end_last(role)
            .map_err(|error| failed("VictoriaMetrics", error))?;
        outcome = wait_ready(&mut supervisor, listens(listening), "VictoriaMetrics").await;
    }
    if matches!(outcome, Ok(true)) {
        for i in 0..names.len() {
            supervisor
                .start(children.worker(i))
                .map_err(|error| failed("a worker", error))?;
        }
        outcome = wait_ready(
            &mut supervisor,
            move || all_connected(&probe, &names),
            "the cluster",
        )
        .await;
    }
    if let (Ok(true), Some(stack)) = (&outcome, children.stack) {
        let (role, listening) = (stack.alerts(), stack.alerts_listening());
        supervisor
            .start(role)
            .map_err(|error| failed("vmalert", error))?;
        outcome = wait_ready(&mut supervisor, listens(listening), "vmalert").await;
    }
    if matches!(outcome, Ok(true)) {
        announce(children.ready, format)?;
        loop {
            match supervisor.next().await {
                Event::Stop => break,
                Event::Reload => {
                    say_changes(children.values);
                    supervisor.hang_up();
                }
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
            children.args.grace
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

/// What SIGHUP changes is the children's business; of its own settings, a running cluster changes none.
fn say_changes(values: &[Value]) {
    match settings::load() {
        Ok(loaded) => {
            for (old, new) in values.iter().zip(&loaded.values) {
                if old.texts != new.texts {
                    let shown = |value: &Value| value.shown().unwrap_or_else(|| "default".into());
                    eprintln!(
                        "ffrtmp up: {} was {} and is now {} ({}); it takes effect at the next start",
                        old.setting.key,
                        shown(old),
                        shown(new),
                        new.source
                    );
                }
            }
        }
        Err(Failure::Usage(message) | Failure::Failed(message)) => {
            eprintln!(
                "ffrtmp up: nothing is changed, because the settings make no sense: {message}"
            );
        }
        Err(_) => {}
    }
}

/// Waits until `check` holds. `false`: a signal asked for the end meanwhile. A child that dies before is an error, not
/// something to try again: what keeps a first start from succeeding does not pass by itself.
async fn wait_ready(
    supervisor: &mut Supervisor,
    check: impl Fn() -> std::result::Result<(), String> + Send + 'static,
    what: &str,
) -> Result<bool> {
    let deadline = Instant::now() + READY_WITHIN;
    let checking = tokio::task::spawn_blocking(move || {
        loop {
            match check() {
                Err(why) if Instant::now() >= deadline => return Err(why),
                Err(_) => std::thread::sleep(Duration::from_millis(25)),
                Ok(()) => return Ok(()),
            }
        }
    });
    tokio::pin!(checking);
    loop {
        tokio::select! {
            ready = &mut checking => return match ready {
                Ok(Ok(())) => Ok(true),
                Ok(Err(why)) => Err(Failure::failed(format!(
                    "{what} was not ready within {READY_WITHIN:.0?} ({why}); --log-level info shows what it does"
                ))),
                Err(error) => Err(Failure::failed(format!("{what} was not waited for: {error}"))),
            },
            event = supervisor.next() => match event {
                Event::Stop => return Ok(false),
                // The children read their settings at this very moment.
                Event::Reload => {}
                Event::Died { name, status, .. } => return Err(Failure::failed(format!(
                    "{name} ended before the cluster was ready ({status}); its message is above"
                ))),
            },
        }
    }
}

/// Whether somebody listens there, which other programs do when they are ready.
fn listens(address: SocketAddr) -> impl Fn() -> std::result::Result<(), String> + Send + 'static {
    move || match TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{address}: {error}")),
    }
}

/// Whether every worker is connected; else which is not, or why that is not known.
fn all_connected(probe: &Client, names: &[String]) -> std::result::Result<(), String> {
    let list = probe.nodes().map_err(|error| error.to_string())?;
    let connected = |name: &String| {
        list.nodes
            .iter()
            .any(|node| node.name == *name && node.status != NodeStatus::Offline)
    };
    match names.iter().find(|name| !connected(name)) {
        None => Ok(()),
        Some(name) => Err(format!("worker {name} is not connected")),
    }
}

/// The lines about what watches the cluster.
fn watched(ready: &Ready) -> String {
    let line = |word: &str, url: &Option<String>, what: &str| match url {
        Some(url) => format!("\n  {word:<10}{url}{what}"),
        None => String::new(),
    };
    line(
        "graphs",
        &ready.victoria_metrics,
        "/vmui (VictoriaMetrics; the address for Grafana's data source)",
    ) + &line("alerts", &ready.vmalert, " (vmalert)")
}

/// Says that the cluster is ready and what to do with it.
fn announce(ready: &Ready, format: Format) -> Result {
    let mut out = stdout();
    match format {
        Format::Table => writeln!(
            out,
            "ffrtmp is ready
  API       {}
  metrics   {} (master), {} (workers){}
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
            watched(ready),
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
