//! Log lines: JSON by default, filtered as whoever runs Handover says, within one limit.
//!
//! # Guarantees
//! - Crates below us that print bodies, headers or frames are held to a level at which they do not,
//!   **whatever the filter says**: the limit is a second filter, not a directive that a more specific one
//!   could override.
//! - A panic leaves its place and nothing else. The message of a panic can hold whatever the code had in
//!   hand.
//!
//! # Caveats
//! Records of the `log` crate, which reqwest and rustls use, are not collected at all.

use std::panic::PanicHookInfo;

use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt as _, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// How far the crates below may go, and why not further.
const LIMITS: &[(&str, Level)] = &[
    ("kube_client", Level::ERROR), // bodies that do not parse at WARN, headers and statuses below
    ("kube_runtime", Level::WARN), // watch errors, with what could not be parsed
    ("h2", Level::WARN),           // frames
    ("hyper", Level::WARN),
    ("hyper_util", Level::WARN), // urls with their userinfo
    ("hyper_rustls", Level::WARN),
    ("reqwest", Level::WARN), // what is read and written, where asked for
    ("rustls", Level::WARN),
    ("tower", Level::WARN),
    ("tower_http", Level::WARN),
];

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// For people at a terminal.
    Text,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// How a line looks.
    pub format: LogFormat,
    /// Directives in the syntax of `RUST_LOG`; empty is `info`.
    pub filter: String,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            filter: "info".to_owned(),
        }
    }
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A directive cannot be read.
    #[error("the log filter is not a list of directives such as `info,handover=debug`")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Logs were set up before.
    #[error("logs are set up already")]
    Again(#[source] tracing_subscriber::util::TryInitError),
}

/// Whether a filter can be read.
pub fn check_filter(filter: &str) -> Result<(), LogError> {
    parse_filter(filter).map(drop)
}

/// Sends log lines of this process to standard error from now on, panics included.
pub fn install(options: &LogOptions) -> Result<(), LogError> {
    subscriber(options, std::io::stderr)?
        .try_init()
        .map_err(LogError::Again)?;
    std::panic::set_hook(Box::new(report_panic));
    Ok(())
}

/// What [`install`] installs, writing to somewhere else.
pub fn subscriber<W>(
    options: &LogOptions,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>, LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = parse_filter(&options.filter)?.and(filter_fn(is_within_limits));
    let lines = fmt::layer().with_writer(writer).with_ansi(false);
    let lines = match options.format {
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
        LogFormat::Text => lines.boxed(),
    };
    Ok(Registry::default().with(lines.with_filter(filter)))
}

fn parse_filter(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .with_regex(false)
        .with_default_directive(LevelFilter::INFO.into())
        .parse(filter)
        .map_err(LogError::Filter)
}

/// By target and by module, since a target can be any text.
fn is_within_limits(metadata: &Metadata<'_>) -> bool {
    let origins = [Some(metadata.target()), metadata.module_path()];
    let crates = origins.into_iter().flatten().map(crate_of);
    crates
        .flat_map(|name| LIMITS.iter().filter(move |(limited, _)| *limited == name))
        .all(|(_, most)| metadata.level() <= most)
}

fn crate_of(path: &str) -> &str {
    path.split_once("::").map_or(path, |(name, _)| name)
}

fn report_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let thread = std::thread::current();
    tracing::error!(
        panic.place = place.as_deref().unwrap_or("unknown"),
        panic.thread = thread.name().unwrap_or("unnamed"),
        "a task panicked"
    );
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use http::{Request, Response};
    use k8s_openapi::api::core::v1::Secret;
    use kube::{Client, client::Body};
    use serde_json::Value;

    use super::*;

    const EVERYTHING: &str =
        "trace,kube_client=trace,kube_client::client=trace,[HTTP]=trace,[{http.method}]=trace";

    /// Collects what is logged.
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }

        fn lines(&self) -> Vec<Value> {
            let text = self.text();
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        }
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logging(format: LogFormat, filter: &str) -> (Sink, impl Subscriber + Send + Sync + use<>) {
        let sink = Sink::default();
        let writer = sink.clone();
        let options = LogOptions {
            format,
            filter: filter.to_owned(),
        };
        let subscriber = subscriber(&options, move || writer.clone()).unwrap();
        (sink, subscriber)
    }

    #[tokio::test]
    async fn a_107_the_body_of_a_secret_is_not_logged_whatever_the_filter_says() {
        let (sink, subscriber) = logging(LogFormat::Json, EVERYTHING);
        let guard = tracing::subscriber::set_default(subscriber);
        let broken = r#"{"kind":"Secret","data":{"token":"Y2FuYXJ5"},"metadata":7}"#;
        let client = Client::new(
            tower::service_fn(move |_: Request<Body>| async move {
                Ok::<_, io::Error>(Response::new(Body::from(broken.as_bytes().to_vec())))
            }),
            "default",
        );
        let request = Request::get("/api/v1/namespaces/default/secrets/canary").body(Vec::new());
        client
            .request::<Secret>(request.unwrap())
            .await
            .unwrap_err();
        tracing::trace!("all of our own");
        drop(guard);
        let text = sink.text();
        assert!(text.contains("all of our own"), "{text}");
        assert!(!text.contains("Y2FuYXJ5"), "{text}");
    }

    #[test]
    fn a_107_no_directive_lifts_the_limit_of_a_crate() {
        let (sink, subscriber) = logging(LogFormat::Json, EVERYTHING);
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::trace_span!("HTTP", http.method = "GET").entered();
            tracing::warn!(target: "kube_client::client", "a body");
            tracing::error!(target: "kube_client::client::builder", "failed");
            tracing::trace!(target: "h2", "a frame");
            tracing::trace!(target: "h2_like", "another crate");
        });
        let messages: Vec<_> = sink.lines();
        let messages: Vec<_> = messages.iter().map(|line| &line["message"]).collect();
        assert_eq!(messages, ["failed", "another crate"]);
    }

    #[test]
    fn the_filter_is_info_unless_it_says_otherwise() {
        for (filter, expected) in [
            ("", vec!["info"]),
            ("handover=debug", vec!["info", "debug"]),
            ("error", vec![]),
        ] {
            let (sink, subscriber) = logging(LogFormat::Json, filter);
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!("info");
                tracing::debug!("debug");
            });
            let lines = sink.lines();
            let messages: Vec<_> = lines.iter().map(|line| &line["message"]).collect();
            assert_eq!(messages, expected, "{filter:?}");
        }
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused() {
        assert!(check_filter("info,handover=debug").is_ok());
        assert!(check_filter("handover=loud").is_err());
    }

    #[test]
    fn text_is_one_plain_line_per_event() {
        let (sink, subscriber) = logging(LogFormat::Text, "info");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(token.name = "ci", "issued");
        });
        let text = sink.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(r#"issued token.name="ci""#), "{text}");
    }

    #[test]
    fn a_107_a_panic_leaves_its_place_and_nothing_else() {
        let (sink, subscriber) = logging(LogFormat::Json, "info");
        std::thread::spawn(move || {
            report_panics_of_this_thread();
            tracing::subscriber::with_default(subscriber, || panic!("canary"));
        })
        .join()
        .unwrap_err();
        let lines = sink.lines();
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["message"], "a task panicked");
        let place = lines[0]["panic.place"].as_str().unwrap();
        assert!(place.starts_with(file!()), "{place}");
        assert!(!sink.text().contains("canary"));
    }

    /// Panics of other tests go where they went before.
    fn report_panics_of_this_thread() {
        let before = std::panic::take_hook();
        let this = std::thread::current().id();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().id() == this {
                report_panic(panic);
            } else {
                before(panic);
            }
        }));
    }
}
