//! Creating: names, versions, deadlines, dry runs.

use k8s_openapi::api::core::v1::Secret;
use kube::{Client, Resource as _, api::PostParams, core::Request};

use super::{secret, secrets, stored, text_of};

/// The two questions must not be confused: both are 409.
pub(crate) async fn creating_an_existing_name_is_already_exists_and_not_a_conflict(
    client: &Client,
    namespace: &str,
) {
    let api = secrets(client, namespace);
    stored(&api, "twice", "first").await;
    let again = api
        .create(&PostParams::default(), &secret("twice", "second"))
        .await;
    let Err(kube::Error::Api(status)) = again else {
        panic!("expected a refusal, got {again:?}");
    };
    assert_eq!(status.code, 409);
    assert!(status.is_already_exists());
    assert!(!status.is_conflict());
    assert_eq!(text_of(&api, "twice").await, "first");
}

/// A create that carries a version is a bug of the caller, and the server says so as one of its own.
pub(crate) async fn creating_with_a_version_is_a_server_error(client: &Client, namespace: &str) {
    let api = secrets(client, namespace);
    let mut versioned = secret("versioned", "text");
    versioned.metadata.resource_version = Some("1".to_owned());
    let created = api.create(&PostParams::default(), &versioned).await;
    assert_eq!(super::code(created), 500);
    assert!(api.get_opt("versioned").await.unwrap().is_none());
}

/// The server cuts the request off, and the caller cannot know whether it was carried out. Often it
/// breaks the connection instead of answering, and sometimes it is quick enough; but no other status
/// comes, and that one does.
pub(crate) async fn a_deadline_that_has_passed_is_a_timeout(client: &Client, namespace: &str) {
    for attempt in 0..500 {
        match create_within(client, namespace, &format!("late-{attempt}"), "1ms").await {
            Ok(_) | Err(kube::Error::Service(_) | kube::Error::HyperError(_)) => {}
            Err(kube::Error::Api(status)) => {
                assert_eq!(status.code, 504, "{status:?}");
                return;
            }
            Err(other) => panic!("expected an answer or none, got {other:?}"),
        }
    }
    panic!("none of many creates was cut off after a millisecond");
}

/// Zero does not mean "at once": whoever computes a deadline must never send it.
pub(crate) async fn a_deadline_of_zero_is_no_deadline(client: &Client, namespace: &str) {
    create_within(client, namespace, "zero", "0s")
        .await
        .expect("zero is not a deadline");
    assert_eq!(text_of(&secrets(client, namespace), "zero").await, "text");
}

/// So that a dry run can ask whether a name is taken.
pub(crate) async fn a_dry_run_create_of_an_existing_name_is_refused(
    client: &Client,
    namespace: &str,
) {
    let api = secrets(client, namespace);
    stored(&api, "taken", "text").await;
    let dry = api.create(&dry_run(), &secret("taken", "other")).await;
    assert_eq!(super::code(dry), 409);
}

/// A dry run is answered as if it had been done.
pub(crate) async fn a_dry_run_create_leaves_nothing(client: &Client, namespace: &str) {
    let api = secrets(client, namespace);
    let reply = api
        .create(&dry_run(), &secret("imagined", "text"))
        .await
        .expect("a dry run of a legal create succeeds");
    assert_eq!(reply.metadata.name.as_deref(), Some("imagined"));
    assert!(api.get_opt("imagined").await.unwrap().is_none());
}

fn dry_run() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

/// `PostParams` has no deadline, so the URI is extended.
async fn create_within(
    client: &Client,
    namespace: &str,
    name: &str,
    timeout: &str,
) -> Result<Secret, kube::Error> {
    let body = serde_json::to_vec(&secret(name, "text")).unwrap();
    let mut request = Request::new(Secret::url_path(&(), Some(namespace)))
        .create(&PostParams::default(), body)
        .unwrap();
    *request.uri_mut() = format!("{}timeout={timeout}", request.uri())
        .parse()
        .unwrap();
    client.request(request).await
}
