//! Who is at the other end of a connection, as far as the connection itself tells.

use std::net::SocketAddr;

/// An extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// Whether it showed a certificate that the client CA signed.
    pub client_cert: bool,
}

impl Peer {
    /// A connection without TLS.
    pub fn plain(address: SocketAddr) -> Peer {
        Peer {
            address,
            tls: false,
            client_cert: false,
        }
    }
}
