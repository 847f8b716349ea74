//! Which hosts a job may reach.
//!
//! The rule, and names looked up under it: what is answered here are addresses to connect to, each of them checked, so that
//! no second look-up can give another one.
//!
//! Without a word from the operator: the Internet and private networks, since a farm's storage is on one. Not this machine
//! itself, whose services trust whoever reaches them there, unless its master is on it too: then it is one person's machine, and what
//! is to be transcoded often lies on a server beside it. Metadata services, link-local and multicast addresses never.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    Trouble,
    kind::{Kind, kind},
    pattern::HostPattern,
};

/// How long a name may take to be looked up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);

/// See the module's head.
pub(super) struct Hosts {
    /// The only ones, if there are any.
    pub(super) allowed: Vec<HostPattern>,
    /// Whether private networks and this machine are refused unless an address or a full name in `allowed` is theirs.
    pub(super) deny_private: bool,
    /// Whether the master is on this machine.
    pub(super) own_machine: bool,
    /// Who knows names.
    pub(super) names: Names,
}

/// Who knows which addresses a name has.
pub(super) enum Names {
    /// The system's resolver.
    System,
    /// A test.
    #[cfg(test)]
    Told(std::collections::BTreeMap<&'static str, Vec<&'static str>>),
}

impl Hosts {
    /// The addresses of `host`, if every one may be connected to. `host` is a name or an address, in brackets or not.
    pub(super) async fn addresses(
        &self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, Trouble> {
        let unreachable = |why: &dyn fmt::Display| {
            Trouble::Unreachable(format!("{host} cannot be looked up: {why}"))
        };
        let looked_up = tokio::time::timeout(LOOKUP_TIMEOUT, self.names.look_up(host, port)).await;
        let addresses = looked_up
            .map_err(|_| unreachable(&"no name server answers"))?
            .map_err(|error| unreachable(&error))?;
        if addresses.is_empty() {
            return Err(unreachable(&"it has no address"));
        }
        for address in &addresses {
            self.check(host, address.ip()).map_err(|why| {
                let at = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
                    Ok(_) => String::new(),
                    Err(_) => format!(" (at {})", address.ip()),
                };
                Trouble::Refused(format!("this worker does not go to {host}{at}: {why}"))
            })?;
        }
        Ok(addresses)
    }

    /// Whether `address`, which is one of `host`'s, may be connected to. The error says why not, and what would change it.
    fn check(&self, host: &str, address: IpAddr) -> Result<(), String> {
        let kind = kind(address);
        if let Kind::Never(what) = kind {
            return Err(format!("it is {what}, which no job may reach"));
        }
        let mut matching = self.allowed.iter().filter(|p| p.matches(host, address));
        if matching.clone().any(HostPattern::vouches) {
            return Ok(());
        }
        if !self.allowed.is_empty() && matching.next().is_none() {
            return Err("it is none of the hosts it was told to --allow-host".into());
        }
        match kind {
            Kind::Private if self.deny_private => Err(
                "it is on a private network, and the worker was told to --deny-private; name it with --allow-host".into(),
            ),
            Kind::Loopback if self.deny_private || !self.own_machine => {
                Err("it is the worker's own machine; name it with --allow-host".into())
            }
            _ => Ok(()),
        }
    }
}

impl Names {
    async fn look_up(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match self {
            Names::System => Ok(tokio::net::lookup_host((host, port)).await?.collect()),
            #[cfg(test)]
            Names::Told(told) => {
                let known = told.get(host).cloned().unwrap_or(vec![host]);
                let parsed = known.iter().map(|ip| {
                    Ok(SocketAddr::new(
                        ip.parse().map_err(|_| io::Error::other("no such name"))?,
                        port,
                    ))
                });
                parsed.collect()
            }
        }
    }
}

impl fmt::Display for Hosts {
    /// For people: which hosts jobs reach.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.allowed.is_empty() {
            let all: Vec<String> = self.allowed.iter().map(ToString::to_string).collect();
            write!(f, "{} only", all.join(", "))?;
            return match self.deny_private {
                true => f.write_str(", wildcards on the Internet alone"),
                false => Ok(()),
            };
        }
        f.write_str(match (self.deny_private, self.own_machine) {
            (true, _) => "the Internet",
            (false, true) => "the Internet, private networks and this machine",
            (false, false) => "the Internet and private networks",
        })
    }
}

/// Whether the host of a URL is this machine, by its name or address. Nothing is looked up: names lie.
pub(super) fn is_loopback_url(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn hosts(allowed: &[&str], deny_private: bool, own_machine: bool) -> Hosts {
        Hosts {
            allowed: allowed.iter().map(|text| text.parse().unwrap()).collect(),
            deny_private,
            own_machine,
            names: Names::Told(
                [
                    ("public.test", vec!["192.0.2.1"]),
                    ("nas.test", vec!["10.0.0.9"]),
                    ("www.evil.test", vec!["127.0.0.1"]),
                    ("rebind.test", vec!["192.0.2.1", "169.254.169.254"]),
                    ("metadata.test", vec!["169.254.169.254"]),
                ]
                .into(),
            ),
        }
    }

    async fn goes(hosts: &Hosts, host: &str) -> bool {
        match hosts.addresses(host, 80).await {
            Ok(_) => true,
            Err(Trouble::Refused(_)) => false,
            Err(error) => panic!("{host}: {error}"),
        }
    }

    #[tokio::test]
    async fn what_may_be_reached_is_decided_by_the_addresses_a_name_has() {
        let never = [
            "metadata.test",
            "rebind.test",
            "169.254.169.254",
            "[::ffff:169.254.169.254]",
            "0.0.0.0",
            "[::]",
        ];
        for (allowed, deny_private, own_machine, yes, no) in [
            (
                &[][..],
                false,
                false,
                &["public.test", "nas.test"][..],
                &["127.0.0.1", "[::1]", "www.evil.test"][..],
            ),
            (
                &[],
                false,
                true,
                &["public.test", "nas.test", "127.0.0.1", "[::1]"],
                &[],
            ),
            (
                &[],
                true,
                true,
                &["public.test"],
                &["nas.test", "127.0.0.1", "10.0.0.1"],
            ),
            (
                &["nas.test"],
                true,
                false,
                &["nas.test"],
                &["public.test", "10.0.0.9"],
            ),
            (
                &["10.0.0.0/8"],
                true,
                false,
                &["nas.test", "10.1.1.1"],
                &["public.test", "192.168.0.1"],
            ),
            (
                &["127.0.0.1"],
                false,
                false,
                &["127.0.0.1", "www.evil.test"],
                &["public.test"],
            ),
            // A wildcard narrows; it opens nothing.
            (
                &["*.test"],
                true,
                false,
                &["public.test"],
                &["nas.test", "www.evil.test"],
            ),
            (
                &["*.test"],
                false,
                false,
                &["public.test", "nas.test"],
                &["www.evil.test", "192.0.2.1"],
            ),
            (
                &["169.254.0.0/16", "metadata.test", "0.0.0.0/0", "::/0"],
                false,
                true,
                &["public.test"],
                &[],
            ),
        ] {
            let hosts = hosts(allowed, deny_private, own_machine);
            for host in yes {
                assert!(
                    goes(&hosts, host).await,
                    "{allowed:?} {deny_private} {own_machine}: {host}"
                );
            }
            for host in no.iter().chain(&never) {
                assert!(
                    !goes(&hosts, host).await,
                    "{allowed:?} {deny_private} {own_machine}: {host}"
                );
            }
        }
    }

    #[tokio::test]
    async fn the_system_s_resolver_reads_numbers_as_addresses_and_they_are_checked_too() {
        let hosts = Hosts {
            names: Names::System,
            ..hosts(&[], false, true)
        };
        for host in [
            "2852039166",
            "0xa9fea9fe",
            "0251.0376.0251.0376",
            "169.254.43518",
            "0",
        ] {
            assert!(hosts.addresses(host, 80).await.is_err(), "{host}");
        }
    }

    #[test]
    fn a_master_on_this_machine_is_told_by_its_address_alone() {
        for (url, is) in [
            ("http://127.0.0.1:8080", true),
            ("https://localhost", true),
            ("http://[::1]:8080", true),
            ("http://10.0.0.1:8080", false),
            ("http://localhost.example.com", false),
        ] {
            assert_eq!(is_loopback_url(url), is, "{url}");
        }
    }
}
