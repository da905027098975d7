//! Refusals, with the `Status` bodies of the real server.

use serde_json::{Value, json};

use super::{kinds::Kind, store::Key};

/// A request that was answered with an error.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(super) code: u16,
    reason: &'static str,
    message: String,
    details: Value,
}

impl Failure {
    fn about(kind: &Kind, name: &str, code: u16, reason: &'static str, message: String) -> Self {
        let mut details = json!({"name": name, "kind": kind.plural});
        if !kind.group.is_empty() {
            details["group"] = json!(kind.group);
        }
        Self {
            code,
            reason,
            message,
            details,
        }
    }

    fn plain(code: u16, reason: &'static str, message: String) -> Self {
        Self {
            code,
            reason,
            message,
            details: Value::Null,
        }
    }

    /// The server itself answers badly. A refusal quotes what was sent, as an admission webhook may.
    pub(super) fn fault(code: u16, body: &Value) -> Self {
        let mut failure = Self::of_code(code);
        if code == 422 {
            failure.message = format!("{}: {body}", failure.message);
        }
        failure
    }

    fn of_code(code: u16) -> Self {
        let (reason, message) = match code {
            401 => ("Unauthorized", "Unauthorized"),
            403 => ("Forbidden", "forbidden"),
            404 => (
                "NotFound",
                "the server could not find the requested resource",
            ),
            409 => ("Conflict", "the object has been modified"),
            410 => ("Expired", "the provided resource version is too old"),
            422 => ("Invalid", "an admission webhook denied the request"),
            429 => (
                "TooManyRequests",
                "the server has received too many requests",
            ),
            503 => (
                "ServiceUnavailable",
                "the server is currently unable to handle the request",
            ),
            504 => return Self::timeout(),
            _ => (
                "InternalError",
                "an error on the server has prevented the request",
            ),
        };
        Self::plain(code, reason, message.to_owned())
    }

    pub(super) fn timeout() -> Self {
        let message = "Timeout: request did not complete within the allotted timeout";
        Self::plain(504, "Timeout", message.to_owned())
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message.into())
    }

    pub(super) fn no_such_resource() -> Self {
        Self::of_code(404)
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::plain(405, "MethodNotAllowed", message.to_owned())
    }

    pub(super) fn unsupported_media_type(sent: &str) -> Self {
        let message = format!("the body of the request was in an unknown format: {sent}");
        Self::plain(415, "UnsupportedMediaType", message)
    }

    /// A bug of the caller that the real server answers without a reason.
    pub(super) fn version_on_create() -> Self {
        let message = "resourceVersion should not be set on objects to be created";
        Self::plain(500, "", message.to_owned())
    }

    pub(super) fn expired(asked: u64, oldest: u64) -> Self {
        Self::plain(
            410,
            "Expired",
            format!("too old resource version: {asked} ({oldest})"),
        )
    }

    pub(super) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.resource());
        Self::about(kind, name, 404, "NotFound", message)
    }

    pub(super) fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", kind.resource());
        Self::about(kind, name, 409, "AlreadyExists", message)
    }

    pub(super) fn modified(kind: &Kind, name: &str) -> Self {
        let cause = "the object has been modified; please apply your changes to the latest version \
                     and try again";
        Self::conflict(kind, name, cause)
    }

    /// A replacement that means another object of the same name.
    pub(super) fn other_object(kind: &Kind, key: &Key, sent: &str, is: &str) -> Self {
        let cause = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{}, ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: UID in precondition: {sent}, UID in object \
             meta: {is}",
            kind.plural, key.namespace, key.name
        );
        Self::conflict(kind, &key.name, &cause)
    }

    /// A deletion of something else than what is there.
    pub(super) fn precondition(kind: &Kind, key: &Key, what: &str, sent: &str, is: &str) -> Self {
        let cause = format!(
            "the {what} in the precondition ({sent}) does not match the {what} in record ({is}). \
             The object might have been modified, or deleted and then recreated"
        );
        Self::conflict(kind, &key.name, &cause)
    }

    fn conflict(kind: &Kind, name: &str, cause: &str) -> Self {
        let resource = kind.resource();
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {cause}");
        Self::about(kind, name, 409, "Conflict", message)
    }

    /// What a patch made of the object is not of its kind. The real server quotes **all of it**, the
    /// values of a Secret included: no message of a refused write may be shown to anybody.
    pub(super) fn unreadable(object: &Value) -> Self {
        let quoted = json!(object.to_string());
        let message = format!(" \"\" is invalid: patch: Invalid value: {quoted}");
        Self::plain(422, "Invalid", message)
    }

    pub(super) fn too_large() -> Self {
        let message = "Request entity too large: limit is 3145728";
        Self::plain(413, "RequestEntityTooLarge", message.to_owned())
    }

    /// One field is wrong; `problem` reads like `Invalid value: "x": field is immutable`.
    pub(super) fn invalid(kind: &Kind, name: &str, field: &str, problem: &str) -> Self {
        let message = format!(
            "{} \"{name}\" is invalid: {field}: {problem}",
            kind.qualified_name()
        );
        let mut failure = Self::about(kind, name, 422, "Invalid", message);
        let reason = match problem.split_once(':') {
            Some(("Forbidden", _)) => "FieldValueForbidden",
            Some(("Required value", _)) => "FieldValueRequired",
            Some(("Too long", _)) => "FieldValueTooLong",
            _ => "FieldValueInvalid",
        };
        failure.details["kind"] = json!(kind.name);
        failure.details["causes"] = json!([{"reason": reason, "message": problem, "field": field}]);
        failure
    }

    pub(super) fn immutable(kind: &Kind, name: &str, field: &str, sent: &str) -> Self {
        let problem = format!("Invalid value: {sent:?}: field is immutable");
        Self::invalid(kind, name, field, &problem)
    }

    /// A JSON patch that does not fit the object.
    pub(super) fn patch_does_not_apply() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self::plain(422, "Invalid", message.to_owned())
    }

    pub(super) fn no_field_manager() -> Self {
        let message = "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is \
                       required for apply patch";
        Self::plain(422, "Invalid", message.to_owned())
    }

    /// Kubernetes 1.33 has streaming lists switched off, and so have we.
    pub(super) fn no_streaming_lists() -> Self {
        let message = "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: \
                       sendInitialEvents is forbidden for watch unless the WatchList feature gate \
                       is enabled";
        Self::plain(422, "Invalid", message.to_owned())
    }

    pub(super) fn terminating(kind: &Kind, name: &str, namespace: &str) -> Self {
        let message = format!(
            "{} \"{name}\" is forbidden: unable to create new content in namespace {namespace} \
             because it is being terminated",
            kind.resource()
        );
        let mut failure = Self::about(kind, name, 403, "Forbidden", message);
        failure.details["causes"] = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        }]);
        failure
    }

    pub(super) fn denied(
        kind: &Kind,
        name: Option<&str>,
        user: &str,
        verb: &str,
        place: &str,
    ) -> Self {
        let name = name.unwrap_or_default();
        let object = match name {
            "" => String::new(),
            name => format!(" \"{name}\""),
        };
        let message = format!(
            "{resource}{object} is forbidden: User \"{user}\" cannot {verb} resource \"{plural}\" in \
             API group \"{group}\" {place}",
            resource = kind.resource(),
            plural = kind.plural,
            group = kind.group,
        );
        Self::about(kind, name, 403, "Forbidden", message)
    }

    /// The `Status` object.
    pub(super) fn body(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}
