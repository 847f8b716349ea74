//! One POST to a receiver: the name looked up once, every address of it checked, one connection, one answer. Redirects are not
//! followed, and of the answer's body nothing is read but what shows that it ends.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ffrtmp_api::{
    hosts::{Rule, Who},
    tls::explain_io,
};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use super::schedule::Sent;

/// How long a receiver may take, from the look-up to its answer: what the specification of Standard Webhooks recommends (15 to 30 s).
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long one of its addresses may take to be connected to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Most bytes read of an answer, so that a connection is ended in order by a receiver that says a word. None is kept.
/// How long the body of an answer is read on, so that a receiver which writes one sees no connection break.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The master, in messages about hosts.
pub(super) const MASTER: Who = Who {
    name: "master",
    allow_flag: "--webhook-allow-host",
    deny_flag: "--webhook-deny-private",
};

/// What is sent.
pub(super) struct Envelope {
    pub(super) url: String,
    pub(super) event_id: String,
    /// Seconds since 1970.
    pub(super) sent_at: i64,
    pub(super) signature: String,
    pub(super) body: String,
}

/// How things are sent.
pub(super) struct Post {
    pub(super) rule: Rule,
    pub(super) tls: Arc<ClientConfig>,
}

/// What a receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) after_ms: Option<u64>,
}

impl Post {
    /// Sends it, and says what came of it.
    pub(super) async fn send(&self, envelope: Envelope) -> Sent {
        match self.exchange(envelope, TIMEOUT).await {
            Ok(answered) => answered.into(),
            Err(trouble) => Sent::Unreachable(trouble),
        }
    }

    /// Sends it and waits for the answer.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub(super) async fn exchange(
        &self,
        envelope: Envelope,
        patience: Duration,
    ) -> Result<Answered, String> {
        timeout(patience, self.try_to(envelope))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", patience.as_secs())))
    }

    async fn try_to(&self, envelope: Envelope) -> Result<Answered, String> {
        let url = Url::parse(&envelope.url).map_err(|error| format!("not a URL: {error}"))?;
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err("the URL names no host".to_owned());
        };
        let stream = self.dial(&host, port).await?;
        if url.scheme() != "https" {
            return converse(stream, &url, envelope).await;
        }
        let name = match &host {
            Host::Domain(name) => ServerName::try_from((*name).to_owned())
                .map_err(|_| format!("{name:?} cannot be in a certificate"))?,
            Host::Ipv4(address) => ServerName::IpAddress(IpAddr::V4(*address).into()),
            Host::Ipv6(address) => ServerName::IpAddress(IpAddr::V6(*address).into()),
        };
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await.map_err(|error| {
            let why = explain_io(&error).unwrap_or_else(|| error.to_string());
            format!("no secure connection: {why}")
        })?;
        converse(stream, &url, envelope).await
    }

    /// Connects to one of the host's addresses, after each was checked.
    async fn dial(&self, host: &Host<&str>, port: u16) -> Result<TcpStream, String> {
        let addresses: Vec<SocketAddr> = match host {
            Host::Ipv4(address) => vec![(IpAddr::V4(*address), port).into()],
            Host::Ipv6(address) => vec![(IpAddr::V6(*address), port).into()],
            Host::Domain(name) => tokio::net::lookup_host((*name, port))
                .await
                .map_err(|error| format!("{name} cannot be looked up: {error}"))?
                .collect(),
        };
        let shown = host.to_string();
        for address in &addresses {
            self.rule
                .check(shown.trim_matches(['[', ']']), address.ip())
                .map_err(|why| format!("this master does not go to {shown}: {why}"))?;
        }
        let mut why = format!("{shown} has no address");
        for address in addresses {
            why = match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => format!("{shown} port {port}: {error}"),
                Err(_) => format!("{shown} port {port}: no answer"),
            };
        }
        Err(why)
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    url: &Url,
    envelope: Envelope,
) -> Result<Answered, String> {
    let broken = |error: hyper::Error| format!("the connection broke: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    // Ends when the sender and the answer do.
    let connection = tokio::spawn(connection);
    let authority = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let mut path = url.path().to_owned();
    if let Some(query) = url.query() {
        path = format!("{path}?{query}");
    }
    let request = Request::post(path)
        .header(HOST, authority)
        .header(USER_AGENT, concat!("ffrtmp/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "close")
        .header("webhook-id", envelope.event_id)
        .header("webhook-timestamp", envelope.sent_at)
        .header("webhook-signature", envelope.signature)
        .body(Full::new(Bytes::from(envelope.body)))
        .map_err(|error| format!("the request cannot be made: {error}"))?;
    let answer = sender.send_request(request).await.map_err(broken)?;
    let answered = Answered {
        status: answer.status(),
        after_ms: retry_after_ms(answer.headers()),
    };
    // It has answered: whether its body ends is its own affair.
    let _ = timeout(BODY_TIMEOUT, read_some(answer.into_body())).await;
    connection.abort();
    Ok(answered)
}

/// Reads on for a while; what is read is nothing to us, and neither is an end that does not come.
async fn read_some(mut body: Incoming) {
    let mut left = ANSWER_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// `Retry-After` in seconds, as receivers that are busy send it.
fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let seconds: u64 = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(seconds.saturating_mul(1_000))
}

impl Answered {
    /// What did not work; none if it was taken.
    pub(super) fn trouble(&self) -> Option<String> {
        let status = self.status;
        if status.is_success() {
            None
        } else if status.is_redirection() {
            Some(format!(
                "the receiver answered {status}; redirects are not followed, so name where it leads to"
            ))
        } else {
            Some(format!("the receiver answered {status}"))
        }
    }
}

impl From<Answered> for Sent {
    fn from(answered: Answered) -> Sent {
        match answered.trouble() {
            None => Sent::Taken,
            Some(trouble) if answered.status == StatusCode::GONE => Sent::Unwanted(trouble),
            Some(trouble) => Sent::NotTaken {
                trouble,
                after_ms: answered.after_ms,
            },
        }
    }
}
