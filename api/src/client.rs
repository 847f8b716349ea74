//! A small blocking HTTP client for the master's API. The command line and the end-to-end tests use it.
//!
//! It is separate from the command line so that tests speak to a master without parsing tables. It holds no state but a
//! connection pool, and it never retries a call that could do its work twice: reads are repeatable by nature, cancel,
//! pause and resume ask for a state rather than a step, and a submit is repeated only when it carries an idempotency key.

mod error;
mod events;
mod follow;
mod lasting;
mod policies;
mod presets;
mod query;
mod sse;
pub mod transfer;
mod watch;
mod webhooks;

use std::{
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::{Duration, Instant, UNIX_EPOCH},
};

use serde::{Serialize, de::DeserializeOwned};
use ureq::{Agent, Body, http::Response};

pub use error::{ClientError, Result};
pub use events::{EventFilter, Events};
pub use follow::{Follow, FollowLogs, FollowPolicyLog};
pub use policies::PolicyLogQuery;
pub use query::JobQuery;
pub use watch::Watch;

use query::escape;

use crate::{
    clock::wall_ms,
    ids::{AttemptNo, JobRef},
    job::JobSpec,
    limits,
    preset::Asked,
    rest::{
        AskedBatch, ChangeJob, CreatedToken, ErrorBody, ErrorDetail, Explanation, Job, JobHistory,
        JobList, JobLogs, JoinRequest, NewToken, Node, NodeList, Stats, SubmitBatch,
        SubmitBatchAnswer, Submitted, TokenList, Version,
    },
    tls::ClientTls,
};

/// Where a master listens when nobody says otherwise.
pub const MASTER_DEFAULT: &str = "http://127.0.0.1:8080";

/// Longest wait for a connection. Masters are near; a packet that is dropped on the way costs at most this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time a connection is kept for another request.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// Longest silence on a connection. Longer than the master's slowest answer: a commit that waits for a slow disk.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer read, in bytes. A full page of 1,000 generous jobs is below 16 MiB.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// First pause between two tries; doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause between two tries, so that a master that returns is met within half a second.
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(500);

/// A connection to one master.
pub struct Client {
    agent: Agent,
    base: String,
    token: Option<String>,
    tls: ClientTls,
    retry_for: Duration,
    on_retry: fn(&str, &ClientError),
    told: AtomicBool,
    /// See [`Client::clock_skew_ms`]; [`i64::MIN`] while nothing is known.
    skew_ms: AtomicI64,
}

impl Client {
    /// A client for the master at `url` (`https://host:port`, `http://host:port`, or only `host:port`, which is http).
    ///
    /// # Errors
    /// When `url` is not one this client can speak to. Nothing is sent yet.
    pub fn new(url: &str, token: Option<String>) -> Result<Client> {
        let base = base_url(url)?;
        let tls = ClientTls::default();
        Ok(Client {
            agent: agent(&tls),
            base,
            token,
            tls,
            retry_for: Duration::ZERO,
            on_retry: |_, _| {},
            told: AtomicBool::new(false),
            skew_ms: AtomicI64::new(i64::MIN),
        })
    }

    /// Trusts what `tls` trusts, and shows what it shows.
    #[must_use]
    pub fn with_tls(mut self, tls: &ClientTls) -> Client {
        self.agent = agent(tls);
        self.tls = tls.clone();
        self
    }

    /// Repeats a call that is safe to repeat for up to `retry_for` while the master does not answer (it is restarting, say).
    /// `on_retry` is told once, with the master's URL, when the first repetition begins.
    #[must_use]
    pub fn with_retry(mut self, retry_for: Duration, on_retry: fn(&str, &ClientError)) -> Client {
        self.retry_for = retry_for;
        self.on_retry = on_retry;
        self
    }

    /// The URL of the master, as it is used.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// How far this machine's wall clock is ahead of the master's (below zero: behind), in milliseconds, by the `Date` of its last
    /// answer: exact to about a second. None before the first answer, or behind a proxy that says no date.
    pub fn clock_skew_ms(&self) -> Option<i64> {
        let ms = self.skew_ms.load(Ordering::Relaxed);
        (ms != i64::MIN).then_some(ms)
    }

    fn compare_clocks(&self, response: &Response<Body>) {
        let date = response
            .headers()
            .get("date")
            .and_then(|date| date.to_str().ok());
        let said = date.and_then(|date| httpdate::parse_http_date(date).ok());
        if let Some(since) = said.and_then(|said| said.duration_since(UNIX_EPOCH).ok()) {
            let said_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
            self.skew_ms
                .store(wall_ms().saturating_sub(said_ms), Ordering::Relaxed);
        }
    }

    /// `POST /v1/jobs`. Repeated on a broken connection only if `spec` carries an idempotency key.
    ///
    /// # Errors
    /// See [`ClientError`]; the same for every call below.
    pub fn submit(&self, spec: &JobSpec) -> Result<Submitted> {
        if may_have_preset(spec) {
            return self.submit_asked(&Asked::from(spec.clone()));
        }
        let repeatable = spec.idempotency_key.is_some();
        self.call(repeatable, |client| client.post("/v1/jobs", spec))
    }

    /// The same, with nothing but what was given: a preset fills in the rest.
    #[allow(clippy::missing_errors_doc)]
    pub fn submit_asked(&self, job: &Asked) -> Result<Submitted> {
        let repeatable = job.spec.idempotency_key.is_some();
        self.call(repeatable, |client| client.post("/v1/jobs", job))
    }

    /// `POST /v1/jobs/batch`. Repeated only if every job carries an idempotency key.
    #[allow(missing_docs, clippy::missing_errors_doc)]
    pub fn submit_batch(&self, batch: &SubmitBatch) -> Result<SubmitBatchAnswer> {
        if batch.jobs.iter().any(may_have_preset) {
            return self.submit_asked_batch(&AskedBatch::from(batch));
        }
        let repeatable = batch.jobs.iter().all(|spec| spec.idempotency_key.is_some());
        self.call(repeatable, |client| client.post("/v1/jobs/batch", batch))
    }

    /// The same, with nothing but what was given of each.
    #[allow(clippy::missing_errors_doc)]
    pub fn submit_asked_batch(&self, batch: &AskedBatch) -> Result<SubmitBatchAnswer> {
        let jobs = &batch.jobs;
        let repeatable = jobs.iter().all(|job| job.spec.idempotency_key.is_some());
        self.call(repeatable, |client| client.post("/v1/jobs/batch", batch))
    }

    /// `GET /v1/jobs`: one page.
    #[allow(clippy::missing_errors_doc)]
    pub fn jobs(&self, query: &JobQuery) -> Result<JobList> {
        self.read(&format!("/v1/jobs{}", query.to_query()))
    }

    /// Up to `limit` jobs, in the order asked for, over as many pages as that takes.
    #[allow(clippy::missing_errors_doc)]
    pub fn jobs_up_to(&self, mut query: JobQuery, limit: usize) -> Result<JobList> {
        let mut all = JobList {
            jobs: Vec::new(),
            next_cursor: None,
        };
        loop {
            query.limit = Some((limit - all.jobs.len()).min(limits::LIST_LIMIT_MAX));
            let page = self.jobs(&query)?;
            all.jobs.extend(page.jobs);
            all.next_cursor = page.next_cursor;
            // An empty page may have a next one: the master looks at so many jobs at a time. One that leads to itself does not.
            let over = all.next_cursor.is_none() || all.next_cursor == query.cursor;
            if over || all.jobs.len() >= limit {
                return Ok(all);
            }
            query.cursor = all.next_cursor.clone();
        }
    }

    /// `GET /v1/jobs/{id}`.
    #[allow(clippy::missing_errors_doc)]
    pub fn job(&self, job: JobRef) -> Result<Job> {
        self.read(&format!("/v1/jobs/{job}"))
    }

    /// `GET /v1/jobs/{id}/watch`: the job now and at every change until it ends. Reconnects by itself.
    pub fn watch(&self, job: JobRef) -> Watch<'_> {
        Watch::new(self, job)
    }

    /// `GET /v1/events`: what changes in the cluster, without end. Reconnects by itself.
    pub fn events(&self) -> Events<'_> {
        self.events_of(&EventFilter::default())
    }

    /// The same, of some things only.
    pub fn events_of(&self, filter: &EventFilter) -> Events<'_> {
        Events::new(self, filter)
    }

    /// `GET /v1/jobs/{id}/logs`.
    #[allow(clippy::missing_errors_doc)]
    pub fn logs(&self, job: JobRef) -> Result<JobLogs> {
        self.read(&format!("/v1/jobs/{job}/logs"))
    }

    /// The same of one attempt, from 1.
    #[allow(clippy::missing_errors_doc)]
    pub fn logs_of(&self, job: JobRef, attempt: AttemptNo) -> Result<JobLogs> {
        self.read(&format!("/v1/jobs/{job}/logs?attempt={attempt}"))
    }

    /// `GET /v1/jobs/{id}/logs?follow=true`: the log as it grows, until the job ends. Reconnects by itself.
    pub fn follow_logs(&self, job: JobRef) -> FollowLogs<'_> {
        FollowLogs::new(self, format!("/v1/jobs/{job}/logs?follow=true"))
    }

    /// `POST /v1/jobs/{id}/cancel`.
    #[allow(clippy::missing_errors_doc)]
    pub fn cancel(&self, job: JobRef) -> Result<Job> {
        self.call(true, |client| {
            client.post(&format!("/v1/jobs/{job}/cancel"), &NO_BODY)
        })
    }

    /// `POST /v1/jobs/{id}/stop`: a live job finishes with what it has.
    #[allow(clippy::missing_errors_doc)]
    pub fn stop(&self, job: JobRef) -> Result<Job> {
        self.call(true, |client| {
            client.post(&format!("/v1/jobs/{job}/stop"), &NO_BODY)
        })
    }

    /// `POST /v1/jobs/{id}/pause`.
    #[allow(clippy::missing_errors_doc)]
    pub fn pause(&self, job: JobRef) -> Result<Job> {
        self.call(true, |client| {
            client.post(&format!("/v1/jobs/{job}/pause"), &NO_BODY)
        })
    }

    /// `POST /v1/jobs/{id}/resume`.
    #[allow(clippy::missing_errors_doc)]
    pub fn resume(&self, job: JobRef) -> Result<Job> {
        self.call(true, |client| {
            client.post(&format!("/v1/jobs/{job}/resume"), &NO_BODY)
        })
    }

    /// `POST /v1/jobs/{id}/retry`: a job that failed or was canceled goes back to the queue. Repeated on a broken connection:
    /// a job that is already pending again answers as it is.
    #[allow(clippy::missing_errors_doc)]
    pub fn retry(&self, job: JobRef) -> Result<Job> {
        self.call(true, |client| {
            client.post(&format!("/v1/jobs/{job}/retry"), &NO_BODY)
        })
    }

    /// `PATCH /v1/jobs/{id}`: another lane or urgency for a job that waits.
    #[allow(clippy::missing_errors_doc)]
    pub fn change(&self, job: JobRef, change: &ChangeJob) -> Result<Job> {
        self.call(true, |client| {
            client.send("PATCH", &format!("/v1/jobs/{job}"), Some(change))
        })
    }

    /// `GET /v1/jobs/{id}/history`.
    #[allow(clippy::missing_errors_doc)]
    pub fn history(&self, job: JobRef) -> Result<JobHistory> {
        self.read(&format!("/v1/jobs/{job}/history"))
    }

    /// `GET /v1/jobs/{id}/explain`.
    #[allow(clippy::missing_errors_doc)]
    pub fn explain(&self, job: JobRef) -> Result<Explanation> {
        self.read(&format!("/v1/jobs/{job}/explain"))
    }

    /// `GET /v1/stats`.
    #[allow(clippy::missing_errors_doc)]
    pub fn stats(&self) -> Result<Stats> {
        self.read("/v1/stats")
    }

    /// `GET /v1/nodes/{name}`.
    #[allow(clippy::missing_errors_doc)]
    pub fn node(&self, name: &str) -> Result<Node> {
        self.read(&format!("/v1/nodes/{}", escape(name)))
    }

    /// `POST /v1/nodes/{name}/drain`: the worker finishes what it has and takes nothing new.
    #[allow(clippy::missing_errors_doc)]
    pub fn drain(&self, name: &str) -> Result<Node> {
        self.call(true, |client| {
            client.post(&format!("/v1/nodes/{}/drain", escape(name)), &NO_BODY)
        })
    }

    /// `POST /v1/nodes/{name}/undrain`: it takes work again.
    #[allow(clippy::missing_errors_doc)]
    pub fn undrain(&self, name: &str) -> Result<Node> {
        self.call(true, |client| {
            client.post(&format!("/v1/nodes/{}/undrain", escape(name)), &NO_BODY)
        })
    }

    /// `DELETE /v1/nodes/{name}`: an offline worker is forgotten.
    #[allow(clippy::missing_errors_doc)]
    pub fn remove_node(&self, name: &str) -> Result<()> {
        self.delete(&format!("/v1/nodes/{}", escape(name)))
    }

    /// `GET /v1/tokens`.
    #[allow(clippy::missing_errors_doc)]
    pub fn tokens(&self) -> Result<TokenList> {
        self.read("/v1/tokens")
    }

    /// `POST /v1/tokens`. Never repeated: each call makes another.
    #[allow(clippy::missing_errors_doc)]
    pub fn create_token(&self, new: &NewToken) -> Result<CreatedToken> {
        self.call(false, |client| client.post("/v1/tokens", new))
    }

    /// `POST /v1/join`, with a join token. Repeated on a broken connection: the same worker is not counted twice.
    #[allow(clippy::missing_errors_doc)]
    pub fn join(&self, request: &JoinRequest) -> Result<CreatedToken> {
        self.call(true, |client| client.post("/v1/join", request))
    }

    /// `DELETE /v1/tokens/{id}`.
    #[allow(clippy::missing_errors_doc)]
    pub fn revoke_token(&self, id: uuid::Uuid) -> Result<()> {
        self.delete(&format!("/v1/tokens/{id}"))
    }

    /// `GET /v1/nodes`.
    #[allow(clippy::missing_errors_doc)]
    pub fn nodes(&self) -> Result<NodeList> {
        self.read("/v1/nodes")
    }

    /// `GET /v1/version`.
    #[allow(clippy::missing_errors_doc)]
    pub fn version(&self) -> Result<Version> {
        self.read("/v1/version")
    }

    /// `GET /readyz`: whether the master serves and its store takes writes. Never repeated; `false` when it does not answer.
    pub fn ready(&self) -> bool {
        self.check_ready().is_ok()
    }

    /// The same, with why it is not.
    ///
    /// # Errors
    /// It does not answer, or says what it waits for.
    pub fn check_ready(&self) -> Result<()> {
        let mut response = self.get("/readyz", READ_TIMEOUT)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        // A body that cannot be read leaves the status, which is what matters.
        let text = response.body_mut().read_to_string().unwrap_or_default();
        Err(self.refusal(status.as_u16(), &text))
    }

    /// A repeatable GET of JSON.
    fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(true, |client| client.get(path, READ_TIMEOUT))
    }

    /// Makes one call, again and again while the master does not answer, if that is allowed; then reads its JSON.
    fn call<T: DeserializeOwned>(
        &self,
        repeatable: bool,
        request: impl Fn(&Client) -> Result<Response<Body>>,
    ) -> Result<T> {
        let mut retry = Retry::new(self.retry_for);
        loop {
            let response = request(self);
            let asked = response.as_ref().ok().and_then(retry_after);
            match response.and_then(|response| self.json(response)) {
                Err(error)
                    if error.is_passing()
                        && (repeatable || error.is_undone())
                        && retry.pause_for(asked) =>
                {
                    self.tell(&error);
                }
                Err(error) => return Err(self.explained(error, retry.since.elapsed())),
                answer => return answer,
            }
        }
    }

    /// `error` with what helps to understand it: for how long was tried, or that the master is of another version.
    fn explained(&self, error: ClientError, tried: Duration) -> ClientError {
        match error {
            ClientError::Unreachable { url, cause } if tried >= Duration::from_secs(1) => {
                ClientError::Unreachable {
                    url,
                    cause: format!("{cause}; tried for {} s", tried.as_secs()),
                }
            }
            error if could_be_of_another_version(&error) => match self.other_version() {
                Some(master) => ClientError::OtherVersion {
                    url: self.base.clone(),
                    master,
                    client: env!("CARGO_PKG_VERSION").to_owned(),
                    cause: error.to_string(),
                },
                None => error,
            },
            error => error,
        }
    }

    /// The master's version, if it says one and it is not ours. Asked once, not repeated: this is only to explain.
    fn other_version(&self) -> Option<String> {
        let response = self.get("/v1/version", READ_TIMEOUT).ok()?;
        let said: Version = self.json(response).ok()?;
        (said.version != env!("CARGO_PKG_VERSION")).then_some(said.version)
    }

    /// Says once, and only once in the life of this client, that the master does not answer and is being waited for.
    fn tell(&self, error: &ClientError) {
        if !self.told.swap(true, Ordering::Relaxed) {
            (self.on_retry)(&self.base, error);
        }
    }

    fn get(&self, path: &str, silence_max: Duration) -> Result<Response<Body>> {
        self.get_with(path, None, silence_max)
    }

    fn get_with(
        &self,
        path: &str,
        header: Option<(&str, &str)>,
        silence_max: Duration,
    ) -> Result<Response<Body>> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.config().timeout_per_read(Some(silence_max)).build();
        request
            .call()
            .inspect(|response| self.compare_clocks(response))
            .map_err(|error| ClientError::from_ureq(&self.base, error))
    }

    fn post(&self, path: &str, body: &impl Serialize) -> Result<Response<Body>> {
        self.send("POST", path, Some(body))
    }

    /// A call with a body, or with none.
    fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Response<Body>> {
        let text = match body {
            Some(body) => serde_json::to_string(body).map_err(|error| ClientError::Unexpected {
                url: self.base.clone(),
                what: format!("the request cannot be written as JSON: {error}"),
            })?,
            None => String::new(),
        };
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request
            .body(text)
            .map_err(|error| ClientError::Unexpected {
                url: self.base.clone(),
                what: format!("the request cannot be made: {error}"),
            })?;
        self.agent
            .run(request)
            .inspect(|response| self.compare_clocks(response))
            .map_err(|error| ClientError::from_ureq(&self.base, error))
    }

    /// A repeatable DELETE, whose answer has no content. What is gone already counts as deleted only if this very call may
    /// have done it.
    fn delete(&self, path: &str) -> Result<()> {
        self.call(true, |client| client.send("DELETE", path, None::<&()>))
    }

    /// The answer as `T`, or the master's own error.
    fn json<T: DeserializeOwned>(&self, mut response: Response<Body>) -> Result<T> {
        let status = response.status();
        let text = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string()
            .map_err(|error| ClientError::from_ureq(&self.base, error))?;
        if !status.is_success() {
            return Err(self.refusal(status.as_u16(), &text));
        }
        // No content is JSON's nothing.
        let text = if text.is_empty() { "null" } else { &text };
        serde_json::from_str(text).map_err(|error| ClientError::Unexpected {
            url: self.base.clone(),
            what: format!("status {status}, but not the JSON expected: {error}"),
        })
    }

    /// What a status that is not a success means.
    fn refusal(&self, status: u16, body: &str) -> ClientError {
        match serde_json::from_str::<ErrorBody>(body) {
            Ok(ErrorBody { error }) => ClientError::Refused { status, error },
            // Not our JSON: a proxy's page, or another program on that port. Its first line is what helps.
            Err(_) if status == 401 => ClientError::Refused {
                status,
                error: ErrorDetail::new("unauthorized", "the token is missing or wrong"),
            },
            Err(_) => ClientError::Unexpected {
                url: self.base.clone(),
                what: format!(
                    "status {status}: {:?}",
                    body.lines()
                        .next()
                        .unwrap_or("")
                        .chars()
                        .take(120)
                        .collect::<String>()
                ),
            },
        }
    }
}

/// What makes the connections, and keeps them for reuse.
fn agent(tls: &ClientTls) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        // Masters are on the user's own network; a proxy set for the web must not get their tokens.
        .proxy(None)
        .max_redirects(0)
        // The master ends connections that were idle for 15 s; one that is just being ended takes no request.
        .max_idle_age(IDLE_MAX)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_per_read(Some(READ_TIMEOUT))
        .timeout_per_write(Some(READ_TIMEOUT))
        .tls_config(tls.for_ureq())
        .user_agent(concat!("ffrtmp/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// Whether it makes a difference which fields are sent: a preset fills in only what was not given.
fn may_have_preset(spec: &JobSpec) -> bool {
    spec.preset.is_some() || spec.scenario.is_some()
}

/// Whether this is how a master answers that does not know a route or a field, or that means something else by it.
fn could_be_of_another_version(error: &ClientError) -> bool {
    match error {
        ClientError::Unexpected { .. } => true,
        ClientError::Refused { status: 405, .. } => true,
        ClientError::Refused { status, error } => {
            error.code == "bad_json" || (*status == 404 && error.message.starts_with(NO_ROUTE))
        }
        _ => false,
    }
}

/// How a master's answer begins that knows no such route (as against no such job).
const NO_ROUTE: &str = "there is nothing here";

/// How long the master asks to wait, if it does.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// What is sent where a call needs no body.
const NO_BODY: Option<()> = None;

/// How long to go on trying.
struct Retry {
    since: Instant,
    until: Instant,
    pause: Duration,
}

impl Retry {
    fn new(retry_for: Duration) -> Retry {
        let since = Instant::now();
        Retry {
            since,
            until: since + retry_for,
            pause: RETRY_PAUSE_MIN,
        }
    }

    /// Sleeps before the next try; `false` when the time is over.
    fn pause(&mut self) -> bool {
        self.pause_for(None)
    }

    /// The same, at least for as long as the master asked; `false` at once if that is longer than there is time.
    fn pause_for(&mut self, asked: Option<Duration>) -> bool {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() || asked.is_some_and(|asked| asked > left) {
            return false;
        }
        std::thread::sleep(self.pause.min(left).max(asked.unwrap_or_default()));
        self.pause = (self.pause * 2).min(RETRY_PAUSE_MAX);
        true
    }
}

/// `http://host:port` or `https://host:port` without a slash at the end, from what a user wrote.
fn base_url(url: &str) -> Result<String> {
    let bad = |why: &str| {
        Err(ClientError::BadUrl {
            given: url.to_owned(),
            why: why.to_owned(),
        })
    };
    let trimmed = url.trim();
    let (scheme, rest) = match trimmed.split_once("://") {
        Some(("http", rest)) => ("http", rest),
        Some(("https", rest)) => ("https", rest),
        Some((scheme, _)) => {
            return bad(&format!(
                "{scheme}:// is not spoken; use https://HOST:PORT or http://HOST:PORT"
            ));
        }
        None => ("http", trimmed),
    };
    let rest = rest.trim_end_matches('/');
    if rest.is_empty() || rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return bad("use http://HOST:PORT");
    }
    if rest.contains('@') {
        return bad("it holds a user name; tokens go into FFRTMP_TOKEN or --token-file");
    }
    match ureq::http::Uri::try_from(format!("{scheme}://{rest}")) {
        Ok(uri) if uri.query().is_none() && uri.host().is_some_and(|host| !host.is_empty()) => {
            Ok(format!("{scheme}://{rest}"))
        }
        _ => bad("use http://HOST:PORT"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_may_be_named_with_or_without_a_scheme() {
        for (given, base) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://farm.example/", "http://farm.example"),
            ("https://farm:8443/", "https://farm:8443"),
            ("farm:8080", "http://farm:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(base_url(given).unwrap(), base, "{given}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_spoken_to_says_why() {
        for (given, why) in [
            ("ftp://farm", "ftp:// is not spoken"),
            ("", "use http://HOST:PORT"),
            ("http://", "use http://HOST:PORT"),
            ("http://a b", "use http://HOST:PORT"),
            ("http://me:secret@farm", "FFRTMP_TOKEN"),
        ] {
            let error = base_url(given).unwrap_err().to_string();
            assert!(error.contains(why), "{given:?}: {error}");
        }
    }

    #[test]
    fn an_error_page_of_a_stranger_is_reported_as_such() {
        let client = Client::new("farm:1", None).unwrap();
        let error = client
            .refusal(502, "<html>Bad Gateway</html>\nmore")
            .to_string();
        assert!(
            error.contains("502")
                && error.contains("Bad Gateway")
                && error.contains("http://farm:1"),
            "{error}"
        );
    }

    #[test]
    fn nothing_listening_is_an_unreachable_master_after_the_time_given() {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let client = Client::new(&format!("127.0.0.1:{port}"), None)
            .unwrap()
            .with_retry(Duration::from_millis(300), |_, _| {});
        let start = Instant::now();
        let error = client.nodes().unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
        assert!(start.elapsed() >= Duration::from_millis(300));
        let said = |error| client.explained(error, Duration::from_secs(5)).to_string();
        assert!(said(error).ends_with("; tried for 5 s"));
        assert!(!client.ready());
    }
}
