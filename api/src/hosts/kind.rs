//! What an IP address is: somewhere on the Internet, on a private network, on this machine, or nowhere a job has business.
//!
//! Pure. An IPv4 address that is written inside an IPv6 one counts as what it is, in every form a kernel or a gateway
//! unpacks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// On the Internet.
    Public,
    /// On a private network.
    Private,
    /// On this machine.
    Loopback,
    /// Nowhere a job ever goes; says what it is.
    Never(&'static str),
}

/// Where clouds tell a machine its credentials, besides link-local addresses: Alibaba, Oracle, Azure.
const METADATA: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];
/// The same by IPv6: Amazon, Google.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];
const IS_METADATA: Kind = Kind::Never("a cloud's metadata service");

/// What `address` is.
pub(super) fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => kind_v4(address),
            None => kind_v6(address),
        },
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    let [a, b, c, _] = address.octets();
    match (a, b) {
        _ if METADATA.contains(&address) => IS_METADATA,
        (0, _) => Kind::Never("an unspecified address"),
        (127, _) => Kind::Loopback,
        (169, 254) => Kind::Never("a link-local address, where clouds keep credentials"),
        (224..=239, _) => Kind::Never("a multicast address"),
        (240.., _) => Kind::Never("a reserved address"),
        (10, _) | (172, 16..=31) | (192, 168) | (100, 64..=127) | (198, 18..=19) => Kind::Private,
        (192, 0) if c == 0 => Kind::Private,
        _ => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    let first = address.segments()[0];
    match first {
        _ if METADATA_V6.contains(&address) => IS_METADATA,
        _ if address.is_unspecified() => Kind::Never("an unspecified address"),
        _ if address.is_loopback() => Kind::Loopback,
        _ if first & 0xffc0 == 0xfe80 => Kind::Never("a link-local address"),
        _ if first & 0xff00 == 0xff00 => Kind::Never("a multicast address"),
        // RFC 8215: where in it the IPv4 address stands is the gateway's own affair (RFC 6052).
        _ if address.segments()[..3] == [0x64, 0xff9b, 1] => {
            Kind::Never("an address of a local NAT64 gateway")
        }
        // fc00::/7, and fec0::/10 of old.
        _ if first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 => Kind::Private,
        // Global unicast, without Teredo, whose addresses lead to an IPv4 address that is scrambled.
        0x2000..=0x3fff if address.segments()[..2] != [0x2001, 0] => Kind::Public,
        _ => Kind::Never("a reserved address"),
    }
}

/// The IPv4 address inside: mapped (`::ffff:a.b.c.d`) and compatible (`::a.b.c.d`), of a NAT64 gateway (`64:ff9b::/96`), of
/// 6to4 (`2002::/16`).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // `::` and `::1` are their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => {
            from(high, low)
        }
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => from(high, low),
        [0x2002, high, low, ..] => from(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Kind {
        kind(text.parse().unwrap())
    }

    #[test]
    fn metadata_services_and_link_local_addresses_are_never_gone_to_however_they_are_written() {
        for text in [
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:a9fe:a9:fe00:101:101",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "::ffff:100.100.100.200",
            "168.63.129.16",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "240.0.0.1",
            "2001:0:a9fe:a9fe::1",
            "100::1",
        ] {
            assert!(matches!(of(text), Kind::Never(_)), "{text}: {:?}", of(text));
        }
    }

    #[test]
    fn private_and_loopback_addresses_are_told_from_public_ones() {
        for text in ["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(of(text), Kind::Loopback, "{text}");
        }
        for text in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "fd00::1",
            "64:ff9b::a00:1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(of(text), Kind::Private, "{text}");
        }
        for text in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "192.0.2.1",
            "2606:4700::1111",
            "2001:4860::8888",
        ] {
            assert_eq!(of(text), Kind::Public, "{text}");
        }
    }
}
