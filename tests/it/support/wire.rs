//! The wire from an operator to the provider: it ends with its operator, and a test can sit on it.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use futures::future::{self, BoxFuture};
use handover::transport::{Transport, TransportError};
use http::{Method, Request, Response};

use super::apiserver::Phase;

/// Whether an operator still runs. Nothing that a dead one sends arrives, and nothing arrives at it.
#[derive(Clone, Default)]
pub(super) struct Alive(Arc<AtomicBool>);

impl Alive {
    pub(super) fn died(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_dead(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// One call as a hook sees it: never a body, never a credential.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The operator that sends it.
    pub(crate) client: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    /// The nonce of a create.
    pub(crate) nonce: Option<String>,
}

impl Call {
    /// The id that is to be deleted.
    pub(crate) fn deletes(&self) -> Option<&str> {
        let (_, id) = self.path.rsplit_once("/machine-tokens/")?;
        (self.method == Method::DELETE).then_some(id)
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crossing {
    Pass,
    /// The connection breaks: before the call arrives, or before its answer does.
    Break,
}

type Hook = Arc<dyn Fn(&Call, Phase) -> Crossing + Send + Sync>;

/// What is asked about each call of each operator.
#[derive(Clone, Default)]
pub(super) struct Hooks(Arc<Mutex<Vec<Hook>>>);

impl Hooks {
    pub(super) fn add(&self, hook: impl Fn(&Call, Phase) -> Crossing + Send + Sync + 'static) {
        self.lock().push(Arc::new(hook));
    }

    fn ask(&self, call: &Call, phase: Phase) -> Crossing {
        let hooks = self.lock().clone();
        let broken = hooks
            .iter()
            .filter(|hook| hook(call, phase) == Crossing::Break);
        if broken.count() > 0 {
            Crossing::Break
        } else {
            Crossing::Pass
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Hook>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wire of one operator.
pub(super) struct Mortal<T> {
    pub(super) wire: T,
    pub(super) client: String,
    pub(super) alive: Alive,
    pub(super) hooks: Hooks,
}

impl<T> Mortal<T> {
    async fn cross(&self, call: &Call, phase: Phase) -> Result<(), TransportError> {
        let crossing = if self.alive.is_dead() {
            Crossing::Pass
        } else {
            self.hooks.ask(call, phase)
        };
        if self.alive.is_dead() {
            return future::pending().await;
        }
        match crossing {
            Crossing::Pass => Ok(()),
            Crossing::Break => Err(TransportError::Unknown),
        }
    }
}

impl<T: Transport> Transport for Mortal<T> {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let nonce = request.headers().get("idempotency-key");
        let call = Call {
            client: self.client.clone(),
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            nonce: nonce.and_then(|nonce| Some(nonce.to_str().ok()?.to_owned())),
        };
        Box::pin(async move {
            self.cross(&call, Phase::Before).await?;
            let answer = self.wire.send(request).await;
            self.cross(&call, Phase::After).await?;
            answer
        })
    }
}
