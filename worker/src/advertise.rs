//! Where a scraper finds this worker's metrics, as the master is told: what the operator says, else what the worker knows.
//!
//! A worker that listens on every address does not know by which of them others reach it; the one that its session goes out from is the
//! best guess. One that listens on this machine alone says so: the master tells nobody else of it.

use std::{net::SocketAddr, str::FromStr};

use ffrtmp_api::text::is_unfit;

/// Longest host name there is, in bytes.
const HOST_BYTES_MAX: usize = 253;

/// What an operator says: `HOST` or `HOST:PORT`; without a port, the one that is listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertised {
    /// As a URL has it: IPv6 in brackets.
    host: String,
    port: Option<u16>,
}

impl FromStr for Advertised {
    type Err = String;

    fn from_str(text: &str) -> Result<Advertised, String> {
        let wrong = |why: &str| {
            Err(format!(
                "{text:?} {why}; give HOST or HOST:PORT, as in 10.0.0.5:9091, encoder-7.example.com or [fd00::5]:9091"
            ))
        };
        let (host, port) = match text.rsplit_once(':') {
            // A bare IPv6 address has colons of its own.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return wrong("has no port of 1 to 65535"),
        };
        let inside = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = match inside.unwrap_or(host).parse::<std::net::IpAddr>() {
            Ok(ip) if ip.is_unspecified() => {
                return wrong("is every address, which nobody can connect to");
            }
            Ok(std::net::IpAddr::V6(ip)) => format!("[{ip}]"),
            Ok(std::net::IpAddr::V4(ip)) if inside.is_none() => ip.to_string(),
            Err(_) if inside.is_none() && is_name(host) => host.to_owned(),
            _ => return wrong("names no host"),
        };
        Ok(Advertised { host, port })
    }
}

fn is_name(host: &str) -> bool {
    let fit = |c: char| !is_unfit(c) && (c.is_alphanumeric() || "-._".contains(c));
    (1..=HOST_BYTES_MAX).contains(&host.len()) && host.chars().all(fit)
}

/// The address to tell: `HOST:PORT`, behind `https://` where the metrics are served over TLS.
pub(crate) fn address(
    bound: SocketAddr,
    tls: bool,
    said: Option<&Advertised>,
    session: SocketAddr,
) -> String {
    let scheme = if tls { "https://" } else { "" };
    let found = match said {
        Some(Advertised { host, port }) => format!("{host}:{}", port.unwrap_or(bound.port())),
        None if bound.ip().is_unspecified() => {
            SocketAddr::new(session.ip().to_canonical(), bound.port()).to_string()
        }
        None => bound.to_string(),
    };
    format!("{scheme}{found}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_taken_with_and_without_a_port_and_nonsense_is_not() {
        let bound = "0.0.0.0:9092".parse().unwrap();
        let session = "10.0.0.5:40000".parse().unwrap();
        for (given, told) in [
            ("10.1.1.1", "10.1.1.1:9092"),
            ("10.1.1.1:80", "10.1.1.1:80"),
            ("encoder-7.example.com", "encoder-7.example.com:9092"),
            ("encoder-7:9091", "encoder-7:9091"),
            ("fd00::5", "[fd00::5]:9092"),
            ("[fd00::5]", "[fd00::5]:9092"),
            ("[fd00::5]:1", "[fd00::5]:1"),
        ] {
            let said: Advertised = given.parse().unwrap();
            assert_eq!(address(bound, false, Some(&said), session), told);
        }
        for given in [
            "",
            ":9091",
            "host:",
            "host:0",
            "host:65536",
            "a b",
            "http://host",
            "host/metrics",
            "0.0.0.0:9091",
            "[::]:9091",
            "[host]:1",
            "[10.0.0.1]:1",
            "host:1:2",
        ] {
            let error = given.parse::<Advertised>().unwrap_err();
            assert!(error.contains("HOST:PORT"), "{given}: {error}");
        }
    }

    #[test]
    fn without_a_word_it_is_the_session_s_address_or_the_one_listened_on() {
        let session = "[::ffff:10.0.0.5]:40000".parse().unwrap();
        for (bound, tls, told) in [
            ("0.0.0.0:9091", false, "10.0.0.5:9091"),
            ("[::]:9092", true, "https://10.0.0.5:9092"),
            ("127.0.0.1:9093", false, "127.0.0.1:9093"),
            ("10.0.0.6:9091", false, "10.0.0.6:9091"),
        ] {
            assert_eq!(address(bound.parse().unwrap(), tls, None, session), told);
        }
    }
}
