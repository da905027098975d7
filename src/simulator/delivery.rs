//! How an answer travels: whole, slowly, in part, or not at all.

use std::{io, time::Duration};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, header};

use super::{Simulator, effects::Delivery, reply::Reply};

/// Marks a response that must not be sent: the connection is to be cut instead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Severed;

/// A response that never reaches the client.
pub(super) fn severed() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Severed);
    response
}

/// Hands the answer to the connection, in the way that the faults say.
pub(super) fn deliver(
    simulator: Simulator,
    sequence: usize,
    reply: Reply,
    delivery: &Delivery,
) -> Response {
    if delivery.lost {
        return severed();
    }
    let (kind, bytes) = reply.content.into_bytes();
    let headers = headers(reply.headers, kind, bytes.len());
    let body = if delivery.reset {
        broken_after_first_byte(&bytes)
    } else if let Some(rate) = delivery.bytes_per_second {
        slow(simulator, sequence, bytes, rate)
    } else {
        simulator.answered(sequence);
        Body::from(bytes)
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    *response.headers_mut() = headers;
    response
}

fn headers(mut headers: HeaderMap, kind: Option<&'static str>, length: usize) -> HeaderMap {
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    headers
}

/// One byte, then an error: the server cuts the connection short of the announced length.
fn broken_after_first_byte(bytes: &Bytes) -> Body {
    let first = bytes.slice(..bytes.len().min(1));
    let cut = async {
        // The server sends what it has only when the body keeps it waiting.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    };
    Body::from_stream(stream::iter([Ok(first)]).chain(stream::once(cut)))
}

/// So many bytes each second; answered once the last one is out.
fn slow(simulator: Simulator, sequence: usize, bytes: Bytes, rate: u32) -> Body {
    let rate = usize::try_from(rate.max(1)).unwrap_or(usize::MAX);
    let chunks = stream::unfold(
        (simulator, bytes),
        move |(simulator, mut rest)| async move {
            if rest.is_empty() {
                return None;
            }
            simulator.clock().sleep(Duration::from_secs(1)).await;
            let chunk = rest.split_to(rest.len().min(rate));
            if rest.is_empty() {
                simulator.answered(sequence);
            }
            Some((Ok::<_, io::Error>(chunk), (simulator, rest)))
        },
    );
    Body::from_stream(chunks)
}
