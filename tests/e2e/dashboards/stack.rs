//! VictoriaMetrics and vmalert beside a cluster, as an operator runs them: with the files of `deploy/`. And what Grafana asks them.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use super::model::Target;
use crate::cluster::{Cluster, Process, free_port, root, until};

/// See the module's head.
pub struct Stack {
    /// VictoriaMetrics, which ends with this.
    _metrics: Process,
    alerts: Option<Process>,
    port: u16,
    alerts_port: u16,
}

/// One line of a graph.
#[derive(Debug, Clone)]
pub struct Series {
    pub labels: BTreeMap<String, String>,
    /// Time in seconds, value.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    pub fn last(&self) -> f64 {
        self.points.last().map_or(f64::NAN, |(_, value)| *value)
    }
    pub fn most(&self) -> f64 {
        self.points
            .iter()
            .map(|(_, v)| *v)
            .fold(f64::NEG_INFINITY, f64::max)
    }
    /// Its name in a legend of this form, which must not be empty. Of several labels one may be: a policy need not tell its version.
    #[track_caller]
    pub fn named(&self, format: &str) -> String {
        let mut name = String::new();
        let mut left = format;
        while let Some((before, after)) = left.split_once("{{") {
            let (label, rest) = after.split_once("}}").unwrap();
            name += before;
            name += self.labels.get(label).map_or("", String::as_str);
            left = rest;
        }
        name += left;
        assert!(!name.trim().is_empty(), "{:?} for {format:?}", self.labels);
        name.trim().to_owned()
    }
}

/// An alert that is pending or fires.
#[derive(Debug, Clone)]
pub struct Alert {
    pub name: String,
    pub state: String,
    pub labels: Value,
    pub annotations: Value,
}

/// Seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

/// A query with the variables as Grafana fills them in: all is chosen, points are `step` seconds apart, `range` seconds are shown, and the data
/// source says that it scrapes every second.
pub fn asked(expr: &str, step: u32, range: u32) -> String {
    let rate_interval = (4).max(step + 1);
    expr.replace("$__rate_interval", &format!("{rate_interval}s"))
        .replace("$__range", &format!("{range}s"))
        .replace("$job", ".+")
        .replace("$instance", ".+")
        .replace("$node", ".+")
}

/// A program on the PATH that goes on until it is dropped.
#[track_caller]
fn run(cluster: &Cluster, program: &str, args: &[String]) -> Process {
    let log = fs::File::create(cluster.path(&format!("{program}.log"))).unwrap();
    let child = Command::new(program)
        .args(args)
        .current_dir(cluster.dir.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn();
    let child = child.unwrap_or_else(|e| panic!("{program}: {e}; `make test` puts it on the PATH"));
    Process { child }
}

impl Stack {
    /// VictoriaMetrics, told what to scrape by the file that is checked in, with this master's address in the place of the one there.
    pub fn start(cluster: &Cluster) -> Stack {
        let (port, alerts_port) = (free_port(), free_port());
        let scrape = fs::read_to_string(root().join("deploy/victoriametrics/scrape.yml")).unwrap();
        let here = format!("127.0.0.1:{}", cluster.metrics_port);
        assert_eq!(
            scrape.matches("\"master:9090\"").count() + scrape.matches("//master:9090/").count(),
            2
        );
        let scrape = scrape
            .replace("\"master:9090\"", &format!("{here:?}"))
            .replace("//master:9090/", &format!("//{here}/"));
        fs::write(cluster.path("scrape.yml"), scrape).unwrap();
        let metrics = run(
            cluster,
            "victoria-metrics",
            &[
                format!("-httpListenAddr=127.0.0.1:{port}"),
                format!("-storageDataPath={}", cluster.file("metrics")),
                format!("-promscrape.config={}", cluster.file("scrape.yml")),
                "-retentionPeriod=30d".into(),
                "-promscrape.httpSDCheckInterval=5s".into(),
                "-search.latencyOffset=1s".into(),
                // Points of this very second are asked for, again and again.
                "-search.disableCache".into(),
            ],
        );
        let stack = Stack {
            _metrics: metrics,
            alerts: None,
            port,
            alerts_port,
        };
        until("VictoriaMetrics answers", || {
            stack.get(port, "/api/v1/labels", &[])
        });
        stack
    }

    /// vmalert with rules, and what they record goes to VictoriaMetrics. Nobody takes the alerts but who asks.
    pub fn watch(&mut self, cluster: &Cluster, rules: &Path) {
        let metrics = format!("http://127.0.0.1:{}", self.port);
        let process = run(
            cluster,
            "vmalert",
            &[
                format!("-httpListenAddr=127.0.0.1:{}", self.alerts_port),
                format!("-rule={}/*.yml", rules.to_str().unwrap()),
                format!("-datasource.url={metrics}"),
                format!("-remoteWrite.url={metrics}"),
                format!("-remoteRead.url={metrics}"),
                "-remoteWrite.flushInterval=1s".into(),
                "-evaluationInterval=1s".into(),
                // Nobody listens there.
                "-notifier.url=http://127.0.0.1:1".into(),
            ],
        );
        self.alerts = Some(process);
        until("vmalert has the rules", || {
            let rules = self.rules()?;
            (!rules.is_empty()).then_some(())
        });
    }

    fn get(&self, port: u16, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let query = query.iter().map(|(name, value)| (*name, *value));
        let request = ureq::get(format!("http://127.0.0.1:{port}{path}")).query_pairs(query);
        let answer: Value = request.call().ok()?.body_mut().read_json().ok()?;
        (answer["status"] == "success").then(|| answer["data"].clone())
    }

    #[track_caller]
    fn query(&self, path: &str, query: &[(&str, &str)]) -> Vec<Series> {
        let data = self
            .get(self.port, path, query)
            .unwrap_or_else(|| panic!("VictoriaMetrics does not answer {query:?}"));
        let number = |v: &Value| v.as_str().unwrap().parse::<f64>().unwrap();
        let point = |p: &Value| (p[0].as_f64().unwrap(), number(&p[1]));
        let series = data["result"].as_array().unwrap().iter();
        series
            .map(|one| Series {
                labels: serde_json::from_value(one["metric"].clone()).unwrap(),
                points: match one.get("values") {
                    Some(values) => values.as_array().unwrap().iter().map(point).collect(),
                    None => vec![point(&one["value"])],
                },
            })
            .collect()
    }

    /// The values at this moment.
    #[track_caller]
    pub fn instant(&self, expr: &str) -> Vec<Series> {
        let time = (now() - 1.0).to_string();
        self.query("/api/v1/query", &[("query", expr), ("time", &time)])
    }

    /// The values from `start` on, `step` seconds apart.
    #[track_caller]
    pub fn range(&self, expr: &str, start: f64, step: u32) -> Vec<Series> {
        let end = (now() - 1.0).to_string();
        let (start, step) = (start.to_string(), step.to_string());
        let query = [
            ("query", expr),
            ("start", &start),
            ("end", &end),
            ("step", &step),
        ];
        self.query("/api/v1/query_range", &query)
    }

    /// What Grafana gets for a panel's query if the panel shows what was since `start`, a point each `step` seconds.
    #[track_caller]
    pub fn shows(&self, target: &Target, start: f64, step: u32) -> BTreeMap<String, Series> {
        let expr = asked(&target.expr, step, (now() - start) as u32 + 1);
        let series = match target.instant {
            true => self.instant(&expr),
            false => self.range(&expr, start, step),
        };
        let mut named = BTreeMap::new();
        for one in series {
            let name = one.named(&target.legend_format);
            let before = named.insert(name.clone(), one);
            assert!(before.is_none(), "two series of {expr} are called {name}");
        }
        named
    }

    /// What a variable `label_values(SELECTOR, LABEL)` offers.
    pub fn label_values(&self, query: &str) -> Vec<String> {
        let inside = query
            .strip_prefix("label_values(")
            .and_then(|q| q.strip_suffix(')'))
            .unwrap();
        let (selector, label) = inside.rsplit_once(", ").unwrap();
        let selector = asked(selector, 1, 900);
        let path = format!("/api/v1/label/{label}/values");
        let values = self
            .get(self.port, &path, &[("match[]", &selector)])
            .unwrap();
        serde_json::from_value(values).unwrap()
    }

    /// Pending and firing alerts.
    pub fn alerts(&self) -> Vec<Alert> {
        let data = self.get(self.alerts_port, "/api/v1/alerts", &[]).unwrap();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let alerts = data["alerts"].as_array().into_iter().flatten();
        alerts
            .map(|alert| Alert {
                name: text(&alert["name"]),
                state: text(&alert["state"]),
                labels: alert["labels"].clone(),
                annotations: alert["annotations"].clone(),
            })
            .collect()
    }

    /// The rules as vmalert understood them.
    pub fn rules(&self) -> Option<Vec<Value>> {
        let data = self.get(self.alerts_port, "/api/v1/rules", &[])?;
        let groups = data["groups"].as_array().cloned()?;
        let rules = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().cloned());
        Some(rules.flatten().collect())
    }
}
