//! A TLS listener for `axum::serve`: handshakes run beside each other, each in bounded time, so that a stranger who connects
//! and says nothing keeps no scraper waiting.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::serve::Listener;
use ffrtmp_api::tls::ServerTls;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Handshakes at once. A few scrapers come every few seconds.
const HANDSHAKES_MAX: usize = 64;
/// How long to wait after a failed `accept`, which would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Accepted = (TlsStream<TcpStream>, SocketAddr);

/// Ends its background task when dropped.
pub(crate) struct SecureListener {
    address: SocketAddr,
    accepted: mpsc::Receiver<Accepted>,
    accepting: tokio::task::JoinHandle<()>,
}

impl SecureListener {
    /// Accepts on `listener` from now on.
    pub(crate) fn new(listener: TcpListener, tls: ServerTls) -> io::Result<SecureListener> {
        let address = listener.local_addr()?;
        let (sender, accepted) = mpsc::channel(HANDSHAKES_MAX);
        let accepting = tokio::spawn(accept_all(listener, Arc::new(tls), sender));
        Ok(SecureListener {
            address,
            accepted,
            accepting,
        })
    }
}

impl Drop for SecureListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Listener for SecureListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Accepted {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            // The task ends only with this listener.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

async fn accept_all(listener: TcpListener, tls: Arc<ServerTls>, accepted: mpsc::Sender<Accepted>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    // The semaphore is never closed.
    while let Ok(place) = places.clone().acquire_owned().await {
        let (stream, address) = match listener.accept().await {
            Ok(new) => new,
            Err(error) => {
                tracing::warn!(%error, "a metrics connection cannot be accepted; trying again");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (tls, accepted) = (tls.clone(), accepted.clone());
        tokio::spawn(async move {
            let _place = place;
            let shaking = TlsAcceptor::from(tls.config()).accept(stream);
            match timeout(HANDSHAKE_MAX, shaking).await {
                // The listener may be gone meanwhile.
                Ok(Ok(stream)) => drop(accepted.send((stream, address)).await),
                Ok(Err(error)) => {
                    tracing::debug!(%address, %error, "no secure connection was made")
                }
                Err(_) => tracing::debug!(%address, "no handshake in time"),
            }
        });
    }
}
