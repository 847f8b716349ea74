//! Webhooks: telling web servers of users and operators what became of jobs (`docs/WEBHOOKS.md`).
//!
//! The core records what is to be told in the commit of the change it is about, so neither is without the other; here it is sent,
//! signed, until it is taken or a day is over. **Invariant: nothing here is ever waited for by a job, a worker or a caller.** What was
//! sent and not yet written down as such is sent again after a crash, with the same id: each event at least once, and those of one
//! job in order.
//!
//! `schedule` decides what is sent when; `post` sends one; `message`, `signature` and `secret` make what is sent; `courier` runs it all.

mod courier;
mod message;
mod metrics;
mod post;
mod schedule;
mod secret;
mod signature;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use ffrtmp_api::{
    hosts::{HostPattern, Rule},
    ids::JobSeq,
    rest::{WebhookState, WebhookTested},
    settings::Webhook,
    tls::ClientTls,
};
use tokio::sync::mpsc;

pub use metrics::WebhookMetrics;
pub(crate) use secret::FILE as SECRET;

use crate::{
    clock,
    store::{Reader, StoreError, WebhookStore},
};
use courier::Courier;
use post::{Envelope, MASTER, Post};
use signature::{Key, sign};

/// How long a test waits for an answer: less than clients wait for ours.
const TEST_PATIENCE: Duration = Duration::from_secs(8);

/// The settings of webhooks.
#[derive(Debug, Clone, Default)]
pub struct WebhookConfig {
    /// Who is told of the changes of every job.
    pub everyone: Vec<Webhook>,
    /// The file of the keys; none: one in the data directory, made if it is missing.
    pub secret_file: Option<PathBuf>,
    /// The only hosts that are told; empty: every one but this machine, and never metadata services and link-local addresses.
    pub allow_hosts: Vec<HostPattern>,
    /// Whether hosts on private networks are not told, but for what `allow_hosts` names.
    pub deny_private: bool,
    /// Whose certificates are trusted.
    pub tls: ClientTls,
}

/// What the rest of the master asks of webhooks.
pub struct Webhooks {
    store: Arc<WebhookStore>,
    post: Arc<Post>,
    keys: Keys,
    tell_everyone: bool,
    orders: mpsc::UnboundedSender<Order>,
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Webhooks")
    }
}

/// What the courier is told.
enum Order {
    /// Everything is to be read anew: what was due later is due now.
    ReadAnew,
}

/// The keys that events are signed with.
#[derive(Clone)]
struct Keys(Arc<Vec<Key>>);

impl Keys {
    /// Those of a tenant, or of jobs without one; the newest first.
    fn of(&self, tenant: Option<&str>) -> Vec<Key> {
        match tenant {
            Some(tenant) => self.0.iter().map(|key| key.of_tenant(tenant)).collect(),
            None => self.0.to_vec(),
        }
    }
}

impl Webhooks {
    /// Reads the keys and gets ready. Nothing is sent before [`Run::run`].
    ///
    /// # Errors
    /// When the file of the keys cannot be used.
    pub fn new(
        config: &WebhookConfig,
        data_dir: &Path,
        own_machine: bool,
        store: WebhookStore,
        metrics: WebhookMetrics,
    ) -> anyhow::Result<(Webhooks, Run)> {
        let (file, make) = match &config.secret_file {
            Some(file) => (file.clone(), false),
            None => (secret::path(data_dir), true),
        };
        let keys = secret::load(&file, make).context("the keys of webhooks")?;
        let post = Arc::new(Post {
            rule: Rule {
                allowed: config.allow_hosts.clone(),
                deny_private: config.deny_private,
                own_machine,
                who: MASTER,
            },
            tls: config.tls.config()?,
        });
        let (orders, inbox) = mpsc::unbounded_channel();
        let store = Arc::new(store);
        let keys = Keys(Arc::new(keys));
        let courier = Courier::new(Arc::clone(&store), Arc::clone(&post), keys.clone(), metrics);
        let webhooks = Webhooks {
            store,
            post,
            keys,
            tell_everyone: !config.everyone.is_empty(),
            orders,
        };
        Ok((webhooks, Run { courier, inbox }))
    }

    /// Whether somebody is told of every job.
    pub fn tell_everyone(&self) -> bool {
        self.tell_everyone
    }

    /// What the receivers of a tenant's jobs, or of jobs without one, check signatures with.
    pub fn secret(&self, tenant: Option<&str>) -> String {
        let keys = self.keys.of(tenant);
        keys.first().map(Key::written).unwrap_or_default()
    }

    /// Has everything of a job tried again now, what was given up included. Says how much that is. Blocking.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn retry(&self, job: JobSeq) -> Result<u64, StoreError> {
        let retried = self.store.retry(job, clock::wall_ms())?;
        // The courier ends only with the process.
        let _ = self.orders.send(Order::ReadAnew);
        Ok(retried)
    }

    /// Sends a signed test and waits for the answer.
    pub async fn test(&self, hook: &Webhook, tenant: Option<&str>) -> WebhookTested {
        let began = Instant::now();
        let now_ms = clock::wall_ms();
        let event_id = format!("evt_test_{}", uuid::Uuid::new_v4().simple());
        let answered = match message::test_body(now_ms) {
            Ok(body) => {
                self.post
                    .exchange(
                        seal(&self.keys.of(tenant), hook.url.clone(), event_id, body),
                        TEST_PATIENCE,
                    )
                    .await
            }
            Err(error) => Err(error.to_string()),
        };
        let (status, trouble) = match answered {
            Ok(answered) => (Some(answered.status.as_u16()), answered.trouble()),
            Err(trouble) => (None, Some(trouble)),
        };
        WebhookTested {
            delivered: trouble.is_none(),
            status,
            trouble,
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// The running half.
pub struct Run {
    courier: Courier,
    inbox: mpsc::UnboundedReceiver<Order>,
}

impl Run {
    /// Sends what is to be sent, for ever. `noticed` waits for something new.
    pub async fn run<F: Future<Output = ()>>(mut self, noticed: impl Fn() -> F) {
        self.courier.run(&mut self.inbox, noticed).await;
    }
}

/// Signs a body, now.
fn seal(keys: &[Key], url: String, event_id: String, body: String) -> Envelope {
    let sent_at = clock::wall_ms().div_euclid(1_000);
    Envelope {
        signature: sign(keys, &event_id, sent_at, &body),
        url,
        event_id,
        sent_at,
        body,
    }
}

/// What is not delivered of a job's events, for its description. Blocking.
///
/// # Errors
/// When the store cannot be read.
pub fn state_of(reader: &Reader, job: JobSeq) -> Result<WebhookState, StoreError> {
    let list = reader.deliveries(Some(job))?;
    Ok(WebhookState {
        waiting: list.waiting,
        given_up: list.given_up,
        trouble: list.deliveries.into_iter().find_map(|d| d.trouble),
    })
}
