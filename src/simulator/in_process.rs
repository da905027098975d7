//! The simulator as a [`Transport`]: no socket, so that virtual time works.

use std::time::Duration;

use axum::{
    Router,
    body::{self, Body},
};
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt as _};
use http::{Request, Response};
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::{Simulator, delivery::Severed};
use crate::transport::{Transport, TransportError};

/// The largest body that is read, as in the real transport.
const BODY_LIMIT: usize = 1 << 20;

/// See [`in_process()`].
#[derive(Clone, Debug)]
pub struct InProcess {
    simulator: Simulator,
    router: Router,
    timeout: Duration,
}

/// A transport to this simulator that gives up on an exchange after `timeout`.
pub fn in_process(simulator: &Simulator, timeout: Duration) -> InProcess {
    InProcess {
        simulator: simulator.clone(),
        router: simulator.router(),
        timeout,
    }
}

impl Transport for InProcess {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        async move {
            if self.simulator.refuses_connections() {
                return Err(TransportError::NotSent);
            }
            timeout(self.timeout, exchange(self.router.clone(), request))
                .await
                .unwrap_or(Err(TransportError::Unknown))
        }
        .boxed()
    }
}

async fn exchange(
    router: Router,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, TransportError> {
    let response = match router.oneshot(request.map(Body::from)).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (parts, stream) = response.into_parts();
    if parts.extensions.get::<Severed>().is_some() {
        return Err(TransportError::Unknown);
    }
    let bytes = body::to_bytes(stream, BODY_LIMIT)
        .await
        .map_err(|_| TransportError::Unknown)?;
    Ok(Response::from_parts(parts, bytes))
}
