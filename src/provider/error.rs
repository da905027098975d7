//! Why a call other than a create did not do what it should. Closed: never the provider's own text.

/// What a provider's answer, or its silence, amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Name resolution, connect or TLS failed, or the request could not be built.
    #[error("the provider could not be reached")]
    NotSent,
    /// No answer, 5xx, a redirect, or an answer that is not the provider's own.
    #[error("the provider gave no usable answer: none in time, a 5xx, or one that is not its own")]
    Unavailable,
    /// 401 in the provider's own shape.
    #[error("the provider does not accept the admin credential (401)")]
    Unauthenticated,
    /// 403 in the provider's own shape.
    #[error("the provider denies this to the admin credential (403)")]
    Forbidden,
    /// 429; the connection is paused until the provider's time or by backoff.
    #[error("the provider asks for fewer requests (429)")]
    Throttled,
    /// Another 4xx in the provider's own shape.
    #[error("the provider refused the request ({0})")]
    Rejected(u16),
}
