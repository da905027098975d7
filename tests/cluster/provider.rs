//! Errova on loopback sockets, and consumers of its tokens.

use std::time::Duration;

use bytes::Bytes;
use handover::{
    clock::Clock,
    secret_value::SecretValue,
    simulator::{
        Fault, FaultOrder, Operation, Serving, Simulator,
        errova::{ErrovaKnobs, Lists},
        serve,
    },
    transport::{
        Transport as _,
        address::AddressPolicy,
        network::{Network, NetworkOptions},
    },
};
use http::{Request, StatusCode, header};
use tokio::sync::Mutex;

/// The admin credential of every connection.
pub(crate) const ADMIN_TOKEN: &str = "erv_admin_c0ffee5e_of_the_platform";

/// A simulator that listens, until it goes down.
pub(crate) struct Provider {
    pub(crate) errova: Simulator,
    serving: Mutex<Option<Serving>>,
    ports: (u16, u16),
}

impl Provider {
    /// One that believes a revocation at once (a revocation that comes too early cannot hide), and that
    /// has the list by which consumers see whether they are accepted.
    pub(crate) async fn start() -> Self {
        let errova = Simulator::new(7, Clock::system());
        errova.set_errova_knobs(ErrovaKnobs {
            revoke_lag_seconds: 0,
            list: Lists::Present,
            ..ErrovaKnobs::default()
        });
        errova.seed_admin(SecretValue::new(ADMIN_TOKEN.to_owned()));
        let serving = serve(&errova, 0, 0).await.unwrap();
        let addresses = serving.addresses();
        Self {
            errova,
            ports: (addresses.providers.port(), addresses.control.port()),
            serving: Mutex::new(Some(serving)),
        }
    }

    /// What a connection calls it.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/errova/api", self.ports.0)
    }

    /// Refuses connections.
    pub(crate) async fn go_down(&self) {
        if let Some(serving) = self.serving.lock().await.take() {
            serving.stop().await;
        }
    }

    /// Listens again, where it did before.
    pub(crate) async fn come_back(&self) {
        let serving = serve(&self.errova, self.ports.0, self.ports.1).await;
        *self.serving.lock().await = Some(serving.unwrap());
    }

    /// From now on every call of this operation is struck.
    pub(crate) fn strike(&self, op: Operation, fault: Fault) {
        self.errova.order_fault(FaultOrder::on(op, [fault]));
    }

    /// Creates that reached it, whatever became of them.
    pub(crate) fn creates(&self) -> usize {
        let audit = self.errova.audit().into_iter();
        audit
            .filter(|entry| entry.op == Some(Operation::TokenCreate))
            .count()
    }

    /// The ids of tokens that authenticate, the admin's apart.
    pub(crate) fn live(&self) -> Vec<String> {
        let truth = self.errova.truth().into_iter();
        let issued = truth.filter(|one| !one.scopes.contains(&"org.admin".to_owned()));
        issued
            .filter(|one| one.authenticates)
            .map(|one| one.id)
            .collect()
    }
}

/// What calls the provider with a token over a real socket, as a workload would.
pub(crate) struct Caller {
    network: Network,
    url: String,
}

impl Caller {
    pub(crate) fn of(provider: &Provider) -> Self {
        let addresses = AddressPolicy::strict()
            .allow_private("127.0.0.1")
            .allow_plain_http("127.0.0.1");
        let options = NetworkOptions {
            timeout: Duration::from_secs(10),
            addresses,
            ..NetworkOptions::default()
        };
        Self {
            network: Network::new(&options).unwrap(),
            url: format!("{}/organizations/acme-inc/machine-tokens", provider.url()),
        }
    }

    /// Whether the provider accepts `token`.
    pub(crate) async fn is_accepted(&self, token: &str) -> bool {
        let request = Request::get(&self.url)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Bytes::new())
            .unwrap();
        let answer = self.network.send(request).await.unwrap();
        answer.status() == StatusCode::OK
    }

    /// Deletes the tokens whose label begins like this, as `admin`.
    pub(crate) async fn delete_labelled(&self, admin: &str, label: &str) {
        let request = |builder: http::request::Builder| {
            let builder = builder.header(header::AUTHORIZATION, format!("Bearer {admin}"));
            builder.body(Bytes::new()).unwrap()
        };
        let listed = self
            .network
            .send(request(Request::get(&self.url)))
            .await
            .unwrap();
        let listed: serde_json::Value = serde_json::from_slice(listed.body()).unwrap();
        let found = listed["items"].as_array().unwrap();
        for one in found
            .iter()
            .filter(|one| one["label"].as_str().is_some_and(|l| l.starts_with(label)))
        {
            let url = format!("{}/{}", self.url, one["id"].as_str().unwrap());
            self.network
                .send(request(Request::delete(url)))
                .await
                .unwrap();
        }
    }
}
