//! Against an API server that answers what each test says.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;

/// What was asked for: method, path and body.
type Asked = Arc<Mutex<Vec<(Method, String, Value)>>>;

/// Answers as many requests as there are permits, each with the next status or else with 201.
fn api_server(permits: Arc<Semaphore>, statuses: Vec<u16>) -> (Client, Asked) {
    let asked = Asked::default();
    let log = asked.clone();
    let statuses = Arc::new(Mutex::new(statuses.into_iter()));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (log, permits, statuses) = (log.clone(), permits.clone(), statuses.clone());
        async move {
            permits.acquire().await.unwrap().forget();
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let status = statuses.lock().unwrap().next().unwrap_or(201);
            let answer = if status < 300 {
                body.clone()
            } else {
                refusal(status)
            };
            let path = head.uri.path().to_owned();
            log.lock().unwrap().push((head.method, path, body));
            let response = Response::builder().status(status);
            Ok::<_, Infallible>(
                response
                    .body(Body::from(answer.to_string().into_bytes()))
                    .unwrap(),
            )
        }
    });
    (Client::new(service, "default"), asked)
}

fn refusal(status: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status})
}

fn answering() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(Semaphore::MAX_PERMITS))
}

fn token(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("handover.dev/v1alpha1".to_owned()),
        kind: Some("MachineToken".to_owned()),
        namespace: Some("web".to_owned()),
        name: Some(name.to_owned()),
        uid: Some("6f1c".to_owned()),
        ..ObjectReference::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_happening_becomes_an_event_of_the_object() {
    let (client, asked) = api_server(answering(), vec![]);
    let (recorder, publisher) = recorder(client);
    recorder.record(Happening::RotationBlocked, token("ci"), "1 Pod");
    drop(recorder);
    publisher.run().await;
    let asked = asked.lock().unwrap();
    let [(method, path, event)] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!(*method, Method::POST);
    assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/web/events");
    for (field, expected) in [
        ("type", "Warning"),
        ("reason", "RotationBlocked"),
        ("action", "Retire"),
        ("note", "1 Pod"),
        ("reportingController", "handover.dev/handover"),
    ] {
        assert_eq!(event[field], expected, "{field}");
    }
    assert_eq!(event["regarding"]["name"], "ci");
    assert_eq!(event["regarding"]["uid"], "6f1c");
}

#[tokio::test(start_paused = true)]
async fn an_event_of_a_cluster_scoped_object_lands_in_the_namespace_default() {
    let (client, asked) = api_server(answering(), vec![]);
    let (recorder, publisher) = recorder(client);
    let connection = ObjectReference {
        namespace: None,
        ..token("acme")
    };
    recorder.record(Happening::ConnectionLost, connection, "401");
    drop(recorder);
    publisher.run().await;
    let path = asked.lock().unwrap()[0].1.clone();
    assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/default/events");
}

#[tokio::test(start_paused = true)]
async fn repeated_happenings_are_one_event_with_a_count() {
    let (client, asked) = api_server(answering(), vec![]);
    let (recorder, publisher) = recorder(client);
    for _ in 0..3 {
        recorder.record(Happening::TargetDamaged, token("ci"), "edited");
    }
    drop(recorder);
    publisher.run().await;
    let asked = asked.lock().unwrap();
    let methods: Vec<_> = asked.iter().map(|(method, ..)| method).collect();
    assert_eq!(methods, [Method::POST, Method::PATCH, Method::PATCH]);
    assert_eq!(asked[2].2["series"]["count"], 3);
}

#[tokio::test(start_paused = true)]
async fn the_same_happening_with_another_note_is_another_event() {
    let (client, asked) = api_server(answering(), vec![]);
    let (recorder, publisher) = recorder(client);
    for note in ["revoked mt_1", "revoked mt_2", "revoked mt_1"] {
        recorder.record(Happening::Revoked, token("ci"), note);
    }
    drop(recorder);
    publisher.run().await;
    let asked = asked.lock().unwrap();
    let sent: Vec<_> = asked
        .iter()
        .map(|(method, _, event)| (method.clone(), event["note"].as_str().unwrap()))
        .collect();
    let expected = [
        (Method::POST, "revoked mt_1"),
        (Method::POST, "revoked mt_2"),
        (Method::PATCH, "revoked mt_1"),
    ];
    assert_eq!(sent, expected);
    assert_ne!(
        asked[0].2["metadata"]["name"],
        asked[1].2["metadata"]["name"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_event_does_not_stop_the_next() {
    let (client, asked) = api_server(answering(), vec![403, 422]);
    let (recorder, publisher) = recorder(client);
    for name in ["a", "b", "c"] {
        recorder.record(Happening::Issued, token(name), "created");
    }
    drop(recorder);
    publisher.run().await;
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_silent_api_server_holds_up_nobody_and_costs_the_oldest_events() {
    let permits = Arc::new(Semaphore::new(0));
    let (client, asked) = api_server(permits.clone(), vec![]);
    let (recorder, publisher) = recorder(client);
    for n in 0..QUEUE + 100 {
        recorder.record(Happening::Issued, token(&n.to_string()), "created");
    }
    drop(recorder);
    permits.add_permits(Semaphore::MAX_PERMITS);
    publisher.run().await;
    let asked = asked.lock().unwrap();
    let names: Vec<_> = asked
        .iter()
        .map(|(_, _, event)| event["regarding"]["name"].as_str().unwrap().to_owned())
        .collect();
    let newest: Vec<_> = (100..QUEUE + 100).map(|n| n.to_string()).collect();
    assert_eq!(names, newest);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_never_answered_is_given_up() {
    let (client, asked) = api_server(Arc::new(Semaphore::new(0)), vec![]);
    let (recorder, publisher) = recorder(client);
    recorder.record(Happening::Issued, token("ci"), "created");
    drop(recorder);
    publisher.run().await;
    assert!(asked.lock().unwrap().is_empty());
}

#[test]
fn telling_without_a_publisher_is_no_error() {
    let (sender, _) = broadcast::channel(1);
    Recorder(sender).record(Happening::Issued, token("ci"), "created");
}

#[test]
fn a_note_is_cut_between_characters_to_what_the_api_server_takes() {
    assert_eq!(cut("x".repeat(NOTE_MAX)), "x".repeat(NOTE_MAX));
    for note in [
        "x".repeat(NOTE_MAX + 1),
        "é".repeat(NOTE_MAX),
        "x€".repeat(NOTE_MAX),
    ] {
        let cut = cut(note.clone());
        assert!(
            cut.len() <= NOTE_MAX && cut.len() > NOTE_MAX - 6,
            "{}",
            cut.len()
        );
        assert!(note.starts_with(cut.strip_suffix('…').unwrap()));
    }
}

#[test]
fn reasons_and_actions_are_words_that_the_api_server_takes() {
    for happening in Happening::ALL {
        for word in [happening.reason(), happening.action()] {
            let plain = word.bytes().all(|byte| byte.is_ascii_alphabetic());
            assert!(plain && word.len() <= 128, "{word}");
        }
    }
}
