//! What is there before the first request: made by hand, or by somebody else.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Errova, Session,
    access::{ADMIN, READ},
};
use crate::{
    secret_value::SecretValue,
    simulator::{
        credentials::{Credential, CredentialKind, Value},
        values::Generator,
    },
};

impl Errova {
    pub(in crate::simulator) fn seed_admin(
        &mut self,
        value: SecretValue,
        now: Timestamp,
        generator: &mut Generator,
    ) -> String {
        self.seed("made by hand", ADMIN, value, now, generator)
    }

    pub(in crate::simulator) fn seed_foreign(
        &mut self,
        label: &str,
        now: Timestamp,
        generator: &mut Generator,
    ) -> String {
        let value = generator.value("erv_");
        self.seed(label, READ, value, now, generator)
    }

    pub(in crate::simulator) fn seed_session(
        &mut self,
        now: Timestamp,
        generator: &mut Generator,
    ) -> SecretValue {
        let cookie = generator.value("sess_");
        self.sessions.push(Session {
            cookie: cookie.duplicate(),
            since: now,
        });
        cookie
    }

    fn seed(
        &mut self,
        label: &str,
        scope: &str,
        secret: SecretValue,
        now: Timestamp,
        generator: &mut Generator,
    ) -> String {
        let id = generator.id("mt_");
        self.credentials.add(Credential {
            id: id.clone(),
            kind: CredentialKind::MachineToken,
            owner: self.organization.clone(),
            label: label.to_owned(),
            scopes: vec![scope.to_owned()],
            created: now,
            revoked: None,
            expires_at: None,
            expiry_lag: Duration::ZERO,
            values: vec![Value {
                secret,
                public_key: None,
                from: now,
                until: None,
            }],
        });
        id
    }
}
