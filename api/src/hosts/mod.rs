//! Which hosts may be reached on behalf of those who submit jobs: by a worker for media, by the master for webhooks.
//!
//! Pure: `kind` says what an address is, `pattern` how an operator names hosts, and [`Rule`] decides. Whoever connects looks the
//! name up once, asks about **every** address it has, and connects to one of those, so that no second look-up gives another.

mod kind;
mod pattern;

use std::{fmt, net::IpAddr};

use kind::{Kind, kind};
pub use pattern::HostPattern;

/// See the module's head.
///
/// Without a word from the operator: the Internet and private networks, since a farm's storage and its web services are on one. Not
/// the machine itself, whose services trust whoever reaches them there, unless the cluster is on one machine: then it is one
/// person's. Metadata services, link-local and multicast addresses never.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The only ones, if there are any.
    pub allowed: Vec<HostPattern>,
    /// Whether private networks and this machine are refused unless an address or a full name in `allowed` is theirs.
    pub deny_private: bool,
    /// Whether the cluster is this machine alone.
    pub own_machine: bool,
    /// Who goes there, and which flags it is told by, for messages.
    pub who: Who,
}

/// Who goes to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    /// `worker`, `master`.
    pub name: &'static str,
    /// The flag that names hosts.
    pub allow_flag: &'static str,
    /// The flag that refuses private networks.
    pub deny_flag: &'static str,
}

impl Rule {
    /// Whether `address`, which is one of `host`'s, may be connected to.
    ///
    /// # Errors
    /// Why not, and what would change it.
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), String> {
        let Who {
            name,
            allow_flag,
            deny_flag,
        } = self.who;
        let kind = kind(address);
        if let Kind::Never(what) = kind {
            return Err(format!("it is {what}, which no job may reach"));
        }
        let mut matching = self.allowed.iter().filter(|p| p.matches(host, address));
        if matching.clone().any(HostPattern::vouches) {
            return Ok(());
        }
        if !self.allowed.is_empty() && matching.next().is_none() {
            return Err(format!(
                "it is none of the hosts it was told to {allow_flag}"
            ));
        }
        match kind {
            Kind::Private if self.deny_private => Err(format!(
                "it is on a private network, and the {name} was told to {deny_flag}; name it with {allow_flag}"
            )),
            Kind::Loopback if self.deny_private || !self.own_machine => Err(format!(
                "it is the {name}'s own machine; name it with {allow_flag}"
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Rule {
    /// For people: which hosts are reached.
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
pub fn is_loopback_url(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_by_its_address_alone() {
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
