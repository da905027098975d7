//! Everything that is said, and the search for secrets in it.
//!
//! A value leaks in more shapes than its own: in the base64 of a header or a Secret, percent-encoded in a
//! URL, as the list of numbers that `Debug` makes of bytes, or cut to "only the beginning".
//!
//! # Guarantees
//! A value is found in each of these shapes wherever it stands in the text, in base64 also when it was
//! encoded together with its surroundings. Captures of parallel tests do not mix.
//!
//! # Assumptions
//! Values are longer than [`PREFIX`] and their beginnings are not words of ordinary text. Whoever logs runs
//! on the thread of the test, as everything does on a current-thread runtime.

use std::{
    fmt,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use handover::telemetry::logs::{self, LogOptions};
use k8s_openapi::ByteString;
use serde_json::json;
use tracing::subscriber::{self, DefaultGuard};
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

/// So much of the beginning of a value is already too much.
const PREFIX: usize = 8;

/// A shape in which a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Raw,
    Escaped,
    Base64,
    Base64Url,
    Percent,
    Hex,
    Bytes,
    Prefix,
}

/// A value that stands where it must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leak {
    /// What was searched: `the log`, `the status of team-a/ci`.
    pub(crate) place: String,
    /// Which of the values, in the order in which they were given.
    pub(crate) value: usize,
    pub(crate) form: Form,
    /// The line around it.
    pub(crate) line: String,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            value,
            form,
            line,
        } = self;
        write!(f, "value {value} leaks into {place} as {form:?}: {line}")
    }
}

/// The values to search for.
#[derive(Debug, Default)]
pub(crate) struct Canaries {
    needles: Vec<(usize, Form, String)>,
    values: usize,
}

impl Canaries {
    /// Searches for one more value.
    pub(crate) fn add(&mut self, value: &str) {
        let shapes = shapes(value);
        let known = shapes
            .into_iter()
            .map(|(form, text)| (self.values, form, text));
        self.needles.extend(known);
        self.values += 1;
    }

    /// Every shape of every value in this text, once each.
    pub(crate) fn find(&self, place: &str, text: &str) -> Vec<Leak> {
        let mut leaks: Vec<Leak> = Vec::new();
        for (value, form, needle) in &self.needles {
            let is_new = !leaks.iter().any(|l| (l.value, l.form) == (*value, *form));
            if let (Some(at), true) = (text.find(needle.as_str()), is_new) {
                leaks.push(Leak {
                    place: place.to_owned(),
                    value: *value,
                    form: *form,
                    line: line_at(text, at).to_owned(),
                });
            }
        }
        leaks
    }
}

impl<'a> FromIterator<&'a str> for Canaries {
    fn from_iter<I: IntoIterator<Item = &'a str>>(values: I) -> Self {
        let mut canaries = Self::default();
        values.into_iter().for_each(|value| canaries.add(value));
        canaries
    }
}

fn line_at(text: &str, at: usize) -> &str {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    text[start..].lines().next().unwrap_or_default()
}

fn shapes(value: &str) -> Vec<(Form, String)> {
    let bytes = value.as_bytes();
    let each = |print: fn(&u8) -> String| bytes.iter().map(print).collect::<Vec<_>>();
    let mut shapes = vec![
        (Form::Raw, value.to_owned()),
        (
            Form::Escaped,
            json!(value).to_string().trim_matches('"').to_owned(),
        ),
        (
            Form::Percent,
            percent_encoded(value, |byte| format!("%{byte:02X}")),
        ),
        (
            Form::Percent,
            percent_encoded(value, |byte| format!("%{byte:02x}")),
        ),
        (Form::Hex, each(|byte| format!("{byte:02x}")).concat()),
        (Form::Bytes, each(u8::to_string).join(", ")),
        (Form::Bytes, each(u8::to_string).join(",")),
        (Form::Prefix, value.chars().take(PREFIX).collect()),
    ];
    for alignment in 0..3 {
        let text = base64_inside(bytes, alignment);
        let in_urls = text.replace('+', "-").replace('/', "_");
        if in_urls != text {
            shapes.push((Form::Base64Url, in_urls));
        }
        shapes.push((Form::Base64, text));
    }
    shapes.retain(|(form, text)| *form == Form::Raw || text != value);
    shapes
}

/// The value with every byte replaced that a URL does not carry as it is.
fn percent_encoded(value: &str, encode: fn(u8) -> String) -> String {
    let carry = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => encode(other),
    };
    value.bytes().map(carry).collect()
}

/// The part of the base64 that depends on the value alone, when `before` bytes (modulo three) precede it.
fn base64_inside(value: &[u8], before: usize) -> String {
    let padded = ByteString([&vec![0; before], value].concat());
    let text = json!(padded).as_str().unwrap_or_default().to_owned();
    let first = (before * 8).div_ceil(6);
    let end = (before + value.len()) * 8 / 6;
    text[first..end].to_owned()
}

/// All that was logged on this thread since it was made, one JSON object per line, spans included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    /// Captures what these directives let through (`trace` for everything) until the guard is dropped.
    pub(crate) fn capture(directives: &str) -> (Self, DefaultGuard) {
        let logs = Self::default();
        let sink = logs.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .with_env_filter(EnvFilter::new(directives))
            .with_span_events(FmtSpan::FULL)
            .with_writer(move || sink.clone())
            .finish();
        (logs, subscriber::set_default(subscriber))
    }

    /// Captures what the operator would print at this level: behind the limits that it sets to the crates
    /// below it.
    pub(crate) fn as_shipped(filter: &str) -> (Self, DefaultGuard) {
        let logs = Self::default();
        let sink = logs.clone();
        let options = LogOptions {
            filter: filter.to_owned(),
            ..LogOptions::default()
        };
        let subscriber = logs::subscriber(&options, move || sink.clone()).unwrap();
        (logs, subscriber::set_default(subscriber))
    }

    /// The text so far.
    pub(crate) fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Logs {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use handover::secret_value::SecretValue;
    use proptest::prelude::*;

    use super::*;

    const VALUE: &str = "glpat-7/Xk+92\"Qm~ü!zR4x???>>>";

    fn forms(text: &str) -> Vec<Form> {
        let canaries: Canaries = ["another-value-0815", VALUE].into_iter().collect();
        let leaks = canaries.find("the text", text);
        assert!(leaks.iter().all(|leak| leak.value == 1));
        leaks.iter().map(|leak| leak.form).collect()
    }

    fn base64(text: &str) -> String {
        json!(ByteString(text.into())).as_str().unwrap().to_owned()
    }

    #[test]
    fn each_shape_is_found() {
        for (form, text) in [
            (Form::Escaped, format!("{{\"message\":{}}}", json!(VALUE))),
            (Form::Base64, base64(VALUE)),
            (
                Form::Base64Url,
                base64(VALUE).replace('+', "-").replace('/', "_"),
            ),
            (
                Form::Percent,
                "?t=glpat-7%2FXk%2B92%22Qm~%C3%BC%21zR4x%3F%3F%3F%3E%3E%3E&x".to_owned(),
            ),
            (
                Form::Percent,
                "?t=glpat-7%2fXk%2b92%22Qm~%c3%bc%21zR4x%3f%3f%3f%3e%3e%3e&x".to_owned(),
            ),
            (Form::Bytes, format!("{:?}", ByteString(VALUE.into()))),
            (Form::Prefix, "the token glpat-7/… was made".to_owned()),
        ] {
            assert!(forms(&text).contains(&form), "{form:?} in {text}");
        }
        let raw = forms(&format!("Authorization: Bearer {VALUE}"));
        assert_eq!(raw, [Form::Raw, Form::Prefix]);
    }

    #[test]
    fn harmless_text_is_not_taken_for_a_leak() {
        assert_eq!(forms("glpat-6/Xk+92 was rotated, glpat- is a prefix"), []);
    }

    #[test]
    fn a_leak_shows_its_line() {
        let canaries: Canaries = [VALUE].into_iter().collect();
        let text = format!("first\nsecond {VALUE} end\nthird");
        let leak = &canaries.find("the log", &text)[0];
        assert_eq!(
            leak.to_string(),
            format!("value 0 leaks into the log as Raw: second {VALUE} end")
        );
    }

    proptest! {
        #[test]
        fn base64_is_found_with_any_surroundings(before in ".{0,9}", after in ".{0,9}") {
            let found = forms(&base64(&format!("{before}{VALUE}{after}")));
            prop_assert!(found.contains(&Form::Base64));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn logs_hold_events_and_spans_of_all_levels_and_of_spawned_tasks() {
        let (logs, guard) = Logs::capture("trace");
        let speak = async {
            let span = tracing::trace_span!("deliver", token = VALUE);
            span.in_scope(|| tracing::trace!("inside"));
            tracing::error!(value = ?SecretValue::new(VALUE.to_owned()), "outside");
        };
        tokio::spawn(speak).await.unwrap();
        drop(guard);
        tracing::error!("afterwards");
        let text = logs.text();
        assert!(
            text.contains("inside") && text.contains("outside"),
            "{text}"
        );
        assert!(!text.contains("afterwards"));
        assert!(forms(&text).contains(&Form::Escaped), "the span field");
        let outside = text.lines().find(|line| line.contains("outside")).unwrap();
        assert_eq!(forms(outside), [], "a SecretValue does not print itself");
    }

    #[test]
    fn captures_on_other_threads_do_not_mix() {
        let (logs, _guard) = Logs::capture("trace");
        let other = std::thread::spawn(|| {
            let (logs, _guard) = Logs::capture("trace");
            tracing::info!("theirs");
            logs.text()
        });
        assert!(other.join().unwrap().contains("theirs"));
        tracing::info!("ours");
        assert!(logs.text().contains("ours") && !logs.text().contains("theirs"));
    }
}
