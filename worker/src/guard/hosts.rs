//! Which hosts a job may reach.
//!
//! The rule is [`Rule`]; here names are looked up under it: what is answered are addresses to connect to, each of them checked, so
//! that no second look-up can give another one.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ffrtmp_api::hosts::{Rule, Who};

use super::Trouble;

/// How long a name may take to be looked up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);

/// The worker, in messages.
pub(super) const WORKER: Who = Who {
    name: "worker",
    allow_flag: "--allow-host",
    deny_flag: "--deny-private",
};

/// See the module's head.
pub(super) struct Hosts {
    /// What is decided by.
    pub(super) rule: Rule,
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
            self.rule.check(host, address.ip()).map_err(|why| {
                let at = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
                    Ok(_) => String::new(),
                    Err(_) => format!(" (at {})", address.ip()),
                };
                Trouble::Refused(format!("this worker does not go to {host}{at}: {why}"))
            })?;
        }
        Ok(addresses)
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn hosts(allowed: &[&str], deny_private: bool, own_machine: bool) -> Hosts {
        Hosts {
            rule: Rule {
                allowed: allowed.iter().map(|text| text.parse().unwrap()).collect(),
                deny_private,
                own_machine,
                who: WORKER,
            },
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
}
