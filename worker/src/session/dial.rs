//! From the master's address to an open WebSocket: TCP, TLS where the address says so, the WebSocket handshake; and what it
//! means when one of them fails.

use std::net::SocketAddr;

use ffrtmp_api::{
    limits,
    rest::ErrorBody,
    tls::{ClientTls, explain_io},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error as WsError,
        client::IntoClientRequest,
        handshake::client::{Request, Response},
        http::{HeaderValue, header::AUTHORIZATION},
        protocol::WebSocketConfig,
    },
};

/// A connection, secure or not.
pub(crate) trait Line: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The address, the token or a certificate file cannot be used at all.
    #[error("{0}")]
    Unusable(String),
    /// No secure connection: trust, names, time. Ends in what to do.
    #[error("no secure connection: {0}")]
    Insecure(String),
    /// The master answered with an HTTP status instead of a WebSocket.
    #[error("the master answered {status}: {message}")]
    Answered {
        /// Which.
        status: u16,
        /// What it said, if it was a master.
        message: String,
    },
    /// Nobody there, or the connection broke.
    #[error("{0}")]
    Transport(WsError),
}

/// Opens one, and says which address of this machine it goes out from. `url` is `ws://…` or `wss://…`. Has no time limit of its own.
pub(crate) async fn dial(
    url: &str,
    token: Option<&str>,
    tls: &ClientTls,
) -> Result<(WebSocketStream<Box<dyn Line>>, SocketAddr), DialError> {
    let mut request = url.into_client_request().map_err(DialError::Transport)?;
    if let Some(token) = token {
        let value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| DialError::Unusable("the token cannot be sent as a header".into()))?;
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(limits::FRAME_BYTES_MAX))
        .max_frame_size(Some(limits::FRAME_BYTES_MAX));
    let (line, from) = connect(&request, tls).await?;
    match client_async_with_config(request, line, Some(config)).await {
        Ok((socket, _)) => Ok((socket, from)),
        Err(WsError::Http(answer)) => Err(answered(&answer)),
        Err(WsError::Io(error)) => Err(insecure_or(error)),
        Err(error) => Err(DialError::Transport(error)),
    }
}

async fn connect(
    request: &Request,
    tls: &ClientTls,
) -> Result<(Box<dyn Line>, SocketAddr), DialError> {
    let uri = request.uri();
    let secure = uri.scheme_str() == Some("wss");
    let host = uri.host().unwrap_or_default();
    // An IPv6 address stands in brackets in a URL, and nowhere else.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|error| DialError::Transport(error.into()))?;
    // Small frames must not wait for each other.
    stream
        .set_nodelay(true)
        .map_err(|error| DialError::Transport(error.into()))?;
    let from = stream
        .local_addr()
        .map_err(|error| DialError::Transport(error.into()))?;
    if !secure {
        return Ok((Box::new(stream), from));
    }
    let unusable = |error: String| DialError::Unusable(error);
    let config = tls.config().map_err(|error| unusable(error.to_string()))?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| unusable(format!("{host:?} is neither a host name nor an address")))?;
    match TlsConnector::from(config).connect(name, stream).await {
        Ok(stream) => Ok((Box::new(stream), from)),
        Err(error) => Err(insecure_or(error)),
    }
}

fn insecure_or(error: std::io::Error) -> DialError {
    match explain_io(&error) {
        Some(why) => DialError::Insecure(why),
        None => DialError::Transport(error.into()),
    }
}

/// The master's own words, where the answer is its.
fn answered(answer: &Response) -> DialError {
    let body = answer.body().as_deref().unwrap_or_default();
    let message = match serde_json::from_slice::<ErrorBody>(body) {
        Ok(body) => body.error.message,
        Err(_) => "is that the master's API port?".to_owned(),
    };
    DialError::Answered {
        status: answer.status().as_u16(),
        message,
    }
}
