//! The WebSocket to the master: connects, introduces the worker, then says what waits in the outbox and hears orders,
//! for ever.
//!
//! Order of what is said: heartbeats, then facts and results, then progress and logs, looked at anew before each frame.
//! A peer that is silent past the cut-off the master named is considered gone: the connection is dropped and made anew.
//! Losing it never touches an encode.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ffrtmp_api::{
    clock::wall_ms,
    job::RAW_ARGS_LABEL,
    protocol::{self, Capabilities, Heartbeat, Hello, ToMaster, ToWorker},
    tls::ClientTls,
};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::{
    backoff::Backoff,
    dial::{DialError, dial},
    fence::Fence,
    outbox::Outbox,
};
use crate::{
    advertise::{self, Advertised},
    attempt::held::Attempts,
    capabilities::survey::Survey,
    metrics::Metrics,
    sampler::Sampler,
};

/// Longest TCP, TLS and WebSocket handshake, and longest wait for the welcome.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often progress and log text are sent: fast enough to watch, slow enough to coalesce.
const BULK_EVERY: Duration = Duration::from_millis(400);
/// Bounds on what a master may ask for, so that a wrong number neither floods it nor loses the worker.
const HEARTBEAT_MS: (u64, u64) = (50, 60_000);

/// What a session needs.
pub(crate) struct Session {
    /// `ws://…` or `wss://…`
    pub(crate) url: String,
    /// The cluster's token.
    pub(crate) token: Option<String>,
    /// Whom to trust over `wss://`, and what to show.
    pub(crate) tls: ClientTls,
    /// The hello, but for the attempts, the labels, the time and what [`Session::survey`] knows, which are looked at anew each
    /// time.
    pub(crate) hello: Hello,
    /// Where its metrics are served, if they are.
    pub(crate) metrics_at: Option<MetricsAt>,
    /// What the machine can do now. A change is said with another hello.
    pub(crate) survey: watch::Receiver<Survey>,
    /// Its labels now. Others are said with another hello.
    pub(crate) labels: watch::Receiver<BTreeMap<String, String>>,
    /// Whether it takes raw ffmpeg arguments.
    pub(crate) raw_args: bool,
    /// What waits to be said.
    pub(crate) outbox: Arc<Outbox>,
    /// Where orders go.
    pub(crate) attempts: Arc<Attempts>,
    /// How loaded the machine is.
    pub(crate) sampler: Sampler,
    /// Heartbeats are counted.
    pub(crate) metrics: Metrics,
    /// What must end when the master is not heard.
    pub(crate) fence: Fence,
    /// Whether the master has welcomed us.
    pub(crate) connected: watch::Sender<bool>,
}

/// Where the metrics are served, and what to say of it.
pub(crate) struct MetricsAt {
    /// The listener's address.
    pub(crate) bound: SocketAddr,
    /// Whether it is over TLS.
    pub(crate) tls: bool,
    /// What the operator wants said.
    pub(crate) said: Option<Advertised>,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum SessionEnd {
    #[error("the master refused this worker: {message}")]
    Refused { message: String, retry: bool },
    #[error(
        "the master at {url} does not admit this worker: {message}. Its token is given in FFRTMP_TOKEN or with --token-file; one that it \
         got by joining is the file `token` in its state directory: delete that to join again"
    )]
    NotAdmitted { url: String, message: String },
    #[error("{0}")]
    Dial(DialError),
    #[error("{0}")]
    Transport(#[from] WsError),
    #[error("no answer within {} s", HANDSHAKE.as_secs())]
    Handshake,
    #[error("nothing heard from the master for {} ms", .0.as_millis())]
    CutOff(Duration),
    #[error(
        "the master sent an order this version does not understand ({0}); install the master's version"
    )]
    NotUnderstood(serde_json::Error),
    #[error("the master closed the connection")]
    Closed,
}

/// What the reading half tells the writing half.
enum Heard {
    Welcome {
        heartbeat: Duration,
        cutoff: Duration,
    },
    Resync,
}

/// The reader's news for the writer, and when anything was last heard.
struct Wire {
    heard_at: Mutex<Instant>,
    news: mpsc::UnboundedSender<Heard>,
}

/// Keeps a session, one after the other. Returns only when the master refuses this worker for good.
pub(crate) async fn keep(session: &Session) -> anyhow::Error {
    let mut backoff = Backoff::default();
    let mut ever_welcomed = false;
    loop {
        let end = match run(session).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        let welcomed = session.connected.send_replace(false);
        session.metrics.connected(false);
        ever_welcomed |= welcomed;
        if welcomed {
            backoff.reset();
        }
        match &end {
            SessionEnd::Refused { retry: false, .. } => return end.into(),
            // A wrong token or certificate at first start is a mistake to be told; later it is the master's trouble and may
            // pass.
            SessionEnd::NotAdmitted { .. } if !ever_welcomed => return end.into(),
            SessionEnd::Dial(
                DialError::Insecure(_)
                | DialError::Unusable(_)
                | DialError::Answered { status: 400, .. },
            ) if !ever_welcomed => {
                return anyhow::Error::from(end)
                    .context(format!("the master at {} cannot be used", session.url));
            }
            _ => {}
        }
        let pause = backoff.pause();
        tracing::warn!(master = session.url, error = %end, retry_in_ms = pause.as_millis() as u64, "no session with the master; encodes go on");
        sleep(pause).await;
    }
}

/// One session, from connecting to its end.
async fn run(session: &Session) -> Result<std::convert::Infallible, SessionEnd> {
    let dialing = dial(&session.url, session.token.as_deref(), &session.tls);
    let socket = match timeout(HANDSHAKE, dialing).await {
        Err(_) => return Err(SessionEnd::Handshake),
        Ok(Err(DialError::Answered {
            status: 401 | 403,
            message,
        })) => {
            return Err(SessionEnd::NotAdmitted {
                url: session.url.clone(),
                message,
            });
        }
        Ok(dialed) => dialed.map_err(SessionEnd::Dial)?,
    };
    let (socket, from) = socket;
    let (sink, stream) = socket.split();
    let (news, heard) = mpsc::unbounded_channel();
    let wire = Wire {
        heard_at: Mutex::new(Instant::now()),
        news,
    };
    // Both halves are driven by one task, but neither waits for the other: a slow send does not stop the hearing.
    tokio::select! {
        end = hear(session, &wire, stream) => Err(end),
        end = say(session, from, &wire, sink, heard) => end,
    }
}

async fn hear(
    session: &Session,
    wire: &Wire,
    mut stream: impl Stream<Item = Result<Message, WsError>> + Unpin,
) -> SessionEnd {
    loop {
        let message = match stream.next().await {
            None => return SessionEnd::Closed,
            Some(Err(error)) => return error.into(),
            Some(Ok(message)) => message,
        };
        *wire.heard_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        session.fence.heard();
        let text = match message {
            Message::Text(text) => text,
            Message::Close(_) => return SessionEnd::Closed,
            _ => continue,
        };
        match serde_json::from_str::<ToWorker>(&text) {
            Ok(ToWorker::Welcome {
                heartbeat_ms,
                cutoff_ms,
                ..
            }) => {
                let heartbeat_ms = heartbeat_ms.clamp(HEARTBEAT_MS.0, HEARTBEAT_MS.1);
                let heartbeat = Duration::from_millis(heartbeat_ms);
                // Never cut off between two heartbeats: the answers to them are what is heard.
                let cutoff = Duration::from_millis(cutoff_ms.max(heartbeat_ms * 2));
                session.fence.welcomed(cutoff);
                let _ = wire.news.send(Heard::Welcome { heartbeat, cutoff });
            }
            Ok(ToWorker::Refused { message, retry }) => {
                return SessionEnd::Refused { message, retry };
            }
            Ok(ToWorker::Resync) => {
                let _ = wire.news.send(Heard::Resync);
            }
            Ok(order) => session.attempts.handle(order),
            // It may be an order to run a job: ignored, the job would wait for ever. A new session makes the master tell
            // again, or give the job to a worker that understands it.
            Err(error) => return SessionEnd::NotUnderstood(error),
        }
    }
}

async fn say(
    session: &Session,
    from: SocketAddr,
    wire: &Wire,
    mut sink: impl Sink<Message, Error = WsError> + Unpin,
    mut heard: mpsc::UnboundedReceiver<Heard>,
) -> Result<std::convert::Infallible, SessionEnd> {
    let mut cutoff = HANDSHAKE;
    let mut heartbeat = HANDSHAKE;
    let mut next_heartbeat: Option<Instant> = None;
    let mut bulk = interval(BULK_EVERY);
    bulk.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut bulk_due = false;
    let mut labels = session.labels.clone();
    labels.mark_unchanged();
    let mut survey = session.survey.clone();
    survey.mark_unchanged();
    send(&mut sink, hello(session, from), cutoff).await?;
    loop {
        let now = Instant::now();
        if now.duration_since(*wire.heard_at.lock().unwrap_or_else(PoisonError::into_inner))
            > cutoff
        {
            return Err(if next_heartbeat.is_some() {
                SessionEnd::CutOff(cutoff)
            } else {
                SessionEnd::Handshake
            });
        }
        if next_heartbeat.is_some_and(|at| at <= now) {
            next_heartbeat = Some(now + heartbeat);
            send(
                &mut sink,
                encode(&ToMaster::Heartbeat(Heartbeat {
                    wall_ms: Some(wall_ms()),
                    ..session.sampler.latest()
                })),
                cutoff,
            )
            .await?;
            // The master's answer to a ping is how a silent master is told from a dead one.
            send(&mut sink, Some(Message::Ping(Default::default())), cutoff).await?;
            session.metrics.heartbeat();
            continue;
        }
        if let Some(frame) = session.outbox.next_urgent() {
            send(&mut sink, Some(Message::text(frame)), cutoff).await?;
            session.outbox.said();
            continue;
        }
        if bulk_due {
            match session.outbox.next_bulk() {
                Some(frame) => send(&mut sink, Some(Message::text(frame)), cutoff).await?,
                None => bulk_due = false,
            }
            continue;
        }
        let look_again = next_heartbeat.unwrap_or(now + HANDSHAKE / 10);
        tokio::select! {
            biased;
            Some(heard) = heard.recv() => match heard {
                Heard::Welcome { heartbeat: every, cutoff: limit } => {
                    (heartbeat, cutoff) = (every, limit);
                    next_heartbeat = Some(Instant::now());
                    session.outbox.welcomed();
                    if !session.connected.send_replace(true) {
                        session.metrics.connected(true);
                        tracing::info!(master = session.url, "welcomed by the master");
                    }
                }
                Heard::Resync => send(&mut sink, hello(session, from), cutoff).await?,
            },
            Ok(()) = labels.changed(), if next_heartbeat.is_some() => {
                tracing::info!(labels = ?*labels.borrow(), "the labels have changed; the master is told");
                send(&mut sink, hello(session, from), cutoff).await?;
            }
            Ok(()) = survey.changed(), if next_heartbeat.is_some() => {
                tracing::info!("what this machine can do has changed; the master is told");
                send(&mut sink, hello(session, from), cutoff).await?;
            }
            () = sleep_until(look_again) => {}
            () = session.outbox.urgent() => {}
            _ = bulk.tick() => bulk_due = true,
        }
    }
}

fn hello(session: &Session, from: SocketAddr) -> Option<Message> {
    // In this order: what happens to an attempt after the list is made waits in the outbox for the welcome.
    session.outbox.begin_hello();
    let known = session.survey.borrow().capabilities.clone();
    let fixed = &session.hello.capabilities;
    let hello = Hello {
        capabilities: Capabilities {
            slots: fixed.slots,
            cpu_millicores: fixed.cpu_millicores,
            memory_mib: fixed.memory_mib,
            guards: fixed.guards.clone(),
            ..known
        },
        attempts: session.attempts.live(),
        labels: labels_of(session),
        metrics_address: session
            .metrics_at
            .as_ref()
            .map(|at| advertise::address(at.bound, at.tls, at.said.as_ref(), from)),
        wall_ms: Some(wall_ms()),
        ..session.hello.clone()
    };
    encode(&ToMaster::Hello(Box::new(hello)))
}

/// Its labels: the operator's, and what comes of how it was started.
fn labels_of(session: &Session) -> BTreeMap<String, String> {
    let mut labels = session.labels.borrow().clone();
    if session.raw_args {
        let (key, value) = RAW_ARGS_LABEL;
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

fn encode(frame: &ToMaster) -> Option<Message> {
    serde_json::to_string(frame)
        .inspect_err(|error| tracing::error!(%error, "a frame cannot be encoded and is dropped; this is a bug"))
        .ok()
        .map(Message::text)
}

async fn send(
    sink: &mut (impl Sink<Message, Error = WsError> + Unpin),
    message: Option<Message>,
    limit: Duration,
) -> Result<(), SessionEnd> {
    let Some(message) = message else {
        return Ok(());
    };
    timeout(limit, sink.send(message))
        .await
        .map_err(|_| SessionEnd::CutOff(limit))??;
    Ok(())
}

/// The part of the hello that stays the same.
pub(crate) fn introduction(name: String, install_id: uuid::Uuid) -> Hello {
    Hello {
        version: protocol::VERSION,
        version_min: protocol::VERSION_MIN,
        name,
        install_id,
        software: env!("CARGO_PKG_VERSION").into(),
        capabilities: Default::default(),
        attempts: Vec::new(),
        labels: Default::default(),
        metrics_address: None,
        wall_ms: None,
    }
}
