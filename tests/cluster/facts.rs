//! The contract on a real server, and what only a real one can show.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::PostParams};
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
