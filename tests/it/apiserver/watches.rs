//! What a watch shows, and when it ends.

use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt as _,
    api::{WatchEvent, WatchParams},
    core::PartialObjectMeta,
};
use serde_json::json;
use tokio::time::Instant;

use super::{secret, server};
use crate::support::apiserver::ApiServer;

async fn watch(
    server: &ApiServer,
    params: &WatchParams,
    version: &str,
) -> impl Stream<Item = String> + use<> {
    let secrets = Api::<Secret>::namespaced(server.client("test"), "team-a");
    let events = secrets.watch(params, version).await.unwrap();
    events.map(|event| match event.unwrap() {
        WatchEvent::Added(object) => format!("added {}", object.name_any()),
        WatchEvent::Modified(object) => format!("modified {}", object.name_any()),
        WatchEvent::Deleted(object) => format!("deleted {}", object.name_any()),
        WatchEvent::Bookmark(mark) => format!("bookmark {}", mark.metadata.resource_version),
        WatchEvent::Error(status) => format!("error {}", status.code),
    })
}

#[tokio::test(start_paused = true)]
async fn an_object_that_leaves_the_selection_is_deleted_for_the_watch() {
    let server = server();
    let short = WatchParams::default().labels("mine=yes").timeout(10);
    let began = Instant::now();
    let events = watch(&server, &short, "0").await;
    let label = |name: &str, value: &str| {
        let patch = json!({"metadata": {"labels": {"mine": value}}});
        server.patch_as_user::<Secret>("team-a", name, &patch);
    };
    for name in ["one", "two"] {
        server.apply_as_user(&secret(name, "a"));
        label(name, "yes");
    }
    label("one", "no");
    label("one", "really no");
    server.delete_as_user::<Secret>("team-a", "two");
    let version = server
        .history::<Secret>(|_, name| name == "two")
        .pop()
        .unwrap()
        .number;
    let seen: Vec<String> = events.collect().await;
    assert_eq!(
        seen,
        [
            "added one",
            "added two",
            "deleted one",
            "deleted two",
            &format!("bookmark {version}")
        ]
    );
    assert_eq!(began.elapsed().as_secs(), 10, "the watch ends when it said");
}

#[tokio::test(start_paused = true)]
async fn a_watch_begins_after_its_version_or_is_told_that_it_is_too_old() {
    let server = server();
    let one = server
        .apply_as_user(&secret("one", "a"))
        .resource_version()
        .unwrap();
    server.apply_as_user(&secret("two", "a"));
    let short = WatchParams::default().timeout(1).disable_bookmarks();
    let after: Vec<String> = watch(&server, &short, &one).await.collect().await;
    assert_eq!(after, ["added two"]);
    server.compact();
    let after: Vec<String> = watch(&server, &short, &one).await.collect().await;
    assert_eq!(after, ["error 410"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_metadata_shows_no_data() {
    let server = server();
    server.apply_as_user(&secret("one", "a"));
    let api = Api::<Secret>::all(server.client("test"));
    let events = api
        .watch_metadata(&WatchParams::default().timeout(1), "0")
        .await
        .unwrap();
    let events: Vec<WatchEvent<PartialObjectMeta<Secret>>> = events.try_collect().await.unwrap();
    let [WatchEvent::Added(found), WatchEvent::Bookmark(_)] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(found.name_any(), "one");
    assert_eq!(found.types.as_ref().unwrap().kind, "PartialObjectMetadata");
}

#[tokio::test(start_paused = true)]
async fn streaming_lists_are_switched_off_as_on_the_oldest_supported_server() {
    let server = server();
    let secrets = Api::<Secret>::all(server.client("test"));
    let streaming = WatchParams::default().initial_events();
    let events = secrets.watch(&streaming, "0").await;
    let Err(kube::Error::Api(status)) = events.map(drop) else {
        panic!("accepted");
    };
    assert!(status.is_invalid());
}

#[tokio::test(start_paused = true)]
async fn held_events_come_later_and_dropped_watches_end() {
    let server = server();
    let mut events = Box::pin(watch(&server, &WatchParams::default(), "0").await);
    server.hold_watches();
    server.apply_as_user(&secret("one", "a"));
    let silence = tokio::time::timeout(Duration::from_secs(60), events.next()).await;
    assert!(silence.is_err());
    server.release_watches();
    assert_eq!(events.next().await.as_deref(), Some("added one"));
    server.drop_watches();
    assert_eq!(events.next().await, None);
}
