//! A namespace with a provider and a connection of its own, and what people do there.

use std::{sync::Arc, time::Duration};

use handover::{
    api::{
        annotations,
        connection::ClusterConnection,
        machine_token::{MachineToken, MachineTokenStatus},
    },
    ledger::record::Ledger,
};
use k8s_openapi::{
    ByteString, NamespaceResourceScope, api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::Condition,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    provider::{ADMIN_TOKEN, Provider},
    world::{SYSTEM, World},
};

/// The key of the admin credential in its Secret.
pub(crate) const AUTH_KEY: &str = "tokenSecret";

/// A tenant's namespace; connection and auth Secret have its name.
pub(crate) struct Place {
    pub(crate) world: Arc<World>,
    pub(crate) name: String,
    pub(crate) provider: Provider,
}

impl Place {
    /// A connection that serves this namespace, which is there already, and nothing else.
    pub(crate) async fn new(world: &Arc<World>, name: &str) -> Self {
        let place = Self {
            world: world.clone(),
            name: name.to_owned(),
            provider: Provider::start().await,
        };
        place.write_auth(ADMIN_TOKEN.as_bytes()).await;
        place.connect(name, json!({})).await.unwrap();
        place
    }

    // === the platform team ===

    /// The Secret that the connection reads.
    pub(crate) async fn write_auth(&self, value: &[u8]) {
        let data = json!({ AUTH_KEY: ByteString(value.to_vec()) });
        let body = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": self.name }, "data": data,
        });
        let params = PatchParams::apply("platform").force();
        let written = self.world.secrets_of(SYSTEM);
        written
            .patch(&self.name, &params, &Patch::Apply(body))
            .await
            .unwrap();
    }

    pub(crate) async fn delete_auth(&self) {
        let secrets = self.world.secrets_of(SYSTEM);
        secrets
            .delete(&self.name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Creates a connection to this place's provider, with `change` merged into its spec.
    pub(crate) async fn connect(
        &self,
        name: &str,
        change: Value,
    ) -> Result<ClusterConnection, kube::Error> {
        let mut spec = json!({
            "provider": { "errova": {
                "organization": "acme-inc",
                "auth": { "bearer": { "secretRef": { "name": self.name, "key": AUTH_KEY } } },
            } },
            "url": self.provider.url(),
            "access": [{ "namespaces": { "names": [self.name] }, "scopes": ["org.read"] }],
            "requests": { "perMinute": 600 },
        });
        merge(&mut spec, change);
        let connection = json!({ "metadata": { "name": name }, "spec": spec });
        let connection = serde_json::from_value(connection).unwrap();
        let connections = self.connections();
        connections
            .create(&PostParams::default(), &connection)
            .await
    }

    /// Merges `change` into the connection's spec.
    pub(crate) async fn change_connection(
        &self,
        change: Value,
    ) -> Result<ClusterConnection, kube::Error> {
        let patch = Patch::Merge(json!({ "spec": change }));
        let connections = self.connections();
        connections
            .patch(&self.name, &PatchParams::default(), &patch)
            .await
    }

    pub(crate) async fn delete_connection(&self) {
        let connections = self.connections();
        connections
            .delete(&self.name, &DeleteParams::default())
            .await
            .unwrap();
    }

    // === the tenant ===

    /// A token, with `change` merged into its spec.
    pub(crate) async fn ask(&self, name: &str, change: Value) -> Result<MachineToken, kube::Error> {
        let mut spec = json!({
            "connectionRef": { "kind": "ClusterConnection", "name": self.name },
            "scopes": ["org.read"],
        });
        merge(&mut spec, change);
        let token = json!({ "metadata": { "name": name }, "spec": spec });
        let token = serde_json::from_value(token).unwrap();
        self.tokens().create(&PostParams::default(), &token).await
    }

    /// Merges `change` into a token.
    pub(crate) async fn change(&self, name: &str, change: Value) {
        let patch = Patch::Merge(change);
        let changed = self
            .tokens()
            .patch(name, &PatchParams::default(), &patch)
            .await;
        changed.unwrap();
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.tokens()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// A Secret that is not the operator's.
    pub(crate) async fn make_secret(&self, name: &str, annotations: Value) {
        let secret = json!({
            "metadata": { "name": name, "annotations": annotations },
            "data": { "password": ByteString(b"mine".to_vec()) },
        });
        let secret = serde_json::from_value(secret).unwrap();
        let secrets = self.secrets();
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
    }

    /// Merges `change` into a Secret of the namespace.
    pub(crate) async fn change_secret(&self, name: &str, change: Value) {
        let patch = Patch::Merge(change);
        let secrets = self.secrets();
        secrets
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    pub(crate) async fn delete_secret(&self, name: &str) {
        let secrets = self.secrets();
        secrets
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    // === what is ===

    pub(crate) async fn token(&self, name: &str) -> Option<MachineToken> {
        self.tokens().get_opt(name).await.unwrap()
    }

    pub(crate) async fn status(&self, name: &str) -> MachineTokenStatus {
        let token = self.token(name).await;
        token.and_then(|token| token.status).unwrap_or_default()
    }

    /// `Ready` of a token.
    pub(crate) async fn ready(&self, name: &str) -> Option<Condition> {
        let token = self.token(name).await?;
        let conditions = token.status?.conditions;
        let fresh =
            |condition: &Condition| condition.observed_generation == token.metadata.generation;
        conditions
            .into_iter()
            .find(|c| c.type_ == "Ready")
            .filter(fresh)
    }

    pub(crate) async fn is_ready(&self, name: &str) -> bool {
        let ready = self.ready(name).await;
        ready.is_some_and(|condition| condition.status == "True")
    }

    /// `Ready` of the connection.
    pub(crate) async fn connection_ready(&self) -> Option<Condition> {
        let connection = self.connections().get_opt(&self.name).await.unwrap()?;
        let mut conditions = connection.status?.conditions.into_iter();
        conditions.find(|condition| condition.type_ == "Ready")
    }

    pub(crate) async fn secret(&self, name: &str) -> Option<Secret> {
        self.secrets().get_opt(name).await.unwrap()
    }

    /// The token in a target.
    pub(crate) async fn value(&self, name: &str) -> Option<String> {
        let bytes = self.secret(name).await?.data?.remove("token")?.0;
        String::from_utf8(bytes).ok()
    }

    /// The ledgers of this namespace's resources.
    pub(crate) async fn ledgers(&self) -> Vec<(String, Ledger)> {
        let secrets = self.world.secrets_of(SYSTEM);
        let selector = format!(
            "{}={}",
            annotations::COMPONENT,
            annotations::COMPONENT_LEDGER
        );
        let ledgers = secrets
            .list(&ListParams::default().labels(&selector))
            .await
            .unwrap();
        let records = ledgers.into_iter().map(|secret| {
            let ledger = Ledger::decode(&secret.annotations()[annotations::LEDGER]).unwrap();
            (secret.name_any(), ledger)
        });
        records
            .filter(|(_, ledger)| ledger.owner.namespace == self.name)
            .collect()
    }

    /// Waits, at most `limit`; answers how long it took.
    pub(crate) async fn until(
        &self,
        limit: Duration,
        what: &str,
        is_so: impl AsyncFn() -> bool,
    ) -> Duration {
        let begun = Instant::now();
        while !is_so().await {
            if begun.elapsed() > limit {
                let story = self.story().await;
                panic!("{}: not within {limit:?}: {what}\n{story}", self.name);
            }
            sleep(Duration::from_millis(50)).await;
        }
        begun.elapsed()
    }

    /// What can be seen, without values.
    pub(crate) async fn story(&self) -> String {
        let mut lines = Vec::new();
        for entry in self.provider.errova.audit().iter().rev().take(20).rev() {
            lines.push(format!(
                "errova {:?} {:?} {:?} committed={} answered={}",
                entry.op, entry.id, entry.status, entry.committed, entry.answered
            ));
        }
        for (name, ledger) in self.ledgers().await {
            lines.push(format!("{name} {}", ledger.encode()));
        }
        for token in self.tokens().list(&ListParams::default()).await.unwrap() {
            let status = serde_json::to_string(&token.status).unwrap();
            lines.push(format!("{} {status}", token.name_any()));
        }
        let connection = self.connection_ready().await;
        lines.push(format!("connection {connection:?}"));
        lines.join("\n")
    }

    pub(crate) fn tokens(&self) -> Api<MachineToken> {
        self.namespaced()
    }

    pub(crate) fn secrets(&self) -> Api<Secret> {
        self.namespaced()
    }

    fn connections(&self) -> Api<ClusterConnection> {
        Api::all(self.world.admin.clone())
    }

    pub(crate) fn namespaced<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.world.admin.clone(), &self.name)
    }
}

/// A merge as of `kubectl patch --type=merge`.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
