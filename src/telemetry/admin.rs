//! The admin server: `/livez`, `/readyz` and `/metrics`, for the kubelet and for Prometheus.
//!
//! # Guarantees
//! - `/livez` asks nobody: it answers as long as this process can answer at all. A provider or an API server
//!   that is away never kills a Pod that may hold a value it could not store yet.
//! - `/readyz` is the word of the tasks that fill caches, and names those that have not spoken yet.
//! - Nothing here takes credentials, and nothing here shows any.

use std::{
    io,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

use super::metrics::{CONTENT_TYPE, Metrics};

/// How long open connections may keep the server after it was told to stop.
const FAREWELL: Duration = Duration::from_secs(2);

/// Whether the operator can do its work: all of its parts can. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<RwLock<Vec<Part>>>);

/// One part, in the hands of the task that knows about it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Part {
    name: &'static str,
    ready: Arc<AtomicBool>,
}

impl Readiness {
    /// Adds a part, which is not ready yet.
    pub fn part(&self, name: &'static str) -> Part {
        let part = Part {
            name,
            ready: Arc::default(),
        };
        let mut parts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        parts.push(part.clone());
        part
    }

    /// The parts that are not ready, in the order in which they were added. As long as there are none,
    /// it is the start itself that is missing.
    pub fn missing(&self) -> Vec<&'static str> {
        let parts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if parts.is_empty() {
            return vec!["start"];
        }
        let missing = parts.iter().filter(|part| !part.is_ready());
        missing.map(|part| part.name).collect()
    }
}

impl Part {
    /// Says whether this part is ready.
    pub fn set(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }
}

/// Serves until it is told to stop; then connections that are still open have a moment to finish.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: Metrics,
    stop: CancellationToken,
) -> io::Result<()> {
    let told = stop.clone().cancelled_owned();
    let server = axum::serve(listener, router(readiness, metrics)).with_graceful_shutdown(told);
    let farewell = async {
        stop.cancelled().await;
        sleep(FAREWELL).await;
    };
    tokio::select! {
        ended = server => ended,
        () = farewell => Ok(()),
    }
}

fn router(readiness: Readiness, metrics: Metrics) -> Router {
    let probes = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(readiness);
    let scrape = Router::new()
        .route("/metrics", get(scrape))
        .with_state(metrics);
    probes.merge(scrape)
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let missing = readiness.missing();
    if missing.is_empty() {
        return "ok\n".into_response();
    }
    let text = format!("not ready: {}\n", missing.join(", "));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn scrape(State(metrics): State<Metrics>) -> Response {
    match metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use http::Request;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(readiness: &Readiness, path: &str) -> (u16, String, String) {
        let router = router(readiness.clone(), Metrics::new(true));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router.oneshot(request).await.unwrap();
        let (head, body) = answer.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let media_type = head.headers[header::CONTENT_TYPE].to_str().unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        (head.status.as_u16(), media_type.to_owned(), text)
    }

    #[tokio::test]
    async fn ready_when_all_parts_are_and_what_is_missing_until_then() {
        let readiness = Readiness::default();
        let (status, _, text) = ask(&readiness, "/readyz").await;
        assert_eq!((status, text.as_str()), (503, "not ready: start\n"));
        let ledgers = readiness.part("ledgers");
        let tokens = readiness.part("tokens");
        let (status, _, text) = ask(&readiness, "/readyz").await;
        assert_eq!(
            (status, text.as_str()),
            (503, "not ready: ledgers, tokens\n")
        );
        ledgers.set(true);
        let (status, _, text) = ask(&readiness, "/readyz").await;
        assert_eq!((status, text.as_str()), (503, "not ready: tokens\n"));
        tokens.clone().set(true);
        assert_eq!(ask(&readiness, "/readyz").await.0, 200);
        tokens.set(false);
        assert_eq!(ask(&readiness, "/readyz").await.0, 503);
    }

    #[tokio::test]
    async fn alive_whether_ready_or_not() {
        let readiness = Readiness::default();
        let _part = readiness.part("ledgers");
        assert_eq!(ask(&readiness, "/livez").await.0, 200);
    }

    #[tokio::test]
    async fn metrics_are_openmetrics_text() {
        let (status, media_type, text) = ask(&Readiness::default(), "/metrics").await;
        assert_eq!(status, 200);
        assert_eq!(media_type, CONTENT_TYPE);
        assert!(text.starts_with("# HELP handover_build "), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[tokio::test]
    async fn stops_when_told_though_a_connection_stays_open() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let server = serve(
            listener,
            Readiness::default(),
            Metrics::new(true),
            stop.clone(),
        );
        let server = tokio::spawn(server);
        let mut client = TcpStream::connect(address).await.unwrap();
        // Half a request, after which this client says nothing more.
        let request = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /livez";
        client.write_all(request).await.unwrap();
        let mut start = [0; 12];
        client.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
        stop.cancel();
        server.await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
