//! What lists, metadata requests and the oracle show.

use std::time::Duration;

use http::Request;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt,
    api::{GetParams, ListParams},
    client::Body,
    core::{PartialObjectMeta, Request as Requests},
};
use serde_json::json;
use tokio::time::sleep;

use super::{refusal, secret, secrets, server};
use crate::support::apiserver::Version;

#[tokio::test(start_paused = true)]
async fn pages_show_the_objects_as_they_were_at_the_first_page() {
    let server = server();
    for name in ["a", "b", "c", "d", "e"] {
        server.apply_as_user(&secret(name, "x"));
    }
    let secrets = secrets(&server);
    let params = ListParams::default().limit(2);
    let first = secrets.list(&params).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(3));
    server.delete_as_user::<Secret>("team-a", "d");
    server.apply_as_user(&secret("bb", "x"));
    let mut names: Vec<String> = first.items.iter().map(ResourceExt::name_any).collect();
    let mut token = first.metadata.continue_;
    while let Some(next) = token.filter(|token| !token.is_empty()) {
        let page = secrets
            .list(&params.clone().continue_token(&next))
            .await
            .unwrap();
        assert_eq!(
            page.metadata.resource_version,
            first.metadata.resource_version
        );
        names.extend(page.items.iter().map(ResourceExt::name_any));
        token = page.metadata.continue_;
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn selectors_choose_by_label_and_name() {
    let server = server();
    for (name, labels) in [
        ("a", json!({"env": "prod", "tier": "web"})),
        ("b", json!({"env": "test"})),
        ("c", json!({})),
    ] {
        server.apply_as_user(&secret(name, "x"));
        server.patch_as_user::<Secret>("team-a", name, &json!({"metadata": {"labels": labels}}));
    }
    let secrets = secrets(&server);
    for (labels, expected) in [
        ("env=prod", "a"),
        ("env==test", "b"),
        ("env!=prod", "bc"),
        ("env in (prod, test)", "ab"),
        ("env notin (prod),tier", ""),
        ("env,tier", "a"),
        ("!env", "c"),
    ] {
        let found = secrets
            .list(&ListParams::default().labels(labels))
            .await
            .unwrap();
        let names: String = found.items.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, expected, "{labels}");
    }
    let named = ListParams::default().fields("metadata.name=b,metadata.namespace!=x");
    assert_eq!(secrets.list(&named).await.unwrap().items.len(), 1);
    let unknown = ListParams::default().fields("spec.nodeName=x");
    assert_eq!(refusal(secrets.list(&unknown).await).code, 400);
}

#[tokio::test(start_paused = true)]
async fn metadata_alone_carries_no_value() {
    let server = server();
    server.apply_as_user(&secret("one", "a"));
    let client = server.client("test");
    let request = Requests::new("/api/v1/namespaces/team-a/secrets");
    let one = request.get_metadata("one", &GetParams::default()).unwrap();
    let list = request.list_metadata(&ListParams::default()).unwrap();
    for request in [one, list] {
        let text = client.request_text(request).await.unwrap();
        assert!(text.contains(r#""kind":"PartialObjectMetadata""#), "{text}");
        assert!(!text.contains("data\":{\"token"), "{text}");
    }
    let api = secrets(&server);
    let found: PartialObjectMeta<Secret> = api.get_metadata("one").await.unwrap();
    assert_eq!(found.name_any(), "one");
}

#[tokio::test(start_paused = true)]
async fn the_oracle_sees_every_version_of_the_objects_it_is_asked_for() {
    let server = server();
    server.apply_as_user(&secret("one", "a"));
    server.apply_as_user(&secret("other", "x"));
    server.apply_as_user(&secret("one", "b"));
    server.delete_as_user::<Secret>("team-a", "one");
    let history =
        server.history::<Secret>(|namespace, name| (namespace, name) == ("team-a", "one"));
    let value = |version: &Version<Secret>| {
        let data = version.object.as_ref()?.data.as_ref()?;
        Some(data["token"].0.clone())
    };
    let values: Vec<Option<Vec<u8>>> = history.iter().map(value).collect();
    assert_eq!(values, [Some(b"a".into()), Some(b"b".into()), None]);
    assert!(history.is_sorted_by_key(|version| version.number));
    assert_eq!(history[0].at, server.clock().now());
    let gone = history.last().unwrap();
    assert_eq!((&*gone.namespace, &*gone.name), ("team-a", "one"));
}

#[tokio::test(start_paused = true)]
async fn answers_and_objects_carry_the_virtual_time() {
    let server = server();
    sleep(Duration::from_secs(61)).await;
    let made = server.apply_as_user(&secret("one", "a"));
    let created = made.metadata.creation_timestamp.unwrap().0;
    assert_eq!(created.to_string(), "2026-02-01T00:00:01Z");
    let request = Request::get("/api/v1/namespaces/team-a/secrets/one");
    let request = request.body(Body::empty()).unwrap();
    let answer = server.client("test").send(request).await.unwrap();
    assert_eq!(answer.headers()["date"], "Sun, 01 Feb 2026 00:00:01 GMT");
}
