//! Which operation a request is, by method and path.

use http::Method;

use crate::simulator::operation::Operation;

/// Where the management API and the ingest are mounted.
const API: &str = "/errova/api/organizations/";
const INGEST: &str = "/errova/ingest/";

/// A key of this project cannot exist: whoever asks for it wants to know whether a token is accepted.
const PROBED_PROJECT: &str = "handover-probe-";

/// A request that has a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route<'a> {
    pub(super) op: Operation,
    /// Empty for an ingest.
    pub(super) organization: &'a str,
    /// The slug.
    pub(super) project: Option<&'a str>,
    /// Of a token or key; the public key for an ingest.
    pub(super) id: Option<&'a str>,
}

impl<'a> Route<'a> {
    /// The route, if there is one; whether it is served is for the knobs to say.
    pub(super) fn of(method: &Method, path: &'a str) -> Option<Self> {
        if let Some(rest) = path.strip_prefix(INGEST) {
            return Self::ingest(method, rest);
        }
        let segments: Vec<&str> = path.strip_prefix(API)?.split('/').collect();
        let (op, organization, project, id) = match (method.as_str(), segments.as_slice()) {
            ("POST", [org, "machine-tokens"]) => (Operation::TokenCreate, org, None, None),
            ("GET", [org, "machine-tokens"]) => (Operation::TokenList, org, None, None),
            ("DELETE", [org, "machine-tokens", id]) => {
                (Operation::TokenDelete, org, None, Some(*id))
            }
            ("POST", [org, "machine-tokens", id, "rotate"]) => {
                (Operation::TokenRotate, org, None, Some(*id))
            }
            ("POST", [org, "projects"]) => (Operation::ProjectCreate, org, None, None),
            ("GET", [org, "projects"]) => (Operation::ProjectList, org, None, None),
            ("GET", [org, "projects", slug]) => (Operation::ProjectGet, org, Some(*slug), None),
            ("PATCH", [org, "projects", slug]) => {
                (Operation::ProjectUpdate, org, Some(*slug), None)
            }
            ("DELETE", [org, "projects", slug]) => {
                (Operation::ProjectDelete, org, Some(*slug), None)
            }
            ("POST", [org, "projects", slug, "keys"]) => {
                (Operation::KeyCreate, org, Some(*slug), None)
            }
            ("GET", [org, "projects", slug, "keys"]) => {
                (Operation::KeyList, org, Some(*slug), None)
            }
            ("PATCH", [org, "projects", slug, "keys", id]) => {
                (change_of_key(slug), org, Some(*slug), Some(*id))
            }
            ("DELETE", [org, "projects", slug, "keys", id]) => {
                (Operation::KeyDelete, org, Some(*slug), Some(*id))
            }
            ("POST", [org, "projects", slug, "keys", id, "rotate"]) => {
                (Operation::KeyRotate, org, Some(*slug), Some(*id))
            }
            _ => return None,
        };
        Some(Self {
            op,
            organization,
            project,
            id,
        })
    }

    fn ingest(method: &Method, rest: &'a str) -> Option<Self> {
        // The documented path below the host is `/ingest/{publicKey}/events`.
        match rest.split('/').collect::<Vec<_>>().as_slice() {
            [public_key, "events"] if method == Method::POST => Some(Self {
                op: Operation::IngestEvent,
                organization: "",
                project: None,
                id: Some(public_key),
            }),
            _ => None,
        }
    }
}

fn change_of_key(project: &str) -> Operation {
    if project.starts_with(PROBED_PROJECT) {
        Operation::AuthCheck
    } else {
        Operation::KeyUpdate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(method: &str, path: &str) -> Option<Operation> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Route::of(&method, path).map(|route| route.op)
    }

    #[test]
    fn every_documented_path_is_an_operation() {
        for (method, path, expected) in [
            ("POST", "machine-tokens", Operation::TokenCreate),
            ("POST", "machine-tokens/mt_1/rotate", Operation::TokenRotate),
            ("DELETE", "machine-tokens/mt_1", Operation::TokenDelete),
            ("POST", "projects", Operation::ProjectCreate),
            ("POST", "projects/web/keys", Operation::KeyCreate),
            ("PATCH", "projects/web/keys/key_1", Operation::KeyUpdate),
            (
                "POST",
                "projects/web/keys/key_1/rotate",
                Operation::KeyRotate,
            ),
            (
                "PATCH",
                "projects/handover-probe-0a/keys/0",
                Operation::AuthCheck,
            ),
        ] {
            let path = format!("/errova/api/organizations/acme-inc/{path}");
            assert_eq!(op(method, &path), Some(expected), "{method} {path}");
        }
        assert_eq!(
            op("POST", "/errova/ingest/pk_1/events"),
            Some(Operation::IngestEvent)
        );
    }

    #[test]
    fn other_paths_are_none() {
        assert_eq!(
            op("PUT", "/errova/api/organizations/acme-inc/projects"),
            None
        );
        assert_eq!(
            op("POST", "/errova/api/organizations/acme-inc/machine-tokens/"),
            None
        );
        assert_eq!(op("GET", "/errova/ingest/pk_1/events"), None);
    }
}
