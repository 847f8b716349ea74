//! Checks on listening addresses before anything is started: is the port free, and may the API be open there.
//!
//! Separate because `up` and `master` share them and because they carry the messages a newcomer meets first.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use crate::exit::{Failure, Result};

/// Refuses to serve the API beyond this machine without a token.
pub fn require_token_beyond_loopback(command: &str, listen: SocketAddr, has_token: bool) -> Result {
    if has_token || !ffrtmp_host::is_exposed(listen) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "--listen {listen} is reachable from other machines, and without a token anybody there could run jobs here.\n  \
         Make one:   ffrtmp token > token.txt && chmod 600 token.txt\n  \
         Then start: ffrtmp {command} --listen {listen} --token-file token.txt   (or put it into FFRTMP_TOKEN)\n  \
         Workers and clients take the same --token-file or FFRTMP_TOKEN."
    )))
}

/// Refuses an address that cannot be listened on, naming what wanted it and the flag that changes it.
pub fn require_free(what: &str, flag: &str, address: SocketAddr) -> Result {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Failure::failed(format!(
            "port {} is taken, which {what} was to listen on ({address}). Is another ffrtmp running? \
             Choose another port with {flag} {}:PORT",
            address.port(),
            address.ip()
        ))),
        Err(error) => Err(Failure::failed(format!(
            "{what} cannot listen on {address}: {error}. Choose another address with {flag}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_itself_and_the_flag_that_changes_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let Err(Failure::Failed(message)) = require_free("the API", "--listen", address) else {
            panic!("was free")
        };
        assert!(
            message.contains(&format!("port {}", address.port())),
            "{message}"
        );
        assert!(
            message.contains("the API") && message.contains("--listen 127.0.0.1:PORT"),
            "{message}"
        );
        drop(taken);
        assert!(require_free("the API", "--listen", address).is_ok());
    }

    #[test]
    fn an_open_master_without_a_token_is_refused_with_the_way_to_make_one() {
        let open: SocketAddr = "0.0.0.0:8080".parse().unwrap();
        let Err(Failure::Usage(message)) = require_token_beyond_loopback("master", open, false)
        else {
            panic!("was accepted")
        };
        assert!(
            message.contains("ffrtmp token") && message.contains("FFRTMP_TOKEN"),
            "{message}"
        );
        assert!(require_token_beyond_loopback("master", open, true).is_ok());
        for near in [
            "127.0.0.1:8080",
            "[::1]:8080",
            "127.8.8.8:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(
                require_token_beyond_loopback("up", near.parse().unwrap(), false).is_ok(),
                "{near}"
            );
        }
    }
}
