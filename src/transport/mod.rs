//! One HTTP exchange with a provider, and nothing more: no retry, no redirect, no cookie, no proxy
//! from the environment. What an answer *means* is decided in `provider::outcome`.

use bytes::Bytes;
use futures::future::BoxFuture;

pub mod address;
pub mod download;
pub mod network;

/// Sends one request and hands back whatever came.
pub trait Transport: Send + Sync + 'static {
    /// Exactly one exchange. The body of the answer is complete, or the answer is an error.
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>>;
}

/// Why there is no answer. Two values, because the protocol needs exactly this distinction (E3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// Name resolution, connect, TLS, or building the request failed: no byte of it left.
    #[error("the request was not sent")]
    NotSent,
    /// Anything else. The provider may have acted on it.
    #[error("the outcome of the request is unknown")]
    Unknown,
}
