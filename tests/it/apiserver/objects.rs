//! Writing, deleting and listing objects.

use k8s_openapi::{
    ByteString,
    api::{
        apps::v1::Deployment,
        core::v1::{Namespace, Pod, Secret},
    },
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    core::Request,
};
use serde_json::{Value, json};

use super::{Gadget, gadget, refusal, secret, secrets, server};
use crate::support::apiserver::ApiServer;

fn gadgets(server: &ApiServer) -> Api<Gadget> {
    Api::namespaced(server.client("test"), "team-a")
}

async fn patch<K>(api: &Api<K>, name: &str, body: Value) -> Result<K, kube::Error>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    api.patch(name, &PatchParams::default(), &Patch::Merge(body))
        .await
}

#[tokio::test(start_paused = true)]
async fn a_generation_counts_the_changes_of_the_spec() {
    let server = server();
    let gadgets = gadgets(&server);
    let mut sent = gadget("one");
    sent.status = Some(super::GadgetStatus {
        observed_generation: 7,
    });
    let made = gadgets.create(&PostParams::default(), &sent).await.unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    assert_eq!(made.status.unwrap().observed_generation, -1, "the default");

    let both = json!({"spec": {"size": 2}, "status": {"observedGeneration": 5}});
    let spec = patch(&gadgets, "one", both.clone()).await.unwrap();
    assert_eq!(spec.metadata.generation, Some(2));
    assert_eq!(spec.status.unwrap().observed_generation, -1);

    let both = json!({"spec": {"size": 9}, "status": {"observedGeneration": 5}});
    let params = PatchParams::default();
    let status = gadgets
        .patch_status("one", &params, &Patch::Merge(both))
        .await
        .unwrap();
    assert_eq!((status.metadata.generation, status.spec.size), (Some(2), 2));
    assert_eq!(status.status.unwrap().observed_generation, 5);

    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let labelled = patch(&gadgets, "one", labels).await.unwrap();
    assert_eq!(labelled.metadata.generation, Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_update_of_a_custom_resource_names_a_version_and_one_of_a_secret_need_not() {
    let server = server();
    server.apply_as_user(&gadget("one"));
    server.apply_as_user(&secret("one", "a"));
    let mut sent = gadget("one");
    sent.spec.size = 3;
    let params = PostParams::default();
    assert!(refusal(gadgets(&server).replace("one", &params, &sent).await).is_invalid());
    secrets(&server)
        .replace("one", &params, &secret("one", "b"))
        .await
        .unwrap();
    let blind = json!({"metadata": {"resourceVersion": ""}});
    assert!(refusal(patch(&gadgets(&server), "one", blind).await).is_invalid());
}

#[tokio::test(start_paused = true)]
async fn a_replacement_of_another_object_is_a_conflict() {
    let server = server();
    server.apply_as_user(&secret("one", "a"));
    let mut other = secret("one", "b");
    other.metadata.uid = Some("00000000-0000-4000-8000-000000000000".into());
    let replaced = secrets(&server)
        .replace("one", &PostParams::default(), &other)
        .await;
    assert!(refusal(replaced).is_conflict());
}

#[tokio::test(start_paused = true)]
async fn a_deletion_can_insist_on_uid_and_version() {
    let server = server();
    let is = server.apply_as_user(&secret("one", "a"));
    let wanting = |uid: Option<&str>, version: Option<&str>| DeleteParams {
        preconditions: Some(Preconditions {
            uid: uid.map(str::to_owned),
            resource_version: version.map(str::to_owned),
        }),
        ..DeleteParams::default()
    };
    let secrets = secrets(&server);
    for (uid, version) in [(Some("other"), None), (None, Some("1"))] {
        assert!(refusal(secrets.delete("one", &wanting(uid, version)).await).is_conflict());
    }
    let (uid, version) = (is.uid().unwrap(), is.resource_version().unwrap());
    let right = wanting(Some(&uid), Some(&version));
    let dry = DeleteParams {
        dry_run: true,
        ..right.clone()
    };
    assert!(secrets.delete("one", &dry).await.unwrap().is_right());
    let done = secrets.delete("one", &right).await.unwrap();
    assert_eq!(done.right().unwrap().details.unwrap().uid, uid);
    assert!(refusal(secrets.delete("one", &right).await).is_not_found());
}

#[tokio::test(start_paused = true)]
async fn finalizers_hold_a_deleted_object_until_the_last_one_goes() {
    let server = server();
    let mut held = gadget("one");
    held.metadata.finalizers = Some(vec!["a.dev/x".into(), "a.dev/y".into()]);
    server.apply_as_user(&held);
    let gadgets = gadgets(&server);
    let deleting = gadgets
        .delete("one", &DeleteParams::default())
        .await
        .unwrap();
    let deleting = deleting.left().unwrap();
    assert!(deleting.metadata.deletion_timestamp.is_some());
    assert_eq!(deleting.metadata.generation, Some(2));
    let again = gadgets
        .delete("one", &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(
        again.left().unwrap().resource_version(),
        deleting.resource_version()
    );

    let more = json!({"metadata": {"finalizers": ["a.dev/x", "a.dev/y", "a.dev/z"]}});
    assert!(refusal(patch(&gadgets, "one", more).await).is_invalid());
    let fewer = json!({"metadata": {"finalizers": ["a.dev/y"]}});
    patch(&gadgets, "one", fewer).await.unwrap();
    assert!(server.get::<Gadget>("team-a", "one").is_some());
    let none = json!({"metadata": {"finalizers": null}});
    patch(&gadgets, "one", none).await.unwrap();
    assert!(server.get::<Gadget>("team-a", "one").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_secret_keeps_its_type_and_an_immutable_one_its_data() {
    let server = server();
    let secrets = secrets(&server);
    let text = json!({"stringData": {"token": "b"}});
    server.apply_as_user(&secret("one", "a"));
    let merged = patch(&secrets, "one", text).await.unwrap();
    assert_eq!(merged.data.unwrap()["token"], ByteString(b"b".into()));
    assert_eq!(
        (merged.type_.as_deref(), merged.string_data),
        (Some("Opaque"), None)
    );

    for refused in [
        json!({"type": "kubernetes.io/tls"}),
        json!({"data": {"a/b": "YQ=="}}),
        json!({"data": {"big": "A".repeat(2 << 20)}}),
    ] {
        assert!(refusal(patch(&secrets, "one", refused).await).is_invalid());
    }
    let huge = json!({"data": {"big": "A".repeat(4 << 20)}});
    assert_eq!(refusal(patch(&secrets, "one", huge).await).code, 413);
    patch(&secrets, "one", json!({"immutable": true}))
        .await
        .unwrap();
    for refused in [
        json!({"data": {"token": "YQ=="}}),
        json!({"immutable": false}),
    ] {
        assert!(refusal(patch(&secrets, "one", refused).await).is_invalid());
    }
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    patch(&secrets, "one", labels).await.unwrap();
}

/// Seen on a real server: a message about a refused write may hold every value of the object.
#[tokio::test(start_paused = true)]
async fn the_refusal_of_an_unreadable_patch_quotes_the_whole_secret() {
    let server = server();
    server.apply_as_user(&secret("one", "canary"));
    let stored = json!(ByteString(b"canary".into()));
    for unreadable in [json!({"data": {"b": "%%"}}), json!({"kind": "ConfigMap"})] {
        let status = refusal(patch(&secrets(&server), "one", unreadable).await);
        assert!(status.is_invalid());
        assert!(
            status.message.contains(stored.as_str().unwrap()),
            "{}",
            status.message
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_takes_its_objects_along_unless_a_finalizer_holds_one() {
    let server = server();
    server.apply_as_user(&secret("one", "a"));
    let mut held = gadget("one");
    held.metadata.finalizers = Some(vec!["a.dev/x".into()]);
    server.apply_as_user(&held);
    let namespaces = Api::<Namespace>::all(server.client("test"));
    namespaces
        .delete("team-a", &DeleteParams::default())
        .await
        .unwrap();

    let dying = server.get::<Namespace>("", "team-a").unwrap();
    assert_eq!(dying.status.unwrap().phase.as_deref(), Some("Terminating"));
    assert!(server.get::<Secret>("team-a", "one").is_none());
    assert!(
        server
            .get::<Gadget>("team-a", "one")
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_some()
    );
    let status = refusal(
        secrets(&server)
            .create(&PostParams::default(), &secret("two", "a"))
            .await,
    );
    assert!(status.is_forbidden());
    assert_eq!(
        status.details.unwrap().causes[0].reason,
        "NamespaceTerminating"
    );

    server.patch_as_user::<Gadget>("team-a", "one", &json!({"metadata": {"finalizers": null}}));
    assert!(server.get::<Namespace>("", "team-a").is_none());
    let created = secrets(&server)
        .create(&PostParams::default(), &secret("two", "a"))
        .await;
    assert!(refusal(created).is_not_found());
}

#[tokio::test(start_paused = true)]
async fn a_json_patch_tests_before_it_changes() {
    let server = server();
    server.apply_as_user(&secret("one", "a"));
    let secrets = secrets(&server);
    let json_patch = |operations: Value| {
        let patch = serde_json::from_value(operations).unwrap();
        Patch::<Secret>::Json(patch)
    };
    let add = json_patch(json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["a.dev/x"]},
    ]));
    let params = PatchParams::default();
    let held = secrets.patch("one", &params, &add).await.unwrap();
    assert_eq!(held.finalizers(), ["a.dev/x"]);
    assert!(refusal(secrets.patch("one", &params, &add).await).is_invalid());
}

#[tokio::test(start_paused = true)]
async fn what_the_server_does_not_know_is_refused() {
    let server = server();
    let client = server.client("test");
    let unknown = Request::new("/apis/batch/v1/namespaces/team-a/jobs")
        .list(&ListParams::default())
        .unwrap();
    assert!(refusal(client.request::<Value>(unknown).await).is_not_found());
    let strategic = Patch::Strategic(secret("one", "a"));
    let patched = secrets(&server)
        .patch("one", &PatchParams::default(), &strategic)
        .await;
    assert_eq!(refusal(patched).code, 415);
    for name in [None, Some("A_b"), Some("-a"), Some("a..b")] {
        let mut misnamed = secret("one", "a");
        misnamed.metadata.name = name.map(str::to_owned);
        let created = secrets(&server)
            .create(&PostParams::default(), &misnamed)
            .await;
        assert!(refusal(created).is_invalid(), "{name:?}");
    }
    let nowhere = Api::<Secret>::all(client);
    let created = nowhere
        .create(&PostParams::default(), &secret("one", "a"))
        .await;
    assert_eq!(refusal(created).code, 405);
}

#[tokio::test(start_paused = true)]
async fn a_pod_gets_its_status_from_the_kubelet_that_the_test_plays() {
    let server = server();
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "one", "namespace": "team-a"},
        "spec": {"containers": [{"name": "main", "image": "x"}]},
        "status": {"phase": "Running"},
    }))
    .unwrap();
    let phase = |pod: Pod| pod.status.unwrap().phase.unwrap();
    assert_eq!(phase(server.apply_as_user(&pod)), "Pending");
    let running = json!({"phase": "Running", "startTime": "2026-02-01T00:00:00Z"});
    assert_eq!(
        phase(server.patch_status_as_user("team-a", "one", &running)),
        "Running"
    );
}

#[tokio::test(start_paused = true)]
async fn an_apply_creates_or_merges_and_moves_the_generation_of_a_workload() {
    let server = server();
    let deployments = Api::<Deployment>::namespaced(server.client("test"), "team-a");
    let params = PatchParams::apply("handover-restart");
    let apply = async |spec: Value| {
        let object = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": spec,
        });
        deployments
            .patch("web", &params, &Patch::Apply(object))
            .await
    };
    let selector = json!({"matchLabels": {"app": "web"}});
    let made = apply(json!({"selector": selector, "template": {}, "replicas": 3}));
    assert_eq!(made.await.unwrap().metadata.generation, Some(1));
    let restart = json!({"template": {"metadata": {"annotations": {"handover.dev/epoch": "2"}}}});
    let restarted = apply(restart).await.unwrap();
    assert_eq!(restarted.metadata.generation, Some(2));
    assert_eq!(restarted.spec.unwrap().replicas, Some(3));
}
