//! Every request to a provider goes through here: it waits for its turn in the connection's budget, is sent
//! once, and if the answer asks for patience the whole connection has it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use jiff::{Timestamp, fmt::rfc2822::DateTimeParser};
use tokio::time::timeout_at;

use super::{
    ProviderError,
    budget::{Budget, Lane, Paused, Permit},
    outcome::{Class, OwnShape, classify_call, classify_create},
};
use crate::{
    ledger::proof::CreateOnce,
    transport::{Transport, TransportError},
};

/// Headers that say when a limit ends, beside `Retry-After`: seconds, or a Unix time.
const RESET_HEADERS: [&str; 3] = [
    "x-sentry-rate-limit-reset",
    "x-ratelimit-reset",
    "ratelimit-reset",
];
/// A reset beyond this number of seconds is a Unix time.
const LONGEST_DELTA: u64 = 1_000_000_000;
/// "Try again now" is not what a limit means.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// The way to one provider: its transport behind its budget.
pub(super) struct Line {
    transport: Arc<dyn Transport>,
    budget: Arc<Budget>,
    own_shape: OwnShape,
}

impl Line {
    pub(super) fn new(
        transport: Arc<dyn Transport>,
        budget: Arc<Budget>,
        own_shape: OwnShape,
    ) -> Self {
        Self {
            transport,
            budget,
            own_shape,
        }
    }

    /// Sends what creates nothing.
    pub(super) async fn call(
        &self,
        lane: Lane,
        request: Request<Bytes>,
    ) -> Result<Bytes, ProviderError> {
        let permit = self.budget.admit(lane).await;
        let permit = permit.map_err(|Paused { .. }| ProviderError::Throttled)?;
        classify_call(self.exchange(permit, request).await, self.own_shape)
    }

    /// Sends a create, unless it is too late for it: the last look is after the wait and right before the
    /// sending, since in between the next holder may have abandoned the intent.
    pub(super) async fn create(
        &self,
        lane: Lane,
        create: CreateOnce,
        request: Request<Bytes>,
    ) -> Class {
        match timeout_at(create.not_after(), self.budget.admit(lane)).await {
            Err(_) => Class::NotSent,
            Ok(Err(Paused { .. })) => Class::Rejected(StatusCode::TOO_MANY_REQUESTS.as_u16()),
            Ok(Ok(_)) if create.is_late() => Class::NotSent,
            Ok(Ok(permit)) => classify_create(self.exchange(permit, request).await, self.own_shape),
        }
    }

    async fn exchange(
        &self,
        permit: Permit,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, TransportError> {
        let answer = self.transport.send(request).await?;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            let asked = wait_asked_for(answer.headers(), self.budget.now());
            self.budget.throttled(&permit, asked);
        } else if !answer.status().is_server_error() {
            self.budget.served(&permit);
        }
        Ok(answer)
    }
}

/// How long a 429 asks to wait, if it says so. A date is taken relative to the answer's own `Date`, so that
/// our clock may be wrong.
fn wait_asked_for(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let now = text(header::DATE.as_str()).and_then(date).unwrap_or(now);
    let until = |then: Timestamp| {
        Duration::from_secs(u64::try_from(then.as_second() - now.as_second()).unwrap_or(0))
    };
    let retry_after = text(header::RETRY_AFTER.as_str()).and_then(|value| {
        seconds(value)
            .map(Duration::from_secs)
            .or_else(|| date(value).map(until))
    });
    let reset = || {
        let value = RESET_HEADERS
            .into_iter()
            .find_map(|name| seconds(text(name)?))?;
        if value < LONGEST_DELTA {
            return Some(Duration::from_secs(value));
        }
        Timestamp::from_second(i64::try_from(value).ok()?)
            .ok()
            .map(until)
    };
    retry_after
        .or_else(reset)
        .map(|wait| wait.max(SHORTEST_WAIT))
}

fn seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn date(text: &str) -> Option<Timestamp> {
    let parser = DateTimeParser::new().relaxed_weekday(true);
    parser.parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Thu, 15 Jan 2026 00:00:00 GMT";

    fn asked(headers: &[(&'static str, &str)]) -> Option<u64> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        let now = "2026-01-15T00:10:00Z".parse().unwrap();
        wait_asked_for(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn a_93_the_wait_is_read_from_what_the_answer_says() {
        let later = "Thu, 15 Jan 2026 00:20:00 GMT";
        let epoch = "1768437000"; // 2026-01-15T00:30:00Z
        for (headers, expected) in [
            (&[][..], None),
            (&[("retry-after", "7")], Some(7)),
            (&[("retry-after", " 7 ")], Some(7)),
            (&[("retry-after", "0")], Some(1)),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "-7")], None),
            (
                &[("retry-after", "99999999999999999999999")],
                Some(u64::MAX),
            ),
            // Relative to the answer's own date; without one, to our clock, which reads 00:10.
            (&[("retry-after", later), ("date", DATE)], Some(20 * 60)),
            (&[("retry-after", later)], Some(10 * 60)),
            (&[("retry-after", DATE)], Some(1)),
            (&[("x-ratelimit-reset", "30")], Some(30)),
            (&[("ratelimit-reset", "30")], Some(30)),
            (
                &[("x-sentry-rate-limit-reset", epoch), ("date", DATE)],
                Some(30 * 60),
            ),
            (&[("x-ratelimit-reset", epoch)], Some(20 * 60)),
            (
                &[("retry-after", "7"), ("x-ratelimit-reset", "30")],
                Some(7),
            ),
        ] {
            assert_eq!(asked(headers), expected, "{headers:?}");
        }
    }
}
