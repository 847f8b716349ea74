//! `/v1/worker/session`: a worker's WebSocket. Frames in become events, frames from the outbox go out.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Extension,
    extract::{
        State,
        ws::{
            CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code,
            rejection::WebSocketUpgradeRejection,
        },
    },
    response::{IntoResponse, Response},
};
use ffrtmp_api::{
    limits,
    protocol::{ToMaster, ToWorker},
};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use tokio::sync::mpsc;

use super::{App, document::UpgradeRequired, error::ApiError, peer::Peer};
use crate::{
    core::{Event, SessionId},
    discovery::Target,
    tokens::Caller,
};

/// Opens a session.
#[utoipa::path(get, path = "/v1/worker/session", operation_id = "worker_session", tag = "workers",
    responses((status = 101, description = "The WebSocket is open; frames are JSON text."), UpgradeRequired))]
pub async fn open(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Extension(peer): Extension<Peer>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return ApiError::no_upgrade().into_response();
    };
    upgrade
        .max_message_size(limits::FRAME_BYTES_MAX)
        .max_frame_size(limits::FRAME_BYTES_MAX)
        .on_upgrade(move |socket| serve(app, caller, peer, socket))
}

/// What a worker said last of itself that scrapers are told once the core has welcomed it.
type Introduction = Arc<Mutex<Option<(String, Option<Target>)>>>;

async fn serve(app: Arc<App>, caller: Caller, peer: Peer, socket: WebSocket) {
    let _counted = app.metrics.http.session();
    let (session, frames) = app.shell.outbox().open_session();
    let (sink, mut stream) = socket.split();
    let introduction = Introduction::default();
    let mut sending = tokio::spawn(send(sink, frames, {
        let (app, introduction) = (app.clone(), introduction.clone());
        move || {
            let said = introduction.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((name, target)) = &*said {
                app.discovery.welcomed(name, session, target.clone());
            }
        }
    }));
    let mut ended = pin!(caller.clone().ended());
    loop {
        let message = tokio::select! {
            // A worker says something at least every heartbeat. One that is silent for a whole lease is gone, whatever its
            // connection looks like (no power, no route): its socket must not stay for ever.
            message = tokio::time::timeout(app.silence_max, stream.next()) => match message {
                Ok(message) => message,
                Err(_) => break,
            },
            // The core ended the session, or the worker cannot be written to.
            _ = &mut sending => break,
            // The worker keeps its encodes, and is told why when it comes back.
            () = &mut ended => {
                tracing::info!(session = session.0, token = &*caller.name, "the token of a session was revoked or expired; the session ends");
                break;
            }
        };
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
            Some(Ok(Message::Binary(_) | Message::Close(_))) | None => break,
            Some(Err(error)) => {
                tracing::debug!(session = session.0, %error, "a worker's connection broke; it keeps its lease");
                break;
            }
        };
        match serde_json::from_str::<ToMaster>(&text) {
            Ok(ToMaster::Hello(hello)) if !caller.may_be(&hello.name, hello.install_id) => {
                app.shell.outbox().refuse(
                    session,
                    format!(
                        "this worker's token was made for another ({}), not for {:?} with this state directory; join again with a \
                         join token, or give each worker its own",
                        caller.name, hello.name
                    ),
                );
            }
            Ok(frame) => {
                if let ToMaster::Hello(hello) = &frame {
                    let address = hello.metrics_address.as_deref();
                    let target = address.and_then(|said| Target::of(said, peer.address.ip()));
                    *introduction.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some((hello.name.clone(), target));
                }
                receive(&app, session, frame);
            }
            // A newer worker may say more than this version knows. Closing the session would only make it say it again.
            Err(error) => {
                tracing::warn!(session = session.0, %error, "a worker sent a frame this version does not understand; it is ignored");
            }
        }
    }
    app.shell.session_closed(session);
    sending.abort();
    app.discovery.gone(session, Instant::now());
}

/// Progress and logs stay outside the core: they decide nothing.
fn receive(app: &App, session: SessionId, frame: ToMaster) {
    match frame {
        ToMaster::Progress { reports } => {
            for report in reports {
                let job = report.attempt.job;
                app.live.progress(report);
                app.shell.outbox().changed(job);
            }
        }
        ToMaster::Log {
            attempt,
            text,
            bytes_dropped,
        } => {
            app.live.log(attempt, text, bytes_dropped);
            app.shell.outbox().logged(attempt.job);
        }
        frame => {
            if matches!(frame, ToMaster::Draining) {
                app.discovery.leaving(session);
            }
            app.shell.tell(Event::Frame { session, frame });
        }
    }
}

/// How long one frame may take to be written before the worker counts as gone.
const SEND_MAX: Duration = Duration::from_secs(30);

async fn send(
    mut sink: SplitSink<WebSocket, Message>,
    mut frames: mpsc::Receiver<ToWorker>,
    welcomed: impl Fn(),
) {
    while let Some(frame) = frames.recv().await {
        if matches!(frame, ToWorker::Welcome { .. }) {
            welcomed();
        }
        let text = match serde_json::to_string(&frame) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "a frame cannot be encoded; the worker will be told again after its next hello");
                break;
            }
        };
        let sent = tokio::time::timeout(SEND_MAX, sink.send(Message::Text(text.into()))).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
    let end = CloseFrame {
        code: close_code::NORMAL,
        reason: "the master ended this session".into(),
    };
    let _ = sink.send(Message::Close(Some(end))).await; // it may be gone already
}
