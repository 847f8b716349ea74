//! The task that sends: takes what the store has to tell, asks the schedule what goes next, sends it, and writes down what came of it.
//!
//! A store that cannot be read or written now is asked again: nothing is lost, only late, and what was sent is sent again if
//! that could not be written down before a crash.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ffrtmp_api::job::{JobSpec, TENANT_LABEL};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant as At, sleep_until},
};

use super::{
    Keys, Order, message,
    metrics::{Result as Outcome, WebhookMetrics},
    post::Post,
    schedule::{Now, Schedule, Sent},
    seal,
};
use crate::{
    clock,
    store::{Settled, Settlement, StoreError, WebhookStore},
};

/// Rows looked at in one go.
const PAGE: usize = 1_000;
/// How long a store that fails is left alone.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How long what was given up is remembered, in milliseconds: a week, in which somebody has it tried again or does not want it.
const REMEMBERED_MS: i64 = 7 * 24 * 3_600_000;
/// How often what is older is forgotten, and the age of the oldest told.
const SWEEP: Duration = Duration::from_secs(3_600);
/// How often the age of the oldest is brought up to date.
const AGE: Duration = Duration::from_secs(1);

pub(super) struct Courier {
    store: Arc<WebhookStore>,
    post: Arc<Post>,
    keys: Keys,
    metrics: WebhookMetrics,
    schedule: Schedule,
    began: Instant,
    /// Rows up to this one were looked at; none before the first look.
    seen: Option<i64>,
    /// Events that are not delivered and still tried.
    pending: u64,
    /// What is still to be written down.
    unwritten: Vec<Settled>,
    swept: Option<Instant>,
}

/// Something that was sent: to whom, which, and what came of it.
type Done = (String, i64, Sent);

impl Courier {
    pub(super) fn new(
        store: Arc<WebhookStore>,
        post: Arc<Post>,
        keys: Keys,
        metrics: WebhookMetrics,
    ) -> Courier {
        Courier {
            store,
            post,
            keys,
            metrics,
            schedule: Schedule::default(),
            began: Instant::now(),
            seen: None,
            pending: 0,
            unwritten: Vec::new(),
            swept: None,
        }
    }

    pub(super) async fn run<F: Future<Output = ()>>(
        &mut self,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        noticed: impl Fn() -> F,
    ) {
        let mut under_way: JoinSet<Done> = JoinSet::new();
        loop {
            let mut look_again = At::now() + AGE;
            if let Err(error) = self.exchange_with_store().await {
                tracing::warn!(%error, "the store has nothing for webhooks now; it is asked again");
                look_again = At::now() + STORE_PAUSE;
            }
            while let Some((origin, id)) = self.schedule.next(self.now()) {
                under_way.spawn(send(
                    Arc::clone(&self.store),
                    Arc::clone(&self.post),
                    self.keys.clone(),
                    origin,
                    id,
                ));
            }
            let now = self.now();
            let age_ms = self.schedule.oldest_ms().map_or(0, |at| now.wall_ms - at);
            self.metrics.oldest(age_ms.max(0) as f64 / 1e3);
            self.metrics.pending(self.pending);
            let idle = self.pending == 0 && self.unwritten.is_empty() && under_way.is_empty();
            let due = self
                .schedule
                .next_ms()
                .map(|at_ms| At::now() + Duration::from_millis(at_ms.saturating_sub(now.mono_ms)));
            let wake = due.map_or(look_again, |due| due.min(look_again));
            tokio::select! {
                () = noticed() => {}
                Some(Order::ReadAnew) = orders.recv() => {
                    self.schedule.forget();
                    // The next look takes stock again.
                    self.seen = None;
                }
                Some(done) = under_way.join_next() => {
                    self.done(done);
                    // What ended meanwhile goes into the same commit.
                    while let Some(done) = under_way.try_join_next() {
                        self.done(done);
                    }
                }
                () = sleep_until(wake), if !idle => {}
            }
        }
    }

    fn now(&self) -> Now {
        Now {
            mono_ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            wall_ms: clock::wall_ms(),
        }
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok((origin, id, sent)) => {
                let settled = self
                    .schedule
                    .settle(&origin, id, sent, self.now(), fastrand::f64());
                for one in &settled {
                    let outcome = match &one.settlement {
                        Settlement::Delivered => Outcome::Delivered,
                        Settlement::Later { trouble, tries, .. } => {
                            tracing::info!(
                                origin,
                                tries,
                                trouble,
                                "a webhook did not take an event; it is tried again"
                            );
                            Outcome::Failed
                        }
                        Settlement::GivenUp { trouble, tries, .. } => {
                            tracing::warn!(
                                origin,
                                tries,
                                trouble,
                                "an event for a webhook is given up; `ffrtmp webhooks list` shows it"
                            );
                            Outcome::GivenUp
                        }
                    };
                    self.metrics.tried(outcome);
                    if outcome != Outcome::Failed {
                        self.pending = self.pending.saturating_sub(1);
                    }
                }
                self.unwritten.extend(settled);
            }
            // A task that is neither aborted nor panics does not end so; the next start sends it again.
            Err(error) => tracing::error!(%error, "a webhook could not be sent"),
        }
    }

    /// Writes down what came of what was sent, and takes what is new.
    async fn exchange_with_store(&mut self) -> Result<(), StoreError> {
        if !self.unwritten.is_empty() {
            let settled = self.unwritten.clone();
            self.ask(move |store| store.settle(&settled)).await?;
            self.unwritten.clear();
        }
        if self.seen.is_none() {
            self.begin().await?;
        }
        while let Some(after) = self.seen {
            let found = self.ask(move |store| store.since(after, PAGE)).await?;
            let Some(last) = found.last() else { break };
            self.seen = Some(last.id);
            self.pending += found.len() as u64;
            let (now, all) = (self.now(), found.len() < PAGE);
            found
                .into_iter()
                .for_each(|pending| self.schedule.push(pending, now));
            if all {
                break;
            }
        }
        while let Some((origin, after, most)) = self.schedule.wants() {
            let whose = origin.clone();
            let found = self
                .ask(move |store| store.of_origin(&whose, after, most))
                .await?;
            self.schedule.load(&origin, found, most, self.now());
        }
        if self.swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            let before_ms = clock::wall_ms().saturating_sub(REMEMBERED_MS);
            self.ask(move |store| store.forget(before_ms)).await?;
            self.swept = Some(Instant::now());
        }
        Ok(())
    }

    /// Takes stock.
    async fn begin(&mut self) -> Result<(), StoreError> {
        let (last, origins) = self.ask(WebhookStore::stock).await?;
        self.pending = origins.iter().map(|(_, count)| count).sum();
        origins
            .into_iter()
            .for_each(|(origin, _)| self.schedule.expect(origin));
        self.seen = Some(last);
        Ok(())
    }

    /// Asks the store, off the async threads.
    async fn ask<R: Send + 'static>(
        &self,
        ask: impl FnOnce(&WebhookStore) -> R + Send + 'static,
    ) -> R {
        ask_off(&self.store, ask).await
    }
}

async fn ask_off<R: Send + 'static>(
    store: &Arc<WebhookStore>,
    ask: impl FnOnce(&WebhookStore) -> R + Send + 'static,
) -> R {
    let store = Arc::clone(store);
    match tokio::task::spawn_blocking(move || ask(&store)).await {
        Ok(answer) => answer,
        // A panic ends the process, so this is the runtime ending.
        Err(_) => std::future::pending().await,
    }
}

/// Sends one.
async fn send(
    store: Arc<WebhookStore>,
    post: Arc<Post>,
    keys: Keys,
    origin: String,
    id: i64,
) -> Done {
    let letter = match ask_off(&store, move |store| store.letter(id)).await {
        Ok(Some(letter)) => letter,
        Ok(None) => {
            let gone = Sent::Unwanted("there is no such job any more".to_owned());
            return (origin, id, gone);
        }
        Err(error) => return (origin, id, not_taken(&error)),
    };
    // A newer version may have stored fields this one does not know; the event is told without them.
    let spec: JobSpec = serde_json::from_str(&letter.spec).unwrap_or_default();
    let body = match message::body(&letter, &spec) {
        Ok(body) => body,
        Err(error) => return (origin, id, not_taken(&error)),
    };
    let keys = keys.of(spec.labels.get(TENANT_LABEL).map(String::as_str));
    let sent = post
        .send(seal(&keys, letter.url, letter.event_id, body))
        .await;
    (origin, id, sent)
}

fn not_taken(error: &dyn std::fmt::Display) -> Sent {
    Sent::NotTaken {
        trouble: format!("the event could not be read: {error}"),
        after_ms: None,
    }
}
