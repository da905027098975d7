//! What the API server's refusal means, without its text.
//!
//! Answers about Secrets can quote what was sent: errors of kube are turned into this closed enum at
//! once, and nothing of their text goes on.

use std::time::Duration;

use kube::{Client, client::ClientBuilder, core::Status};
use tower::util::MapResponseLayer;

use crate::{clock::Clock, moment::http_date};

/// The longest that one request of ours may take.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Why a request to the API server did not do what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// 404.
    #[error("not found")]
    NotFound,
    /// 409 on a create.
    #[error("it exists already")]
    AlreadyExists,
    /// 409 on a conditional write.
    #[error("it changed meanwhile")]
    Conflict,
    /// 403.
    #[error("forbidden")]
    Forbidden,
    /// 403 because the namespace is being deleted.
    #[error("its namespace is being deleted")]
    Terminating,
    /// 422: another object, an immutable field, or refused by a rule.
    #[error("refused as invalid")]
    Invalid,
    /// Any other status below 500.
    #[error("refused with status {0}")]
    Refused(u16),
    /// No answer, or 5xx: the request may have been carried out.
    #[error("no answer from the API server")]
    Unknown,
}

impl ClusterError {
    /// Whether the request may have been carried out all the same.
    pub const fn is_ambiguous(self) -> bool {
        matches!(self, Self::Unknown)
    }
}

impl From<&Status> for ClusterError {
    fn from(status: &Status) -> Self {
        if status.is_already_exists() {
            return Self::AlreadyExists;
        }
        match status.code {
            404 => Self::NotFound,
            409 => Self::Conflict,
            403 if is_terminating(status) => Self::Terminating,
            403 => Self::Forbidden,
            422 => Self::Invalid,
            code @ 400..=499 => Self::Refused(code),
            _ => Self::Unknown,
        }
    }
}

fn is_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .into_iter()
        .any(|cause| cause.reason == "NamespaceTerminating")
}

impl From<kube::Error> for ClusterError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::from(&*status),
            _ => Self::Unknown,
        }
    }
}

/// Waits for an answer as long as [`PATIENCE`] allows; silence is an unknown outcome.
pub async fn answer<T>(
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ClusterError> {
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.into()),
        Err(_elapsed) => Err(ClusterError::Unknown),
    }
}

/// A client that sends every request once, and tells `clock` what time the API server has.
pub fn client(mut config: kube::Config, clock: Clock) -> Result<Client, kube::Error> {
    config.default_retry = false; // a hidden retry turns a committed write into a conflict
    let observe = move |response: http::Response<_>| {
        let date = response.headers().get(http::header::DATE);
        let date = date.and_then(|date| date.to_str().ok()).and_then(http_date);
        if let Some(date) = date {
            clock.observe(date);
        }
        response
    };
    let layer = MapResponseLayer::new(observe);
    Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build())
}
