//! The way out to web servers: a forward proxy on the loopback interface, for this worker's own children alone.
//!
//! ffmpeg looks names up and follows redirects and playlists by itself, so nothing that is checked beforehand holds for what it
//! does then. Through here goes every request it makes, for whatever reason: the name is looked up once, its addresses
//! are checked, and the connection is made to one of those. It reads nothing of what passes and keeps nothing.
//!
//! Each attempt has a [`Pass`], a password of its own. Who has none gets nothing, and what was refused is told to the
//! attempt that asked, because ffmpeg passes over a segment it does not get and would call what is left a success.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use ffrtmp_api::job::FailureReason;
use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    client::conn::http1 as client,
    header::{
        CONNECTION, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
        TRANSFER_ENCODING, UPGRADE,
    },
    server::conn::http1 as server,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::{Trouble, hosts::Hosts};
use crate::ffmpeg::{diagnosis::Failure, spawner::WebProxy};

/// How long one address may take to be connected to; less than ffmpeg's own patience, so that it hears why.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a server may take nothing of what is sent to it, before it counts as gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a child may take to say what it wants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Pause after a connection could not be accepted, most often because no file descriptor was free.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// The name that goes with every password.
const USER: &str = "job";

type Body = Either<Incoming, Full<Bytes>>;

/// See the module's head. It ends when dropped.
pub(super) struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    listening: AbortHandle,
}

struct Shared {
    hosts: Arc<Hosts>,
    send_timeout: Duration,
    /// By the header that shows a password.
    passes: Mutex<HashMap<HeaderValue, Arc<Passed>>>,
}

/// What became of the requests of an attempt.
#[derive(Default)]
struct Passed {
    /// The first thing that was refused to it, or else the last that did not work.
    heard: Mutex<Option<Trouble>>,
    /// Ends its tunnels: a server that neither speaks nor closes would keep them.
    over: CancellationToken,
}

/// A connection to a server.
type There = Pin<Box<TimeoutStream<TcpStream>>>;

/// Lets an attempt out, until it is dropped.
pub(crate) struct Pass {
    shared: Arc<Shared>,
    header: HeaderValue,
    url: String,
    port: u16,
    passed: Arc<Passed>,
}

impl Proxy {
    /// Listens on a free port of the loopback interface.
    pub(super) async fn start(hosts: Arc<Hosts>) -> anyhow::Result<Proxy> {
        Proxy::with_patience(hosts, SEND_TIMEOUT).await
    }

    /// The same, with servers that may take nothing for so long.
    async fn with_patience(hosts: Arc<Hosts>, send_timeout: Duration) -> anyhow::Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("no port of 127.0.0.1 is free for what jobs fetch")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            hosts,
            send_timeout,
            passes: Mutex::default(),
        });
        let listening = tokio::spawn(listen(listener, Arc::clone(&shared))).abort_handle();
        Ok(Proxy {
            shared,
            address,
            listening,
        })
    }

    /// A password for one attempt.
    pub(super) fn admit(&self) -> Pass {
        let password = uuid::Uuid::new_v4().simple().to_string();
        let shown = BASE64.encode(format!("{USER}:{password}"));
        // Base64 is text a header may hold.
        let header = HeaderValue::try_from(format!("Basic {shown}"))
            .unwrap_or(HeaderValue::from_static("none"));
        let passed = Arc::<Passed>::default();
        lock(&self.shared.passes).insert(header.clone(), Arc::clone(&passed));
        Pass {
            shared: Arc::clone(&self.shared),
            header,
            url: format!("http://{USER}:{password}@{}", self.address),
            port: self.address.port(),
            passed,
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Pass {
    /// The proxy with the password, for the environment of a child or for a client. A secret.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The same, as a child is told of it.
    pub(crate) fn way(&self) -> WebProxy {
        WebProxy {
            url: self.url.clone(),
            port: self.port,
        }
    }

    /// What was refused, if anything was.
    pub(crate) fn refused(&self) -> Option<String> {
        match &*lock(&self.passed.heard) {
            Some(Trouble::Refused(said)) => Some(said.clone()),
            _ => None,
        }
    }

    /// How an attempt ends, given how it looks to ffmpeg: one that was refused something has failed, and one whose servers could not
    /// be reached says why, which ffmpeg only hears in numbers.
    pub(crate) fn judge<T>(&self, looks: Result<T, Failure>) -> Result<T, Failure> {
        match (lock(&self.passed.heard).clone(), looks) {
            (Some(Trouble::Refused(said)), _) => Err(Failure::new(
                FailureReason::InputError,
                format!("the input leads to where no job may go: {said}"),
            )),
            (Some(Trouble::Unreachable(said)), Err(failure))
                if failure.reason == FailureReason::NetworkError =>
            {
                let message = format!("{} ({said})", failure.message);
                Err(Failure::new(failure.reason, message))
            }
            (_, looks) => looks,
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        lock(&self.shared.passes).remove(&self.header);
        self.passed.over.cancel();
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a request of a job is not accepted; trying again");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let answering = service_fn(|request| answer(Arc::clone(&shared), request));
            let served = server::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST_TIMEOUT)
                .serve_connection(TokioIo::new(stream), answering)
                .with_upgrades()
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a request of a job broke off");
            }
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let shown = request.headers().get(PROXY_AUTHORIZATION);
    let passed = shown.and_then(|shown| lock(&shared.passes).get(shown).cloned());
    let Some(passed) = passed else {
        // ffmpeg shows its password when it is asked.
        let mut answer = text(StatusCode::PROXY_AUTHENTICATION_REQUIRED, String::new());
        let realm = HeaderValue::from_static("Basic realm=\"ffrtmp\"");
        answer.headers_mut().insert(PROXY_AUTHENTICATE, realm);
        return Ok(answer);
    };
    let answered = match request.method() {
        &Method::CONNECT => tunnel(&shared, Arc::clone(&passed), request).await,
        _ => forward(&shared, request).await,
    };
    Ok(answered.unwrap_or_else(|trouble| {
        tracing::info!(%trouble, "a request of a job came to nothing");
        let (status, said) = match &trouble {
            Trouble::Refused(said) => (StatusCode::FORBIDDEN, said.clone()),
            Trouble::Unreachable(said) => (StatusCode::BAD_GATEWAY, said.clone()),
        };
        let mut heard = lock(&passed.heard);
        if !matches!(*heard, Some(Trouble::Refused(_))) {
            *heard = Some(trouble);
        }
        text(status, said)
    }))
}

/// Connects and passes bytes, which are most often TLS, in both directions.
async fn tunnel(
    shared: &Shared,
    passed: Arc<Passed>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Trouble> {
    let mut there = dial(shared, request.uri(), None).await?;
    tokio::spawn(async move {
        let passing = async {
            if let Ok(here) = hyper::upgrade::on(request).await {
                // Either end may break off; the other hears of it.
                let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(here), &mut there).await;
            }
        };
        passed.over.run_until_cancelled(passing).await;
    });
    Ok(text(StatusCode::OK, String::new()))
}

/// Passes one plain request on.
async fn forward(
    shared: &Shared,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Trouble> {
    let uri = request.uri().clone();
    let unreachable = |error: hyper::Error| {
        Trouble::Unreachable(format!("{}: {error}", uri.host().unwrap_or_default()))
    };
    if uri.scheme_str() != Some("http") {
        return Err(Trouble::Refused(format!("{uri} is no http:// address")));
    }
    let there = dial(shared, &uri, Some(80)).await?;
    let (mut sender, connection) = client::Builder::new()
        // Old servers of media are not exact about headers, and ffmpeg is not either.
        .ignore_invalid_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .handshake(TokioIo::new(there))
        .await
        .map_err(unreachable)?;
    tokio::spawn(connection);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
    for name in [
        PROXY_AUTHORIZATION,
        CONNECTION,
        UPGRADE,
        HeaderName::from_static("proxy-connection"),
    ] {
        request.headers_mut().remove(name);
    }
    let mut response = sender.send_request(request).await.map_err(unreachable)?;
    for name in [
        CONNECTION,
        UPGRADE,
        TRANSFER_ENCODING,
        HeaderName::from_static("keep-alive"),
    ] {
        response.headers_mut().remove(name);
    }
    Ok(response.map(Either::Left))
}

/// Connects to the host of `uri`, at an address that was checked.
async fn dial(shared: &Shared, uri: &Uri, port: Option<u16>) -> Result<There, Trouble> {
    let (Some(host), Some(port)) = (uri.host(), uri.port_u16().or(port)) else {
        return Err(Trouble::Unreachable(format!(
            "{uri} names no host and port"
        )));
    };
    let mut why = Trouble::Unreachable(format!("{host} has no address"));
    for address in shared.hosts.addresses(host, port).await? {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
        why = match connecting.await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                let mut stream = TimeoutStream::new(stream);
                stream.set_write_timeout(Some(shared.send_timeout));
                return Ok(Box::pin(stream));
            }
            Ok(Err(error)) => Trouble::Unreachable(format!("{host} port {port}: {error}")),
            Err(_) => Trouble::Unreachable(format!("{host} port {port}: no answer")),
        };
    }
    Err(why)
}

fn text(status: StatusCode, said: String) -> Response<Body> {
    let mut answer = Response::new(Either::Right(Full::from(said)));
    *answer.status_mut() = status;
    answer
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::guard::hosts;

    async fn proxy() -> Proxy {
        let hosts = hosts::tests::hosts(&[], false, true);
        Proxy::start(Arc::new(hosts)).await.unwrap()
    }

    /// What comes back on a connection to `address` that said `said`.
    async fn answer(address: SocketAddr, said: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.unwrap();
        String::from_utf8(text).unwrap()
    }

    fn get(uri: &str, pass: &Pass) -> String {
        format!(
            "GET {uri} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: {}\r\nConnection: close\r\n\r\n",
            pass.header.to_str().unwrap()
        )
    }

    #[tokio::test]
    async fn only_who_has_a_password_gets_through_and_only_while_it_is_valid() {
        let proxy = proxy().await;
        let pass = proxy.admit();
        let ask = get("http://127.0.0.1:1/", &pass);
        let nothing = "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        assert!(answer(proxy.address, nothing).await.contains(" 407 "));
        let answered = answer(proxy.address, &ask).await;
        assert!(
            answered.contains(" 502 ") && answered.contains("refused"),
            "{answered}"
        );
        drop(pass);
        assert!(answer(proxy.address, &ask).await.contains(" 407 "));
    }

    #[tokio::test]
    async fn a_request_reaches_its_server_without_the_password() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let proxy = proxy().await;
        let pass = proxy.admit();
        let ask = get(&format!("http://www.evil.test:{port}/a%20b?c=d"), &pass);
        let served = async {
            let (mut stream, _) = server.accept().await.unwrap();
            let mut seen = vec![0; 4096];
            let n = stream.read(&mut seen).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
            stream.write_all(answer).await.unwrap();
            String::from_utf8(seen[..n].to_vec()).unwrap()
        };
        let (seen, answered) = tokio::join!(served, answer(proxy.address, &ask));
        assert!(seen.starts_with("GET /a%20b?c=d HTTP/1.1\r\n"), "{seen}");
        assert!(!seen.to_ascii_lowercase().contains("proxy"), "{seen}");
        assert!(answered.ends_with("\r\n\r\nhi"), "{answered}");
        assert!(pass.judge(Ok(())).is_ok());
    }

    /// A tunnel to `server`, and the connection at its end.
    async fn tunneled(proxy: &Proxy, pass: &Pass, server: &TcpListener) -> (TcpStream, TcpStream) {
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        let ask = get(&server.local_addr().unwrap().to_string(), pass)
            .replace("GET", "CONNECT")
            .replace("Connection: close\r\n", "");
        client.write_all(ask.as_bytes()).await.unwrap();
        let there = server.accept().await.unwrap().0;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(client.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 "));
        (client, there)
    }

    #[tokio::test]
    async fn a_tunnel_ends_with_its_pass() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = proxy().await;
        let pass = proxy.admit();
        let (mut client, mut there) = tunneled(&proxy, &pass, &server).await;
        client.write_all(b"hi").await.unwrap();
        assert_eq!(there.read_u16().await.unwrap(), u16::from_be_bytes(*b"hi"));
        drop(pass);
        assert_eq!(there.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_server_that_reads_nothing_is_left_after_a_while() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hosts = hosts::tests::hosts(&[], false, true);
        let proxy = Proxy::with_patience(Arc::new(hosts), Duration::from_millis(100))
            .await
            .unwrap();
        let pass = proxy.admit();
        let (mut client, _there) = tunneled(&proxy, &pass, &server).await;
        // More than all buffers on the way hold; without an end this would wait for ever.
        let block = vec![0; 1 << 20];
        while client.write_all(&block).await.is_ok() {}
    }

    #[tokio::test]
    async fn a_name_that_leads_to_a_forbidden_address_is_refused_and_the_attempt_has_failed() {
        let proxy = proxy().await;
        for said in [
            "GET http://metadata.test/",
            "GET http://rebind.test/",
            "CONNECT rebind.test:443",
            "CONNECT [::ffff:a9fe:a9fe]:80",
        ] {
            let pass = proxy.admit();
            let (method, uri) = said.split_once(' ').unwrap();
            let ask = get(uri, &pass).replace("GET", method);
            let answered = answer(proxy.address, &ask).await;
            assert!(answered.contains(" 403 "), "{said}: {answered}");
            let failure = pass.judge(Ok(())).unwrap_err();
            assert_eq!(failure.reason, FailureReason::InputError);
            assert!(failure.message.contains("no job may reach"), "{failure:?}");
        }
    }
}
