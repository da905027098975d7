//! The contract on a real server, and what only a real one can show.

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{contract, plane};

static INSTALLED: OnceCell<()> = OnceCell::const_new();

macro_rules! on_a_real_server {
    ($($module:ident :: $fact:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $fact() {
                if plane::is_off() {
                    return;
                }
                let (client, namespace) = plane::namespace().await;
                INSTALLED.get_or_init(|| contract::install(&client)).await;
                contract::$module::$fact(&client, &namespace).await;
            }
        )*
    };
}

contract::facts!(on_a_real_server);

/// A dry run asks for permission as well: how the operator finds out what it may do.
#[tokio::test]
async fn a_dry_run_create_without_the_right_is_forbidden() {
    if plane::is_off() {
        return;
    }
    let (_, namespace) = plane::namespace().await;
    let operator = plane::plane().await.client(plane::OPERATOR).unwrap();
    let secrets: Api<Secret> = Api::namespaced(operator, &namespace);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let mut wanted = Secret::default();
    wanted.metadata.name = Some("asked".to_owned());
    match secrets.create(&dry_run, &wanted).await {
        Err(kube::Error::Api(status)) => assert!(status.is_forbidden(), "{status:?}"),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// A rule that comes with an upgrade does not lock out the objects that break it: the operator can
/// still hold them and report on them.
#[tokio::test]
async fn an_object_that_breaks_a_newer_rule_still_takes_a_finalizer_and_a_status() {
    if plane::is_off() {
        return;
    }
    let (client, namespace) = plane::namespace().await;
    define_ratchet(&client, json!([])).await;
    let ratchets = ratchets(&client, &namespace);
    plane::eventually("the old rules allow a long text", async || {
        create_ratchet(&ratchets, "old").await.is_ok()
    })
    .await;
    define_ratchet(&client, json!([{ "rule": "self.text.size() < 5" }])).await;
    plane::eventually("the new rule refuses a long text", async || {
        let dry = create_ratchet(&ratchets, "new").await;
        matches!(dry, Err(kube::Error::Api(status)) if status.is_invalid())
    })
    .await;

    let params = PatchParams::default();
    let held = json!({ "metadata": { "finalizers": ["contract.handover.dev/held"] } });
    ratchets
        .patch("old", &params, &Patch::Merge(held))
        .await
        .unwrap();
    let status = json!({ "status": { "seen": true } });
    let reply = ratchets
        .patch_status("old", &params, &Patch::Merge(status))
        .await
        .unwrap();
    assert_eq!(reply.data["status"]["seen"], true);
    let released = json!({ "metadata": { "finalizers": null } });
    ratchets
        .patch("old", &params, &Patch::Merge(released))
        .await
        .unwrap();
}

fn ratchets(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("contract.handover.dev", "v1", "Ratchet");
    let resource = ApiResource::from_gvk_with_plural(&kind, "ratchets");
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Creates one whose text is too long for the newer rule. `new` is a name that is only ever tried
/// dry, because the server may still follow the old rules.
async fn create_ratchet(
    ratchets: &Api<DynamicObject>,
    name: &str,
) -> Result<DynamicObject, kube::Error> {
    let object = json!({
        "apiVersion": "contract.handover.dev/v1",
        "kind": "Ratchet",
        "metadata": { "name": name },
        "spec": { "text": "too long" },
    });
    let params = PostParams {
        dry_run: name == "new",
        ..PostParams::default()
    };
    ratchets
        .create(&params, &serde_json::from_value(object).unwrap())
        .await
}

async fn define_ratchet(client: &Client, rules: Value) {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "ratchets.contract.handover.dev" },
        "spec": {
            "group": "contract.handover.dev",
            "scope": "Namespaced",
            "names": { "kind": "Ratchet", "plural": "ratchets", "singular": "ratchet" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {
                            "type": "object",
                            "properties": { "text": { "type": "string", "maxLength": 20 } },
                            "x-kubernetes-validations": rules,
                        },
                        "status": {
                            "type": "object",
                            "properties": { "seen": { "type": "boolean" } },
                        },
                    },
                }},
            }],
        },
    });
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply("contract");
    let name = "ratchets.contract.handover.dev";
    definitions
        .patch(name, &params, &Patch::Apply(definition))
        .await
        .unwrap();
}
