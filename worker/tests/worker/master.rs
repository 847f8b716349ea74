//! A master of a few lines: accepts sessions, lets the test read each frame and send any answer.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{
        State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::get,
};
use ffrtmp_api::{
    ids::{Attempt, AttemptNo, JobSeq},
    job::{FailureReason, JobSpec},
    protocol::{
        Assignment, Hello, MediaResult, Outcome, Reserved, SESSION_PATH, ToMaster, ToWorker,
    },
    settings::Settings,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle, time::timeout};

/// After this a test that waits has failed. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// What the next sessions' welcome says.
pub const HEARTBEAT_MS: u64 = 100;
pub const CUTOFF_MS: u64 = 2_000;

pub struct Master {
    pub address: SocketAddr,
    sessions: mpsc::UnboundedReceiver<Session>,
    server: JoinHandle<()>,
}

/// One connection of a worker.
pub struct Session {
    frames: mpsc::UnboundedReceiver<ToMaster>,
    answers: mpsc::UnboundedSender<ToWorker>,
}

#[derive(Clone)]
struct Shared {
    token: Option<String>,
    sessions: mpsc::UnboundedSender<Session>,
}

impl Master {
    pub async fn start() -> Master {
        Master::at("127.0.0.1:0".parse().unwrap(), None).await
    }

    pub async fn at(address: SocketAddr, token: Option<&str>) -> Master {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (send, sessions) = mpsc::unbounded_channel();
        let shared = Shared {
            token: token.map(Into::into),
            sessions: send,
        };
        let app = Router::new()
            .route(SESSION_PATH, get(accept))
            .with_state(shared);
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Master {
            address,
            sessions,
            server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next connection, its hello unread.
    pub async fn connection(&mut self) -> Session {
        timeout(PATIENCE, self.sessions.recv())
            .await
            .expect("no connection")
            .unwrap()
    }

    /// The next connection, welcomed.
    pub async fn session(&mut self) -> (Session, Hello) {
        let mut session = self.connection().await;
        let hello = session.hello().await;
        session.welcome();
        (session, hello)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(
    State(shared): State<Shared>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> axum::response::Response {
    if let Some(token) = &shared.token {
        let given = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        if given != Some(&format!("Bearer {token}")) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
    }
    upgrade
        .on_upgrade(move |socket| serve(socket, shared))
        .into_response()
}

async fn serve(mut socket: WebSocket, shared: Shared) {
    let (to_test, frames) = mpsc::unbounded_channel();
    let (answers, mut from_test) = mpsc::unbounded_channel::<ToWorker>();
    if shared.sessions.send(Session { frames, answers }).is_err() {
        return;
    }
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    assert!(text.len() <= ffrtmp_api::limits::FRAME_BYTES_MAX);
                    let _ = to_test.send(serde_json::from_str(&text).unwrap());
                }
                Some(Ok(_)) => {}
                _ => return,
            },
            answer = from_test.recv() => match answer {
                Some(answer) => {
                    let text = serde_json::to_string(&answer).unwrap();
                    if socket.send(Message::text(text)).await.is_err() {
                        return;
                    }
                }
                // The test dropped the session: so does the network, without a word.
                None => return,
            },
        }
    }
}

impl Session {
    pub fn send(&self, frame: ToWorker) {
        self.answers.send(frame).unwrap();
    }

    pub fn welcome(&self) {
        self.send(ToWorker::Welcome {
            version: 1,
            heartbeat_ms: HEARTBEAT_MS,
            cutoff_ms: CUTOFF_MS,
        });
    }

    pub async fn next(&mut self) -> ToMaster {
        timeout(PATIENCE, self.frames.recv())
            .await
            .expect("the worker says nothing")
            .expect("the session ended")
    }

    /// Reads until `wanted` answers.
    pub async fn until<T>(&mut self, mut wanted: impl FnMut(ToMaster) -> Option<T>) -> T {
        let search = async {
            loop {
                if let Some(found) = wanted(self.next().await) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, search)
            .await
            .expect("what was waited for does not come")
    }

    /// Waits until the worker has closed the connection.
    pub async fn ended(&mut self) {
        let end = async { while self.frames.recv().await.is_some() {} };
        timeout(PATIENCE, end)
            .await
            .expect("the session does not end");
    }

    pub async fn hello(&mut self) -> Hello {
        self.until(|frame| match frame {
            ToMaster::Hello(hello) => Some(*hello),
            _ => None,
        })
        .await
    }

    pub async fn started(&mut self, attempt: Attempt) {
        self.until(|frame| match frame {
            ToMaster::Started { attempt: a, .. } if a == attempt => Some(()),
            ToMaster::Outcome { outcome, log, .. } => panic!("{outcome:?}\n{log}"),
            _ => None,
        })
        .await;
    }

    pub async fn progressed(&mut self, attempt: Attempt) -> ffrtmp_api::protocol::Progress {
        self.until(|frame| match frame {
            ToMaster::Progress { reports } => reports
                .into_iter()
                .find(|r| r.attempt == attempt && r.frames > 0),
            ToMaster::Outcome { outcome, log, .. } => panic!("{outcome:?}\n{log}"),
            _ => None,
        })
        .await
    }

    /// Waits for `Encoded`: the temporary file, its size, and what was measured.
    pub async fn encoded(&mut self, attempt: Attempt) -> (String, u64, MediaResult) {
        self.until(|frame| match frame {
            ToMaster::Encoded {
                attempt: a,
                temp,
                bytes,
                result,
            } if a == attempt => Some((temp, bytes, result)),
            ToMaster::Outcome { outcome, log, .. } => panic!("{outcome:?}\n{log}"),
            _ => None,
        })
        .await
    }

    pub async fn outcome(&mut self, attempt: Attempt) -> (Outcome, String) {
        self.until(|frame| match frame {
            ToMaster::Outcome {
                attempt: a,
                outcome,
                log,
            } if a == attempt => Some((outcome, log)),
            _ => None,
        })
        .await
    }

    /// The class of the failure it ends with, and what is said of it.
    pub async fn failure(&mut self, attempt: Attempt) -> (FailureReason, String) {
        match self.outcome(attempt).await {
            (Outcome::Failed { reason, message }, _) => (reason, message),
            (outcome, log) => panic!("{outcome:?}\n{log}"),
        }
    }

    pub fn assign(&self, attempt: Attempt, edit: impl FnOnce(&mut JobSpec)) {
        self.send(ToWorker::Assign {
            assignments: vec![order(attempt, edit)],
        });
    }
}

pub fn attempt(job: u64) -> Attempt {
    Attempt {
        job: JobSeq(job),
        no: AttemptNo(1),
    }
}

pub fn order(attempt: Attempt, edit: impl FnOnce(&mut JobSpec)) -> Assignment {
    let mut spec = JobSpec::default();
    edit(&mut spec);
    Assignment {
        attempt,
        job_uuid: uuid::Uuid::new_v4(),
        scenario: spec.scenario.clone(),
        settings: Settings::resolve(&spec).unwrap(),
        gpu: None,
        queue: spec.queue,
        reserved: Reserved::default(),
    }
}

/// A small synthetic job that takes a fraction of a second.
pub fn tiny(spec: &mut JobSpec) {
    spec.size = Some("320x180".into());
    spec.duration_seconds = Some(0.5);
}
