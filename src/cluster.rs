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

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, reason: &str) -> Status {
        Status {
            code,
            reason: reason.to_owned(),
            ..Status::default()
        }
    }

    #[test]
    fn a_refusal_is_known_by_its_code_and_reason() {
        for (code, reason, expected) in [
            (404, "NotFound", ClusterError::NotFound),
            (409, "AlreadyExists", ClusterError::AlreadyExists),
            (409, "Conflict", ClusterError::Conflict),
            (403, "Forbidden", ClusterError::Forbidden),
            (422, "Invalid", ClusterError::Invalid),
            (400, "BadRequest", ClusterError::Refused(400)),
            (401, "Unauthorized", ClusterError::Refused(401)),
            (410, "Gone", ClusterError::Refused(410)),
            (429, "TooManyRequests", ClusterError::Refused(429)),
            (500, "InternalError", ClusterError::Unknown),
            (503, "ServiceUnavailable", ClusterError::Unknown),
            (504, "Timeout", ClusterError::Unknown),
            (302, "", ClusterError::Unknown),
        ] {
            let error = ClusterError::from(&status(code, reason));
            assert_eq!(error, expected, "{code} {reason}");
            assert_eq!(error.is_ambiguous(), expected == ClusterError::Unknown);
        }
    }

    #[test]
    fn a_namespace_that_goes_forbids_by_its_own_cause() {
        let text = serde_json::json!({
            "code": 403,
            "reason": "Forbidden",
            "details": { "causes": [{ "reason": "NamespaceTerminating", "message": "", "field": "" }] },
        });
        let mut refused: Status = serde_json::from_value(text).unwrap();
        assert_eq!(ClusterError::from(&refused), ClusterError::Terminating);
        refused.code = 404;
        assert_eq!(ClusterError::from(&refused), ClusterError::NotFound);
    }

    #[test]
    fn the_api_servers_text_does_not_go_on() {
        let mut refused = status(422, "Invalid");
        refused.message = "canary".to_owned();
        let error = ClusterError::from(kube::Error::Api(Box::new(refused)));
        assert!(!format!("{error} {error:?}").contains("canary"));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_an_unknown_outcome() {
        let silence = std::future::pending::<Result<(), kube::Error>>();
        let asked = tokio::time::Instant::now();
        assert_eq!(answer(silence).await, Err(ClusterError::Unknown));
        assert_eq!(asked.elapsed(), PATIENCE);
        assert_eq!(answer(async { Ok(7) }).await, Ok(7));
    }
}
