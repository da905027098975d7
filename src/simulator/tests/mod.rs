//! The simulator seen from outside: through a transport, its truth and its audit.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::*;
use crate::transport::{Transport as _, TransportError};

mod errova;
mod faults;
mod sockets;

const TIMEOUT: Duration = Duration::from_secs(30);
const ADMIN: &str = "erv_admin";

/// A simulator and one client of it, who holds the admin token.
struct Client {
    simulator: Simulator,
    transport: InProcess,
    admin_id: String,
}

type Answer = Result<Response<Bytes>, TransportError>;

impl Client {
    /// Needs a runtime whose clock is paused.
    fn new() -> Self {
        let epoch: Timestamp = "2026-01-15T00:00:00Z".parse().unwrap();
        let simulator = Simulator::new(1, Clock::runtime(epoch));
        let admin_id = simulator.seed_admin(SecretValue::new(ADMIN.to_owned()));
        let transport = in_process(&simulator, TIMEOUT);
        Self {
            simulator,
            transport,
            admin_id,
        }
    }

    async fn send(&self, method: Method, path: &str, token: &str, body: &str) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!(
                "http://simulator.test/errova/api/organizations/acme-inc/{path}"
            ))
            .header("authorization", format!("Bearer {token}"))
            .body(Bytes::copy_from_slice(body.as_bytes()))
            .unwrap();
        self.transport.send(request).await
    }

    async fn post(&self, path: &str, body: Json) -> Answer {
        self.send(Method::POST, path, ADMIN, &body.to_string())
            .await
    }

    async fn create_token(&self, label: &str) -> Answer {
        self.post(
            "machine-tokens",
            json!({"label": label, "scopes": ["org.admin"]}),
        )
        .await
    }

    async fn delete_token(&self, id: &str) -> Answer {
        let path = format!("machine-tokens/{id}");
        self.send(Method::DELETE, &path, ADMIN, "").await
    }

    /// Makes a project `web` and a key in it; the key as it was shown.
    async fn create_key(&self, key_type: &str) -> Json {
        self.post("projects", json!({"name": "Web"})).await.unwrap();
        let key = json!({"label": "ingest", "keyType": key_type});
        body(&self.post("projects/web/keys", key).await.unwrap())
    }

    async fn change_key(&self, id: &Json, change: Json) -> Answer {
        let path = format!("projects/web/keys/{}", id.as_str().unwrap());
        self.send(Method::PATCH, &path, ADMIN, &change.to_string())
            .await
    }

    /// The negative probe.
    async fn probe(&self, token: &str) -> StatusCode {
        let path = "projects/handover-probe-00112233/keys/0";
        let answer = self.send(Method::PATCH, path, token, "{}").await;
        answer.unwrap().status()
    }

    async fn list(&self, path: &str) -> Vec<Json> {
        let answer = self.send(Method::GET, path, ADMIN, "").await.unwrap();
        body(&answer)["items"].as_array().unwrap().clone()
    }

    fn tune(&self, change: impl FnOnce(&mut ErrovaKnobs)) {
        let mut knobs = self.simulator.errova_knobs();
        change(&mut knobs);
        self.simulator.set_errova_knobs(knobs);
    }

    /// A fault on every create of a token.
    fn order(&self, fault: Fault) {
        self.simulator
            .order_fault(FaultOrder::on(Operation::TokenCreate, [fault]));
    }

    /// What is true of the credentials with this label.
    fn truth_of(&self, label: &str) -> Vec<Truth> {
        let mut truth = self.simulator.truth();
        truth.retain(|one| one.label == label);
        truth
    }

    fn last_audit(&self) -> AuditEntry {
        self.simulator.audit().pop().unwrap()
    }
}

fn body(answer: &Response<Bytes>) -> Json {
    serde_json::from_slice(answer.body()).unwrap()
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap()
}

fn seconds(seconds: u64) -> Wait {
    Wait(Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn debug_output_shows_no_value() {
    let client = Client::new();
    client.create_key("browser_public").await;
    let shown = format!("{:?} {:?}", client.simulator, client.transport);
    assert!(!shown.contains(CANARY) && !shown.contains(ADMIN));
}
