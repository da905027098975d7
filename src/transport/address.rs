//! Which addresses may be dialled for which host: the guard against a connection url that is used to
//! reach the cluster's own network, the node, or a cloud's metadata service.
//!
//! Names are judged by what they resolve to, at the moment they are dialled: a check beforehand would
//! be one DNS answer too early.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Hosts with more rights than any other. Everything else is public addresses over TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    allow_private_for: BTreeSet<String>,
    allow_plain_http_for: BTreeSet<String>,
}

impl AddressPolicy {
    /// Public addresses over TLS, and nothing else.
    pub fn strict() -> Self {
        Self::default()
    }

    /// This host may resolve to, or be, an address that is not public.
    #[must_use]
    pub fn allow_private(mut self, host: &str) -> Self {
        self.allow_private_for.insert(plain_name(host));
        self
    }

    /// This host may be spoken to without TLS.
    #[must_use]
    pub fn allow_plain_http(mut self, host: &str) -> Self {
        self.allow_plain_http_for.insert(plain_name(host));
        self
    }

    /// Whether `address` may be dialled on behalf of `host`.
    pub fn permits(&self, host: &str, address: IpAddr) -> bool {
        is_public(address) || self.allow_private_for.contains(&plain_name(host))
    }

    /// Whether `host` may be spoken to without TLS.
    pub fn permits_plain_http(&self, host: &str) -> bool {
        self.allow_plain_http_for.contains(&plain_name(host))
    }

    /// Whether any host may be spoken to without TLS.
    pub fn permits_plain_http_at_all(&self) -> bool {
        !self.allow_plain_http_for.is_empty()
    }
}

/// One spelling per host: lower case, an IPv6 literal without its brackets.
fn plain_name(host: &str) -> String {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase()
}

/// The literal address that a url's host is, if it is one.
pub fn literal(host: &str) -> Option<IpAddr> {
    plain_name(host).parse().ok()
}

/// Whether an address is one of the public internet. An IPv4 address inside an IPv6 one counts as what
/// it leads to.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => embedded_v4(v6).map_or_else(|| is_public_v6(v6), is_public_v4),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = match (a, b, c) {
        (0 | 240..=255, ..)             // "this network"; reserved and broadcast
        | (100, 64..=127, _)            // carrier-grade NAT, also Alibaba's metadata service
        | (192, 0, 0)                   // protocol assignments, also Oracle's metadata service
        | (198, 18 | 19, _) => true,    // benchmarks
        _ => false,
    };
    !(reserved
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()      // 169.254.169.254: the metadata service of most clouds
        || address.is_multicast()
        || address.is_documentation())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Global unicast is 2000::/3; outside of it lie loopback, link-local, site-local, unique-local (and
    // with it AWS's metadata address) and multicast.
    let [first, second, ..] = address.segments();
    let documentation = first == 0x2001 && second == 0x0db8;
    let protocol = first == 0x2001 && second < 0x0200; // Teredo, ORCHID, benchmarks
    (first & 0xe000) == 0x2000 && !documentation && !protocol
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, NAT64 or 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let last = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(last(high, low))
        }
        [0x2002, high, low, ..] => Some(last(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_public_are_known() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn public_addresses_pass() {
        for text in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_right_belongs_to_one_host_only() {
        let policy = AddressPolicy::strict()
            .allow_private("Vault.Internal")
            .allow_plain_http("[::1]");
        let private: IpAddr = "10.0.0.1".parse().unwrap();
        assert!(policy.permits("vault.internal", private));
        assert!(!policy.permits("api.errova.com", private));
        assert!(policy.permits("api.errova.com", "1.1.1.1".parse().unwrap()));
        assert!(policy.permits_plain_http("::1"));
        assert!(!policy.permits_plain_http("vault.internal"));
        assert!(!AddressPolicy::strict().permits_plain_http_at_all());
    }

    #[test]
    fn a_literal_is_recognised_with_and_without_brackets() {
        assert_eq!(literal("[::1]"), Some("::1".parse().unwrap()));
        assert_eq!(literal("127.0.0.1"), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(literal("localhost"), None);
    }
}
