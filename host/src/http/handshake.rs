//! From an accepted connection to a secure one, in bounded time; and a word to those who speak plain HTTP to a TLS port.

use std::{net::SocketAddr, time::Duration};

use ffrtmp_api::{
    rest::{ErrorBody, ErrorDetail},
    tls::{FIRST_BYTE, PLAIN_HTTP_CODE, ServerTls},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::peer::Peer;

/// How long a handshake may take: three round trips to the far side of the world, on a busy machine.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Most bytes read of a plain request before it is answered. Reading them first keeps the kernel from resetting the
/// connection with our answer unread.
const PLAIN_BYTES_MAX: usize = 16 * 1024;

/// Makes the connection secure.
///
/// # Errors
/// What went wrong, for a debug log: it is the client who is told what to do.
pub async fn accept(
    stream: TcpStream,
    address: SocketAddr,
    tls: &ServerTls,
) -> Result<(TlsStream<TcpStream>, Peer), String> {
    let shaking = async {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(0) => return Err("closed before a byte was sent".to_owned()),
            Ok(_) if first[0] != FIRST_BYTE => {
                turn_away(stream).await;
                return Err("plain HTTP on a TLS port".to_owned());
            }
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
        TlsAcceptor::from(tls.config())
            .accept(stream)
            .await
            .map_err(|error| error.to_string())
    };
    let stream = timeout(HANDSHAKE_MAX, shaking)
        .await
        .map_err(|_| format!("no handshake within {HANDSHAKE_MAX:?}"))??;
    let client_cert = stream.get_ref().1.peer_certificates().is_some();
    let peer = Peer {
        address,
        tls: true,
        client_cert,
    };
    Ok((stream, peer))
}

/// Answers a plain request, whatever it was, with an error in plain HTTP that says what to do.
async fn turn_away(mut stream: TcpStream) {
    let body = ErrorBody {
        error: ErrorDetail::new(
            PLAIN_HTTP_CODE,
            "this port speaks TLS; use https:// instead of http:// (and --tls-ca FILE, if the cluster has its own CA)",
        ),
    };
    let body = serde_json::to_string(&body).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut request = vec![0; PLAIN_BYTES_MAX];
    // Whatever fails here, there is nobody to tell.
    let _ = stream.read(&mut request).await;
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
