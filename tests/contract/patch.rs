//! Merge patches: a version in the patch makes it a compare-and-swap.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{base64, code, secrets, stored, text_in, text_of};

/// A uid that no object has.
pub(super) const FOREIGN_UID: &str = "00000000-0000-0000-0000-000000000000";

/// The winner's reply is the next version.
pub(crate) async fn a_patch_with_the_current_version_is_written(client: &Client, namespace: &str) {
    let api = secrets(client, namespace);
    let first = stored(&api, "record", "first").await;
    let second = write(&api, "second", metadata(&first)).await.unwrap();
    assert_eq!(text_in(&second), "second");
    assert_ne!(
        second.metadata.resource_version,
        first.metadata.resource_version
    );
    assert_eq!(second.metadata.uid, first.metadata.uid);
    assert_eq!(text_of(&api, "record").await, "second");
}

/// Two writers that saw the same version: one wins.
pub(crate) async fn a_patch_with_an_old_version_is_a_conflict(client: &Client, namespace: &str) {
    let api = secrets(client, namespace);
    let first = stored(&api, "record", "first").await;
    write(&api, "second", metadata(&first)).await.unwrap();
    assert_eq!(code(write(&api, "third", metadata(&first)).await), 409);
    assert_eq!(text_of(&api, "record").await, "second");
}

/// 422 here means "another object", never "try again".
pub(crate) async fn a_patch_with_a_foreign_uid_is_invalid(client: &Client, namespace: &str) {
    let api = secrets(client, namespace);
    let first = stored(&api, "record", "first").await;
    let mut foreign = metadata(&first);
    foreign["uid"] = json!(FOREIGN_UID);
    assert_eq!(code(write(&api, "second", foreign).await), 422);
    assert_eq!(text_of(&api, "record").await, "first");
}

/// The version is looked at first, so the code alone does not tell a stale writer from one that
/// means another object.
pub(crate) async fn a_patch_with_a_foreign_uid_and_an_old_version_is_a_conflict(
    client: &Client,
    namespace: &str,
) {
    let api = secrets(client, namespace);
    let first = stored(&api, "record", "first").await;
    write(&api, "second", metadata(&first)).await.unwrap();
    let mut foreign = metadata(&first);
    foreign["uid"] = json!(FOREIGN_UID);
    assert_eq!(code(write(&api, "third", foreign).await), 409);
    assert_eq!(text_of(&api, "record").await, "second");
}

/// Deleted and made again under the same name: what was meant for the first never reaches the
/// second.
pub(crate) async fn a_patch_meant_for_a_predecessor_is_a_conflict(
    client: &Client,
    namespace: &str,
) {
    let api = secrets(client, namespace);
    let predecessor = stored(&api, "record", "first").await;
    api.delete("record", &DeleteParams::default())
        .await
        .unwrap();
    stored(&api, "record", "successor").await;
    assert_eq!(code(write(&api, "late", metadata(&predecessor)).await), 409);
    assert_eq!(text_of(&api, "record").await, "successor");
}

/// Why the type of a version must be unable to be empty.
pub(crate) async fn a_patch_with_an_empty_version_is_written_blindly(
    client: &Client,
    namespace: &str,
) {
    let api = secrets(client, namespace);
    let first = stored(&api, "record", "first").await;
    write(&api, "second", metadata(&first)).await.unwrap();
    write(&api, "blind", json!({ "resourceVersion": "" }))
        .await
        .unwrap();
    assert_eq!(text_of(&api, "record").await, "blind");
}

/// A value cannot be lost by omission, and the reply shows what is stored.
pub(crate) async fn a_null_in_a_patch_removes_one_key_and_the_reply_is_whole(
    client: &Client,
    namespace: &str,
) {
    let api = secrets(client, namespace);
    let first = stored(&api, "record", "kept").await;
    let two = json!({ "metadata": metadata(&first), "data": { "v.1": base64("one"), "v.2": base64("two") } });
    let second = patch(&api, &two).await.unwrap();
    let one = json!({ "metadata": metadata(&second), "data": { "v.1": null } });
    let reply = patch(&api, &one).await.unwrap();

    assert_eq!(keys(&reply), ["text", "v.2"]);
    assert_eq!(text_in(&reply), "kept");
    let found = api.get("record").await.unwrap();
    assert_eq!(found.data, reply.data);
    assert_eq!(
        found.metadata.resource_version,
        reply.metadata.resource_version
    );
}

/// Hence a transition always changes the record: else two writers could both believe that they won.
pub(crate) async fn an_identical_patch_does_not_move_the_version(client: &Client, namespace: &str) {
    let api = secrets(client, namespace);
    let first = stored(&api, "record", "same").await;
    let again = write(&api, "same", metadata(&first)).await.unwrap();
    assert_eq!(
        again.metadata.resource_version,
        first.metadata.resource_version
    );
}

/// What a compare-and-swap sends along: the object it means, as it saw it.
fn metadata(seen: &Secret) -> Value {
    json!({ "uid": seen.metadata.uid, "resourceVersion": seen.metadata.resource_version })
}

async fn write(api: &Api<Secret>, text: &str, metadata: Value) -> Result<Secret, kube::Error> {
    patch(
        api,
        &json!({ "metadata": metadata, "data": { "text": base64(text) } }),
    )
    .await
}

async fn patch(api: &Api<Secret>, body: &Value) -> Result<Secret, kube::Error> {
    api.patch("record", &PatchParams::default(), &Patch::Merge(body))
        .await
}

fn keys(secret: &Secret) -> Vec<&str> {
    secret
        .data
        .iter()
        .flatten()
        .map(|(key, _)| key.as_str())
        .collect()
}
