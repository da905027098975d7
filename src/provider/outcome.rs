//! What an answer proves: the one classification of E3, and its sibling for calls that create nothing.
//!
//! A create is unknown unless proven. Proof that nothing was created is either that no byte left, or one of
//! a few statuses **in the provider's own error shape**: a proxy, a login page or a wrong route answers
//! with the same numbers, and knows nothing of what the provider did.

use bytes::Bytes;
use http::Response;
use serde_json::Value;

use super::{ProviderError, Refusal};
use crate::transport::TransportError;

/// Whether a parsed body is an error of the provider itself.
pub type OwnShape = fn(&Value) -> bool;

/// What became of a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// Proven: no byte of it left.
    NotSent,
    /// Proven: the provider itself refused, with this status.
    Rejected(u16),
    /// The provider may have acted on it.
    Ambiguous,
    /// A 2xx; possession depends on what can be read from it.
    Accepted(Bytes),
}

/// What a rejected create says about why.
pub fn refusal(status: u16) -> Refusal {
    match status {
        401 => Refusal::Unauthenticated,
        403 => Refusal::Forbidden,
        429 => Refusal::Throttled,
        other => Refusal::Rejected(other),
    }
}

/// Decides what the answer to a create proves.
pub fn classify_create(
    result: Result<Response<Bytes>, TransportError>,
    own_shape: OwnShape,
) -> Class {
    let (status, body) = match result {
        Err(TransportError::NotSent) => return Class::NotSent,
        Err(TransportError::Unknown) => return Class::Ambiguous,
        Ok(answer) => (answer.status().as_u16(), answer.into_body()),
    };
    match status {
        200..=299 => Class::Accepted(body),
        400 | 401 | 403 | 404 | 405 | 410 | 413 | 415 | 422 | 429 if speaks(own_shape, &body) => {
            Class::Rejected(status)
        }
        // 3xx, 408, 409, 425, 499, 5xx, and the statuses above in a stranger's words.
        _ => Class::Ambiguous,
    }
}

/// Decides what the answer to any other call proves: the body of a 2xx, or why there is none.
pub fn classify_call(
    result: Result<Response<Bytes>, TransportError>,
    own_shape: OwnShape,
) -> Result<Bytes, ProviderError> {
    let (status, body) = match result {
        Err(TransportError::NotSent) => return Err(ProviderError::NotSent),
        Err(TransportError::Unknown) => return Err(ProviderError::Unavailable),
        Ok(answer) => (answer.status().as_u16(), answer.into_body()),
    };
    match status {
        // A login page in front of the provider, say. It did nothing of what was asked.
        200..=299 if is_markup(&body) => Err(ProviderError::Unavailable),
        200..=299 => Ok(body),
        // Whoever says this, asking less is right.
        429 => Err(ProviderError::Throttled),
        408 | 425 | 499 => Err(ProviderError::Unavailable),
        400..=498 if speaks(own_shape, &body) => Err(match status {
            401 => ProviderError::Unauthenticated,
            403 => ProviderError::Forbidden,
            other => ProviderError::Rejected(other),
        }),
        _ => Err(ProviderError::Unavailable),
    }
}

fn is_markup(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

/// Decided by parsing, never by content type: there are providers that send JSON as `text/html`.
fn speaks(own_shape: OwnShape, body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|value| own_shape(&value))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use proptest::prelude::*;

    use super::*;

    const OWN: &str = r#"{"error":{"code":"x"}}"#;

    fn own_shape(value: &Value) -> bool {
        value.get("error").is_some()
    }

    #[expect(clippy::unnecessary_wraps, reason = "what a transport gives")]
    fn answer(status: u16, body: &str) -> Result<Response<Bytes>, TransportError> {
        let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        Ok(response)
    }

    #[test]
    fn silence_is_classified_as_the_transport_saw_it() {
        let create = |error| classify_create(Err(error), own_shape);
        assert_eq!(create(TransportError::NotSent), Class::NotSent);
        assert_eq!(create(TransportError::Unknown), Class::Ambiguous);
        let call = |error| classify_call(Err(error), own_shape);
        assert_eq!(call(TransportError::NotSent), Err(ProviderError::NotSent));
        assert_eq!(
            call(TransportError::Unknown),
            Err(ProviderError::Unavailable)
        );
    }

    #[test]
    fn the_statuses_that_prove_a_refusal_do_so_in_own_shape_only() {
        for status in [400, 401, 403, 404, 405, 410, 413, 415, 422, 429] {
            assert_eq!(
                classify_create(answer(status, OWN), own_shape),
                Class::Rejected(status)
            );
            for body in [
                "",
                "<html>no</html>",
                "no",
                "{}",
                "[]",
                "null",
                r#"{"error":"#,
            ] {
                assert_eq!(
                    classify_create(answer(status, body), own_shape),
                    Class::Ambiguous,
                    "{status} {body}"
                );
            }
        }
    }

    #[test]
    fn the_statuses_that_prove_nothing_do_so_in_any_shape() {
        for status in [
            100, 301, 302, 304, 307, 308, 402, 406, 408, 409, 418, 425, 451, 499, 500, 502, 503,
            504, 599,
        ] {
            for body in [OWN, "", "<html>"] {
                assert_eq!(
                    classify_create(answer(status, body), own_shape),
                    Class::Ambiguous,
                    "{status} {body}"
                );
            }
        }
    }

    #[test]
    fn a_2xx_is_accepted_with_its_body() {
        for status in [200, 201, 202, 204] {
            assert_eq!(
                classify_create(answer(status, "anything"), own_shape),
                Class::Accepted(Bytes::from_static(b"anything"))
            );
        }
    }

    #[test]
    fn other_calls_have_one_meaning_per_status() {
        let call = |status, body| classify_call(answer(status, body), own_shape);
        assert_eq!(call(204, ""), Ok(Bytes::new()));
        assert_eq!(call(200, "OK"), Ok(Bytes::from_static(b"OK")));
        let page = "\n<!doctype html><title>Sign in</title>";
        assert_eq!(call(200, page), Err(ProviderError::Unavailable));
        for (status, error) in [
            (400, ProviderError::Rejected(400)),
            (401, ProviderError::Unauthenticated),
            (403, ProviderError::Forbidden),
            (404, ProviderError::Rejected(404)),
            (408, ProviderError::Unavailable),
            (409, ProviderError::Rejected(409)),
            (425, ProviderError::Unavailable),
            (429, ProviderError::Throttled),
            (302, ProviderError::Unavailable),
            (500, ProviderError::Unavailable),
        ] {
            assert_eq!(call(status, OWN), Err(error), "{status}");
        }
        for status in [400, 401, 403, 404, 409, 500] {
            assert_eq!(
                call(status, "<html>"),
                Err(ProviderError::Unavailable),
                "{status}"
            );
        }
        assert_eq!(call(429, "<html>"), Err(ProviderError::Throttled));
    }

    proptest! {
        #[test]
        fn any_answer_has_a_class_and_a_refusal_takes_own_shape(
            status in 100u16..=999,
            body in prop_oneof![".{0,200}", Just(OWN.to_owned()), r#"\{"[a-z]{1,9}":(1|"x"|\{\})\}"#],
        ) {
            let own = serde_json::from_str(&body).is_ok_and(|value| own_shape(&value));
            match classify_create(answer(status, &body), own_shape) {
                Class::Rejected(seen) => prop_assert!(own && seen == status),
                Class::Accepted(seen) => {
                    prop_assert!((200..300).contains(&status) && seen == body.as_bytes());
                }
                Class::Ambiguous => prop_assert!(!(200..300).contains(&status)),
                Class::NotSent => prop_assert!(false, "an answer proves that it was sent"),
            }
            let _ = classify_call(answer(status, &body), own_shape);
        }
    }
}
