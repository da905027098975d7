//! Faults, refusals, the log and the checks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    core::v1::Secret,
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::{refusal, secret, server};
use crate::support::apiserver::{ApiServer, Entry, LATENCY, Phase, RequestInfo, Verb, Verdict};

fn secrets(server: &ApiServer) -> Api<Secret> {
    Api::namespaced(server.client("operator"), "team-a")
}

/// One create under this verdict, at this phase.
async fn create_under(verdict: Verdict, at: Phase) -> (ApiServer, Result<Secret, kube::Error>) {
    let server = server();
    server.on_request(move |_, phase| if phase == at { verdict } else { Verdict::Pass });
    let created = secrets(&server)
        .create(&PostParams::default(), &secret("one", "a"))
        .await;
    (server, created)
}

fn exists(server: &ApiServer) -> bool {
    server.get::<Secret>("team-a", "one").is_some()
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_not_carried_out_and_a_lost_response_is() {
    for (verdict, phase, applied) in [
        (Verdict::LoseRequest, Phase::Before, false),
        (Verdict::LoseResponse, Phase::Before, true),
        (Verdict::LoseResponse, Phase::After, true),
    ] {
        let (server, created) = create_under(verdict, phase).await;
        assert!(!matches!(created.unwrap_err(), kube::Error::Api(_)));
        assert_eq!(exists(&server), applied, "{verdict:?} {phase:?}");
        assert_eq!(server.log()[0].code, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_comes_instead_of_the_write_or_after_it() {
    for (phase, applied) in [(Phase::Before, false), (Phase::After, true)] {
        let (server, created) = create_under(Verdict::Fail(503), phase).await;
        assert_eq!(refusal(created).code, 503);
        assert_eq!(exists(&server), applied);
        assert_eq!(server.log()[0].code, Some(503));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_request_never_answers_and_a_late_one_answers_late() {
    let server = server();
    let slow = |request: &RequestInfo, _| match request.name.as_deref() {
        Some("hangs") => Verdict::Hang,
        _ => Verdict::Delay(Duration::from_secs(30)),
    };
    server.on_request(slow);
    let (secrets, hour) = (secrets(&server), Duration::from_secs(3600));
    assert!(timeout(hour, secrets.get("hangs")).await.is_err());
    let begun = Instant::now();
    secrets.get("late").await.unwrap_err();
    let twice = Duration::from_secs(60);
    assert_eq!(begun.elapsed(), LATENCY + twice, "before and after");
}

#[tokio::test(start_paused = true)]
async fn what_has_arrived_is_carried_out_although_the_client_gave_up() {
    let server = server();
    server.on_request(|_, phase| match phase {
        Phase::Before => Verdict::Delay(Duration::from_secs(600)),
        Phase::After => Verdict::Pass,
    });
    let (secrets, params, object) = (secrets(&server), PostParams::default(), secret("one", "a"));
    let create = timeout(Duration::from_secs(30), secrets.create(&params, &object));
    assert!(create.await.is_err());
    assert!(!exists(&server));
    sleep(Duration::from_secs(600)).await;
    assert!(exists(&server));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_on_demand_quotes_what_was_sent() {
    let (_, created) = create_under(Verdict::Fail(422), Phase::Before).await;
    let sent = serde_json::to_value(secret("one", "a")).unwrap()["data"]["token"].to_string();
    assert!(created.unwrap_err().to_string().contains(&sent));
}

#[tokio::test(start_paused = true)]
async fn an_operator_can_be_stopped_between_any_two_requests() {
    let server = server();
    let crash_after = 3;
    let seen = Arc::new(AtomicUsize::new(0));
    let (count, secrets) = (seen.clone(), secrets(&server));
    let operator = tokio::spawn(async move {
        for number in 0..10 {
            let object = secret(&format!("s{number}"), "a");
            secrets
                .create(&PostParams::default(), &object)
                .await
                .unwrap();
        }
    });
    let stop = operator.abort_handle();
    server.on_request(move |_, phase| {
        if phase == Phase::After && count.fetch_add(1, Ordering::Relaxed) + 1 == crash_after {
            stop.abort();
            return Verdict::Hang;
        }
        Verdict::Pass
    });
    assert!(operator.await.unwrap_err().is_cancelled());
    assert_eq!(server.list::<Secret>().len(), 3);
    assert_eq!(seen.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn the_log_names_each_request_and_its_answer() {
    let server = server();
    let secrets = secrets(&server);
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    secrets.create(&dry, &secret("one", "a")).await.unwrap();
    assert!(!exists(&server));
    secrets
        .create(&PostParams::default(), &secret("one", "a"))
        .await
        .unwrap();
    secrets.create(&dry, &secret("one", "a")).await.unwrap_err();
    secrets.list(&ListParams::default()).await.unwrap();
    secrets
        .delete("one", &DeleteParams::default())
        .await
        .unwrap();
    let lines: Vec<String> = server.log().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "#1 2026-01-31T23:59:00Z operator create secrets team-a/one (dry run) 201",
            "#2 2026-01-31T23:59:00.002Z operator create secrets team-a/one 201",
            "#3 2026-01-31T23:59:00.004Z operator create secrets team-a/one (dry run) 409",
            "#4 2026-01-31T23:59:00.006Z operator list secrets team-a/ 200",
            "#5 2026-01-31T23:59:00.008Z operator delete secrets team-a/one 200",
        ]
    );
    let is_write = |entry: &Entry| entry.request.verb.writes() && !entry.request.dry_run;
    assert_eq!(server.count(is_write), 2);
}

async fn may(client: &Client, verb: &str, namespace: &str) -> bool {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.into()),
                resource: Some("secrets".into()),
                namespace: Some(namespace.into()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let answer = Api::all(client.clone())
        .create(&PostParams::default(), &review)
        .await
        .unwrap();
    answer.status.unwrap().allowed
}

#[tokio::test(start_paused = true)]
async fn a_denied_right_is_refused_and_the_review_says_so() {
    let server = server();
    let client = server.client("operator");
    server.deny(Verb::Patch, "secrets", Some("team-a"));
    server.apply_as_user(&secret("one", "a"));
    let patch = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let patched = secrets(&server)
        .patch("one", &PatchParams::default(), &patch)
        .await;
    let status = refusal(patched);
    assert!(status.is_forbidden());
    assert!(
        status.message.contains(
            r#"User "operator" cannot patch resource "secrets" in API group "" in the namespace "team-a""#
        ),
        "{}",
 status.message
    );
    assert!(!may(&client, "patch", "team-a").await);
    assert!(may(&client, "patch", "team-b").await);
    assert!(may(&client, "get", "team-a").await);
    server.allow(Verb::Patch, "secrets", Some("team-a"));
    assert!(may(&client, "patch", "team-a").await);
    secrets(&server)
        .patch("one", &PatchParams::default(), &patch)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn checks_run_after_every_request_and_keep_what_they_find() {
    let server = server();
    server.check_always(|server, _| match server.list::<Secret>().len() {
        0 | 1 => Ok(()),
        many => Err(format!("{many} Secrets")),
    });
    let secrets = secrets(&server);
    secrets
        .create(&PostParams::default(), &secret("one", "a"))
        .await
        .unwrap();
    assert!(server.violations().is_empty());
    secrets
        .create(&PostParams::default(), &secret("two", "a"))
        .await
        .unwrap();
    secrets
        .delete("two", &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(
        server.violations(),
        ["after #2 2026-01-31T23:59:00.002Z operator create secrets team-a/two: 2 Secrets"]
    );
}
