//! Where a connection's provider lives: the url that a person wrote, checked once, and every path below it.
//!
//! # Guarantees
//! An [`Endpoint`] is https, or http to a host that the installation allowed; it has no userinfo, query or
//! fragment; a tenant's names only hosts that the installation knows. Errors name the rule and the remedy,
//! never userinfo or path: people paste DSNs.

use std::{collections::BTreeSet, fmt};

use http::{Uri, uri::Authority};

use super::errova;
use crate::transport::address::{AddressPolicy, literal};

/// Who wrote the url.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The platform team: any host.
    ClusterConnection,
    /// A tenant: documented hosts, and those of `--allow-host`.
    Connection,
}

/// The installation's rules about hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostRules {
    allowed: BTreeSet<String>,
    plain_http: BTreeSet<String>,
}

impl HostRules {
    /// Rules from `--allow-host` and `--allow-plain-http`.
    pub fn new<H, P>(allow_host: H, allow_plain_http: P) -> Self
    where
        H: IntoIterator<Item: AsRef<str>>,
        P: IntoIterator<Item: AsRef<str>>,
    {
        let lower = |host: &str| host.to_ascii_lowercase();
        Self {
            allowed: allow_host.into_iter().map(|h| lower(h.as_ref())).collect(),
            plain_http: allow_plain_http
                .into_iter()
                .map(|h| lower(h.as_ref()))
                .collect(),
        }
    }

    fn may_name(&self, host: &str, origin: Origin) -> bool {
        match origin {
            Origin::ClusterConnection => true,
            Origin::Connection => errova::HOSTS.contains(&host) || self.allowed.contains(host),
        }
    }

    /// Loopback needs no leave, but only where the platform team wrote the url.
    fn may_be_plain(&self, host: &str, origin: Origin) -> bool {
        self.plain_http.contains(host) || (origin == Origin::ClusterConnection && is_loopback(host))
    }

    /// A host is allowed to be private by the platform team naming it: in `--allow-host`, or in the url of
    /// a `ClusterConnection`. A documented host is public, or its name is being misused.
    fn may_be_private(&self, host: &str, origin: Origin) -> bool {
        self.allowed.contains(host)
            || (origin == Origin::ClusterConnection && !errova::HOSTS.contains(&host))
    }
}

/// A checked url, without its trailing slash.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    base: String,
    host: String,
    addresses: AddressPolicy,
}

/// Why a url is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It does not parse, has no host, or its path holds more than plain segments.
    #[error(
        "url must look like https://host/path, with letters, digits, '.', '_' and '-' in the path"
    )]
    Malformed,
    /// User or password before the host.
    #[error("url must not hold a user or password; credentials belong into the Secret of `auth`")]
    Userinfo,
    /// `?` or `#`.
    #[error("url must not have a query or a fragment; remove what follows the path")]
    QueryOrFragment,
    /// Neither https nor http.
    #[error("url must begin with https://")]
    Scheme,
    /// http to a host that was not allowed.
    #[error(
        "url must use https; plain http to {host} takes `--allow-plain-http {host}` of the installation"
    )]
    PlainHttp {
        /// The host, which is no secret.
        host: String,
    },
    /// A host that a tenant may not name.
    #[error(
        "a Connection may not name the host {host}; use the provider's documented one, a ClusterConnection, \
         or `--allow-host {host}` of the installation"
    )]
    Host {
        /// The host, which is no secret.
        host: String,
    },
}

/// A path segment that could leave its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a path segment may hold only letters, digits, '.', '_' and '-'")]
pub struct UnsafeSegment;

impl Endpoint {
    /// Checks the url of a connection.
    pub fn parse(text: &str, rules: &HostRules, origin: Origin) -> Result<Self, EndpointError> {
        // `Uri` drops a fragment without a word.
        if text.contains(['?', '#']) {
            return Err(EndpointError::QueryOrFragment);
        }
        let uri: Uri = text.parse().map_err(|_| EndpointError::Malformed)?;
        let authority = uri.authority().ok_or(EndpointError::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::Userinfo);
        }
        let host = authority.host().to_ascii_lowercase();
        let path = uri.path().trim_end_matches('/');
        if !is_host(&host) || !path.split('/').skip(1).all(is_segment) {
            return Err(EndpointError::Malformed);
        }
        let addresses = rights(uri.scheme_str(), &host, rules, origin)?;
        let scheme = uri.scheme_str().unwrap_or_default();
        let port = port(authority)?;
        Ok(Self {
            base: format!("{scheme}://{host}{port}{path}"),
            host,
            addresses,
        })
    }

    /// The host, without port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What may be dialled on behalf of this url, and nothing beyond it.
    pub fn address_policy(&self) -> &AddressPolicy {
        &self.addresses
    }

    /// The url below this one. Segments are checked, so that none needs encoding and none can climb out.
    pub(super) fn at(&self, segments: &[&str]) -> Result<Uri, UnsafeSegment> {
        let mut text = self.base.clone();
        for segment in segments {
            if !is_segment(segment) {
                return Err(UnsafeSegment);
            }
            text.push('/');
            text.push_str(segment);
        }
        text.parse().map_err(|_| UnsafeSegment)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.host).finish()
    }
}

fn rights(
    scheme: Option<&str>,
    host: &str,
    rules: &HostRules,
    origin: Origin,
) -> Result<AddressPolicy, EndpointError> {
    let owned = || host.to_owned();
    if !rules.may_name(host, origin) {
        return Err(EndpointError::Host { host: owned() });
    }
    let mut policy = AddressPolicy::strict();
    match scheme {
        Some("https") => {}
        Some("http") if rules.may_be_plain(host, origin) => policy = policy.allow_plain_http(host),
        Some("http") => return Err(EndpointError::PlainHttp { host: owned() }),
        _ => return Err(EndpointError::Scheme),
    }
    if rules.may_be_private(host, origin) {
        policy = policy.allow_private(host);
    }
    Ok(policy)
}

/// The port with its colon, or nothing. `Authority` itself reads port 99999 as "no port".
fn port(authority: &Authority) -> Result<String, EndpointError> {
    let written = authority.as_str().strip_prefix(authority.host());
    match (written, authority.port_u16()) {
        (Some(""), None) => Ok(String::new()),
        (_, Some(port)) => Ok(format!(":{port}")),
        _ => Err(EndpointError::Malformed),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || literal(host).is_some_and(|address| address.is_loopback())
}

/// Whether `host` is a name or a literal address, without port or userinfo.
pub(crate) fn is_host(host: &str) -> bool {
    let named = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    !host.is_empty() && (named || literal(host).is_some())
}

fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(text: &str) -> Result<Endpoint, EndpointError> {
        Endpoint::parse(text, &HostRules::default(), Origin::ClusterConnection)
    }

    fn tenant(text: &str, rules: &HostRules) -> Result<Endpoint, EndpointError> {
        Endpoint::parse(text, rules, Origin::Connection)
    }

    fn host(name: &str) -> String {
        name.to_owned()
    }

    #[test]
    fn a_url_is_kept_without_its_trailing_slash() {
        for text in ["https://API.errova.com/api", "https://api.errova.com/api/"] {
            let endpoint = cluster(text).unwrap();
            assert_eq!(endpoint.to_string(), "https://api.errova.com/api");
            assert_eq!(endpoint.host(), "api.errova.com");
        }
        assert_eq!(
            cluster("https://[::1]:8443/").unwrap().to_string(),
            "https://[::1]:8443"
        );
    }

    #[test]
    fn a_url_that_breaks_a_rule_is_named_by_the_rule() {
        let plain = |name| EndpointError::PlainHttp { host: host(name) };
        for (text, expected) in [
            ("", EndpointError::Malformed),
            ("api.errova.com/api/x", EndpointError::Malformed),
            ("/api", EndpointError::Malformed),
            ("https://", EndpointError::Malformed),
            ("https://exa%6dple.com/", EndpointError::Malformed),
            ("https://example.com:/", EndpointError::Malformed),
            ("https://example.com:99999/", EndpointError::Malformed),
            ("https://example.com/a/../b", EndpointError::Malformed),
            ("https://example.com/a//b", EndpointError::Malformed),
            ("https://example.com/%2e%2e/b", EndpointError::Malformed),
            ("https://user:canary@example.com/", EndpointError::Userinfo),
            ("https://canary@example.com/2", EndpointError::Userinfo),
            (
                "https://example.com/?canary=1",
                EndpointError::QueryOrFragment,
            ),
            (
                "https://example.com/#canary",
                EndpointError::QueryOrFragment,
            ),
            ("ftp://example.com/canary", EndpointError::Scheme),
            ("http://example.com/canary", plain("example.com")),
            ("http://10.0.0.1/canary", plain("10.0.0.1")),
        ] {
            let error = cluster(text).unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{text}");
        }
    }

    #[test]
    fn a_103_a_tenant_names_documented_hosts_and_allowed_ones_only() {
        let rules = HostRules::new(["Errova.internal"], [""; 0]);
        assert!(tenant("https://api.errova.com/api", &rules).is_ok());
        assert!(tenant("https://errova.internal/api", &rules).is_ok());
        for name in [
            "example.com",
            "api.errova.com.",
            "127.0.0.1",
            "169.254.169.254",
        ] {
            let error = tenant(&format!("https://{name}/"), &rules).unwrap_err();
            assert_eq!(error, EndpointError::Host { host: host(name) });
        }
    }

    #[test]
    fn plain_http_is_for_loopback_of_the_platform_and_for_allowed_hosts() {
        assert!(cluster("http://127.0.0.1:8080/errova/api").is_ok());
        assert!(cluster("http://localhost/").is_ok());
        let named = HostRules::new(["127.0.0.1", "errova.internal"], ["errova.internal"]);
        assert!(tenant("http://errova.internal/", &named).is_ok());
        assert!(matches!(
            tenant("http://127.0.0.1/", &named),
            Err(EndpointError::PlainHttp { .. })
        ));
    }

    #[test]
    fn a_private_address_takes_the_platform_teams_word() {
        let private = "10.0.0.1".parse().unwrap();
        let permits =
            |endpoint: &Endpoint| endpoint.address_policy().permits(endpoint.host(), private);
        let rules = HostRules::new(["errova.internal"], [""; 0]);
        assert!(permits(&cluster("https://errova.internal/").unwrap()));
        assert!(permits(
            &tenant("https://errova.internal/", &rules).unwrap()
        ));
        assert!(!permits(&cluster("https://api.errova.com/").unwrap()));
        assert!(!permits(
            &tenant("https://api.errova.com/", &rules).unwrap()
        ));
    }

    #[test]
    fn a_110_a_segment_cannot_leave_its_place() {
        let endpoint = cluster("https://api.errova.com/api").unwrap();
        let uri = endpoint.at(&["organizations", "acme-inc"]).unwrap();
        assert_eq!(uri, "https://api.errova.com/api/organizations/acme-inc");
        for segment in [
            "", ".", "..", "a/b", "a%2fb", "a?b", "a#b", "a b", "\u{e4}", "a\\b",
        ] {
            assert_eq!(endpoint.at(&[segment]), Err(UnsafeSegment), "{segment}");
        }
    }

    #[test]
    fn debug_shows_the_host_alone() {
        let endpoint = cluster("https://api.errova.com/canary").unwrap();
        assert_eq!(format!("{endpoint:?}"), "Endpoint(\"api.errova.com\")");
    }
}
