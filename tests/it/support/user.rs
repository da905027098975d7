//! What users do with a token, and what they wait for.

use std::{future::Future, time::Duration};

use handover::{
    api::{annotations, connection::ClusterConnection, machine_token::MachineToken},
    ledger::record::Ledger,
    simulator::{AuditEntry, Operation},
};
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::world::{OPERATOR, TENANT, World, connection};

/// Runs a scenario in a runtime of its own: nothing that it leaves behind slows the next one.
pub(crate) fn in_virtual_time<T>(scenario: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(scenario)
}

impl World {
    /// An operator runs, and its connection was checked.
    pub(crate) async fn started() -> Self {
        let mut world = Self::new();
        world.start();
        let limit = Duration::from_secs(60);
        world.until(limit, "connected", Self::is_connected).await;
        world
    }

    /// The connection's check succeeded.
    pub(crate) fn is_connected(&self) -> bool {
        let acme: Option<ClusterConnection> = self.api.get("", "acme");
        let conditions = acme.and_then(|acme| acme.status).map(|s| s.conditions);
        conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
    }

    /// `Ready=True`.
    pub(crate) fn is_ready(&self, name: &str) -> bool {
        self.condition(name, "Ready")
            .is_some_and(|(status, ..)| status == "True")
    }

    /// The reason of `Ready`, whatever it says.
    pub(crate) fn reason(&self, name: &str) -> String {
        let ready = self.condition(name, "Ready");
        ready.map(|(_, reason, _)| reason).unwrap_or_default()
    }

    /// The ledger of a token, by its name.
    pub(crate) fn ledger(&self, name: &str) -> Option<Ledger> {
        let mut ledgers = self.ledgers().into_iter();
        ledgers.find(|ledger| ledger.owner.name == name)
    }

    /// Nothing is under way: the target holds the one recorded credential, and status says so.
    pub(crate) fn is_settled(&self, name: &str) -> bool {
        let Some(Ledger {
            intent: None,
            pending: None,
            retiring: None,
            current: Some(current),
            deleting,
            ..
        }) = self.ledger(name)
        else {
            return false;
        };
        let shown = self.get(name).and_then(|token| token.status?.credential);
        let held = self.value(name);
        deleting.is_empty()
            && self.is_ready(name)
            && shown.is_some_and(|shown| shown.id == current.origin.id.as_str())
            && held.is_some_and(|value| self.errova.authenticates(&value))
    }

    /// A token that is in use.
    pub(crate) async fn issued(&self, name: &str, spec: serde_json::Value) -> String {
        self.token(name, spec);
        let limit = Duration::from_secs(120);
        self.until(limit, "issued", |w| w.is_settled(name)).await;
        self.value(name).unwrap()
    }

    /// The annotation `rotate-requested-at`, now.
    pub(crate) fn ask_rotation(&self, name: &str) {
        let now = self.now().to_string();
        let patch = json!({"metadata": {"annotations": {annotations::ROTATE_REQUESTED_AT: now}}});
        self.api.patch_as_user::<MachineToken>(TENANT, name, &patch);
    }

    /// Changes the spec.
    pub(crate) fn edit(&self, name: &str, spec: &serde_json::Value) {
        let patch = json!({ "spec": spec });
        self.api.patch_as_user::<MachineToken>(TENANT, name, &patch);
    }

    /// `kubectl delete`.
    pub(crate) fn delete(&self, name: &str) {
        self.api.delete_as_user::<MachineToken>(TENANT, name);
    }

    /// Merges into the target Secret.
    pub(crate) fn edit_target(&self, name: &str, patch: &serde_json::Value) {
        self.api.patch_as_user::<Secret>(TENANT, name, patch);
    }

    /// The Secret of a ledger goes.
    pub(crate) fn delete_ledger(&self, name: &str) {
        let secrets: Vec<Secret> = self.api.list();
        let ledger = secrets.into_iter().find(|secret| {
            let record = secret.metadata.annotations.as_ref();
            let record = record.and_then(|all| all.get(annotations::LEDGER));
            record.is_some_and(|text| Ledger::decode(text).unwrap().owner.name == name)
        });
        let ledger = ledger.and_then(|secret| secret.metadata.name).unwrap();
        self.api.delete_as_user::<Secret>(OPERATOR, &ledger);
    }

    /// Changes the connection's spec beside what [`connection`] says.
    pub(crate) fn edit_connection(&self, spec: &serde_json::Value) {
        let name = connection().metadata.name.unwrap();
        let patch = json!({ "spec": spec });
        self.api
            .patch_as_user::<ClusterConnection>("", &name, &patch);
    }

    /// Calls to the provider of one operation, but for those of the admin's own check.
    pub(crate) fn calls(&self, op: Operation) -> Vec<AuditEntry> {
        let all = self.errova.audit().into_iter();
        all.filter(|call| call.op == Some(op) && !self.is_check(call))
            .collect()
    }

    /// The connection's own check.
    pub(crate) fn is_check(&self, call: &AuditEntry) -> bool {
        let admin = self.errova.truth().into_iter().next().map(|one| one.id);
        call.op == Some(Operation::AuthCheck) && call.caller == admin
    }

    /// Lets virtual time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
