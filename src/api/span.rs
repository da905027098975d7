//! Durations as people write them: one number and one unit, kept as written.
//!
//! `90d` stays `90d` on the way through: neither CEL nor Go know days, and a tool that compares what is
//! stored with what Git holds must find no difference.

use std::{borrow::Cow, fmt, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The grammar, as the API server checks it.
pub(super) const PATTERN: &str = "^[1-9][0-9]{0,5}(s|m|h|d)$";

/// A duration: a number of at most six digits and one of `s`, `m`, `h`, `d`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    literal: String,
    seconds: u64,
}

/// Text that is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a duration is one number of at most six digits and one unit of s, m, h, d, such as 90d")]
pub struct NotASpan;

impl Span {
    /// Reads a duration; never panics, never rounds.
    pub fn parse(text: &str) -> Result<Self, NotASpan> {
        let unit = match text.as_bytes().last() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3_600,
            Some(b'd') => 86_400,
            _ => return Err(NotASpan),
        };
        let digits = &text[..text.len() - 1];
        let plain = (1..=6).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|b| b.is_ascii_digit());
        if !plain {
            return Err(NotASpan);
        }
        let number: u64 = digits.parse().map_err(|_| NotASpan)?;
        Ok(Self {
            literal: text.to_owned(),
            seconds: number * unit,
        })
    }

    /// How long it is.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// What was written.
    pub fn as_str(&self) -> &str {
        &self.literal
    }
}

impl TryFrom<String> for Span {
    type Error = NotASpan;

    fn try_from(text: String) -> Result<Self, NotASpan> {
        Self::parse(&text)
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.literal
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.literal)
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 7, "pattern": PATTERN })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_number_and_one_unit_are_read_and_kept() {
        for (literal, seconds) in [
            ("1s", 1),
            ("5m", 300),
            ("1h", 3_600),
            ("90d", 7_776_000),
            ("999999d", 86_399_913_600),
        ] {
            let span = Span::parse(literal).unwrap();
            assert_eq!(span.duration(), Duration::from_secs(seconds), "{literal}");
            assert_eq!(serde_json::to_value(&span).unwrap(), literal);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "", "d", "90", "0d", "090d", "1000000d", "1h30m", "-5m", "+5m", "1.5h", " 1h", "1h ",
            "1 h", "1w", "PT1H", "٣d", "1µ", "1D",
        ] {
            assert_eq!(Span::parse(text), Err(NotASpan), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered_without_a_panic(text in ".{0,12}") {
            if let Ok(span) = Span::parse(&text) {
                prop_assert_eq!(span.as_str(), text);
            }
        }
    }
}
