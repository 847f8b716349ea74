//! A registry that fills label values in, keeps each metric's description for the document, and prints.
//!
//! Label values that are known beforehand are there from the start, at zero, so that a dashboard shows zeros and not "No data", and
//! the first event of a kind is a rise that `rate()` sees.

use std::sync::{Mutex, PoisonError};

use prometheus::{
    Counter, CounterVec, Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec,
    IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result, TextEncoder,
    core::{Collector, MetricVec, MetricVecBuilder},
    proto::{MetricFamily, MetricType},
};

/// Content type of the exposition: Prometheus' text format. The crate has no OpenMetrics, so that is not offered.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A label and its values; none where they are not known beforehand (the routes that were asked for, a GPU's model).
pub type Label<'a> = (&'a str, &'a [&'a str]);

/// A metric, as the document shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// What it says, for operators.
    pub help: String,
    /// Its labels, each with the values that it has from the start.
    pub labels: Vec<(String, Vec<String>)>,
    /// Upper bounds of a histogram's buckets.
    pub buckets: Vec<String>,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Exposition {
    registry: Registry,
    /// Of every metric made here: the worker's name.
    own: Option<(String, String)>,
    described: Mutex<Vec<Described>>,
}

impl Exposition {
    /// With a label that all metrics made here carry.
    pub fn labelled(name: &str, value: &str) -> Exposition {
        Exposition {
            own: Some((name.to_owned(), value.to_owned())),
            ..Exposition::default()
        }
    }

    /// Takes a metric that was made elsewhere.
    ///
    /// # Errors
    /// When its name is taken.
    pub fn register<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C> {
        self.register_boxed(Box::new(metric.clone()))?;
        Ok(metric)
    }

    /// The same, for one that cannot be cloned.
    ///
    /// # Errors
    /// When a name of it is taken.
    pub fn register_boxed(&self, metric: Box<dyn Collector>) -> Result<()> {
        let families = metric.collect();
        let described: Vec<Described> = metric
            .desc()
            .into_iter()
            .map(|desc| {
                let family = families.iter().find(|f| f.name() == desc.fq_name);
                let own = desc.const_label_pairs.iter().map(|p| p.name().to_owned());
                let names = own.chain(desc.variable_labels.iter().cloned());
                Described {
                    name: desc.fq_name.clone(),
                    kind: family.map_or("untyped", kind),
                    help: desc.help.clone(),
                    labels: names.map(|name| (name, Vec::new())).collect(),
                    buckets: Vec::new(),
                }
            })
            .collect();
        self.registry.register(metric)?;
        self.described
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(described);
        Ok(())
    }

    fn opts(&self, name: &str, help: &str) -> Opts {
        let opts = Opts::new(name, help);
        match &self.own {
            Some((label, value)) => opts.const_label(label, value),
            None => opts,
        }
    }

    /// A whole number that goes up and down.
    ///
    /// # Errors
    /// As of all that make one: when the name or a label is not one that Prometheus takes, or is taken.
    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.register(IntGauge::with_opts(self.opts(name, help))?)
    }

    /// A number that goes up and down.
    ///
    /// # Errors
    /// See [`Exposition::gauge`].
    pub fn float(&self, name: &str, help: &str) -> Result<Gauge> {
        self.register(Gauge::with_opts(self.opts(name, help))?)
    }

    /// Whole numbers by label.
    ///
    /// # Errors
    /// See [`Exposition::gauge`].
    pub fn gauges(&self, name: &str, help: &str, labels: &[Label]) -> Result<IntGaugeVec> {
        let gauges = IntGaugeVec::new(self.opts(name, help), &names(labels))?;
        fill(&gauges, labels);
        self.register(gauges)
    }

    /// Numbers by label.
    ///
    /// # Errors
    /// See [`Exposition::gauge`].
    pub fn floats(&self, name: &str, help: &str, labels: &[Label]) -> Result<GaugeVec> {
        let gauges = GaugeVec::new(self.opts(name, help), &names(labels))?;
        fill(&gauges, labels);
        self.register(gauges)
    }

    /// A count of events.
    ///
    /// # Errors
    /// See [`Exposition::gauge`].
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.register(IntCounter::with_opts(self.opts(name, help))?)
    }

    /// A sum that only grows: seconds, say.
    ///
    /// # Errors
    /// See [`Exposition::gauge`].
    pub fn sum(&self, name: &str, help: &str) -> Result<Counter> {
        self.register(Counter::with_opts(self.opts(name, help))?)
    }

    /// Counts by label.
    ///
    /// # Errors
    /// See [`Exposition::gauge`].
    pub fn counters(&self, name: &str, help: &str, labels: &[Label]) -> Result<IntCounterVec> {
        let counters = IntCounterVec::new(self.opts(name, help), &names(labels))?;
        fill(&counters, labels);
        self.register(counters)
    }

    /// Sums by label.
    ///
    /// # Errors
    /// See [`Exposition::gauge`].
    pub fn sums(&self, name: &str, help: &str, labels: &[Label]) -> Result<CounterVec> {
        let sums = CounterVec::new(self.opts(name, help), &names(labels))?;
        fill(&sums, labels);
        self.register(sums)
    }

    /// A distribution. `buckets` are upper bounds, rising.
    ///
    /// # Errors
    /// See [`Exposition::gauge`].
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram> {
        let opts = HistogramOpts::from(self.opts(name, help)).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(opts)?)
    }

    /// Distributions by label.
    ///
    /// # Errors
    /// See [`Exposition::gauge`].
    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[Label],
        buckets: &[f64],
    ) -> Result<HistogramVec> {
        let opts = HistogramOpts::from(self.opts(name, help)).buckets(buckets.to_vec());
        let histograms = HistogramVec::new(opts, &names(labels))?;
        fill(&histograms, labels);
        self.register(histograms)
    }

    /// Everything, in Prometheus' text format.
    ///
    /// # Errors
    /// When a metric cannot be printed.
    pub fn render(&self) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// Every metric, by name, with the label values it has now.
    pub fn describe(&self) -> Vec<Described> {
        let mut all = self
            .described
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for family in self.registry.gather() {
            let Some(described) = all.iter_mut().find(|d| d.name == family.name()) else {
                continue;
            };
            for pair in family.get_metric().iter().flat_map(|m| m.get_label()) {
                let values = described.labels.iter_mut().find(|(l, _)| l == pair.name());
                if let Some((_, values)) = values
                    && !values.iter().any(|v| v == pair.value())
                {
                    values.push(pair.value().to_owned());
                }
            }
            let first = family.get_metric().first();
            described.buckets = first
                .map(|m| m.get_histogram().get_bucket())
                .unwrap_or_default()
                .iter()
                .map(|bucket| bucket.upper_bound().to_string())
                .collect();
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

fn kind(family: &MetricFamily) -> &'static str {
    match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        _ => "untyped",
    }
}

fn names<'a>(labels: &[Label<'a>]) -> Vec<&'a str> {
    labels.iter().map(|(name, _)| *name).collect()
}

/// Makes a series for each combination of values, where all of them are known.
fn fill<B: MetricVecBuilder>(metrics: &MetricVec<B>, labels: &[Label]) {
    let mut combinations: Vec<Vec<&str>> = vec![Vec::new()];
    for (_, values) in labels {
        combinations = combinations
            .iter()
            .flat_map(|so_far| {
                values
                    .iter()
                    .map(move |value| so_far.iter().copied().chain([*value]).collect())
            })
            .collect();
    }
    for combination in combinations {
        metrics.with_label_values(&combination);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_label_values_are_there_at_zero_and_unknown_ones_are_not() {
        let exposition = Exposition::labelled("node_id", "n1");
        exposition
            .counters("a_total", "A.", &[("x", &["1", "2"]), ("y", &["u"])])
            .unwrap();
        exposition
            .counters("b_total", "B.", &[("x", &["1"]), ("route", &[])])
            .unwrap();
        let text = String::from_utf8(exposition.render().unwrap()).unwrap();
        let series: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(
            series,
            [
                "a_total{node_id=\"n1\",x=\"1\",y=\"u\"} 0",
                "a_total{node_id=\"n1\",x=\"2\",y=\"u\"} 0"
            ]
        );
    }

    #[test]
    fn what_has_no_series_yet_is_described_all_the_same() {
        let exposition = Exposition::default();
        exposition
            .histograms("h_seconds", "How long.", &[("route", &[])], &[1.0, 2.5])
            .unwrap();
        exposition.gauges("g", "G.", &[("k", &["a"])]).unwrap();
        let described = exposition.describe();
        let told: Vec<_> = described
            .iter()
            .map(|d| (d.name.as_str(), d.kind, d.labels.clone()))
            .collect();
        assert_eq!(
            told,
            [
                ("g", "gauge", vec![("k".into(), vec!["a".to_owned()])]),
                ("h_seconds", "histogram", vec![("route".into(), vec![])]),
            ]
        );
    }
}
