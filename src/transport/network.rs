//! The reqwest implementation of [`Transport`]; the only file that names reqwest.
//!
//! # Guarantees
//! - One attempt: no retry, no redirect, no proxy from the environment, no decompression.
//! - [`TransportError::NotSent`] only where no byte of the request can have left.
//! - No address is dialled that [`AddressPolicy`] does not permit for the host, judged after resolution.
//! - reqwest's own errors end here: they print path and query.
//!
//! # Caveats
//! A handshake that hangs until the timeout counts as unknown: safe, if pessimistic. Behind an egress
//! proxy names are resolved by the proxy, so that only literal addresses can be judged here.

use std::{
    io,
    sync::{Arc, Once},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, header};
use reqwest::{
    Certificate, ClientBuilder, Proxy,
    dns::{Addrs, Name, Resolve, Resolving},
};

use super::{
    Transport, TransportError,
    address::{AddressPolicy, literal},
};

/// How much of an answer is read before it counts as damaged.
pub const BODY_LIMIT: usize = 1024 * 1024;

const USER_AGENT: &str = concat!("handover/", env!("CARGO_PKG_VERSION"));

/// How one connection reaches its provider.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// For the whole exchange, from resolution to the last byte of the answer.
    pub timeout: Duration,
    /// A longer answer is [`TransportError::Unknown`].
    pub body_limit: usize,
    /// What may be dialled.
    pub addresses: AddressPolicy,
    /// PEM certificates that replace the system's roots.
    pub ca_bundle: Option<Vec<u8>>,
    /// The egress proxy of the installation (`--proxy`).
    pub proxy: Option<String>,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            body_limit: BODY_LIMIT,
            addresses: AddressPolicy::strict(),
            ca_bundle: None,
            proxy: None,
        }
    }
}

/// Why a network could not be set up. The value itself is never repeated: a proxy url may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The CA bundle is not a list of PEM certificates.
    #[error("the CA bundle holds no usable PEM certificate")]
    CaBundle,
    /// The proxy is not an http or https url.
    #[error("the proxy must be an http:// or https:// url")]
    Proxy,
    /// The TLS stack or the system's roots could not be loaded.
    #[error("TLS could not be set up; are root certificates installed?")]
    Tls,
}

/// Makes ring the crypto provider of this process. May be called from anywhere, any number of times.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that a provider is there already, which is all that is asked for.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Speaks HTTP over real sockets.
#[derive(Debug)]
#[expect(
    clippy::disallowed_types,
    reason = "this is the place that builds clients"
)]
pub struct Network {
    /// Never reuses a connection. A server that closes an idle one while a create is on its way makes
    /// the create's fate unknown, and that costs far more than a handshake.
    creates: reqwest::Client,
    others: reqwest::Client,
    addresses: AddressPolicy,
    body_limit: usize,
}

impl Network {
    /// Sets up both clients. Nothing is dialled yet.
    pub fn new(options: &NetworkOptions) -> Result<Self, NetworkError> {
        install_crypto();
        let build = |builder: ClientBuilder| builder.build().map_err(|_| NetworkError::Tls);
        Ok(Self {
            creates: build(builder(options)?.pool_max_idle_per_host(0))?,
            others: build(builder(options)?)?,
            addresses: options.addresses.clone(),
            body_limit: options.body_limit,
        })
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let client = if request.method() == Method::POST {
            &self.creates
        } else {
            &self.others
        };
        let request = self.prepare(request)?;
        let answer = client.execute(request).await.map_err(|e| classify(&e))?;
        self.read(answer).await
    }

    /// The last look at a request. Judged by the url as reqwest understood it: `http://2130706433` is
    /// loopback, too.
    fn prepare(&self, mut request: Request<Bytes>) -> Result<reqwest::Request, TransportError> {
        mark_sensitive(request.headers_mut());
        let request = reqwest::Request::try_from(request).map_err(|_| TransportError::NotSent)?;
        let host = request.url().host_str().ok_or(TransportError::NotSent)?;
        let encrypted = request.url().scheme() == "https";
        let dialled = literal(host).is_none_or(|address| self.addresses.permits(host, address));
        if dialled && (encrypted || self.addresses.permits_plain_http(host)) {
            Ok(request)
        } else {
            Err(TransportError::NotSent)
        }
    }

    async fn read(&self, mut answer: reqwest::Response) -> Result<Response<Bytes>, TransportError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| TransportError::Unknown)? {
            if body.len() + chunk.len() > self.body_limit {
                return Err(TransportError::Unknown);
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body.freeze());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }
}

impl Transport for Network {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(self.exchange(request))
    }
}

#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the place that builds clients"
)]
fn builder(options: &NetworkOptions) -> Result<ClientBuilder, NetworkError> {
    let mut addresses = options.addresses.clone();
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .retry(reqwest::retry::never()) // the default repeats protocol NACKs
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .https_only(!addresses.permits_plain_http_at_all())
        .timeout(options.timeout);
    if let Some(pem) = &options.ca_bundle {
        let roots = Certificate::from_pem_bundle(pem).map_err(|_| NetworkError::CaBundle)?;
        if roots.is_empty() {
            return Err(NetworkError::CaBundle);
        }
        builder = builder.tls_certs_only(roots);
    }
    if let Some(proxy) = &options.proxy {
        let host = proxy_host(proxy).ok_or(NetworkError::Proxy)?;
        addresses = addresses.allow_private(&host); // the installation's own choice
        builder = builder.proxy(Proxy::all(proxy).map_err(|_| NetworkError::Proxy)?);
    }
    Ok(builder.dns_resolver(Arc::new(GuardedResolver { addresses })))
}

fn proxy_host(proxy: &str) -> Option<String> {
    let url = reqwest::Url::parse(proxy).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.host_str().map(str::to_owned))?
}

fn mark_sensitive(headers: &mut HeaderMap) {
    for name in [header::AUTHORIZATION, header::COOKIE] {
        if let Some(value) = headers.get_mut(name) {
            value.set_sensitive(true);
        }
    }
}

fn classify(error: &reqwest::Error) -> TransportError {
    if error.is_builder() || error.is_connect() {
        TransportError::NotSent
    } else {
        TransportError::Unknown
    }
}

/// The system's resolver, without the addresses that must not be dialled. hyper dials what comes out of
/// here and nothing else, so there is no second resolution that could answer differently.
#[derive(Debug)]
struct GuardedResolver {
    addresses: AddressPolicy,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.addresses.clone();
        Box::pin(async move {
            let host = name.as_str();
            let found = tokio::net::lookup_host((host, 0)).await?;
            let permitted: Vec<_> = found
                .filter(|found| addresses.permits(host, found.ip()))
                .collect();
            if permitted.is_empty() {
                return Err(io::Error::from(io::ErrorKind::PermissionDenied).into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
