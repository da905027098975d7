//! Over real sockets, in real time: what a client of another process sees.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::*;
use crate::simulator::errova::Lists;

const TOKEN: &str = r#"{"label":"ci","scopes":["org.admin"]}"#;

struct Host {
    simulator: Simulator,
    serving: Serving,
}

impl Host {
    async fn new() -> Self {
        let simulator = Simulator::new(1, Clock::system());
        simulator.seed_admin(SecretValue::new(ADMIN.to_owned()));
        let serving = serve(&simulator, 0, 0).await.unwrap();
        Self { simulator, serving }
    }

    /// Creates a token; all that comes back until the server closes the connection.
    async fn create_token(&self) -> Vec<u8> {
        let to = self.serving.addresses().providers;
        let head = "POST /errova/api/organizations/acme-inc/machine-tokens";
        let authorization = format!("Authorization: Bearer {ADMIN}\r\n");
        exchange(to, head, &authorization, TOKEN).await
    }

    async fn control(&self, head: &str, body: &str) -> String {
        let to = self.serving.addresses().control;
        let answer = exchange(to, head, "Content-Type: application/json\r\n", body).await;
        String::from_utf8(answer).unwrap()
    }

    fn living(&self) -> usize {
        let truth = self.simulator.truth();
        let living = truth
            .iter()
            .filter(|one| one.label == "ci" && one.authenticates);
        living.count()
    }
}

/// An error while reading counts as the end: a reset is one way of closing.
async fn exchange(to: std::net::SocketAddr, head: &str, headers: &str, body: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n{headers}\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

#[tokio::test]
async fn a_token_is_issued_over_a_socket() {
    let host = Host::new().await;
    let answer = String::from_utf8(host.create_token().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    assert!(answer.contains("tokenSecret"));
    assert_eq!(host.living(), 1);
}

#[tokio::test]
async fn a_lost_response_closes_the_connection_before_the_first_byte() {
    let host = Host::new().await;
    for (fault, living) in [(Fault::LoseRequest, 0), (Fault::LoseResponse, 1)] {
        host.simulator.clear_faults();
        let order = FaultOrder::on(Operation::TokenCreate, [fault]);
        host.simulator.order_fault(order);
        assert!(host.create_token().await.is_empty());
        assert_eq!(host.living(), living);
    }
}

#[tokio::test]
async fn a_reset_cuts_the_body_after_its_first_byte() {
    let host = Host::new().await;
    let order = FaultOrder::on(Operation::TokenCreate, [Fault::Reset]);
    host.simulator.order_fault(order);
    let answer = String::from_utf8(host.create_token().await).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 201 Created"), "{head}");
    assert_eq!(body, "{");
    assert_eq!(host.living(), 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_during_a_stall_leaves_its_credential_behind() {
    let host = Host::new().await;
    let order = FaultOrder::on(Operation::TokenCreate, [Fault::Stall(seconds(3_600))]);
    host.simulator.order_fault(order);
    let gone = tokio::time::timeout(Duration::from_millis(300), host.create_token()).await;
    assert!(gone.is_err());
    assert_eq!(host.living(), 1);
    assert!(!host.simulator.audit()[0].answered);
}

#[tokio::test]
async fn the_control_plane_orders_faults_and_tells_the_truth() {
    let host = Host::new().await;
    let order = r#"{"op": "machineToken.create", "nth": 1, "faults": ["loseResponse"]}"#;
    let ordered = host.control("POST /_sim/faults", order).await;
    assert!(ordered.starts_with("HTTP/1.1 204"), "{ordered}");
    assert!(host.create_token().await.is_empty());
    assert!(!host.create_token().await.is_empty());

    let truth = host.control("GET /_sim/truth", "").await;
    assert_eq!(truth.matches(r#""label":"ci""#).count(), 2);
    assert!(truth.contains(r#""authenticates":true"#));
    let audit = host.control("GET /_sim/audit", "").await;
    assert!(audit.contains(r#""op":"machineToken.create""#));
    assert!(audit.contains(r#""committed":true,"answered":false"#));
    let rest = host.control("GET /_sim/audit?since=1", "").await;
    assert!(!rest.contains(r#""sequence":0"#) && rest.contains(r#""sequence":1"#));
    for told in [truth, audit] {
        assert!(!told.contains(CANARY) && !told.contains(ADMIN));
    }

    let wrong = host
        .control("POST /_sim/faults", r#"{"faults": ["typo"]}"#)
        .await;
    assert!(wrong.starts_with("HTTP/1.1 422"), "{wrong}");
    let cleared = host.control("DELETE /_sim/faults", "").await;
    assert!(cleared.starts_with("HTTP/1.1 204"), "{cleared}");
}

#[tokio::test]
async fn the_control_plane_turns_knobs_and_moves_the_clock() {
    let host = Host::new().await;
    let put = host
        .control("PUT /_sim/knobs/errova", r#"{"list": "present"}"#)
        .await;
    assert!(put.starts_with("HTTP/1.1 204"), "{put}");
    assert_eq!(host.simulator.errova_knobs().list, Lists::Present);
    let knobs = host.control("GET /_sim/knobs/errova", "").await;
    assert!(knobs.contains(r#""list":"present""#), "{knobs}");
    let profile = host.control("PUT /_sim/knobs/errova/hostile", "").await;
    assert!(profile.starts_with("HTTP/1.1 204"), "{profile}");
    assert_eq!(host.simulator.errova_knobs(), ErrovaKnobs::hostile());

    let moved = host
        .control("POST /_sim/clock", r#"{"set": "2030-01-01T00:00:00Z"}"#)
        .await;
    assert!(moved.contains(r#""now":"2030-01-01T00:00:00"#), "{moved}");
    let before = host.simulator.clock().now();
    host.control("POST /_sim/clock", r#"{"advance": "1h"}"#)
        .await;
    let passed = before.duration_until(host.simulator.clock().now());
    assert!(passed >= SignedDuration::from_hours(1));
}

#[tokio::test]
async fn providers_and_control_plane_do_not_share_a_port() {
    let host = Host::new().await;
    let to = host.serving.addresses().providers;
    let answer = exchange(to, "GET /_sim/truth", "", "").await;
    assert!(answer.starts_with(b"HTTP/1.1 404"));
    let addresses = host.serving.addresses();
    assert!(addresses.providers.ip().is_loopback() && addresses.control.ip().is_loopback());
}

#[tokio::test]
async fn stopping_refuses_new_connections_and_cuts_those_that_wait() {
    let host = Host::new().await;
    let to = host.serving.addresses().providers;
    let order = FaultOrder::on(Operation::TokenCreate, [Fault::Stall(seconds(3_600))]);
    host.simulator.order_fault(order);
    let stopped = async {
        while host.living() == 0 {
            tokio::task::yield_now().await;
        }
        host.serving.stop().await;
    };
    let head = "POST /errova/api/organizations/acme-inc/machine-tokens";
    let authorization = format!("Authorization: Bearer {ADMIN}\r\n");
    let waiting = exchange(to, head, &authorization, TOKEN);
    let both = async { tokio::join!(waiting, stopped) };
    let (answer, ()) = tokio::time::timeout(TIMEOUT, both).await.unwrap();
    assert!(answer.is_empty());
    assert!(TcpStream::connect(to).await.is_err());
}
