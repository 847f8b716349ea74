//! Counts requests: by the route's template, never by the path that was asked for, so that the number of series is bounded by
//! the API's own table.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    http::Method,
    middleware::Next,
    response::Response,
};
use ffrtmp_api::metrics::Exposition;
use prometheus::{HistogramVec, IntCounterVec, IntGauge, Result};

/// Buckets for a request, seconds: a submit is acknowledged after one commit, some milliseconds; a long list takes tenths.
const REQUEST_SECONDS: [f64; 10] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// The metrics. Clones share the numbers.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    sessions: IntGauge,
}

/// A session that is counted while it lives.
#[derive(Debug)]
pub struct CountedSession(IntGauge);

impl Drop for CountedSession {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl HttpMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// When one of these names is taken.
    pub fn new(make: &Exposition) -> Result<HttpMetrics> {
        Ok(HttpMetrics {
            requests: make.counters(
                "ffrtmp_http_requests_total",
                "Requests to the API, by method, route and status.",
                &[("method", &[]), ("route", &[]), ("code", &[])],
            )?,
            seconds: make.histograms(
                "ffrtmp_http_request_seconds",
                "Time from a request's head to the head of its answer; streams and sessions go on after that.",
                &[("method", &[]), ("route", &[])],
                &REQUEST_SECONDS,
            )?,
            sessions: make.gauge(
                "ffrtmp_sessions",
                "Open connections of workers. One that is not yet welcomed, or refused, counts too.",
            )?,
        })
    }

    /// A worker's connection, until this is dropped.
    pub fn session(&self) -> CountedSession {
        self.sessions.inc();
        CountedSession(self.sessions.clone())
    }
}

/// Counts an exchange. Around everything else, so that refusals count too.
pub async fn count(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = word(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let answer = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    metrics
        .requests
        .with_label_values(&[method, route, answer.status().as_str()])
        .inc();
    metrics
        .seconds
        .with_label_values(&[method, route])
        .observe(begun.elapsed().as_secs_f64());
    answer
}

/// Anybody may send any method.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}
