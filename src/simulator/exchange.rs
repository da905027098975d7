//! One request, its faults, and its answer: the layer around every operation.
//!
//! # Expected flow
//! 1. The request is described, and the standing orders say which faults strike it.
//! 2. The operation is performed, distorted, performed twice, late, or not at all, and recorded.
//! 3. The answer is damaged and travels: late, slowly, in part, or not.
//!
//! # Guarantees
//! Steps 1 and 2 are atomic: a client that goes away in step 3 leaves the operation done and recorded
//! as unanswered.

use axum::{body::Bytes, response::Response};
use http::{Request, header};
use jiff::Timestamp;

use super::{
    Simulator, State,
    audit::AuditEntry,
    clock::{Moment, http_date},
    damage::damage,
    delivery::{deliver, severed},
    dialect::{Circumstances, Dialect as _},
    effects::{Delivery, Effects},
    faults::Facts,
    operation::Provider,
    refusal::refuse,
    reply::Reply,
};

/// Serves one request.
pub(super) async fn serve(
    simulator: Simulator,
    provider: Provider,
    request: Request<Bytes>,
) -> Response {
    let (facts, effects) = simulator.receive(provider, &request);
    if effects.lose_request {
        simulator.record_lost(facts);
        stall(&simulator, &effects.delivery).await;
        return severed();
    }
    if let Some(wait) = effects.delay_commit {
        // In a task of its own: the operation is done even if the client has gone by then.
        let late = simulator.clone();
        let done = tokio::spawn(async move {
            late.clock().sleep(wait).await;
            late.commit(&request, facts, &effects);
        });
        // It fails only with the whole runtime, and then there is nobody to answer either.
        let _ = done.await;
        return severed();
    }
    let (sequence, reply) = simulator.commit(&request, facts, &effects);
    stall(&simulator, &effects.delivery).await;
    deliver(simulator, sequence, reply, &effects.delivery)
}

async fn stall(simulator: &Simulator, delivery: &Delivery) {
    if let Some(wait) = delivery.stall {
        simulator.clock().sleep(wait).await;
    }
}

impl Simulator {
    fn receive(&self, provider: Provider, request: &Request<Bytes>) -> (Facts, Effects) {
        let now = self.clock().moment();
        let state = &mut *self.state();
        let facts = state.dialect(provider).describe(request, now);
        let faults = state.orders.strike(&facts, now.truth, &mut state.generator);
        (facts, faults.into_iter().collect())
    }

    fn record_lost(&self, facts: Facts) {
        let time = self.clock().now();
        self.state().audit.record(entry(time, facts));
    }

    /// Performs the operation and records it; the answer comes back damaged.
    fn commit(&self, request: &Request<Bytes>, facts: Facts, effects: &Effects) -> (usize, Reply) {
        let now = self.clock().moment();
        let state = &mut *self.state();
        if effects.duplicate && effects.refusal.is_none() {
            let first = state.perform(request, facts.provider, effects, now);
            state.record(now.truth, facts.clone(), &first);
        }
        let provider = facts.provider;
        let mut reply = match &effects.refusal {
            None => state.perform(request, provider, effects, now),
            Some(refusal) => refuse(state.dialect(provider), refusal, now.server),
        };
        for fault in &effects.damage {
            damage(state.dialect(provider), *fault, &mut reply);
        }
        let sequence = state.record(now.truth, facts, &reply);
        reply = reply.with_header(header::DATE, &http_date(now.server));
        (sequence, reply)
    }

    /// Notes that the whole answer has left.
    pub(super) fn answered(&self, sequence: usize) {
        self.state().audit.answered(sequence);
    }
}

impl State {
    fn perform(
        &mut self,
        request: &Request<Bytes>,
        provider: Provider,
        effects: &Effects,
        now: Moment,
    ) -> Reply {
        let mut circumstances = Circumstances {
            now,
            generator: &mut self.generator,
            distortion: &effects.distortion,
        };
        match provider {
            Provider::Errova => self.errova.perform(request, &mut circumstances),
        }
    }

    fn record(&mut self, time: Timestamp, facts: Facts, reply: &Reply) -> usize {
        let mut entry = entry(time, facts);
        entry.status = Some(reply.status.as_u16());
        entry.committed = reply.committed;
        entry.value.clone_from(&reply.subject.value);
        if let Some(id) = &reply.subject.id {
            entry.id = Some(id.clone());
        }
        if let Some(label) = &reply.subject.label {
            entry.label(Some(label.clone()));
        }
        self.audit.record(entry)
    }
}

fn entry(time: Timestamp, facts: Facts) -> AuditEntry {
    let mut entry = AuditEntry {
        sequence: 0,
        time,
        provider: facts.provider,
        op: facts.op,
        caller: facts.caller,
        id: facts.id,
        label: None,
        attempt: None,
        nonce: None,
        value: None,
        status: None,
        committed: false,
        answered: false,
    };
    entry.label(facts.label);
    entry
}
