//! What the API server wrote down about each request that it finished.

use std::fs;

use handover::sandbox::control_plane::ControlPlane;
use jiff::Timestamp;
use serde_json::Value;

/// One finished request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Who asked.
    pub(crate) user: String,
    pub(crate) verb: String,
    pub(crate) resource: String,
    /// Empty for what has none.
    pub(crate) namespace: String,
    /// As far as the path names it.
    pub(crate) name: String,
    pub(crate) is_status: bool,
    pub(crate) is_dry_run: bool,
    pub(crate) status: u16,
    /// When it arrived.
    pub(crate) began: Timestamp,
}

impl Request {
    /// It changed, or could have changed, what is stored.
    pub(crate) fn is_write(&self) -> bool {
        matches!(&*self.verb, "create" | "update" | "patch" | "delete") && !self.is_dry_run
    }

    pub(crate) fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Everything so far, in the order of arrival.
pub(crate) fn read(plane: &ControlPlane) -> Vec<Request> {
    let text = fs::read_to_string(plane.audit_log()).unwrap();
    // The last line may be on its way.
    let entries = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let mut requests: Vec<Request> = entries.filter_map(|entry: Value| parse(&entry)).collect();
    requests.sort_by_key(|request| request.began);
    requests
}

fn parse(entry: &Value) -> Option<Request> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &entry["objectRef"];
    Some(Request {
        user: text(&entry["user"]["username"]),
        verb: text(&entry["verb"]),
        resource: text(&object["resource"]),
        namespace: text(&object["namespace"]),
        name: text(&object["name"]),
        is_status: object["subresource"] == "status",
        is_dry_run: text(&entry["requestURI"]).contains("dryRun="),
        status: u16::try_from(entry["responseStatus"]["code"].as_u64()?).ok()?,
        began: entry["requestReceivedTimestamp"].as_str()?.parse().ok()?,
    })
}
