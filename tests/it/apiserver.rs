//! The in-process API server: its contract with the real one, and what tests are promised beyond it.

use handover::clock::Clock;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, CustomResource, CustomResourceExt as _,
    core::{ObjectMeta, Status},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::apiserver::ApiServer;

#[path = "../contract/mod.rs"]
mod contract;

mod controller;
mod faults;
mod objects;
mod reads;
mod watches;

/// A custom resource with a status that has a default, as ours have.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[kube(
    group = "test.handover.dev",
    version = "v1",
    kind = "Gadget",
    namespaced,
    status = "GadgetStatus"
)]
#[serde(rename_all = "camelCase")]
struct GadgetSpec {
    size: u32,
}

#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
struct GadgetStatus {
    observed_generation: i64,
}

fn server() -> ApiServer {
    let mut crd = Gadget::crd();
    let schema = crd.spec.versions[0].schema.as_mut().unwrap();
    let mut tree = serde_json::to_value(&schema.open_api_v3_schema).unwrap();
    tree["properties"]["status"]["default"] = json!({"observedGeneration": -1});
    schema.open_api_v3_schema = serde_json::from_value(tree).unwrap();
    let clock = Clock::runtime("2026-01-31T23:59:00Z".parse().unwrap());
    let server = ApiServer::new(clock, &[crd]);
    server.add_namespace("team-a");
    server
}

fn gadget(name: &str) -> Gadget {
    let mut gadget = Gadget::new(name, GadgetSpec { size: 1 });
    gadget.metadata.namespace = Some("team-a".into());
    gadget
}

fn secret(name: &str, value: &str) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.into()),
            namespace: Some("team-a".into()),
            ..ObjectMeta::default()
        },
        data: Some([("token".into(), ByteString(value.into()))].into()),
        ..Secret::default()
    }
}

fn secrets(server: &ApiServer) -> Api<Secret> {
    Api::namespaced(server.client("test"), "team-a")
}

fn refusal<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> Box<Status> {
    match result.unwrap_err() {
        kube::Error::Api(status) => status,
        other => panic!("not an answer of the server: {other}"),
    }
}

macro_rules! hold_against {
    ($($module:ident::$fact:ident,)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $fact() {
            let client = server().client("contract");
            contract::install(&client).await;
            contract::$module::$fact(&client, "team-a").await;
        }
    )*};
}
contract::facts!(hold_against);
