//! What is there before the first request: made by hand, or by somebody else.

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
        let credential = Credential::new(
            CredentialKind::MachineToken,
            id.clone(),
            self.organization.clone(),
            label.to_owned(),
            now,
            Value::new(secret, None, now),
        );
        self.credentials.add(Credential {
            scopes: vec![scope.to_owned()],
            ..credential
        });
        id
    }
}
