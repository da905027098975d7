//! The keyed digest that tells our own target from one that somebody changed.
//!
//! Losing the key costs a re-delivery; leaking it alone reveals no value.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::ByteString;
use ring::{digest, hmac};

use crate::ledger::ids::{CredentialId, Epoch, Generation};

/// The key of this installation.
pub struct MacKey(hmac::Key);

/// What a MAC covers.
#[derive(Debug, Clone, Copy)]
pub struct Covered<'a> {
    /// Uid of the owner.
    pub owner_uid: &'a str,
    /// Epoch of the credential.
    pub epoch: Epoch,
    /// Attempt of the credential.
    pub attempt: Generation,
    /// Id of the credential.
    pub id: &'a CredentialId,
    /// Digest of the presentation.
    pub rendering: &'a str,
    /// The data of the Secret.
    pub data: &'a BTreeMap<String, ByteString>,
}

impl MacKey {
    /// A key from the bytes that are kept in `handover-instance`.
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The MAC, in hex.
    pub fn sign(&self, covered: &Covered<'_>) -> String {
        hex(hmac::sign(&self.0, &covered.encode()).as_ref())
    }

    /// Whether `mac` is that of `covered`, in constant time.
    pub fn verifies(&self, covered: &Covered<'_>, mac: &str) -> bool {
        unhex(mac).is_some_and(|tag| hmac::verify(&self.0, &covered.encode(), &tag).is_ok())
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey([redacted])")
    }
}

impl Covered<'_> {
    fn encode(&self) -> Vec<u8> {
        let (epoch, attempt) = (self.epoch.0.to_be_bytes(), self.attempt.0.to_be_bytes());
        let head: [&[u8]; 5] = [
            self.owner_uid.as_bytes(),
            &epoch,
            &attempt,
            self.id.as_str().as_bytes(),
            self.rendering.as_bytes(),
        ];
        let data = self
            .data
            .iter()
            .flat_map(|(key, value)| [key.as_bytes(), &value.0]);
        framed(head.into_iter().chain(data))
    }
}

/// Every part with its length in front, so that no two different contents look alike.
pub(crate) fn framed<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// A short digest of parts, in hex: for comparing, not for secrets.
pub(crate) fn short_digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    hex(&digest::digest(&digest::SHA256, &framed(parts)).as_ref()[..8])
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let whole = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    let pairs = (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16));
    if whole {
        pairs.collect::<Result<_, _>>().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
