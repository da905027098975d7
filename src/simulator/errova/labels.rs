//! What becomes of a label between the request and the store.

use serde_json::{Map, Value as Json};

use super::{Errova, answer::Denied, knobs::LongLabel};
use crate::simulator::{credentials::CredentialKind, dialect::Circumstances, effects::Distortion};

impl Errova {
    /// The label as it is stored.
    pub(super) fn stored_label(
        &self,
        body: &Map<String, Json>,
        kind: CredentialKind,
        owner: &str,
        circumstances: &Circumstances<'_>,
    ) -> Result<String, Denied> {
        let knobs = &self.knobs.label;
        let sent = body.get("label").and_then(Json::as_str);
        let sent = sent
            .filter(|label| !label.is_empty())
            .ok_or(Denied::BAD_REQUEST)?;
        let too_long = sent.chars().count() > knobs.max_len;
        if too_long && knobs.on_excess == LongLabel::Reject {
            return Err(Denied::BAD_REQUEST);
        }
        let label = distorted(sent, circumstances.distortion);
        let label: String = label.chars().take(knobs.max_len).collect();
        let mut living = self
            .credentials
            .listed(kind, owner, circumstances.now.truth);
        if knobs.unique && living.any(|other| other.label == label) {
            return Err(Denied::CONFLICT);
        }
        Ok(label)
    }
}

fn distorted(label: &str, distortion: &Distortion) -> String {
    if distortion.relabel {
        format!("copy of {label}")
    } else {
        label.to_owned()
    }
}
