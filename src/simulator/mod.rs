//! The providers' management APIs in process: what tests, first runs and provider authors work against.
//!
//! ```text
//!  client ──► router ──► exchange ──► dialect (errova) ──► credentials, projects
//!                          │  ▲                                  │
//!                          ▼  │ faults, effects                  ▼
//!                        audit                                 truth
//! ```
//!
//! A [`Simulator`] speaks to clients through [`Simulator::router`] (or [`in_process()`], or a socket:
//! [`serve()`]), and to whoever runs the test through its methods, which [`Simulator::control`] repeats
//! over HTTP.
//!
//! # Guarantees
//! The truth and the audit never lie, whatever faults and knobs make of the answers. The same seed and
//! the same requests in the same order give the same ids and values. All waiting is on tokio's clock.
//!
//! # Caveats
//! Values live here in clear, as they would at a provider. Nothing here is meant to guard anything.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    body::{self, Body},
    extract::State as Shared,
    response::Response,
    routing::any,
};
use http::Request;
use jiff::SignedDuration;

pub use audit::AuditEntry;
pub use clock::SimulatorClock;
pub use credentials::{CredentialKind, CredentialState, Truth};
pub use faults::{
    AuthDown, Fault, FaultBody, FaultOrder, RateLimit, Redirect, RetryAfter, StatusFault, Wait,
};
pub use in_process::{InProcess, in_process};
pub use operation::{Operation, Provider};
pub use serve::{Addresses, Serving, serve};
pub use values::{CANARY, Digest};

use self::{
    audit::Audit,
    dialect::Dialect,
    errova::{Errova, ErrovaKnobs, ProjectTruth},
    faults::Orders,
    values::Generator,
};
use crate::{clock::Clock, secret_value::SecretValue};

mod audit;
mod clock;
mod control;
mod credentials;
mod damage;
mod delivery;
mod dialect;
mod effects;
pub mod errova;
mod exchange;
mod faults;
mod in_process;
mod listing;
mod operation;
mod refusal;
mod reply;
mod serve;
#[cfg(test)]
mod tests;
mod values;

/// The organization that every simulator starts with.
pub const ORGANIZATION: &str = "acme-inc";

/// The simulated providers. Clones are the same world.
#[derive(Clone)]
pub struct Simulator(Arc<World>);

struct World {
    clock: SimulatorClock,
    refusing: AtomicBool,
    state: Mutex<State>,
}

struct State {
    errova: Errova,
    audit: Audit,
    orders: Orders,
    generator: Generator,
}

impl State {
    fn dialect(&self, provider: Provider) -> &dyn Dialect {
        match provider {
            Provider::Errova => &self.errova,
        }
    }
}

/// Shows nothing: the world is full of values.
impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").finish_non_exhaustive()
    }
}

impl Simulator {
    /// A world with the organization [`ORGANIZATION`] and nobody in it.
    pub fn new(seed: u64, clock: Clock) -> Self {
        Self(Arc::new(World {
            clock: SimulatorClock::new(clock),
            refusing: AtomicBool::new(false),
            state: Mutex::new(State {
                errova: Errova::new(ORGANIZATION),
                audit: Audit::default(),
                orders: Orders::default(),
                generator: Generator::new(seed),
            }),
        }))
    }

    /// A poisoned lock means that a test has failed already; the world is as good as it was.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The providers, each under its own prefix.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/errova/{*path}", any(errova))
            .with_state(self.clone())
    }

    /// The control plane under `/_sim/`, for a port of its own.
    pub fn control(&self) -> Router {
        control::router(self.clone())
    }

    /// The time of this world.
    pub fn clock(&self) -> &SimulatorClock {
        &self.0.clock
    }

    /// An `org.admin` machine token with a value of the caller's choice. Says its id.
    pub fn seed_admin(&self, value: SecretValue) -> String {
        let now = self.clock().now();
        let state = &mut *self.state();
        state.errova.seed_admin(value, now, &mut state.generator)
    }

    /// An admin session, as a person's browser has it. Says the value of its cookie.
    pub fn seed_session(&self) -> SecretValue {
        let now = self.clock().now();
        let state = &mut *self.state();
        state.errova.seed_session(now, &mut state.generator)
    }

    /// A machine token that somebody else made, with any label. Says its id.
    pub fn seed_foreign(&self, label: &str) -> String {
        let now = self.clock().now();
        let state = &mut *self.state();
        state.errova.seed_foreign(label, now, &mut state.generator)
    }

    /// What is true of every credential ever made, in the order of creation.
    pub fn truth(&self) -> Vec<Truth> {
        let now = self.clock().moment();
        self.state()
            .errova
            .credentials()
            .truth(Provider::Errova, now)
    }

    /// Every project ever made.
    pub fn projects(&self) -> Vec<ProjectTruth> {
        self.state().errova.projects()
    }

    /// Whether this value is accepted now.
    pub fn authenticates(&self, value: &str) -> bool {
        let now = self.clock().moment();
        self.state()
            .errova
            .credentials()
            .holder(value, now)
            .is_some()
    }

    /// What happened so far.
    pub fn audit(&self) -> Vec<AuditEntry> {
        self.audit_since(0)
    }

    /// What happened from this entry on.
    pub fn audit_since(&self, sequence: usize) -> Vec<AuditEntry> {
        self.state().audit.since(sequence)
    }

    /// Makes something go wrong from now on.
    pub fn order_fault(&self, order: FaultOrder) {
        let skew = order.faults.iter().find_map(|fault| match fault {
            Fault::ClockSkew(skew) => Some(*skew),
            _ => None,
        });
        if let Some(skew) = skew {
            self.clock().skew(skew);
        }
        let now = self.clock().now();
        self.state().orders.add(order, now);
    }

    /// Takes back all orders, and sets the servers' clocks right.
    pub fn clear_faults(&self) {
        self.state().orders.clear();
        self.clock().skew(SignedDuration::ZERO);
    }

    /// How Errova behaves where its documentation says nothing.
    pub fn errova_knobs(&self) -> ErrovaKnobs {
        self.state().errova.knobs().clone()
    }

    /// Changes how Errova behaves.
    pub fn set_errova_knobs(&self, knobs: ErrovaKnobs) {
        self.state().errova.set_knobs(knobs);
    }

    /// Refuses connections, or no longer: for [`in_process()`] only, since a socket that is bound cannot.
    pub fn refuse_connections(&self, refuse: bool) {
        self.0.refusing.store(refuse, Ordering::SeqCst);
    }

    fn refuses_connections(&self) -> bool {
        self.0.refusing.load(Ordering::SeqCst)
    }
}

/// The largest request that is read. An ingest of a thousand events fits.
const REQUEST_LIMIT: usize = 4 << 20;

async fn errova(Shared(simulator): Shared<Simulator>, request: Request<Body>) -> Response {
    let (parts, stream) = request.into_parts();
    match body::to_bytes(stream, REQUEST_LIMIT).await {
        Ok(bytes) => {
            let request = Request::from_parts(parts, bytes);
            exchange::serve(simulator, Provider::Errova, request).await
        }
        // The client went away in the middle of its request: there is nobody to answer.
        Err(_) => delivery::severed(),
    }
}
