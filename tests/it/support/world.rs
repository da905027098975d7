//! An operator, an API server, a provider and a clock in one process.
//!
//! The operator is the one that ships (`handover::app`), below it the real kube client and the real
//! provider client; only the wires end in memory. Time is virtual.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use handover::{
    api::{self, annotations, connection::ClusterConnection, machine_token::MachineToken},
    app::{self, Parts},
    clock::Clock,
    ledger::record::Ledger,
    plan::Times,
    provider::endpoint::HostRules,
    reconcile::connections::Dial,
    secret_value::SecretValue,
    simulator::{Simulator, errova::ErrovaKnobs, in_process},
    telemetry::{admin::Readiness, metrics::Metrics},
    transport::Transport,
};
use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    apiserver::{ApiServer, Phase, RequestInfo, Verdict},
    wire::{Alive, Call, Crossing, Hooks, Mortal},
};

/// Where the operator lives.
pub(crate) const OPERATOR: &str = "handover-system";

/// Where the tenants' resources live.
pub(crate) const TENANT: &str = "web";

/// The admin credential of the connection.
pub(crate) const ADMIN: &str = "erv_admin_c0ffee5e_of_the_platform";

/// One process's worth of a cluster.
pub(crate) struct World {
    /// Kubernetes.
    pub(crate) api: ApiServer,
    /// Errova.
    pub(crate) errova: Simulator,
    /// Numbers of the running operator.
    pub(crate) metrics: Metrics,
    clock: Clock,
    operator: Option<Operator>,
    operators: Arc<Mutex<HashMap<String, Alive>>>,
    hooks: Hooks,
    starts: usize,
}

struct Operator {
    task: JoinHandle<Result<(), app::Error>>,
    stopping: CancellationToken,
    alive: Alive,
}

impl World {
    /// A cluster with the namespaces, the admin Secret and the connection `acme`; no operator yet.
    pub(crate) fn new() -> Self {
        let epoch: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let clock = Clock::runtime(epoch);
        let api = ApiServer::new(clock.clone(), &api::crds());
        let errova = Simulator::new(7, clock.clone());
        errova.set_errova_knobs(ErrovaKnobs {
            revoke_lag_seconds: 0,
            ..ErrovaKnobs::default()
        });
        errova.seed_admin(SecretValue::new(ADMIN.to_owned()));
        for namespace in [OPERATOR, TENANT] {
            api.add_namespace(namespace);
        }
        let world = Self {
            api,
            errova,
            metrics: Metrics::new(true),
            clock,
            operator: None,
            operators: Arc::default(),
            hooks: Hooks::default(),
            starts: 0,
        };
        world.on_request(|_, _| Verdict::Pass);
        world.write_admin(ADMIN.as_bytes());
        world.api.apply_as_user(&connection());
        world
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The Secret that the connection reads.
    pub(crate) fn write_admin(&self, token: &[u8]) {
        let mut secret = Secret::default();
        secret.metadata.name = Some("errova-admin".to_owned());
        secret.metadata.namespace = Some(OPERATOR.to_owned());
        secret.data = Some([("token".to_owned(), ByteString(token.to_vec()))].into());
        self.api.apply_as_user(&secret);
    }

    /// Asks this before and after each request of a living operator, of the test and of nobody else.
    pub(crate) fn on_request(
        &self,
        hook: impl Fn(&RequestInfo, Phase) -> Verdict + Send + Sync + 'static,
    ) {
        let operators = self.operators.clone();
        self.api.on_request(move |request, phase| {
            let dead = operators
                .lock()
                .unwrap()
                .get(&request.client)
                .is_some_and(Alive::is_dead);
            if dead {
                Verdict::Hang
            } else {
                hook(request, phase)
            }
        });
    }

    /// Asks this, too, before and after each call of a living operator to the provider.
    pub(crate) fn on_call(&self, hook: impl Fn(&Call, Phase) -> Crossing + Send + Sync + 'static) {
        self.hooks.add(hook);
    }

    /// Ends the operator of that client name where it stands, from within a hook.
    pub(crate) fn killer(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let operators = self.operators.clone();
        move |client| {
            if let Some(alive) = operators.lock().unwrap().get(client) {
                alive.died();
            }
        }
    }

    /// Starts an operator; a second one beside the first if it was not stopped.
    pub(crate) fn start(&mut self) {
        self.starts += 1;
        let stopping = CancellationToken::new();
        let (name, alive) = (format!("operator-{}", self.starts), Alive::default());
        self.operators
            .lock()
            .unwrap()
            .insert(name.clone(), alive.clone());
        let parts = Parts {
            client: self.api.client(&name),
            namespace: OPERATOR.to_owned(),
            served: None,
            selector: None,
            concurrency: 32,
            rules: HostRules::default(),
            dial: self.dial(&name, &alive),
            clock: self.clock.clone(),
            times: Times::shipped(),
            metrics: self.metrics.clone(),
            readiness: Readiness::default(),
            stopping: stopping.clone(),
        };
        let task = tokio::spawn(app::run(parts));
        self.operator = Some(Operator {
            task,
            stopping,
            alive,
        });
    }

    /// As by `kill -9`: nothing that it does from here on has any effect.
    pub(crate) fn kill(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.alive.died();
            operator.task.abort();
        }
    }

    /// As by SIGTERM; waits until it has ended.
    pub(crate) async fn stop(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.stopping.cancel();
            operator.task.await.unwrap().unwrap();
        }
    }

    fn dial(&self, client: &str, alive: &Alive) -> Dial {
        let (errova, client) = (self.errova.clone(), client.to_owned());
        let (alive, hooks) = (alive.clone(), self.hooks.clone());
        Arc::new(move |_endpoint, timeout| {
            let transport: Arc<dyn Transport> = Arc::new(Mortal {
                wire: in_process(&errova, timeout),
                client: client.clone(),
                alive: alive.clone(),
                hooks: hooks.clone(),
            });
            Ok(transport)
        })
    }

    /// A token as a user would write it.
    pub(crate) fn token(&self, name: &str, spec: serde_json::Value) -> MachineToken {
        let mut token: MachineToken = serde_json::from_value(json!({
            "apiVersion": "handover.dev/v1alpha1",
            "kind": "MachineToken",
            "metadata": { "name": name, "namespace": TENANT },
            "spec": {
                "connectionRef": { "kind": "ClusterConnection", "name": "acme" },
                "scopes": ["org.read"],
            },
        }))
        .unwrap();
        let mut whole = serde_json::to_value(&token.spec).unwrap();
        merge(&mut whole, spec);
        token.spec = serde_json::from_value(whole).unwrap();
        self.api.apply_as_user(&token)
    }

    /// The token as it is now.
    pub(crate) fn get(&self, name: &str) -> Option<MachineToken> {
        self.api.get(TENANT, name)
    }

    /// The value in the target.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        let secret: Secret = self.api.get(TENANT, name)?;
        let bytes = secret.data?.remove("token")?.0;
        String::from_utf8(bytes).ok()
    }

    /// The ledgers in the operator's namespace.
    pub(crate) fn ledgers(&self) -> Vec<Ledger> {
        let secrets: Vec<Secret> = self.api.list();
        let records = secrets
            .into_iter()
            .filter_map(|secret| secret.metadata.annotations?.remove(annotations::LEDGER));
        records.map(|text| Ledger::decode(&text).unwrap()).collect()
    }

    /// The credentials that authenticate, the admin's apart.
    pub(crate) fn live(&self) -> Vec<String> {
        let truth = self.errova.truth().into_iter();
        let live =
            truth.filter(|one| one.authenticates && !one.scopes.contains(&"org.admin".into()));
        live.map(|one| one.id).collect()
    }

    /// The status of one condition.
    pub(crate) fn condition(&self, name: &str, about: &str) -> Option<(String, String, String)> {
        let status = self.get(name)?.status?;
        let condition = status.conditions.into_iter().find(|c| c.type_ == about)?;
        Some((condition.status, condition.reason, condition.message))
    }

    /// Lets virtual time pass until `holds`, at most `limit`.
    pub(crate) async fn until(&self, limit: Duration, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = tokio::time::Instant::now() + limit;
        let mut pause = Duration::from_millis(10);
        while !holds(self) {
            assert!(
                tokio::time::Instant::now() < end,
                "not within {limit:?}: {what}\n{}",
                self.story()
            );
            tokio::time::sleep(pause).await;
            // Looking costs more than waiting: what takes long is looked at less often.
            pause = (pause * 5 / 4).min(Duration::from_secs(2));
        }
    }

    /// Both logs in one, without values.
    pub(crate) fn story(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        lines.extend(
            self.api
                .log()
                .iter()
                .rev()
                .take(60)
                .rev()
                .map(ToString::to_string),
        );
        let audit = self.errova.audit();
        lines.extend(audit.iter().rev().take(20).rev().map(|call| {
            format!(
                "errova {:?} {:?} committed={} answered={} {:?}",
                call.op, call.id, call.committed, call.answered, call.status
            )
        }));
        lines.extend(self.ledgers().iter().map(Ledger::encode));
        let tokens = self.api.list::<MachineToken>().into_iter();
        lines.extend(tokens.map(|token| json!(token.status).to_string()));
        let connections = self.api.list::<ClusterConnection>().into_iter();
        lines.extend(connections.map(|one| json!(one.status).to_string()));
        lines.join("\n")
    }
}

/// The connection `acme`: every namespace, both scopes.
pub(crate) fn connection() -> ClusterConnection {
    serde_json::from_value(json!({
        "apiVersion": "handover.dev/v1alpha1",
        "kind": "ClusterConnection",
        "metadata": { "name": "acme" },
        "spec": {
            "provider": { "errova": {
                "organization": "acme-inc",
                "auth": { "bearer": { "secretRef": { "name": "errova-admin", "key": "token" } } },
            } },
            "url": "http://127.0.0.1:9/errova/api",
            "access": [{ "namespaces": { "all": true }, "scopes": ["org.read", "org.admin"] }],
        },
    }))
    .unwrap()
}

fn merge(into: &mut serde_json::Value, from: serde_json::Value) {
    match (into, from) {
        (serde_json::Value::Object(into), serde_json::Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(serde_json::Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
