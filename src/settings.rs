//! What an installation of the operator was told: read once by the command line, and handed on.

use std::{
    collections::BTreeSet,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU16,
};

use http::Uri;
use jiff::SignedDuration;

use crate::{plan::Times, secret_value::SecretValue, telemetry::logs::LogOptions};

/// The settings of `handover run`.
#[derive(Debug)]
pub struct Settings {
    /// Where ledgers, instance id and MAC key live.
    pub namespace: String,
    /// Which tenants are served.
    pub watch: Watch,
    /// Which of their resources: a label selector.
    pub selector: Option<String>,
    /// Hosts that a namespaced Connection may name, beside the documented ones.
    pub allow_hosts: BTreeSet<String>,
    /// Hosts that may be spoken to without TLS.
    pub allow_plain_http: BTreeSet<String>,
    /// How many passes may run at once, per kind.
    pub concurrency: NonZeroU16,
    /// How long the finalizer waits for the provider.
    pub deletion_timeout: SignedDuration,
    /// Where probes and metrics are served.
    pub admin_address: SocketAddr,
    /// The egress proxy of calls to providers.
    pub proxy: Option<ProxyUrl>,
    /// Whether there are metrics for each resource.
    pub per_resource_metrics: bool,
    /// What is logged, and how.
    pub logs: LogOptions,
}

/// Which namespaces are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watch {
    /// Those in which the operator was given its rights.
    Granted,
    /// These.
    Namespaces(BTreeSet<String>),
    /// All, by watches of the whole cluster.
    Cluster,
}

/// The url of a proxy, which may hold a password. Printed without it.
pub struct ProxyUrl {
    url: SecretValue,
    shown: String,
}

/// Text that is not the url of a proxy. It is not repeated: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an http:// or https:// url with a host")]
pub struct NotAProxyUrl;

impl Settings {
    /// The defaults, with ledgers in `namespace`.
    pub fn new(namespace: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            watch: Watch::Granted,
            selector: None,
            allow_hosts: BTreeSet::new(),
            allow_plain_http: BTreeSet::new(),
            concurrency: NonZeroU16::MIN.saturating_add(31),
            deletion_timeout: Times::shipped().deletion_timeout,
            admin_address: (Ipv4Addr::UNSPECIFIED, 8080).into(),
            proxy: None,
            per_resource_metrics: true,
            logs: LogOptions::default(),
        }
    }

    /// The times of the protocol, `scale` times shorter; what ships has scale 1.
    pub fn times(&self, scale: u32) -> Times {
        let mut times = Times::shipped();
        times.deletion_timeout = self.deletion_timeout;
        times.scaled(scale)
    }

    /// One log line with everything, without secrets.
    pub fn log(&self) {
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            settings.namespace = self.namespace,
            settings.watch_namespaces = %self.watch,
            settings.selector = self.selector,
            settings.allow_host = ?self.allow_hosts,
            settings.allow_plain_http = ?self.allow_plain_http,
            settings.concurrency = self.concurrency,
            settings.deletion_timeout = format!("{:#}", self.deletion_timeout),
            settings.admin_address = %self.admin_address,
            settings.proxy = self.proxy.as_ref().map(tracing::field::display),
            settings.per_resource_metrics = self.per_resource_metrics,
            settings.log_filter = self.logs.filter,
            "starting"
        );
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted => f.write_str("all granted"),
            Self::Cluster => f.write_str("*"),
            Self::Namespaces(names) => {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

impl ProxyUrl {
    /// Checks a url.
    pub fn parse(text: &str) -> Result<Self, NotAProxyUrl> {
        let url: Uri = text.parse().map_err(|_| NotAProxyUrl)?;
        let scheme = url.scheme_str().filter(|s| matches!(*s, "http" | "https"));
        let scheme = scheme.ok_or(NotAProxyUrl)?;
        let authority = url.authority().filter(|a| !a.host().is_empty());
        let authority = authority.ok_or(NotAProxyUrl)?.as_str();
        let shown = match authority.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://[redacted]@{host}"),
            None => format!("{scheme}://{authority}"),
        };
        Ok(Self {
            url: SecretValue::new(text.to_owned()),
            shown,
        })
    }

    /// The whole url, for the transport. Never for a message.
    pub fn expose(&self) -> &str {
        self.url.expose()
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_shown_without_its_user() {
        for (text, shown) in [
            ("http://proxy:3128", "http://proxy:3128"),
            ("https://proxy/", "https://proxy"),
            (
                "http://canary:canary@proxy:3128",
                "http://[redacted]@proxy:3128",
            ),
            (
                "http://canary@[::1]:3128/canary",
                "http://[redacted]@[::1]:3128",
            ),
        ] {
            let proxy = ProxyUrl::parse(text).unwrap();
            assert_eq!(proxy.to_string(), shown);
            assert_eq!(format!("{proxy:?}"), shown);
            assert_eq!(proxy.expose(), text);
        }
    }

    #[test]
    fn what_is_no_proxy_url_is_refused_without_being_repeated() {
        for text in [
            "",
            "proxy:3128",
            "socks5://proxy",
            "http://",
            "/canary",
            "http://a b",
        ] {
            let error = ProxyUrl::parse(text).unwrap_err();
            assert!(!error.to_string().contains("canary"), "{text}");
        }
    }

    #[test]
    fn the_deletion_timeout_is_scaled_with_all_other_times() {
        let mut settings = Settings::new("handover-system");
        settings.deletion_timeout = SignedDuration::from_mins(20);
        assert_eq!(
            settings.times(1).deletion_timeout,
            SignedDuration::from_mins(20)
        );
        assert_eq!(
            settings.times(60).deletion_timeout,
            SignedDuration::from_secs(20)
        );
    }
}
