//! How an operator names hosts: `media.example.com`, `*.example.com`, `10.1.2.3`, `10.1.0.0/16`.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// Some hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// The host of this name, in lower case.
    Name(String),
    /// Every host below this domain, in lower case; not the domain itself.
    Below(String),
    /// Every address of this network.
    Network(IpNet),
}

impl HostPattern {
    /// Whether it names `host`, or `address` that the name led to.
    pub fn matches(&self, host: &str, address: IpAddr) -> bool {
        let host = host.trim_end_matches('.');
        match self {
            HostPattern::Name(name) => host.eq_ignore_ascii_case(name),
            HostPattern::Below(domain) => {
                let host = host.to_ascii_lowercase();
                host.strip_suffix(domain.as_str())
                    .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
            }
            HostPattern::Network(network) => network.contains(&address.to_canonical()),
        }
    }

    /// Whether it stands for one host, or for addresses, so that it speaks for them wherever they are. What a wildcard covers is up to
    /// whoever holds the domain.
    pub fn vouches(&self) -> bool {
        !matches!(self, HostPattern::Below(_))
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<HostPattern, String> {
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(HostPattern::Network(address.to_canonical().into()));
        }
        if text.contains('/') {
            return text
                .parse::<IpNet>()
                .map(|network| HostPattern::Network(network.trunc()))
                .map_err(|_| format!("{text:?} is not a network such as 10.1.0.0/16"));
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(domain) => (true, domain),
            None => (false, text),
        };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(format!(
                "{text:?} names no host; use media.example.com, *.example.com, 10.1.2.3 or 10.1.0.0/16, without a port"
            ));
        }
        Ok(match below {
            true => HostPattern::Below(name),
            false => HostPattern::Name(name),
        })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Name(name) => f.write_str(name),
            HostPattern::Below(domain) => write!(f, "*.{domain}"),
            HostPattern::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                write!(f, "{}", network.addr())
            }
            HostPattern::Network(network) => write!(f, "{network}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, host: &str, address: &str) -> bool {
        let pattern: HostPattern = pattern.parse().unwrap();
        pattern.matches(host, address.parse().unwrap())
    }

    #[test]
    fn a_pattern_matches_the_hosts_it_names_and_no_other() {
        for (pattern, host, address) in [
            ("media.example.com", "MEDIA.example.com.", "1.1.1.1"),
            ("*.Example.com", "a.b.example.com", "1.1.1.1"),
            ("10.1.0.0/16", "x", "10.1.2.3"),
            ("10.1.2.3/16", "x", "10.1.9.9"),
            ("10.1.2.3", "x", "::ffff:10.1.2.3"),
            ("[fd00::1]", "x", "fd00::1"),
        ] {
            assert!(matches(pattern, host, address), "{pattern} {host}");
        }
        for (pattern, host, address) in [
            ("media.example.com", "xmedia.example.com", "1.1.1.1"),
            ("*.example.com", "example.com", "1.1.1.1"),
            ("*.example.com", ".example.com", "1.1.1.1"),
            ("*.example.com", "badexample.com", "1.1.1.1"),
            ("*.example.com", "example.com.evil.org", "1.1.1.1"),
            ("10.1.0.0/16", "10.1.0.1", "10.2.0.1"),
        ] {
            assert!(!matches(pattern, host, address), "{pattern} {host}");
        }
    }

    #[test]
    fn what_names_no_host_is_refused_with_the_right_forms() {
        for bad in [
            "",
            "*",
            "*.",
            "a b",
            "host:80",
            "http://h",
            "10.0.0.0/33",
            "a..b",
            "*.*.x",
        ] {
            let why = bad.parse::<HostPattern>().unwrap_err();
            assert!(why.contains("10.1.0.0/16"), "{bad}: {why}");
        }
        for (given, shown) in [
            ("10.1.2.3/16", "10.1.0.0/16"),
            ("[::1]", "::1"),
            ("*.A.b", "*.a.b"),
        ] {
            assert_eq!(given.parse::<HostPattern>().unwrap().to_string(), shown);
        }
    }
}
