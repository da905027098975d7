//! The control plane, `/_sim/`: what [`Simulator`]'s methods do, over HTTP.
//!
//! | request | does |
//! |---|---|
//! | `GET`, `PUT /_sim/knobs/errova` | reads, replaces the knobs; a knob left out gets its default |
//! | `PUT /_sim/knobs/errova/{profile}` | `default`, `friendly` or `hostile` |
//! | `POST`, `DELETE /_sim/faults` | orders a fault, takes all orders back |
//! | `POST /_sim/clock` | `{"advance": "10m"}` or `{"set": "2026-01-15T00:00:00Z"}` |
//! | `GET /_sim/truth` | credentials and projects |
//! | `GET /_sim/audit?since=0` | what happened, in order, from this entry on |

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    routing::{get, post, put},
};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AuditEntry, FaultOrder, Simulator, Truth, Wait,
    errova::{ErrovaKnobs, ProjectTruth},
};

pub(super) fn router(simulator: Simulator) -> Router {
    Router::new()
        .route("/_sim/knobs/errova", get(knobs).put(set_knobs))
        .route("/_sim/knobs/errova/{profile}", put(set_profile))
        .route("/_sim/faults", post(order_fault).delete(clear_faults))
        .route("/_sim/clock", post(move_clock))
        .route("/_sim/truth", get(truth))
        .route("/_sim/audit", get(audit))
        .with_state(simulator)
}

async fn knobs(State(simulator): State<Simulator>) -> Json<ErrovaKnobs> {
    Json(simulator.errova_knobs())
}

async fn set_knobs(
    State(simulator): State<Simulator>,
    Json(knobs): Json<ErrovaKnobs>,
) -> StatusCode {
    simulator.set_errova_knobs(knobs);
    StatusCode::NO_CONTENT
}

async fn set_profile(State(simulator): State<Simulator>, Path(name): Path<String>) -> StatusCode {
    match ErrovaKnobs::profile(&name) {
        Some(knobs) => {
            simulator.set_errova_knobs(knobs);
            StatusCode::NO_CONTENT
        }
        None => StatusCode::NOT_FOUND,
    }
}

async fn order_fault(
    State(simulator): State<Simulator>,
    Json(order): Json<FaultOrder>,
) -> StatusCode {
    simulator.order_fault(order);
    StatusCode::NO_CONTENT
}

async fn clear_faults(State(simulator): State<Simulator>) -> StatusCode {
    simulator.clear_faults();
    StatusCode::NO_CONTENT
}

/// A move of the clock.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Move {
    Advance(Wait),
    Set(Timestamp),
}

/// Where the clock stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Time {
    now: Timestamp,
    server_now: Timestamp,
}

async fn move_clock(State(simulator): State<Simulator>, Json(by): Json<Move>) -> Json<Time> {
    let clock = simulator.clock();
    match by {
        Move::Advance(wait) => clock.advance(wait.0),
        Move::Set(time) => clock.set(time),
    }
    Json(Time {
        now: clock.now(),
        server_now: clock.server_now(),
    })
}

/// All that is true.
#[derive(Debug, Serialize)]
struct Everything {
    credentials: Vec<Truth>,
    projects: Vec<ProjectTruth>,
}

async fn truth(State(simulator): State<Simulator>) -> Json<Everything> {
    Json(Everything {
        credentials: simulator.truth(),
        projects: simulator.projects(),
    })
}

/// Where to begin in the audit.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Beginning {
    since: usize,
}

async fn audit(
    State(simulator): State<Simulator>,
    Query(from): Query<Beginning>,
) -> Json<Vec<AuditEntry>> {
    Json(simulator.audit_since(from.since))
}
