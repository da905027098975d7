//! The simulated provider on loopback, and the two who call it besides the operator: a workload that
//! authenticates, and a person who cleans up.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};

use super::{SandboxError, narrator::say};
use crate::{
    clock::Clock,
    secret_value::SecretValue,
    simulator::{
        Addresses, AuditEntry, CANARY, ORGANIZATION, Serving, Simulator, Truth,
        errova::ErrovaKnobs, serve,
    },
    transport::{
        Transport as _,
        address::AddressPolicy,
        network::{Network, NetworkOptions},
    },
};

/// Loopback answers at once, or something is wrong.
const TIMEOUT: Duration = Duration::from_secs(10);
const LOOPBACK: &str = "127.0.0.1";

/// A running simulator with an admin token in it.
pub(super) struct Provider {
    simulator: Simulator,
    serving: Serving,
    network: Network,
    admin: SecretValue,
    admin_id: String,
}

impl Provider {
    /// Listens on these ports; 0 takes a free one. `entropy` makes ids and values unlike those of the
    /// last time.
    pub(super) async fn start(
        clock: Clock,
        entropy: u64,
        ports: (u16, u16),
    ) -> Result<Self, SandboxError> {
        let simulator = Simulator::new(entropy, clock);
        simulator.set_errova_knobs(ErrovaKnobs {
            // Else a revocation that comes too early would stay unnoticed for this long.
            revoke_lag_seconds: 0,
            ..ErrovaKnobs::default()
        });
        let admin = SecretValue::new(format!("erv_admin_{CANARY}{entropy:016x}"));
        let admin_id = simulator.seed_admin(admin.duplicate());
        let serving = serve(&simulator, ports.0, ports.1)
            .await
            .map_err(SandboxError::Listen)?;
        let addresses = AddressPolicy::strict()
            .allow_private(LOOPBACK)
            .allow_plain_http(LOOPBACK);
        let network = Network::new(&NetworkOptions {
            timeout: TIMEOUT,
            addresses,
            ..NetworkOptions::default()
        })
        .map_err(SandboxError::Network)?;
        Ok(Self {
            simulator,
            serving,
            network,
            admin,
            admin_id,
        })
    }

    pub(super) fn addresses(&self) -> Addresses {
        self.serving.addresses()
    }

    /// The `url` of a connection.
    pub(super) fn url(&self) -> String {
        format!("http://{}/errova/api", self.addresses().providers)
    }

    /// The admin's token, for the Secret that the connection names.
    pub(super) fn admin(&self) -> &SecretValue {
        &self.admin
    }

    pub(super) fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    pub(super) fn audit(&self) -> Vec<AuditEntry> {
        self.simulator.audit()
    }

    /// The truth about one credential.
    pub(super) fn truth(&self, id: &str) -> Option<Truth> {
        self.simulator.truth().into_iter().find(|one| one.id == id)
    }

    /// The credentials that work, the admin's apart.
    pub(super) fn live(&self) -> Vec<Truth> {
        let all = self.simulator.truth().into_iter();
        all.filter(|one| one.authenticates && one.id != self.admin_id)
            .collect()
    }

    /// Whether `value` is accepted: anything but a 401 comes from behind the door.
    pub(super) async fn authenticates(&self, value: &SecretValue) -> Result<bool, SandboxError> {
        let status = self.call(Method::GET, "projects/web", value).await;
        let action = "authenticate";
        let status = status.map_err(|source| SandboxError::Simulator { action, source })?;
        Ok(status != StatusCode::UNAUTHORIZED)
    }

    /// Deletes a token as a person with admin rights would.
    pub(super) async fn delete(&self, id: &str) -> Result<(), SandboxError> {
        let path = format!("machine-tokens/{id}");
        let status = self.call(Method::DELETE, &path, &self.admin).await;
        let action = "delete a token";
        let status = status.map_err(|source| SandboxError::Simulator { action, source })?;
        super::error::hold(
            status.is_success(),
            format!("the provider answers {status} when {id} is deleted by hand"),
        )
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        token: &SecretValue,
    ) -> Result<StatusCode, crate::transport::TransportError> {
        let uri = format!("{}/organizations/{ORGANIZATION}/{path}", self.url());
        let bearer = zeroize::Zeroizing::new(format!("Bearer {}", token.expose()));
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::AUTHORIZATION, bearer.as_str())
            .body(Bytes::new())
            .map_err(|_| crate::transport::TransportError::NotSent)?;
        self.network
            .send(request)
            .await
            .map(|answer| answer.status())
    }
}

/// `handover-sandbox simulator`: the providers alone, until ctrl-C.
pub async fn simulate(ports: (u16, u16)) -> Result<(), SandboxError> {
    let provider = Provider::start(Clock::system(), super::up::entropy(), ports).await?;
    let control = provider.addresses().control;
    let (url, admin) = (provider.url(), provider.admin.expose());
    say(format_args!(
        "Errova, simulated, on loopback until ctrl-C.\n\n\
         management API   {url}/organizations/{ORGANIZATION}\n\
         admin token      {admin}   (made up, and good for nothing else)\n\n\
         truth            curl http://{control}/_sim/truth\n\
         audit            curl http://{control}/_sim/audit?since=0\n\
         knobs            curl http://{control}/_sim/knobs/errova          (PUT replaces them)\n\
         profiles         curl -X PUT http://{control}/_sim/knobs/errova/hostile   (default, friendly, hostile)\n\
         faults           curl -H 'content-type: application/json' http://{control}/_sim/faults \\\n\
        \u{20}                   -d '{{\"op\": \"machineToken.create\", \"nth\": 1, \"faults\": [\"loseResponse\"]}}'\n\
         faults, all off  curl -X DELETE http://{control}/_sim/faults\n\
         time             curl -H 'content-type: application/json' http://{control}/_sim/clock -d '{{\"advance\": \"10m\"}}'"
    ));
    super::up::interrupted().await?;
    provider.serving.stop().await;
    Ok(())
}
