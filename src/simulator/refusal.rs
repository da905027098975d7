//! Answers that a fault gives in place of the operation's own.

use http::{StatusCode, header};
use jiff::Timestamp;

use super::{
    clock::http_date,
    credentials::after,
    dialect::Dialect,
    effects::Refusal,
    faults::{FaultBody, RateLimit, RetryAfter, StatusFault},
    reply::{Content, Reply},
};

/// The answer to a call that is not served.
pub(super) fn refuse(dialect: &dyn Dialect, refusal: &Refusal, now: Timestamp) -> Reply {
    match refusal {
        Refusal::Status(fault) => status(dialect, *fault),
        Refusal::AuthDown(down) => dialect.refuse(code(down.code)),
        Refusal::Redirect(redirect) => Reply::new(code(redirect.code), Content::Empty)
            .with_header(header::LOCATION, &redirect.url),
        Refusal::RateLimit(limit) => too_many(dialect, limit, now),
    }
}

/// A code that HTTP cannot carry is a mistake in the order, and shows as a 500.
fn code(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// An ordered status with an ordered body.
pub(super) fn status(dialect: &dyn Dialect, fault: StatusFault) -> Reply {
    let status = code(fault.code);
    match fault.body {
        FaultBody::Own => dialect.refuse(status),
        FaultBody::Html => Reply::new(
            status,
            Content::html("<html><body><h1>It is not us, it is the proxy</h1></body></html>"),
        ),
        FaultBody::Text => Reply::new(status, Content::text("upstream connect error")),
        FaultBody::Empty => Reply::new(status, Content::Empty),
    }
}

fn too_many(dialect: &dyn Dialect, limit: &RateLimit, now: Timestamp) -> Reply {
    let reply = dialect.refuse(StatusCode::TOO_MANY_REQUESTS);
    let window = limit.window.0;
    match limit.retry_after.unwrap_or_else(|| dialect.retry_after()) {
        RetryAfter::None => reply,
        RetryAfter::Seconds => {
            reply.with_header(header::RETRY_AFTER, &window.as_secs().max(1).to_string())
        }
        RetryAfter::Date => {
            let then = after(now, window);
            reply.with_header(header::RETRY_AFTER, &http_date(then))
        }
    }
}
