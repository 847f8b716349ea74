//! Where the workers' metrics are, for scrapers that ask (`/v1/sd/workers`).
//!
//! Beside the core: it decides nothing, and scrapers must get an answer while the store is read-only. A worker is noted when its session
//! is welcomed. One whose connection is gone stays for an hour, so that `up == 0` is seen and an alert on it fires before the target is
//! gone; one that said that it goes leaves with its connection.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use ffrtmp_api::rest::TargetGroup;

use crate::core::SessionId;

/// How long a worker that went without a word is still listed: far longer than alerts wait (minutes), and short enough that a
/// machine that is gone for good does not alarm for a day.
const KEPT: Duration = Duration::from_secs(3_600);
/// Longest address listed: a host name, a port.
const ADDRESS_BYTES_MAX: usize = 300;

/// The workers, by name.
#[derive(Debug, Default)]
pub struct Discovery(Mutex<BTreeMap<String, Known>>);

#[derive(Debug)]
struct Known {
    session: SessionId,
    target: Target,
    leaving: bool,
    away_since: Option<Instant>,
}

/// Where one worker's metrics are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    scheme: &'static str,
    address: String,
}

impl Target {
    /// From what a worker says and where its session comes from. None where nobody could use it: no `HOST:PORT`, or an address of this
    /// machine said by another, under which a scraper would find somebody else.
    pub fn of(said: &str, peer: IpAddr) -> Option<Target> {
        let (scheme, address) = match said.split_once("://") {
            None => ("http", said),
            Some(("http", address)) => ("http", address),
            Some(("https", address)) => ("https", address),
            Some(_) => return None,
        };
        let fit = |c: char| c.is_alphanumeric() || "-._:[]".contains(c);
        if address.len() > ADDRESS_BYTES_MAX || !address.chars().all(fit) {
            return None;
        }
        let (host, port) = address.rsplit_once(':')?;
        if host.is_empty() || port.parse::<u16>().ok()? == 0 {
            return None;
        }
        let loopback = match address.parse::<SocketAddr>() {
            Ok(address) => address.ip().to_canonical().is_loopback(),
            Err(_) => host == "localhost",
        };
        if loopback && !peer.to_canonical().is_loopback() {
            return None;
        }
        Some(Target {
            scheme,
            address: address.to_owned(),
        })
    }
}

impl Discovery {
    /// A worker's session was welcomed.
    pub fn welcomed(&self, name: &str, session: SessionId, target: Option<Target>) {
        match target {
            None => drop(self.lock().remove(name)),
            Some(target) => {
                let known = Known {
                    session,
                    target,
                    leaving: false,
                    away_since: None,
                };
                self.lock().insert(name.to_owned(), known);
            }
        }
    }

    /// A worker says that it goes.
    pub fn leaving(&self, session: SessionId) {
        self.lock()
            .values_mut()
            .filter(|known| known.session == session)
            .for_each(|known| known.leaving = true);
    }

    /// A session's connection is gone. One that was replaced says nothing of its worker any more.
    pub fn gone(&self, session: SessionId, now: Instant) {
        self.lock().retain(|_, known| {
            if known.session == session {
                known.away_since = Some(now);
                return !known.leaving;
            }
            true
        });
    }

    /// An operator removed a worker.
    pub fn removed(&self, name: &str) {
        self.lock().remove(name);
    }

    /// All that are to be scraped, by name.
    pub fn targets(&self, now: Instant) -> Vec<TargetGroup> {
        let mut workers = self.lock();
        workers.retain(|_, known| known.away_since.is_none_or(|since| now < since + KEPT));
        let group = |(name, known): (&String, &Known)| TargetGroup {
            targets: vec![known.target.address.clone()],
            labels: BTreeMap::from([
                ("node".to_owned(), name.clone()),
                ("__scheme__".to_owned(), known.target.scheme.to_owned()),
                ("__metrics_path__".to_owned(), "/metrics".to_owned()),
            ]),
        };
        workers.iter().map(group).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5));

    fn names(discovery: &Discovery, now: Instant) -> Vec<String> {
        let groups = discovery.targets(now);
        groups.iter().map(|g| g.labels["node"].clone()).collect()
    }

    #[test]
    fn a_worker_s_own_machine_is_listed_only_for_who_is_on_it() {
        let target = |said, peer| Target::of(said, peer).map(|t| (t.scheme, t.address));
        let is = |scheme, address: &str| Some((scheme, address.to_owned()));
        assert_eq!(
            target("10.0.0.5:9091", ELSEWHERE),
            is("http", "10.0.0.5:9091")
        );
        assert_eq!(target("https://w:1", ELSEWHERE), is("https", "w:1"));
        assert_eq!(target("127.0.0.1:9091", HERE), is("http", "127.0.0.1:9091"));
        for said in ["127.0.0.1:9091", "https://[::1]:9091", "localhost:9091"] {
            assert_eq!(target(said, ELSEWHERE), None, "{said}");
        }
        for nonsense in [
            "",
            "w",
            "w:",
            "w:0",
            ":9091",
            "w:9091/x",
            "ftp://w:1",
            "a b:1",
            "w:1\n",
        ] {
            assert_eq!(target(nonsense, HERE), None, "{nonsense:?}");
        }
    }

    #[test]
    fn one_that_went_without_a_word_stays_an_hour_and_one_that_said_so_does_not() {
        let (discovery, now) = (Discovery::default(), Instant::now());
        let target = || Target::of("10.0.0.5:9091", ELSEWHERE);
        for (name, session) in [("a", 1), ("b", 2), ("c", 3)] {
            discovery.welcomed(name, SessionId(session), target());
        }
        discovery.leaving(SessionId(2));
        assert_eq!(names(&discovery, now), ["a", "b", "c"], "it still works");
        discovery.gone(SessionId(1), now);
        discovery.gone(SessionId(2), now);
        let hour = Duration::from_secs(3_600);
        assert_eq!(
            names(&discovery, now + hour - Duration::from_secs(1)),
            ["a", "c"]
        );
        assert_eq!(names(&discovery, now + hour), ["c"]);
    }

    #[test]
    fn the_end_of_a_session_that_was_replaced_means_nothing() {
        let (discovery, now) = (Discovery::default(), Instant::now());
        let target = || Target::of("10.0.0.5:9091", ELSEWHERE);
        discovery.welcomed("a", SessionId(1), target());
        discovery.welcomed("a", SessionId(2), target());
        discovery.leaving(SessionId(1));
        discovery.gone(SessionId(1), now);
        assert_eq!(names(&discovery, now + 2 * KEPT), ["a"]);
        // It serves no metrics any more.
        discovery.welcomed("a", SessionId(2), None);
        assert!(names(&discovery, now).is_empty());
    }
}
