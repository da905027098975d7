//! What Handover relies on of a Kubernetes API server, as code that any `kube::Client` can be held
//! against.
//!
//! The same facts are run on a real kube-apiserver (`tests/cluster`) and on the in-process one
//! (`tests/it`): the first proves that they are true, the second that the fast tests do not rest
//! on a fiction. Each fact gets a namespace of its own and asserts the state of the world after the
//! request, not only the status code.
//!
//! [`facts!`] expands a macro of the caller with the path of each one; [`install`] must have run
//! before.

use k8s_openapi::{
    api::core::v1::Secret,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, PostParams},
    core::GroupVersionKind,
};
use serde_json::json;

pub(crate) mod create;
pub(crate) mod custom;
pub(crate) mod delete;
pub(crate) mod patch;

/// Calls `$run! { module::fact, module::fact, … }` with every fact of the contract.
macro_rules! facts {
    ($run:ident) => {
        $run! {
            create::creating_an_existing_name_is_already_exists_and_not_a_conflict,
            create::creating_with_a_version_is_a_server_error,
            create::a_deadline_that_has_passed_is_a_timeout,
            create::a_deadline_of_zero_is_no_deadline,
            create::a_dry_run_create_of_an_existing_name_is_refused,
            create::a_dry_run_create_leaves_nothing,
            patch::a_patch_with_the_current_version_is_written,
            patch::a_patch_with_an_old_version_is_a_conflict,
            patch::a_patch_with_a_foreign_uid_is_invalid,
            patch::a_patch_with_a_foreign_uid_and_an_old_version_is_a_conflict,
            patch::a_patch_meant_for_a_predecessor_is_a_conflict,
            patch::a_patch_with_an_empty_version_is_written_blindly,
            patch::a_null_in_a_patch_removes_one_key_and_the_reply_is_whole,
            patch::an_identical_patch_does_not_move_the_version,
            delete::a_delete_with_an_old_version_is_a_conflict,
            delete::a_delete_with_a_foreign_uid_is_a_conflict,
            delete::a_delete_with_the_current_version_deletes,
            delete::a_finalizer_defers_deletion_until_it_is_removed,
            delete::a_new_finalizer_on_a_deleting_object_is_invalid,
            delete::a_new_finalizer_on_a_deleting_object_with_an_old_version_is_a_conflict,
            delete::a_present_finalizer_patched_onto_a_deleting_object_is_answered_with_the_deletion,
            custom::the_default_of_the_status_appears_on_a_fresh_object,
            custom::a_status_sent_on_create_gives_way_to_the_default,
            custom::a_status_patch_moves_the_version_and_not_the_generation,
            custom::a_spec_patch_moves_the_generation_and_cannot_touch_the_status,
        }
    };
}
pub(crate) use facts;

/// The kind of the facts about custom resources: one field, and a status with a default.
pub(crate) fn definition() -> CustomResourceDefinition {
    let status = json!({
        "type": "object",
        "default": { "observedGeneration": -1, "conditions": [{
            "type": "Ready", "status": "Unknown", "reason": "Pending", "message": "",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }]},
        "properties": {
            "observedGeneration": { "type": "integer", "format": "int64" },
            "conditions": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": {
                    "type": "object",
                    "required": ["type", "status"],
                    "properties": {
                        "type": { "type": "string" },
                        "status": { "type": "string" },
                        "reason": { "type": "string" },
                        "message": { "type": "string" },
                        "lastTransitionTime": { "type": "string", "format": "date-time" },
                    },
                },
            },
        },
    });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "probes.contract.handover.dev" },
        "spec": {
            "group": "contract.handover.dev",
            "scope": "Namespaced",
            "names": { "kind": "Probe", "plural": "probes", "singular": "probe" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": { "type": "object", "properties": { "text": { "type": "string" } } },
                        "status": status,
                    },
                }},
            }],
        },
    });
    serde_json::from_value(definition).expect("the definition is well-formed")
}

/// Makes the kind of [`definition`] known to the server and waits until it is served.
pub(crate) async fn install(client: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    match definitions
        .create(&PostParams::default(), &definition())
        .await
    {
        Err(error) if !is_already_exists(&error) => {
            panic!("could not create the definition: {error}")
        }
        _ => {}
    }
    let served = probes(client, "default");
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while let Err(error) = served.list(&kube::api::ListParams::default()).await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the kind is not served: {error}"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn secrets(client: &Client, namespace: &str) -> Api<Secret> {
    Api::namespaced(client.clone(), namespace)
}

fn probes(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("contract.handover.dev", "v1", "Probe");
    let resource = ApiResource::from_gvk_with_plural(&kind, "probes");
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// A Secret that does not exist yet.
fn secret(name: &str, text: &str) -> Secret {
    serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name },
        "data": { "text": base64(text) },
    }))
    .expect("a Secret is well-formed")
}

/// A Secret as the server stored it.
async fn stored(api: &Api<Secret>, name: &str, text: &str) -> Secret {
    api.create(&PostParams::default(), &secret(name, text))
        .await
        .expect("a new name can be created")
}

async fn text_of(api: &Api<Secret>, name: &str) -> String {
    let found = api.get(name).await.expect("the Secret is there");
    text_in(&found)
}

fn text_in(secret: &Secret) -> String {
    let data = secret.data.as_ref().expect("the Secret has data");
    String::from_utf8(data["text"].0.clone()).expect("the text is UTF-8")
}

/// `data` of a Secret on the wire, without a crate: `k8s_openapi` knows how.
fn base64(text: &str) -> serde_json::Value {
    json!(k8s_openapi::ByteString(text.as_bytes().to_vec()))
}

/// The status code of a refusal.
fn code<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> u16 {
    match result {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("expected a refusal by the server, got {other:?}"),
    }
}

fn is_already_exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_already_exists())
}
