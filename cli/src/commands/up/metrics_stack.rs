//! `ffrtmp up --metrics-stack`: VictoriaMetrics and vmalert beside the cluster, as children like the others.
//!
//! Separate because nothing else of `up` knows them: here are their flags, their command lines and the files they read. Those
//! are the ones of `deploy/`, which the binary carries, so that one machine without containers is watched as a farm is. The
//! programs are found, never installed.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{Wanted, children::Words, near};
use crate::{
    exit::{Failure, Result},
    supervisor::{Program, Role},
    values,
};

/// Rules of `deploy/rules`: file names and contents.
const RULES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/rules.rs"));
/// What is scraped, with the master at [`MASTER_THERE`].
const SCRAPE: &str = include_str!("../../../../deploy/victoriametrics/scrape.yml");
/// Where alerts go when nobody says: nowhere.
const NOTIFIERS: &str = include_str!("../../../../deploy/vmalert/notifiers.yml");
/// The master's metrics in [`SCRAPE`].
const MASTER_THERE: &str = "master:9090";

/// How long either may take to end: VictoriaMetrics writes what it holds in memory.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// How it runs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Metrics stack")]
pub struct MetricsStackArgs {
    /// Also run VictoriaMetrics, which keeps the metrics, and vmalert, which watches them
    #[arg(long)]
    metrics_stack: bool,
    /// Address of VictoriaMetrics
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8428")]
    victoria_metrics_listen: SocketAddr,
    /// Address of vmalert
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8880")]
    vmalert_listen: SocketAddr,
    /// How long metrics are kept: at least a day
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = retention)]
    metrics_retention: Duration,
    /// Alertmanager that alerts are sent to; default: they are only shown
    #[arg(long, value_name = "URL", value_parser = alertmanager)]
    alertmanager: Option<String>,
    /// The VictoriaMetrics to run; default: victoria-metrics or victoria-metrics-prod in PATH
    #[arg(long, value_name = "PATH")]
    victoria_metrics: Option<PathBuf>,
    /// The vmalert to run; default: vmalert or vmalert-prod in PATH
    #[arg(long, value_name = "PATH")]
    vmalert: Option<PathBuf>,
}

/// VictoriaMetrics keeps whole days.
fn retention(text: &str) -> std::result::Result<Duration, String> {
    match values::duration(text)? {
        time if time < Duration::from_secs(86_400) => {
            Err("metrics are kept for at least a day, as in 30d".to_owned())
        }
        time => Ok(time),
    }
}

fn alertmanager(text: &str) -> std::result::Result<String, String> {
    let host = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .unwrap_or_default();
    // The flag of vmalert takes several, by commas.
    match !host.is_empty() && !text.contains([',', ' ', '\'', '"']) {
        true => Ok(text.to_owned()),
        false => Err("it is an address, as in http://127.0.0.1:9093".to_owned()),
    }
}

/// How the scraped are reached.
#[derive(Debug, Clone, Default)]
pub struct Scraped {
    /// Whether the master's metrics are TLS.
    pub master_tls: bool,
    /// Whether the workers' metrics are.
    pub worker_tls: bool,
    /// Who signed their certificates; none: the public authorities.
    pub ca: Option<PathBuf>,
}

impl MetricsStackArgs {
    /// The addresses it needs; none if it is not to run.
    pub fn addresses(&self) -> Vec<Wanted> {
        if !self.metrics_stack {
            return Vec::new();
        }
        vec![
            (
                "VictoriaMetrics",
                "--victoria-metrics-listen",
                self.victoria_metrics_listen,
            ),
            ("vmalert", "--vmalert-listen", self.vmalert_listen),
        ]
    }

    /// Finds the programs and writes what they read into `dir`; `None` if it is not to run.
    pub fn prepare(
        &self,
        dir: &Path,
        master_metrics: SocketAddr,
        scraped: &Scraped,
    ) -> Result<Option<MetricsStack>> {
        if !self.metrics_stack {
            return Ok(None);
        }
        let store = find(
            &self.victoria_metrics,
            "--victoria-metrics",
            "victoria-metrics",
        )?;
        let alerts = find(&self.vmalert, "--vmalert", "vmalert")?;
        let stack = MetricsStack {
            store,
            alerts,
            store_listen: self.victoria_metrics_listen,
            alerts_listen: self.vmalert_listen,
            // Hours, because a length in days is one of whole days.
            retention_hours: self.metrics_retention.as_secs() / 3_600,
            alertmanager: self.alertmanager.clone(),
            dir: dir.to_owned(),
        };
        stack
            .write_files(&scrape(master_metrics, scraped))
            .map_err(|error| {
                Failure::failed(format!("cannot write into {}: {error}", dir.display()))
            })?;
        Ok(Some(stack))
    }
}

/// The scrape configuration of this cluster.
fn scrape(master: SocketAddr, scraped: &Scraped) -> String {
    let text = SCRAPE.replace(MASTER_THERE, &near(master).to_string());
    if !scraped.master_tls && !scraped.worker_tls {
        return text;
    }
    let trust = |indent: &str| match &scraped.ca {
        // In quotes as YAML reads them: JSON's.
        Some(ca) => {
            let ca = serde_json::Value::from(ca.to_string_lossy());
            format!("\n{indent}tls_config:\n{indent}  ca_file: {ca}")
        }
        None => String::new(),
    };
    let lines = text.lines().map(|line| match line.trim() {
        "scheme: http" if scraped.master_tls => format!("    scheme: https{}", trust("    ")),
        "- job_name: ffrtmp-workers" => format!("{line}{}", trust("    ")),
        url if url.starts_with("- url: ") && scraped.master_tls => {
            format!(
                "{}{}",
                line.replace("http://", "https://"),
                trust("        ")
            )
        }
        _ => line.to_owned(),
    });
    lines.map(|line| line + "\n").collect()
}

/// A program: the one named, else one of its usual names in PATH.
fn find(named: &Option<PathBuf>, flag: &str, name: &str) -> Result<PathBuf> {
    let is_program = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let in_path = |name: &Path| {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path)
            .map(|dir| dir.join(name))
            .find(|path| is_program(path))
    };
    if let Some(named) = named {
        let found = match named.components().count() {
            1 => in_path(named),
            _ => Some(named.clone()).filter(|path| is_program(path)),
        };
        return found.ok_or_else(|| {
            Failure::failed(format!(
                "{flag}: {} is no program that can be run",
                named.display()
            ))
        });
    }
    in_path(Path::new(name))
        .or_else(|| in_path(Path::new(&format!("{name}-prod"))))
        .ok_or_else(|| {
            Failure::failed(format!(
                "--metrics-stack runs {name}, which is not in PATH. On Debian and Ubuntu, victoria-metrics and vmalert both come \
                 with `apt-get install victoria-metrics` (and `systemctl disable --now victoria-metrics`, which would hold the \
                 port); VictoriaMetrics publishes them as victoria-metrics and vmutils. Name one elsewhere with {flag}"
            ))
        })
}

/// What is to run.
#[derive(Debug)]
pub struct MetricsStack {
    store: PathBuf,
    alerts: PathBuf,
    store_listen: SocketAddr,
    alerts_listen: SocketAddr,
    retention_hours: u64,
    alertmanager: Option<String>,
    dir: PathBuf,
}

impl MetricsStack {
    /// VictoriaMetrics, for people and for Grafana.
    pub fn store_url(&self) -> String {
        format!("http://{}", near(self.store_listen))
    }

    /// vmalert, for people.
    pub fn alerts_url(&self) -> String {
        format!("http://{}", near(self.alerts_listen))
    }

    fn write_files(&self, scrape: &str) -> std::io::Result<()> {
        let rules = self.dir.join("rules");
        match fs::remove_dir_all(&rules) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(&rules)?;
        for (name, text) in RULES {
            fs::write(rules.join(name), text)?;
        }
        fs::write(self.dir.join("scrape.yml"), scrape)?;
        fs::write(self.dir.join("notifiers.yml"), NOTIFIERS)
    }

    /// VictoriaMetrics.
    pub fn store(&self) -> Role {
        let mut args = Words::default();
        args.flag("-httpListenAddr", self.store_listen.to_string());
        args.flag("-storageDataPath", self.dir.join("data"));
        args.flag("-retentionPeriod", format!("{}h", self.retention_hours));
        args.flag("-promscrape.config", self.dir.join("scrape.yml"));
        // A worker that joins is scraped within 5 s, and a point can be queried 1 s after it was scraped.
        args.flag("-promscrape.httpSDCheckInterval", "5s");
        args.flag("-search.latencyOffset", "1s");
        // Grafana shows vmalert's rules and alerts through VictoriaMetrics.
        args.flag("-vmalert.proxyURL", self.alerts_url());
        self.role("VictoriaMetrics", &self.store, args)
    }

    /// vmalert.
    pub fn alerts(&self) -> Role {
        let mut args = Words::default();
        let store = self.store_url();
        args.flag("-httpListenAddr", self.alerts_listen.to_string());
        args.flag("-rule", self.dir.join("rules/*.yml"));
        args.flag("-evaluationInterval", "5s");
        args.flag("-datasource.url", &store);
        // Alerts' states and what recording rules give are kept, and survive a restart.
        args.flag("-remoteWrite.url", &store);
        args.flag("-remoteRead.url", &store);
        match &self.alertmanager {
            Some(url) => args.flag("-notifier.url", url),
            None => args.flag("-notifier.config", self.dir.join("notifiers.yml")),
        }
        self.role("vmalert", &self.alerts, args)
    }

    fn role(&self, name: &str, program: &Path, mut args: Words) -> Role {
        args.flag("-loggerLevel", "WARN");
        Role {
            name: name.to_owned(),
            program: Program::Other(program.into()),
            args: args.0,
            env: Vec::new(),
            end_within: ENDS_WITHIN,
        }
    }

    /// Where VictoriaMetrics listens, as this machine reaches it.
    pub fn store_listening(&self) -> SocketAddr {
        near(self.store_listen)
    }

    /// The same of vmalert.
    pub fn alerts_listening(&self) -> SocketAddr {
        near(self.alerts_listen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_rules_is_in_the_binary() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/rules");
        let mut files: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".yml"))
            .collect();
        files.sort();
        assert!(!files.is_empty());
        let embedded: Vec<&str> = RULES.iter().map(|(name, _)| *name).collect();
        assert_eq!(embedded, files);
    }

    #[test]
    fn what_is_scraped_follows_the_addresses_and_the_certificates() {
        let master = "0.0.0.0:19090".parse().unwrap();
        let plain = scrape(master, &Scraped::default());
        assert!(plain.contains("targets: [\"127.0.0.1:19090\"]"), "{plain}");
        assert!(
            plain.contains("url: http://127.0.0.1:19090/v1/sd/workers"),
            "{plain}"
        );
        assert!(!plain.contains("- targets: [\"master:9090\"]") && !plain.contains("tls_config"));
        let scraped = Scraped {
            master_tls: true,
            worker_tls: true,
            ca: Some("/c a.pem".into()),
        };
        let secure = scrape(master, &scraped);
        assert!(
            secure.contains("url: https://127.0.0.1:19090/v1/sd/workers"),
            "{secure}"
        );
        assert!(secure.contains("scheme: https\n    tls_config:\n      ca_file: \"/c a.pem\""));
        assert_eq!(secure.matches("ca_file").count(), 3, "{secure}");
    }

    #[test]
    fn a_length_of_hours_and_a_wrong_address_are_refused() {
        assert!(retention("12h").is_err() && retention("1d").is_ok());
        assert!(alertmanager("http://127.0.0.1:9093").is_ok());
        for wrong in ["127.0.0.1:9093", "http://", "http://a,http://b", ""] {
            assert!(alertmanager(wrong).is_err(), "{wrong}");
        }
    }
}
