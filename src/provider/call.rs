//! Every request to a provider goes through here: it waits for its turn in the connection's budget, is sent
//! once, and if the answer asks for patience the whole connection has it.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::{
    ProviderError,
    budget::{Budget, Lane, Paused, Permit},
    outcome::{Class, OwnShape, classify_call, classify_create},
};
use crate::{
    ledger::proof::CreateOnce,
    moment::http_date,
    transport::{Transport, TransportError},
};

const TOO_MANY_REQUESTS: u16 = 429;

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

/// What is asked of a provider, in words that are the same for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A machine token is created.
    MachineTokenCreate,
    /// A machine token is deleted.
    MachineTokenDelete,
    /// Whether a value authenticates.
    AuthCheck,
}

impl Operation {
    /// As metrics, audit and the simulator call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MachineTokenCreate => "machineToken.create",
            Self::MachineTokenDelete => "machineToken.delete",
            Self::AuthCheck => "auth.check",
        }
    }
}

/// What a request came to, as far as it can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answered {
    /// 2xx.
    Ok,
    /// Refused, in the provider's own shape.
    Rejected,
    /// 429.
    Throttled,
    /// Nothing that proves anything.
    Ambiguous,
    /// No byte left.
    NotSent,
}

impl Answered {
    fn of_create(class: &Class) -> Self {
        match class {
            Class::Accepted(_) => Self::Ok,
            Class::Rejected(TOO_MANY_REQUESTS) => Self::Throttled,
            Class::Rejected(_) => Self::Rejected,
            Class::Ambiguous => Self::Ambiguous,
            Class::NotSent => Self::NotSent,
        }
    }

    fn of_call(result: &Result<Bytes, ProviderError>) -> Self {
        match result {
            Ok(_) => Self::Ok,
            Err(ProviderError::Throttled) => Self::Throttled,
            Err(
                ProviderError::Unauthenticated
                | ProviderError::Forbidden
                | ProviderError::Rejected(_),
            ) => Self::Rejected,
            Err(ProviderError::Unavailable) => Self::Ambiguous,
            Err(ProviderError::NotSent) => Self::NotSent,
        }
    }
}

/// Who wants to know of every request that was tried. Those that were held back are none.
pub trait Observe: Send + Sync {
    /// Called once per request, when its answer is in.
    fn observe(&self, operation: Operation, answered: Answered, took: Duration);
}

/// The way of one connection to its provider: its transport behind its budget. Cheap to clone.
#[derive(Clone)]
pub struct Line {
    transport: Arc<dyn Transport>,
    budget: Arc<Budget>,
    observer: Option<Arc<dyn Observe>>,
}

/// One request, before it has its turn.
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) lane: Lane,
    pub(super) request: Request<Bytes>,
    pub(super) own_shape: OwnShape,
}

impl Line {
    /// All of a connection's requests go through one budget.
    pub fn new(transport: Arc<dyn Transport>, budget: Arc<Budget>) -> Self {
        Self {
            transport,
            budget,
            observer: None,
        }
    }

    /// Tells `observer` about every request.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observe>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Sends what creates nothing.
    pub(super) async fn call(&self, call: Call) -> Result<Bytes, ProviderError> {
        let permit = self.budget.admit(call.lane).await;
        let permit = permit.map_err(|Paused { .. }| ProviderError::Throttled)?;
        let begun = Instant::now();
        let result = classify_call(self.exchange(permit, call.request).await, call.own_shape);
        self.observe(call.operation, Answered::of_call(&result), begun);
        result
    }

    /// Sends a create, unless it is too late for it: the last look is after the wait and right before the
    /// sending, since in between the next holder may have abandoned the intent.
    pub(super) async fn create(&self, create: CreateOnce, call: Call) -> Class {
        let permit = match timeout_at(create.not_after(), self.budget.admit(call.lane)).await {
            Err(_) => return Class::NotSent,
            Ok(Err(Paused { .. })) => return Class::Rejected(TOO_MANY_REQUESTS),
            Ok(Ok(_)) if create.is_late() => return Class::NotSent,
            Ok(Ok(permit)) => permit,
        };
        let begun = Instant::now();
        let class = classify_create(self.exchange(permit, call.request).await, call.own_shape);
        self.observe(call.operation, Answered::of_create(&class), begun);
        class
    }

    async fn exchange(
        &self,
        permit: Permit,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, TransportError> {
        let answer = self.transport.send(request).await?;
        if answer.status() == TOO_MANY_REQUESTS {
            let asked = wait_asked_for(answer.headers(), self.budget.now());
            self.budget.throttled(&permit, asked);
        } else if !answer.status().is_server_error() {
            self.budget.served(&permit);
        }
        Ok(answer)
    }

    fn observe(&self, operation: Operation, answered: Answered, begun: Instant) {
        if let Some(observer) = &self.observer {
            observer.observe(operation, answered, begun.elapsed());
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = f.debug_struct("Line");
        line.field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// How long a 429 asks to wait, if it says so. A date is taken relative to the answer's own `Date`, so that
/// our clock may be wrong.
fn wait_asked_for(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let now = text(header::DATE.as_str())
        .and_then(http_date)
        .unwrap_or(now);
    let until = |then: Timestamp| {
        Duration::from_secs(u64::try_from(then.as_second() - now.as_second()).unwrap_or(0))
    };
    let retry_after = text(header::RETRY_AFTER.as_str()).and_then(|value| {
        seconds(value)
            .map(Duration::from_secs)
            .or_else(|| http_date(value).map(until))
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
