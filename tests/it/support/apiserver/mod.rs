//! An API server inside the test process: what a real `kube::Client` talks to when no socket is open.
//!
//! ```text
//! kube::Client ──► serve ──► request    understand it
//!                    │  ──► control    faults, refusals, log, checks
//!                    │  ──► write ◄── rules, admission              decide
//!                    │        └──► state ──► store                  then commit
//!                    └──► read, watch ◄─────────────────── store    objects, history, one counter
//! ```
//!
//! # Guarantees
//! The facts of `tests/contract` hold here as on a real control plane. Time is tokio's: with a paused
//! clock hours of requeues take milliseconds. The same run gives the same uids and versions. What has
//! arrived is carried out, also if the client has given up or crashed, unless a hook says otherwise.
//!
//! # Assumptions
//! One test, one server, one current-thread runtime.
//!
//! # Caveats
//! No strategic patch (415), no `generateName`, no garbage collection, no graceful deletion of Pods,
//! no validation against schemas. A server-side apply merges: nobody owns a field, so nothing conflicts
//! and leaving a field out removes nothing. A deleted Namespace is emptied in the same instant. Every
//! request takes [`LATENCY`].

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use handover::clock::Clock;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;

mod admission;
mod control;
mod failure;
mod kinds;
mod object;
mod oracle;
mod read;
mod request;
mod rules;
mod select;
mod serve;
mod state;
mod store;
mod watch;
mod write;

pub(crate) use self::{
    control::{Entry, Phase, Verdict},
    oracle::Version,
    request::{RequestInfo, Verb},
    serve::LATENCY,
};
use self::{kinds::Kind, state::State, store::Store, watch::Pulse};

/// A handle on the server. Cheap to clone; all clones are the same server.
#[derive(Clone)]
pub(crate) struct ApiServer {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    state: Mutex<State>,
    pulse: tokio::sync::watch::Sender<Pulse>,
}

impl ApiServer {
    /// A server with the built-in kinds, these custom resources, and the namespaces `default` and
    /// `kube-system`. More kinds come by creating their definitions.
    pub(crate) fn new(clock: Clock, crds: &[CustomResourceDefinition]) -> Self {
        let server = Self {
            inner: Arc::new(Inner {
                clock,
                state: Mutex::new(State::new(Store::new(Kind::built_in()))),
                pulse: tokio::sync::watch::Sender::default(),
            }),
        };
        server.add_namespace("default");
        server.add_namespace("kube-system");
        for crd in crds {
            server.apply_as_user(crd);
        }
        server
    }

    /// A client. The name stands in the log and in refusals: one for each operator, one for the test.
    pub(crate) fn client(&self, name: &str) -> Client {
        let (server, name) = (self.clone(), name.to_owned());
        let service = tower::service_fn(move |request| {
            let (server, name) = (server.clone(), name.clone());
            async move { server.serve(name, request).await }
        });
        Client::new(service, "default")
    }

    /// The time by which the server stamps objects and answers.
    pub(crate) fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiServer")
    }
}
