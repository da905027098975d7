//! The sandbox's own control plane: identities, controllers, outages, the end of processes.

use std::{path::Path, time::Duration};

use handover::sandbox::{
    assets::Tool,
    control_plane::{ADMIN, ControlPlane, Options},
    progress::Progress,
};
use k8s_openapi::{
    api::{
        core::v1::{ConfigMap, Secret},
        rbac::v1::RoleBinding,
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams},
};
use serde_json::{Value, json};

use crate::plane::{self, OPERATOR, eventually};

async fn own_plane(options: Options) -> ControlPlane {
    ControlPlane::start(plane::assets(), options, Progress::stderr())
        .await
        .unwrap()
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

async fn create_secret(client: &Client, namespace: &str, metadata: ObjectMeta) {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = Secret {
        metadata,
        ..Secret::default()
    };
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_identity_has_the_rights_of_its_service_account_and_no_more() {
    if plane::is_off() {
        return;
    }
    let (admin, namespace) = plane::namespace().await;
    let operator = plane::plane().await.client(OPERATOR).unwrap();
    let secrets: Api<Secret> = Api::namespaced(operator.clone(), &namespace);
    let Err(kube::Error::Api(refused)) = secrets.list(&ListParams::default()).await else {
        panic!("nobody gave the operator a right");
    };
    assert!(refused.is_forbidden());

    let bindings: Api<RoleBinding> = Api::namespaced(admin, &namespace);
    let binding = json!({
        "metadata": { "name": "operator" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit" },
        "subjects": [{ "kind": "ServiceAccount", "name": "handover", "namespace": "handover-system" }],
    });
    let binding = serde_json::from_value(binding).unwrap();
    bindings
        .create(&PostParams::default(), &binding)
        .await
        .unwrap();
    eventually("the binding counts", async || {
        secrets.list(&ListParams::default()).await.is_ok()
    })
    .await;
    let elsewhere: Api<Secret> = Api::namespaced(operator, "default");
    assert!(elsewhere.list(&ListParams::default()).await.is_err());
}

#[tokio::test]
async fn what_an_owner_leaves_behind_is_collected() {
    if plane::is_off() {
        return;
    }
    let (client, namespace) = plane::namespace().await;
    let owners: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    let owner = ConfigMap {
        metadata: named("owner"),
        ..ConfigMap::default()
    };
    let owner = owners.create(&PostParams::default(), &owner).await.unwrap();
    let mut dependent = named("dependent");
    dependent.owner_references = Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        name: "owner".to_owned(),
        uid: owner.metadata.uid.unwrap(),
        ..OwnerReference::default()
    }]);
    create_secret(&client, &namespace, dependent).await;

    owners
        .delete("owner", &DeleteParams::default())
        .await
        .unwrap();
    let secrets: Api<Secret> = Api::namespaced(client, &namespace);
    eventually("the dependent is gone", async || {
        secrets.get_opt("dependent").await.unwrap().is_none()
    })
    .await;
}

#[tokio::test]
async fn the_tools_of_users_act_as_an_identity() {
    if plane::is_off() {
        return;
    }
    let plane = plane::plane().await;
    let answer = plane
        .kubectl(OPERATOR, &["auth", "whoami", "-o", "json"])
        .await
        .unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let user = &answer["status"]["userInfo"];
    assert_eq!(
        user["username"],
        "system:serviceaccount:handover-system:handover"
    );
    assert_eq!(
        user["groups"],
        json!([
            "system:serviceaccounts",
            "system:serviceaccounts:handover-system",
            "system:authenticated"
        ])
    );
    assert_eq!(plane.helm(ADMIN, &["list", "--short"]).await.unwrap(), "");
    let refused = plane
        .helm(OPERATOR, &["list", "--short"])
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("forbidden"), "{refused}");
    assert!(plane.client("nobody").is_err());
}

#[tokio::test]
async fn an_outage_passes_and_nothing_is_lost() {
    if plane::is_off() {
        return;
    }
    let mut plane = own_plane(Options::default()).await;
    let client = plane.client(ADMIN).unwrap();
    create_secret(&client, "default", named("kept")).await;
    let secrets: Api<Secret> = Api::namespaced(client, "default");

    plane.pause(Tool::KubeApiserver).await.unwrap();
    let patience = Duration::from_millis(500);
    let unanswered = tokio::time::timeout(patience, secrets.get("kept")).await;
    assert!(unanswered.is_err(), "a paused server answers nothing");
    plane.resume(Tool::KubeApiserver).unwrap();
    secrets.get("kept").await.unwrap();

    plane.kill(Tool::KubeApiserver).unwrap();
    let refused = secrets.get("kept").await.unwrap_err();
    assert!(!matches!(refused, kube::Error::Api(_)), "{refused}");
    plane.restart(Tool::KubeApiserver).await.unwrap();
    secrets.get("kept").await.unwrap();
}

#[tokio::test]
async fn a_plane_writes_down_requests_and_leaves_nothing_behind() {
    if plane::is_off() {
        return;
    }
    let plane = own_plane(Options {
        audit: true,
        ..Options::default()
    })
    .await;
    create_secret(&plane.client(ADMIN).unwrap(), "default", named("audited")).await;
    let log = std::fs::read_to_string(plane.audit_log()).unwrap();
    let events = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ours: Vec<_> = events
        .filter(|event| event["objectRef"]["name"] == "audited")
        .collect();
    assert_eq!(ours.len(), 1);
    assert_eq!(
        (&ours[0]["verb"], &ours[0]["user"]["username"]),
        (&"create".into(), &ADMIN.into())
    );

    let folder = plane.folder().to_owned();
    let pids = [Tool::Etcd, Tool::KubeApiserver].map(|tool| plane.pid(tool).unwrap());
    drop(plane);
    assert!(!folder.exists());
    for pid in pids {
        assert!(!Path::new("/proc").join(pid.to_string()).exists());
    }
}

#[tokio::test]
async fn the_sandbox_prints_the_folder_of_the_binaries_and_nothing_else() {
    if plane::is_off() {
        return;
    }
    let mut sandbox = tokio::process::Command::new(env!("CARGO_BIN_EXE_handover-sandbox"));
    let output = sandbox.arg("assets").output().await.unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(
        stderr.contains("Kubernetes") || stderr.contains("KUBEBUILDER_ASSETS"),
        "{stderr}"
    );
    let folder = Path::new(stdout.strip_suffix('\n').unwrap());
    for tool in Tool::ALL {
        assert!(
            folder.join(tool.name()).is_file(),
            "{tool} is missing in {stdout:?}"
        );
    }
}
