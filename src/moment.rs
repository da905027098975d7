//! Arithmetic on points in time that stops at the ends of time instead of panicking.

use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};

/// `at` plus `span`.
pub fn after(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.saturating_add(span).unwrap_or(Timestamp::MAX)
}

/// `at` minus `span`.
pub fn before(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.saturating_sub(span).unwrap_or(Timestamp::MIN)
}

/// The part `numerator/denominator` of `span`, to the millisecond.
pub fn part(span: SignedDuration, numerator: u32, denominator: u32) -> SignedDuration {
    let whole = span.as_millis() * i128::from(numerator) / i128::from(denominator.max(1));
    SignedDuration::from_millis(i64::try_from(whole).unwrap_or(i64::MAX))
}

/// The time of a `Date` or `Retry-After` header.
pub fn http_date(text: &str) -> Option<Timestamp> {
    static PARSER: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
    PARSER.parse_timestamp(text).ok()
}
