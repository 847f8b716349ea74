//! Accepts connections, with bounds: how many there are, how long a handshake and a request's head may take, how long a
//! stop may.
//!
//! `axum::serve` has none of these, and strangers who only connect could otherwise use up every file descriptor.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use ffrtmp_api::tls::ServerTls;
use hyper::{Request, body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

use super::{handshake, peer::Peer};

/// Connections served at once, beside upgraded ones (workers' sessions). Further ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4_096;
/// How long a connection may take to send a request's head, idle time between requests included.
const HEAD_TIME_MAX: Duration = Duration::from_secs(15);
/// How long to wait after a failed `accept`: it fails when no file descriptor is left, and would at once again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stopped` turns true; then takes nothing new and returns when every request was answered. With `tls`, only
/// over TLS. Each request carries its [`Peer`] as an extension.
///
/// # Errors
/// None at present; a connection that fails is only that connection's end.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    tls: Option<Arc<ServerTls>>,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let open = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = places
                .clone()
                .acquire_owned()
                .await
                .map_err(io::Error::other)?;
            let (stream, address) = listener.accept().await?;
            io::Result::Ok((place, stream, address))
        };
        let (place, stream, address): (_, TcpStream, SocketAddr) = tokio::select! {
            next = next => match next {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = stop_asked(&mut stopped) => break,
        };
        // Small frames must not wait for each other: Nagle's algorithm costs up to 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused; frames may be late");
        }
        let (routes, tls, watcher) = (routes.clone(), tls.clone(), open.watcher());
        tokio::spawn(async move {
            let _place = place;
            match tls {
                None => converse(stream, Peer::plain(address), routes, watcher).await,
                Some(tls) => match handshake::accept(stream, address, &tls).await {
                    Ok((stream, peer)) => converse(stream, peer, routes, watcher).await,
                    Err(error) => {
                        tracing::debug!(%address, error, "no secure connection was made");
                    }
                },
            }
        });
    }
    drop(listener);
    open.shutdown().await;
    Ok(())
}

/// Answers the requests of one connection until it ends.
async fn converse<S>(stream: S, peer: Peer, routes: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX);
    let routes = TowerToHyperService::new(routes);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        routes.call(request)
    });
    let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn stop_asked(stopped: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and so is the master.
    let _ = stopped.wait_for(|stop| *stop).await;
}
