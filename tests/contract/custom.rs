//! Custom resources: the status, its default, and the generation.

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::probes;

/// `Ready=Unknown` and "not looked at yet" cost no write.
pub(crate) async fn the_default_of_the_status_appears_on_a_fresh_object(
    client: &Client,
    namespace: &str,
) {
    let api = probes(client, namespace);
    let reply = create(&api, json!({ "text": "fresh" }), None).await;
    assert_is_default(&reply);
    assert_is_default(&api.get("probe").await.unwrap());
    assert_eq!(reply.metadata.generation, Some(1));
}

/// Nobody can create an object that claims to be ready.
pub(crate) async fn a_status_sent_on_create_gives_way_to_the_default(
    client: &Client,
    namespace: &str,
) {
    let api = probes(client, namespace);
    let claimed = json!({ "observedGeneration": 7, "conditions": [] });
    create(&api, json!({ "text": "claims" }), Some(claimed)).await;
    assert_is_default(&api.get("probe").await.unwrap());
}

/// A reconciler that watches generations does not wake itself; one that watches versions does.
pub(crate) async fn a_status_patch_moves_the_version_and_not_the_generation(
    client: &Client,
    namespace: &str,
) {
    let api = probes(client, namespace);
    let before = create(&api, json!({ "text": "kept" }), None).await;
    let body = json!({ "spec": { "text": "smuggled" }, "status": { "observedGeneration": 1 } });
    let after = api
        .patch_status("probe", &PatchParams::default(), &Patch::Merge(body))
        .await
        .unwrap();
    assert_eq!(after.metadata.generation, before.metadata.generation);
    assert_ne!(
        after.metadata.resource_version,
        before.metadata.resource_version
    );
    assert_eq!(after.data["status"]["observedGeneration"], 1);
    assert_eq!(after.data["spec"]["text"], "kept");
}

/// The two halves of an object have two doors.
pub(crate) async fn a_spec_patch_moves_the_generation_and_cannot_touch_the_status(
    client: &Client,
    namespace: &str,
) {
    let api = probes(client, namespace);
    create(&api, json!({ "text": "before" }), None).await;
    let body = json!({ "spec": { "text": "after" }, "status": { "observedGeneration": 9 } });
    let after = api
        .patch("probe", &PatchParams::default(), &Patch::Merge(body))
        .await
        .unwrap();
    assert_eq!(after.metadata.generation, Some(2));
    assert_eq!(after.data["spec"]["text"], "after");
    assert_is_default(&after);
}

async fn create(api: &Api<DynamicObject>, spec: Value, status: Option<Value>) -> DynamicObject {
    let mut body = json!({
        "apiVersion": "contract.handover.dev/v1",
        "kind": "Probe",
        "metadata": { "name": "probe" },
        "spec": spec,
    });
    if let Some(status) = status {
        body["status"] = status;
    }
    let object = serde_json::from_value(body).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap()
}

fn assert_is_default(object: &DynamicObject) {
    let status = &object.data["status"];
    assert_eq!(status["observedGeneration"], -1);
    assert_eq!(status["conditions"][0]["type"], "Ready");
    assert_eq!(status["conditions"][0]["status"], "Unknown");
}
