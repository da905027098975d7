//! Where the story plays: the running pieces, and the questions that are asked of them.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    SandboxError,
    consumer::Consumer,
    control_plane::{ADMIN, ControlPlane},
    error::hold,
    journal::Journal,
    narrator::Narrator,
    operator::Operator,
    provider::Provider,
};
use crate::{
    api::{
        annotations,
        connection::ClusterConnection,
        machine_token::{MachineToken, MachineTokenStatus},
    },
    plan::Times,
    secret_value::SecretValue,
};

/// The namespace of the team.
pub(super) const TEAM: &str = "web";
/// The machine token of `examples/sandbox/`, and its target Secret.
pub(super) const TOKEN: &str = "ci-deploy";

const POLL: Duration = Duration::from_millis(50);

/// The running pieces.
pub(super) struct Stage {
    // Dropped in this order: workload, operator, API server.
    pub(super) consumer: Option<Consumer>,
    pub(super) operator: Operator,
    pub(super) provider: Arc<Provider>,
    pub(super) plane: ControlPlane,
    pub(super) narrator: Narrator,
    pub(super) times: Times,
    pub(super) scale: u32,
    pub(super) tokens: Api<MachineToken>,
    pub(super) secrets: Api<Secret>,
    pub(super) pods: Api<Pod>,
    pub(super) connections: Api<ClusterConnection>,
}

impl Stage {
    /// A stage on which the operator has just been started.
    pub(super) fn new(
        plane: ControlPlane,
        provider: Arc<Provider>,
        operator: Operator,
        narrator: Narrator,
        scale: u32,
    ) -> Result<Self, SandboxError> {
        let client = plane.client(ADMIN);
        let client = client.map_err(SandboxError::plane("connect as an admin"))?;
        Ok(Self {
            consumer: None,
            operator,
            provider,
            narrator,
            times: Times::shipped().scaled(scale),
            scale,
            tokens: Api::namespaced(client.clone(), TEAM),
            secrets: Api::namespaced(client.clone(), TEAM),
            pods: Api::namespaced(client.clone(), TEAM),
            connections: Api::all(client),
            plane,
        })
    }

    /// A duration of a spec, in this sandbox's time.
    pub(super) fn scaled(&self, minutes: i64) -> SignedDuration {
        self.times.of(SignedDuration::from_mins(minutes))
    }

    /// How long a fact may take: a machine that is slow, and the longest wait of the protocol.
    fn patience(&self) -> Duration {
        Duration::from_secs(60 + 20 * 60 / u64::from(self.scale))
    }

    /// Asks until there is an answer, or until it is hopeless.
    pub(super) async fn until<T>(
        &mut self,
        what: &str,
        look: impl AsyncFn(&Self) -> Result<Option<T>, SandboxError>,
    ) -> Result<T, SandboxError> {
        let narrator = self.narrator.clone();
        let patience = self.patience();
        let looking = async {
            let deadline = Instant::now() + patience;
            loop {
                if let Some(found) = look(&*self).await? {
                    return Ok(found);
                }
                self.operator.is_running()?;
                if Instant::now() > deadline {
                    return Err(SandboxError::NotInTime {
                        what: what.to_owned(),
                        seconds: patience.as_secs(),
                    });
                }
                sleep(POLL).await;
            }
        };
        narrator.during(what, looking).await
    }

    /// What the journal says, once it does: the API server writes its log after it has answered.
    pub(super) async fn journaled<T>(
        &self,
        read: impl Fn(&Journal) -> Result<T, SandboxError>,
    ) -> Result<T, SandboxError> {
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            match read(&self.journal()?) {
                Err(_) if Instant::now() < deadline => sleep(POLL).await,
                said => return said,
            }
        }
    }

    pub(super) fn journal(&self) -> Result<Journal, SandboxError> {
        let audit = self.provider.audit();
        Journal::read(&self.plane.audit_log(), &audit, (TEAM, TOKEN))
    }

    pub(super) async fn token(&self) -> Result<Option<MachineToken>, SandboxError> {
        let token = self.tokens.get_opt(TOKEN).await;
        token.map_err(SandboxError::kubernetes("read the machine token"))
    }

    /// What the operator reports; empty before it has looked.
    pub(super) async fn status(&self) -> Result<MachineTokenStatus, SandboxError> {
        let token = self.token().await?;
        Ok(token.and_then(|token| token.status).unwrap_or_default())
    }

    pub(super) async fn target(&self) -> Result<Option<Secret>, SandboxError> {
        let secret = self.secrets.get_opt(TOKEN).await;
        secret.map_err(SandboxError::kubernetes("read the target Secret"))
    }

    /// The value in the target, and the id of the credential that it belongs to.
    pub(super) async fn delivered(&self) -> Result<Option<(String, SecretValue)>, SandboxError> {
        let Some(secret) = self.target().await? else {
            return Ok(None);
        };
        let id = secret
            .metadata
            .annotations
            .and_then(|mut annotations| annotations.remove(annotations::CREDENTIAL_ID));
        let value = secret
            .data
            .and_then(|mut data| data.remove("token"))
            .and_then(|bytes| String::from_utf8(bytes.0).ok());
        Ok(id.zip(value.map(SecretValue::new)))
    }

    /// Annotates the machine token, as `kubectl annotate` would.
    pub(super) async fn annotate(&self, key: &str, value: &str) -> Result<(), SandboxError> {
        let patch = json!({"metadata": {"annotations": {key: value}}});
        let patched = self
            .tokens
            .patch(TOKEN, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched
            .map(drop)
            .map_err(SandboxError::kubernetes("annotate the machine token"))
    }

    /// Asks for a rotation now.
    pub(super) async fn request_rotation(&self) -> Result<Timestamp, SandboxError> {
        let now = self.narrator.now();
        self.annotate(annotations::ROTATE_REQUESTED_AT, &now.to_string())
            .await?;
        Ok(now)
    }

    /// Whether the consumer has loaded this token.
    pub(super) fn consumer_holds(&self, id: &str) -> bool {
        let tally = self.consumer.as_ref().map(Consumer::tally);
        tally.is_some_and(|tally| tally.ticks > 0 && tally.holds.as_deref() == Some(id))
    }

    /// Nobody was refused so far.
    pub(super) fn nobody_was_refused(&self) -> Result<(), SandboxError> {
        let Some(consumer) = &self.consumer else {
            return Ok(());
        };
        let tally = consumer.tally();
        hold(
            tally.refused == 0,
            format!(
                "the consumer was refused {} times in {} ticks",
                tally.refused, tally.ticks
            ),
        )?;
        hold(tally.ticks > 0, "the consumer has not authenticated once")
    }
}

/// The condition of this type that is true.
pub(super) fn is_true(status: &MachineTokenStatus, about: &str) -> bool {
    let mut conditions = status.conditions.iter();
    conditions.any(|condition| condition.type_ == about && condition.status == "True")
}
