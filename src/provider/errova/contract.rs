//! The client against the simulated Errova: every fault, in process in virtual time and over real sockets.
//!
//! What counts is what is true at the provider afterwards, beside what the client makes of it.

use std::{num::NonZeroU32, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::*;
use crate::{
    clock::Clock,
    ledger::{
        ids::Generation,
        marker::{InstanceId, Nonce, OwnerDigits},
    },
    provider::{
        budget::Budget,
        endpoint::{HostRules, Origin},
    },
    simulator::{
        AuthDown, CredentialState, Fault, FaultBody, FaultOrder, InProcess, Operation as Op,
        RateLimit, Redirect, RetryAfter, Serving, Simulator, StatusFault, Wait,
        errova::{ErrorShape, Nesting},
        in_process, serve,
    },
    transport::{
        Transport,
        network::{Network, NetworkOptions},
    },
};

/// The timeout of an exchange, where none is meant to be reached in real time.
const PATIENT: Duration = Duration::from_secs(30);
const ADMIN: &str = "erv_contract_admin";

/// A simulated Errova, and the client that talks to it.
struct World {
    simulator: Simulator,
    errova: Errova,
    _serving: Option<Serving>,
}

fn simulator(clock: Clock) -> Simulator {
    let simulator = Simulator::new(7, clock);
    simulator.seed_admin(SecretValue::new(ADMIN.to_owned()));
    let mut knobs = simulator.errova_knobs();
    knobs.revoke_lag_seconds = 0;
    simulator.set_errova_knobs(knobs);
    simulator
}

fn client(
    base: &str,
    transport: impl FnOnce(&Endpoint) -> Arc<dyn Transport>,
    clock: Clock,
) -> Errova {
    let url = format!("{base}/errova/api");
    let endpoint = Endpoint::parse(&url, &HostRules::default(), Origin::ClusterConnection).unwrap();
    let transport = transport(&endpoint);
    let limit = |n| NonZeroU32::new(n).unwrap();
    let budget = Arc::new(Budget::new(limit(60_000), limit(4), clock));
    let admin = AdminToken::load(ADMIN.as_bytes()).unwrap();
    Errova::new(endpoint, "acme-inc", admin, Line::new(transport, budget)).unwrap()
}

impl World {
    /// No socket; needs a paused clock.
    fn in_process() -> Self {
        let clock = Clock::runtime("2026-01-15T00:00:00Z".parse::<Timestamp>().unwrap());
        let simulator = simulator(clock.clone());
        let transport: InProcess = in_process(&simulator, PATIENT);
        let errova = client("http://127.0.0.1", |_| Arc::new(transport), clock);
        Self {
            simulator,
            errova,
            _serving: None,
        }
    }

    async fn over_sockets(timeout: Duration) -> Self {
        let simulator = simulator(Clock::system());
        let serving = serve(&simulator, 0, 0).await.unwrap();
        let base = format!("http://{}", serving.addresses().providers);
        let network = |endpoint: &Endpoint| -> Arc<dyn Transport> {
            let options = NetworkOptions {
                timeout,
                addresses: endpoint.address_policy().clone(),
                ..NetworkOptions::default()
            };
            Arc::new(Network::new(&options).unwrap())
        };
        let errova = client(&base, network, Clock::system());
        Self {
            simulator,
            errova,
            _serving: Some(serving),
        }
    }

    async fn issue(&self) -> Outcome {
        let marker = Marker {
            instance: InstanceId::parse("1a2b3c4d").unwrap(),
            owner: OwnerDigits::of_uid("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0").unwrap(),
            generation: Generation(7),
            nonce: Nonce::parse("9c8b7a6f5e4d3c2b").unwrap(),
        };
        let create = CreateOnce::for_test(marker, Instant::now() + Duration::from_secs(30));
        let request = Request {
            display_name: "contract".to_owned(),
            scopes: vec!["org.admin".to_owned(), "org.read".to_owned()],
        };
        self.errova.issue(create, &request).await
    }

    async fn issued(&self) -> Issued {
        match self.issue().await {
            Outcome::Issued(issued) => issued,
            other => panic!("not issued: {other:?}"),
        }
    }

    async fn probe(&self, value: &str) -> Result<Probed, ProviderError> {
        let stored = Stored::for_test(SecretValue::new(value.to_owned()));
        self.errova.probe(&stored).await
    }

    async fn revoke(&self, id: &CredentialId) -> Result<Gone, ProviderError> {
        self.errova.revoke(&Condemned::for_test(id.clone())).await
    }

    fn order(&self, op: Op, fault: Fault) {
        self.simulator.order_fault(FaultOrder::on(op, [fault]));
    }

    /// Credentials at the provider beside the admin's.
    fn made(&self) -> usize {
        self.simulator.truth().len() - 1
    }

    fn is_revoked(&self, id: &CredentialId) -> bool {
        let truth = self.simulator.truth();
        let found = truth.iter().find(|truth| truth.id == id.as_str());
        found.unwrap().state == CredentialState::Revoked
    }
}

/// An outcome, without what differs from run to run.
#[derive(Debug, PartialEq)]
enum Seen {
    Issued(Option<Flaw>),
    Refused(Refusal),
    Unknown { id: bool, unreadable: bool },
}

impl From<Outcome> for Seen {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Issued(issued) => Self::Issued(issued.flaw),
            Outcome::Refused(refusal) => Self::Refused(refusal),
            Outcome::Unknown(unknown) => Self::Unknown {
                id: unknown.id.is_some(),
                unreadable: unknown.unreadable,
            },
        }
    }
}

const SILENT: Seen = Seen::Unknown {
    id: false,
    unreadable: false,
};

fn unreadable(id: bool) -> Seen {
    Seen::Unknown {
        id,
        unreadable: true,
    }
}

fn status(code: u16, body: FaultBody, committed: bool) -> Fault {
    Fault::Status(StatusFault {
        code,
        body,
        committed,
    })
}

fn auth_down(code: u16) -> Fault {
    Fault::AuthDown(AuthDown {
        lasting: Wait(Duration::from_secs(60)),
        code,
    })
}

fn rate_limit(retry_after: RetryAfter) -> Fault {
    Fault::RateLimit(RateLimit {
        limit: 0,
        window: Wait(Duration::from_secs(600)),
        retry_after: Some(retry_after),
    })
}

/// Each fault of a create, what the client must make of it, and how many tokens exist right afterwards.
fn faults_of_a_create() -> Vec<(Fault, Seen, usize)> {
    use FaultBody::{Empty, Html, Own, Text};
    let long = Wait(PATIENT * 3);
    let redirect = Redirect {
        url: "http://127.0.0.1:9/".to_owned(),
        code: 307,
    };
    let refused = Seen::Refused;
    vec![
        (Fault::LoseResponse, SILENT, 1),
        (Fault::LoseRequest, SILENT, 0),
        (Fault::DelayCommit(long), SILENT, 0),
        (Fault::Stall(long), SILENT, 1),
        (Fault::Slow(1), SILENT, 1),
        (Fault::Reset, SILENT, 1),
        (Fault::Huge, SILENT, 1),
        (Fault::Redirect(redirect), SILENT, 0),
        (Fault::Duplicate, Seen::Issued(None), 2),
        (Fault::Truncate(20), unreadable(false), 1),
        (Fault::Truncate(100), unreadable(true), 1),
        (Fault::BadJson, unreadable(true), 1),
        (Fault::NoValue, unreadable(true), 1),
        (Fault::OldValue, unreadable(false), 1), // it is the admin's
        (Fault::WrongScope, Seen::Issued(Some(Flaw::WrongScopes)), 1),
        (Fault::Relabel, Seen::Issued(Some(Flaw::WrongLabel)), 1),
        (status(500, Own, false), SILENT, 0),
        (status(500, Own, true), SILENT, 1),
        (status(502, Html, true), SILENT, 1),
        (status(408, Own, false), SILENT, 0),
        (status(409, Own, false), SILENT, 0),
        (status(403, Html, false), SILENT, 0),
        (status(404, Text, false), SILENT, 0),
        (status(401, Empty, false), SILENT, 0),
        (status(401, Html, true), SILENT, 1),
        (status(201, Empty, true), unreadable(false), 1),
        (status(200, Html, true), unreadable(false), 1),
        (
            status(401, Own, false),
            refused(Refusal::Unauthenticated),
            0,
        ),
        (status(403, Own, false), refused(Refusal::Forbidden), 0),
        (status(404, Own, false), refused(Refusal::Rejected(404)), 0),
        (status(422, Own, false), refused(Refusal::Rejected(422)), 0),
        (auth_down(401), refused(Refusal::Unauthenticated), 0),
        (auth_down(403), refused(Refusal::Forbidden), 0),
        (rate_limit(RetryAfter::None), refused(Refusal::Throttled), 0),
        (
            rate_limit(RetryAfter::Seconds),
            refused(Refusal::Throttled),
            0,
        ),
        (rate_limit(RetryAfter::Date), refused(Refusal::Throttled), 0),
    ]
}

async fn assert_outcome(world: World, (fault, expected, made): (Fault, Seen, usize)) {
    world.order(Op::TokenCreate, fault.clone());
    assert_eq!(Seen::from(world.issue().await), expected, "{fault:?}");
    assert_eq!(world.made(), made, "{fault:?}");
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_a_create_has_its_outcome_in_process() {
    for case in faults_of_a_create() {
        assert_outcome(World::in_process(), case).await;
    }
}

#[tokio::test]
async fn every_fault_of_a_create_has_its_outcome_over_sockets() {
    for case in faults_of_a_create() {
        let timeout = match case.0 {
            Fault::DelayCommit(_) | Fault::Stall(_) | Fault::Slow(_) => Duration::from_secs(1),
            _ => PATIENT,
        };
        assert_outcome(World::over_sockets(timeout).await, case).await;
    }
}

/// Issue, probe, revoke, and again.
async fn a_whole_life(world: World) {
    assert_eq!(world.errova.authenticate().await, Ok(()));
    let issued = world.issued().await;
    assert_eq!(issued.flaw, None);
    assert!(world.simulator.authenticates(issued.value.expose()));
    assert_eq!(
        world.probe(issued.value.expose()).await,
        Ok(Probed::Accepted)
    );

    assert_eq!(world.revoke(&issued.id).await, Ok(Gone));
    assert!(world.is_revoked(&issued.id));
    assert_eq!(
        world.probe(issued.value.expose()).await,
        Ok(Probed::Refused)
    );
    assert_eq!(world.revoke(&issued.id).await, Ok(Gone));
    assert_eq!(world.errova.authenticate().await, Ok(()));
    assert_eq!(world.made(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_lives_and_dies_in_process() {
    a_whole_life(World::in_process()).await;
}

#[tokio::test]
async fn a_token_lives_and_dies_over_sockets() {
    a_whole_life(World::over_sockets(PATIENT).await).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_is_read_from_every_shape() {
    for nesting in [Nesting::Flat, Nesting::Nested, Nesting::Data] {
        for (create, id) in [(200, "id"), (201, "tokenId"), (202, "machineTokenId")] {
            let world = World::in_process();
            let mut knobs = world.simulator.errova_knobs();
            knobs.shape.nesting = nesting;
            knobs.shape.names.insert("id".to_owned(), id.to_owned());
            knobs.status.create = create;
            world.simulator.set_errova_knobs(knobs);
            let issued = world.issued().await;
            assert!(world.simulator.authenticates(issued.value.expose()));
            assert_eq!(world.revoke(&issued.id).await, Ok(Gone));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_counts_as_errovas_only_in_a_shape_of_its_own() {
    for (shape, expected) in [
        (ErrorShape::Nested, Ok(Probed::Refused)),
        (ErrorShape::Flat, Ok(Probed::Refused)),
        (ErrorShape::Text, Err(ProviderError::Unavailable)),
        (ErrorShape::Html, Err(ProviderError::Unavailable)),
        (ErrorShape::Empty, Err(ProviderError::Unavailable)),
    ] {
        let world = World::in_process();
        let mut knobs = world.simulator.errova_knobs();
        knobs.error = shape;
        world.simulator.set_errova_knobs(knobs);
        assert_eq!(world.probe("erv_nobodys").await, expected, "{shape:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_takes_no_silence_for_a_refusal() {
    for (fault, expected) in [
        (Fault::LoseResponse, Err(ProviderError::Unavailable)),
        (Fault::LoseRequest, Err(ProviderError::Unavailable)),
        (Fault::Reset, Err(ProviderError::Unavailable)),
        (
            status(500, FaultBody::Own, false),
            Err(ProviderError::Unavailable),
        ),
        (
            status(401, FaultBody::Html, false),
            Err(ProviderError::Unavailable),
        ),
        (rate_limit(RetryAfter::None), Err(ProviderError::Throttled)),
        (auth_down(401), Ok(Probed::Refused)),
        (auth_down(403), Ok(Probed::Accepted)),
    ] {
        let world = World::in_process();
        let issued = world.issued().await;
        world.order(Op::AuthCheck, fault.clone());
        assert_eq!(
            world.probe(issued.value.expose()).await,
            expected,
            "{fault:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_is_not_answered_is_made_again() {
    for (fault, revoked) in [
        (Fault::LoseResponse, true),
        (Fault::LoseRequest, false),
        (status(500, FaultBody::Own, true), true),
        (status(404, FaultBody::Html, false), false),
    ] {
        let world = World::in_process();
        let issued = world.issued().await;
        world.order(Op::TokenDelete, fault.clone());
        let first = world.revoke(&issued.id).await;
        assert_eq!(first, Err(ProviderError::Unavailable), "{fault:?}");
        assert_eq!(world.is_revoked(&issued.id), revoked, "{fault:?}");
        world.simulator.clear_faults();
        assert_eq!(world.revoke(&issued.id).await, Ok(Gone), "{fault:?}");
        assert!(world.is_revoked(&issued.id), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_refuses_connections_was_sent_nothing() {
    let world = World::in_process();
    world.simulator.refuse_connections(true);
    let outcome = Seen::from(world.issue().await);
    assert_eq!(outcome, Seen::Refused(Refusal::NotSent));
    assert_eq!(
        world.errova.authenticate().await,
        Err(ProviderError::NotSent)
    );
    assert!(world.simulator.audit().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_93_after_a_429_no_request_arrives_before_the_provider_s_time() {
    let world = World::in_process();
    world
        .simulator
        .order_fault(FaultOrder::on(Op::TokenCreate, [status(429, FaultBody::Own, false)]).nth(1));
    let refused = Seen::Refused(Refusal::Throttled);
    assert_eq!(Seen::from(world.issue().await), refused);
    let begun = Instant::now();
    while Seen::from(world.issue().await) == refused {
        assert!(begun.elapsed() < Duration::from_secs(60));
        tokio::time::advance(Duration::from_secs(5)).await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(60));
    assert_eq!(world.simulator.audit().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_may_not_issue_is_refused_and_makes_nothing() {
    let world = World::in_process();
    let mut knobs = world.simulator.errova_knobs();
    knobs.token.create_with_bearer = crate::simulator::errova::Permission::Deny;
    world.simulator.set_errova_knobs(knobs);
    let outcome = Seen::from(world.issue().await);
    assert_eq!(outcome, Seen::Refused(Refusal::Forbidden));
    assert_eq!(world.made(), 0);
}
