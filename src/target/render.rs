//! Spec and values become a Secret. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt as _;

use super::mac::{Covered, MacKey, framed, short_digest};
use crate::{
    api::{annotations, target::ValueName},
    ledger::{
        ids::{CredentialId, Epoch, Generation},
        record::Owner,
    },
    secret_value::SecretValue,
};

/// How a target should look, values apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presentation {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: String,
    /// Key → value.
    pub keys: BTreeMap<String, ValueName>,
    /// The user's labels.
    pub labels: BTreeMap<String, String>,
    /// The user's annotations.
    pub annotations: BTreeMap<String, String>,
}

/// The credential that a target shows.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its id.
    pub id: &'a CredentialId,
    /// Its attempt.
    pub attempt: Generation,
    /// The epoch of the ledger.
    pub epoch: Epoch,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Its value.
    pub value: &'a SecretValue,
}

impl Presentation {
    /// A short digest: two targets with the same one look alike but for their values.
    pub fn digest(&self) -> String {
        let keys = self.keys.iter();
        let keys = pairs(keys.map(|(key, value)| (key.as_str(), value.as_str())));
        let text = |map: &BTreeMap<String, String>| {
            pairs(
                map.iter()
                    .map(|(key, value)| (key.as_str(), value.as_str())),
            )
        };
        let (labels, annotations) = (text(&self.labels), text(&self.annotations));
        let head = [self.name.as_bytes(), self.kind.as_bytes()];
        // Each map is one part, so that nothing looks alike that moved from one to the other.
        short_digest(head.into_iter().chain([&*keys, &*labels, &*annotations]))
    }

    /// The whole Secret for `shown`.
    pub fn render(&self, owner: &Owner, shown: &Shown<'_>, mac: &MacKey) -> Secret {
        let data = self.data(shown);
        let rendering = self.digest();
        let covered = Covered {
            owner_uid: &owner.uid,
            epoch: shown.epoch,
            attempt: shown.attempt,
            id: shown.id,
            rendering: &rendering,
            data: &data,
        };
        let mac = mac.sign(&covered);
        let ours = [
            (annotations::OWNER_KIND, owner.kind.as_str().to_owned()),
            (annotations::OWNER_NAME, owner.name.clone()),
            (annotations::OWNER_UID, owner.uid.clone()),
            (annotations::EPOCH, shown.epoch.to_string()),
            (annotations::ATTEMPT, shown.attempt.to_string()),
            (annotations::CREDENTIAL_ID, shown.id.to_string()),
            (annotations::RENDERING, rendering),
            (annotations::MAC, mac),
        ];
        let mut secret = Secret {
            type_: Some(self.kind.clone()),
            data: Some(data),
            ..Secret::default()
        };
        secret.metadata.name = Some(self.name.clone());
        secret.metadata.namespace = Some(owner.namespace.clone());
        secret.labels_mut().extend(self.own_labels());
        secret
            .annotations_mut()
            .extend(user_text(&self.annotations));
        secret
            .annotations_mut()
            .extend(ours.map(|(key, value)| (key.to_owned(), value)));
        secret
    }

    fn own_labels(&self) -> BTreeMap<String, String> {
        let mut labels: BTreeMap<String, String> = user_text(&self.labels).collect();
        labels.insert(
            annotations::MANAGED_BY.to_owned(),
            annotations::MANAGER.to_owned(),
        );
        labels.insert(
            annotations::COMPONENT.to_owned(),
            annotations::COMPONENT_TARGET.to_owned(),
        );
        labels
    }

    fn data(&self, shown: &Shown<'_>) -> BTreeMap<String, ByteString> {
        let bytes = |name: ValueName| match name {
            ValueName::Token => Some(shown.value.expose().as_bytes().to_vec()),
            ValueName::Id => Some(shown.id.as_str().as_bytes().to_vec()),
            ValueName::ExpiresAt => shown.expires_at.map(|at| at.to_string().into_bytes()),
        };
        let entries = self.keys.iter();
        entries
            .filter_map(|(key, name)| Some((key.clone(), ByteString(bytes(*name)?))))
            .collect()
    }
}

fn pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    framed(pairs.flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]))
}

/// What the user wrote, without what would make a delivery tool or Kubernetes act on the target.
fn user_text(map: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> + '_ {
    let allowed = map.iter().filter(|(key, _)| !annotations::is_reserved(key));
    allowed.map(|(key, value)| (key.clone(), value.clone()))
}

#[cfg(test)]
mod tests;
