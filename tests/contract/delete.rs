//! Deleting: preconditions and finalizers.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};

use super::{base64, code, patch::FOREIGN_UID, secrets, stored, text_of};

const HELD: &str = "contract.handover.dev/held";
const LATE: &str = "contract.handover.dev/late";

/// An object that changed since it was looked at is not deleted.
pub(crate) async fn a_delete_with_an_old_version_is_a_conflict(client: &Client, namespace: &str) {
    let api = secrets(client, namespace);
    let first = stored(&api, "kept", "first").await;
    merge(
        &api,
        "kept",
        json!({ "data": { "text": base64("second") } }),
    )
    .await
    .unwrap();
    let fenced = only_if(
        first.metadata.uid.clone(),
        first.metadata.resource_version.clone(),
    );
    assert_eq!(code(api.delete("kept", &fenced).await), 409);
    assert_eq!(text_of(&api, "kept").await, "second");
}

/// Unlike a patch, a delete of another object is a conflict.
pub(crate) async fn a_delete_with_a_foreign_uid_is_a_conflict(client: &Client, namespace: &str) {
    let api = secrets(client, namespace);
    stored(&api, "kept", "text").await;
    let fenced = only_if(Some(FOREIGN_UID.to_owned()), None);
    assert_eq!(code(api.delete("kept", &fenced).await), 409);
    assert_eq!(text_of(&api, "kept").await, "text");
}

/// The fence opens for the object as it was seen.
pub(crate) async fn a_delete_with_the_current_version_deletes(client: &Client, namespace: &str) {
    let api = secrets(client, namespace);
    let seen = stored(&api, "gone", "text").await;
    let fenced = only_if(
        seen.metadata.uid.clone(),
        seen.metadata.resource_version.clone(),
    );
    api.delete("gone", &fenced).await.unwrap();
    assert!(api.get_opt("gone").await.unwrap().is_none());
}

/// Deletion is a mark until the last finalizer goes, and then it is over at once.
pub(crate) async fn a_finalizer_defers_deletion_until_it_is_removed(
    client: &Client,
    namespace: &str,
) {
    let api = secrets(client, namespace);
    let marked = deleting(&api, "held").await;
    assert_eq!(
        marked.metadata.finalizers.as_deref(),
        Some([HELD.to_owned()].as_slice())
    );
    release(&api, "held").await;
    assert!(api.get_opt("held").await.unwrap().is_none());
}

/// Who comes too late to hold an object is told so.
pub(crate) async fn a_new_finalizer_on_a_deleting_object_is_invalid(
    client: &Client,
    namespace: &str,
) {
    let api = secrets(client, namespace);
    let marked = deleting(&api, "held").await;
    let claim = claim(&[HELD, LATE], marked.metadata.resource_version.as_deref());
    assert_eq!(code(merge(&api, "held", claim).await), 422);
    release(&api, "held").await;
}

/// The version is looked at first.
pub(crate) async fn a_new_finalizer_on_a_deleting_object_with_an_old_version_is_a_conflict(
    client: &Client,
    namespace: &str,
) {
    let api = secrets(client, namespace);
    let before = held(&api, "held").await;
    api.delete("held", &DeleteParams::default()).await.unwrap();
    let claim = claim(&[HELD, LATE], before.metadata.resource_version.as_deref());
    assert_eq!(code(merge(&api, "held", claim).await), 409);
    release(&api, "held").await;
}

/// A success that must be read: the reply tells that the object is going.
pub(crate) async fn a_present_finalizer_patched_onto_a_deleting_object_is_answered_with_the_deletion(
    client: &Client,
    namespace: &str,
) {
    let api = secrets(client, namespace);
    deleting(&api, "held").await;
    let reply = merge(&api, "held", claim(&[HELD], None)).await.unwrap();
    assert!(reply.metadata.deletion_timestamp.is_some());
    release(&api, "held").await;
}

/// A Secret with a finalizer.
async fn held(api: &Api<Secret>, name: &str) -> Secret {
    stored(api, name, "text").await;
    merge(api, name, claim(&[HELD], None)).await.unwrap()
}

/// A Secret that is being deleted and held by its finalizer.
async fn deleting(api: &Api<Secret>, name: &str) -> Secret {
    held(api, name).await;
    api.delete(name, &DeleteParams::default()).await.unwrap();
    let marked = api.get(name).await.unwrap();
    assert!(marked.metadata.deletion_timestamp.is_some());
    marked
}

async fn release(api: &Api<Secret>, name: &str) {
    merge(api, name, json!({ "metadata": { "finalizers": null } }))
        .await
        .unwrap();
}

fn claim(finalizers: &[&str], version: Option<&str>) -> Value {
    let mut metadata = json!({ "finalizers": finalizers });
    if let Some(version) = version {
        metadata["resourceVersion"] = json!(version);
    }
    json!({ "metadata": metadata })
}

async fn merge(api: &Api<Secret>, name: &str, body: Value) -> Result<Secret, kube::Error> {
    api.patch(name, &PatchParams::default(), &Patch::Merge(body))
        .await
}

fn only_if(uid: Option<String>, resource_version: Option<String>) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            resource_version,
            uid,
        }),
        ..DeleteParams::default()
    }
}
