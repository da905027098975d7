//! Who may connect to a control plane: static tokens, so that an identity costs no request.

use std::{collections::BTreeMap, fmt::Write as _};

use ring::rand::{SecureRandom as _, SystemRandom};

use crate::secret_value::SecretValue;

/// The identity that may do everything, and that every control plane knows.
pub const ADMIN: &str = "admin";

/// Someone who may connect. What they may do is up to the RBAC objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// What code calls it, and part of the name of its kubeconfig.
    pub name: String,
    /// The user that the API server sees.
    pub user: String,
    /// The groups that it sees, besides `system:authenticated`.
    pub groups: Vec<String>,
}

/// An identity and its token.
#[derive(Debug)]
pub(super) struct Credentials {
    identity: Identity,
    token: SecretValue,
}

impl Identity {
    /// A user in some groups.
    pub fn user(name: &str, user: &str, groups: &[&str]) -> Self {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Self {
            name: name.to_owned(),
            user: user.to_owned(),
            groups,
        }
    }

    /// What the API server sees of a Pod that runs under this account: bindings to the account apply.
    pub fn service_account(name: &str, namespace: &str, account: &str) -> Self {
        let user = format!("system:serviceaccount:{namespace}:{account}");
        let groups = [
            "system:serviceaccounts",
            &format!("system:serviceaccounts:{namespace}"),
        ];
        Self::user(name, &user, &groups)
    }
}

impl Credentials {
    fn new(identity: Identity) -> Self {
        Self {
            identity,
            token: random_token(),
        }
    }

    pub(super) fn token(&self) -> String {
        self.token.expose().to_owned()
    }

    /// A line of the file that the API server reads: token, user, uid, groups.
    pub(super) fn line(&self) -> String {
        let Identity { user, groups, .. } = &self.identity;
        format!(
            "{},{user},{user},\"{}\"\n",
            self.token.expose(),
            groups.join(",")
        )
    }
}

/// Tokens for everyone, by name.
pub(super) fn credentials(identities: &[Identity]) -> BTreeMap<String, Credentials> {
    let admin = Identity::user(ADMIN, ADMIN, &["system:masters"]);
    let everyone = identities.iter().cloned().chain([admin]);
    everyone
        .map(|identity| (identity.name.clone(), Credentials::new(identity)))
        .collect()
}

#[expect(
    clippy::expect_used,
    reason = "a system without randomness can do nothing of all this"
)]
fn random_token() -> SecretValue {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system has randomness");
    let token = bytes.iter().fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    });
    SecretValue::new(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_account_has_the_user_and_groups_of_a_pod() {
        let operator = Identity::service_account("operator", "handover-system", "handover");
        assert_eq!(
            operator.user,
            "system:serviceaccount:handover-system:handover"
        );
        let groups = [
            "system:serviceaccounts",
            "system:serviceaccounts:handover-system",
        ];
        assert_eq!(operator.groups, groups);
    }

    #[test]
    fn everyone_has_a_token_of_their_own() {
        let known = credentials(&[Identity::user("tenant", "ann", &["a", "b"])]);
        let (admin, tenant) = (&known[ADMIN], &known["tenant"]);
        assert_ne!(admin.token(), tenant.token());
        assert_eq!(
            tenant.line(),
            format!("{},ann,ann,\"a,b\"\n", tenant.token())
        );
        assert!(!format!("{tenant:?}").contains(&tenant.token()));
    }
}
