//! `/v1/worker/session`: a worker's WebSocket. Frames in become events, frames from the outbox go out.

use std::sync::Arc;

use axum::{
    extract::{
        State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    },
    response::Response,
};
use ffrtmp_api::{
    limits,
    protocol::{ToMaster, ToWorker},
};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use tokio::sync::mpsc;

use super::App;
use crate::core::{Event, SessionId};

/// Opens a session.
pub async fn open(State(app): State<Arc<App>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .max_message_size(limits::FRAME_BYTES_MAX)
        .max_frame_size(limits::FRAME_BYTES_MAX)
        .on_upgrade(move |socket| serve(app, socket))
}

async fn serve(app: Arc<App>, socket: WebSocket) {
    let (session, frames) = app.shell.outbox().open_session();
    let (sink, mut stream) = socket.split();
    let mut sending = tokio::spawn(send(sink, frames));
    loop {
        let message = tokio::select! {
            message = stream.next() => message,
            // The core ended the session, or the worker cannot be written to.
            _ = &mut sending => break,
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
            Ok(frame) => receive(&app, session, frame),
            Err(error) => {
                tracing::warn!(session = session.0, %error, "a worker sent a frame this version does not understand; the session is closed");
                break;
            }
        }
    }
    app.shell.session_closed(session);
    sending.abort();
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
        } => app.live.log(attempt, text, bytes_dropped),
        frame => app.shell.tell(Event::Frame { session, frame }),
    }
}

async fn send(mut sink: SplitSink<WebSocket, Message>, mut frames: mpsc::Receiver<ToWorker>) {
    while let Some(frame) = frames.recv().await {
        let text = match serde_json::to_string(&frame) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "a frame cannot be encoded; the worker will be told again after its next hello");
                break;
            }
        };
        if sink.send(Message::Text(text.into())).await.is_err() {
            return;
        }
    }
    let end = CloseFrame {
        code: close_code::NORMAL,
        reason: "the master ended this session".into(),
    };
    let _ = sink.send(Message::Close(Some(end))).await; // it may be gone already
}
