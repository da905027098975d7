//! Who this installation is: the Secret `handover-instance`, made once and never changed.
//!
//! It holds the instance id that stands in every marker, the key of the targets' MAC, and the uid of the
//! namespace `kube-system`: a copy of it in another cluster must not write to any provider, since it
//! would take the first cluster's credentials for its own.

use std::sync::Arc;

use k8s_openapi::{
    ByteString,
    api::core::v1::{Namespace, Secret},
};
use kube::{Api, Client, ResourceExt as _, api::PostParams};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::{
    api::annotations,
    cluster::{ClusterError, answer},
    ledger::marker::{InstanceId, Nonce},
    target::mac::{MacKey, hex},
};

/// The name of the Secret.
pub const NAME: &str = "handover-instance";

const KEY: &str = "macKey";
const ID: &str = "instance";
const CLUSTER: &str = "cluster";

/// This installation.
#[derive(Clone, Debug)]
pub struct Instance {
    /// What stands first in every marker.
    pub id: InstanceId,
    /// What signs targets.
    pub mac: Arc<MacKey>,
}

/// Why this installation does not know who it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstanceError {
    /// The uid of `kube-system` cannot be read.
    #[error("could not read the namespace kube-system; the chart grants `get` of it")]
    Cluster(#[source] ClusterError),
    /// The Secret cannot be read or made.
    #[error("could not read or create the Secret {NAME} in the operator's namespace")]
    Secret(#[source] ClusterError),
    /// The Secret is not one of ours.
    #[error(
        "the Secret {NAME} is damaged: restore it from backup, or delete it to begin a new instance"
    )]
    Damaged,
    /// The Secret was made in another cluster.
    #[error(
        "OwnershipConflict: the Secret {NAME} was made in another cluster. Two installations with one \
         identity would revoke each other's credentials. If this cluster replaces the other for good, \
         annotate the Secret with handover.dev/confirm-cluster: {0}"
    )]
    OtherCluster(String),
    /// The system gives no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

/// Reads the instance, or makes it at first start.
pub async fn load(client: &Client, namespace: &str) -> Result<Instance, InstanceError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = answer(namespaces.get("kube-system"))
        .await
        .map_err(InstanceError::Cluster)?;
    let cluster = system.uid().ok_or(InstanceError::Damaged)?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = answer(secrets.get_opt(NAME))
        .await
        .map_err(InstanceError::Secret)?;
    let secret = match found {
        Some(secret) => secret,
        None => create(&secrets, &cluster).await?,
    };
    read(&secret, &cluster)
}

async fn create(secrets: &Api<Secret>, cluster: &str) -> Result<Secret, InstanceError> {
    let (mut id, mut key) = ([0; 4], [0; 32]);
    let random = SystemRandom::new();
    random.fill(&mut id).map_err(|_| InstanceError::Random)?;
    random.fill(&mut key).map_err(|_| InstanceError::Random)?;
    let text = |text: &str| ByteString(text.as_bytes().to_vec());
    let mut secret = Secret::default();
    secret.metadata.name = Some(NAME.to_owned());
    secret.immutable = Some(true);
    secret.labels_mut().insert(
        annotations::MANAGED_BY.to_owned(),
        annotations::MANAGER.to_owned(),
    );
    let data = [
        (ID.to_owned(), text(&hex(&id))),
        (KEY.to_owned(), ByteString(key.to_vec())),
        (CLUSTER.to_owned(), text(cluster)),
    ];
    secret.data = Some(data.into());
    match answer(secrets.create(&PostParams::default(), &secret)).await {
        Ok(secret) => Ok(secret),
        // Another replica was first, or the answer was lost: what is there counts.
        Err(ClusterError::AlreadyExists | ClusterError::Unknown) => answer(secrets.get(NAME))
            .await
            .map_err(InstanceError::Secret),
        Err(error) => Err(InstanceError::Secret(error)),
    }
}

fn read(secret: &Secret, cluster: &str) -> Result<Instance, InstanceError> {
    let bytes = |key: &str| {
        secret
            .data
            .as_ref()?
            .get(key)
            .map(|bytes| bytes.0.as_slice())
    };
    let text = |key: &str| bytes(key).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let id = text(ID)
        .and_then(|id| InstanceId::parse(id).ok())
        .ok_or(InstanceError::Damaged)?;
    let key = bytes(KEY)
        .filter(|key| key.len() >= 32)
        .ok_or(InstanceError::Damaged)?;
    let home = text(CLUSTER).ok_or(InstanceError::Damaged)?;
    let confirmed = secret.annotations().get(annotations::CONFIRM_CLUSTER);
    if home != cluster && confirmed.is_none_or(|confirmed| confirmed != cluster) {
        return Err(InstanceError::OtherCluster(cluster.to_owned()));
    }
    Ok(Instance {
        id,
        mac: Arc::new(MacKey::new(key)),
    })
}

/// A nonce that no attempt had before.
pub fn nonce() -> Result<Nonce, InstanceError> {
    let mut bytes = [0; 8];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| InstanceError::Random)?;
    Nonce::parse(&hex(&bytes)).map_err(|_| InstanceError::Random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(data: &[(&str, &[u8])]) -> Secret {
        let bytes = |(key, value): &(&str, &[u8])| ((*key).to_owned(), ByteString(value.to_vec()));
        Secret {
            data: Some(data.iter().map(bytes).collect()),
            ..Secret::default()
        }
    }

    fn whole() -> Secret {
        instance(&[(ID, b"1a2b3c4d"), (KEY, &[7; 32]), (CLUSTER, b"home")])
    }

    #[test]
    fn an_installation_knows_itself_in_its_own_cluster() {
        let instance = read(&whole(), "home").unwrap();
        assert_eq!(instance.id.as_str(), "1a2b3c4d");
    }

    #[test]
    fn a_copy_in_another_cluster_does_nothing_until_it_is_confirmed_for_that_one() {
        let refused = read(&whole(), "other").unwrap_err();
        assert_eq!(refused, InstanceError::OtherCluster("other".to_owned()));
        assert!(
            refused
                .to_string()
                .contains("handover.dev/confirm-cluster: other")
        );

        let confirmed = |uid: &str| {
            let mut secret = whole();
            let annotation = (annotations::CONFIRM_CLUSTER.to_owned(), uid.to_owned());
            secret.annotations_mut().extend([annotation]);
            read(&secret, "other").is_ok()
        };
        assert!(confirmed("other"));
        assert!(!confirmed("a third") && !confirmed("home") && !confirmed(""));
    }

    #[test]
    fn a_damaged_instance_is_refused_and_not_quoted() {
        for (case, secret) in [
            ("nothing", Secret::default()),
            ("no id", instance(&[(KEY, &[7; 32]), (CLUSTER, b"home")])),
            (
                "no id of ours",
                instance(&[(ID, b"canary"), (KEY, &[7; 32]), (CLUSTER, b"home")]),
            ),
            ("no key", instance(&[(ID, b"1a2b3c4d"), (CLUSTER, b"home")])),
            (
                "a short key",
                instance(&[(ID, b"1a2b3c4d"), (KEY, &[7; 31]), (CLUSTER, b"home")]),
            ),
            (
                "no cluster",
                instance(&[(ID, b"1a2b3c4d"), (KEY, &[7; 32])]),
            ),
            (
                "no text",
                instance(&[(ID, b"1a2b3c4d"), (KEY, &[7; 32]), (CLUSTER, &[0xff])]),
            ),
        ] {
            let refused = read(&secret, "home").unwrap_err();
            assert_eq!(refused, InstanceError::Damaged, "{case}");
            assert!(!refused.to_string().contains("canary"));
        }
    }

    #[test]
    fn no_two_nonces_are_alike() {
        let nonces: std::collections::BTreeSet<_> = (0..100).map(|_| nonce().unwrap()).collect();
        assert_eq!(nonces.len(), 100);
    }
}
