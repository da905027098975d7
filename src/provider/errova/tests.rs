//! Against a transport that answers from a script and keeps what it was sent.

use std::{
    collections::VecDeque,
    num::NonZeroU32,
    sync::{Mutex, atomic::AtomicUsize, atomic::Ordering},
    time::Duration,
};

use futures::FutureExt as _;
use http::{Response, StatusCode};
use jiff::Timestamp;
use tokio::time::Instant;

use super::*;
use crate::{
    clock::Clock,
    ledger::{
        ids::Generation,
        marker::{InstanceId, Nonce, OwnerDigits},
    },
    provider::{
        budget::Budget,
        call::{Answered, Observe},
        endpoint::{HostRules, Origin},
    },
    transport::{Transport, TransportError},
};

type Reply = Result<Response<Bytes>, TransportError>;

/// Answers in order; without an answer left it is a test's mistake.
#[derive(Default)]
struct Script {
    replies: Mutex<VecDeque<Reply>>,
    sent: Mutex<Vec<http::Request<Bytes>>>,
}

impl Script {
    fn sent(&self) -> Vec<http::Request<Bytes>> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }
}

struct Scripted(Arc<Script>);

impl Transport for Scripted {
    fn send(&self, request: http::Request<Bytes>) -> BoxFuture<'_, Reply> {
        self.0.sent.lock().unwrap().push(request);
        let reply = self.0.replies.lock().unwrap().pop_front();
        async move { reply.expect("no more than the scripted requests") }.boxed()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what a transport gives")]
fn reply(status: u16, body: &str) -> Reply {
    let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(response)
}

fn over(transport: Arc<dyn Transport>) -> Errova {
    let endpoint = Endpoint::parse(DEFAULT_URL, &HostRules::default(), Origin::Connection);
    Errova::new(
        endpoint.unwrap(),
        "acme-inc",
        AdminToken::load(b"erv_admin").unwrap(),
        Line::new(transport, budget()),
    )
    .unwrap()
}

fn budget() -> Arc<Budget> {
    Arc::new(Budget::new(
        NonZeroU32::new(6000).unwrap(),
        NonZeroU32::new(4).unwrap(),
        Clock::runtime(Timestamp::UNIX_EPOCH),
    ))
}

fn scripted(replies: impl IntoIterator<Item = Reply>) -> (Errova, Arc<Script>) {
    let script = Arc::new(Script {
        replies: Mutex::new(replies.into_iter().collect()),
        sent: Mutex::default(),
    });
    (over(Arc::new(Scripted(script.clone()))), script)
}

fn marker() -> Marker {
    Marker {
        instance: InstanceId::parse("1a2b3c4d").unwrap(),
        owner: OwnerDigits::of_uid("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0").unwrap(),
        generation: Generation(7),
        nonce: Nonce::parse("9c8b7a6f5e4d3c2b").unwrap(),
    }
}

fn create() -> CreateOnce {
    CreateOnce::for_test(marker(), Instant::now() + Duration::from_secs(30))
}

fn wish() -> Request {
    Request {
        display_name: "CI deploy token".to_owned(),
        scopes: vec!["org.read".to_owned(), "org.admin".to_owned()],
    }
}

fn condemned() -> Condemned {
    Condemned::for_test(CredentialId::parse("mt_01").unwrap())
}

fn stored(value: &str) -> Stored<SecretValue> {
    Stored::for_test(SecretValue::new(value.to_owned()))
}

async fn issue(reply: Reply) -> Outcome {
    let (errova, _) = scripted([reply]);
    errova.issue(create(), &wish()).await
}

/// Id, value and flaw of an issue that should have come out well.
fn issued(outcome: Outcome) -> (String, String, Option<Flaw>) {
    match outcome {
        Outcome::Issued(i) => (i.id.to_string(), i.value.expose().to_owned(), i.flaw),
        other => panic!("not issued: {other:?}"),
    }
}

fn refused(outcome: Outcome) -> Refusal {
    match outcome {
        Outcome::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn unknown(outcome: Outcome) -> (Option<String>, bool) {
    match outcome {
        Outcome::Unknown(u) => (u.id.map(String::from), u.unreadable),
        other => panic!("not unknown: {other:?}"),
    }
}

const OWN: &str = r#"{"error":{"code":"forbidden","message":"no"}}"#;

#[tokio::test(start_paused = true)]
async fn a_create_is_one_post_that_carries_the_marker() {
    let (errova, script) = scripted([reply(201, r#"{"id":"mt_01","tokenSecret":"erv_new"}"#)]);
    let outcome = errova.issue(create(), &wish()).await;
    assert_eq!(
        issued(outcome),
        ("mt_01".to_owned(), "erv_new".to_owned(), None)
    );
    let [sent] = &script.sent()[..] else {
        panic!("one request")
    };
    assert_eq!(sent.method(), Method::POST);
    assert_eq!(
        sent.uri(),
        "https://api.errova.com/api/organizations/acme-inc/machine-tokens"
    );
    assert_eq!(sent.headers()["authorization"], "Bearer erv_admin");
    assert!(sent.headers()["authorization"].is_sensitive());
    assert_eq!(sent.headers()["idempotency-key"], "9c8b7a6f5e4d3c2b");
    assert_eq!(sent.headers()["content-type"], "application/json");
    let body: Value = serde_json::from_slice(sent.body()).unwrap();
    let expected = serde_json::json!({
        "label": "1a2b3c4d:0f1e2d3c4b5a:7:9c8b7a6f5e4d3c2b CI deploy token",
        "scopes": ["org.read", "org.admin"],
    });
    assert_eq!(body, expected);
}

#[tokio::test(start_paused = true)]
async fn every_documented_and_guessed_shape_is_read() {
    for body in [
        r#"{"tokenSecret":"erv_new","tokenId":"mt_01"}"#,
        r#"{"machineTokenId":"mt_01","tokenSecret":"erv_new","lastUsedAt":null}"#,
        r#"{"machineToken":{"id":"mt_01","tokenSecret":"erv_new"}}"#,
        r#"{"token":{"id":"mt_01","tokenSecret":"erv_new"}}"#,
        r#"{"data":{"id":"mt_01","tokenSecret":"erv_new"}}"#,
        r#"{"id":"req_9","data":{"id":"mt_01","tokenSecret":"erv_new"}}"#,
        r#"{"data":{"id":"mt_01"},"tokenSecret":"erv_new"}"#,
    ] {
        let (id, value, flaw) = issued(issue(reply(200, body)).await);
        assert_eq!((&*id, &*value, flaw), ("mt_01", "erv_new", None), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_echo_that_differs_is_a_flaw() {
    let label = "1a2b3c4d:0f1e2d3c4b5a:7:9c8b7a6f5e4d3c2b";
    for (echo, expected) in [
        (format!(r#""label":"{label} CI dep""#), None),
        (format!(r#""label":"{label}""#), None),
        (
            r#""label":"CI deploy token""#.to_owned(),
            Some(Flaw::WrongLabel),
        ),
        (format!(r#""label":"{label}0""#), Some(Flaw::WrongLabel)),
        (
            r#""label":"1a2b3c4d:0f1e2d3c4b5a:7:9c8b7a6f5e4d3c2a x""#.to_owned(),
            Some(Flaw::WrongLabel),
        ),
        (
            r#""scopes":["org.admin","org.read","org.read"]"#.to_owned(),
            None,
        ),
        (
            r#""scopes":["org.admin"]"#.to_owned(),
            Some(Flaw::WrongScopes),
        ),
        (r#""scopes":[]"#.to_owned(), Some(Flaw::WrongScopes)),
        (
            r#""scopes":["org.admin","org.read","org.owner"]"#.to_owned(),
            Some(Flaw::WrongScopes),
        ),
        (r#""scopes":null,"label":null"#.to_owned(), None),
    ] {
        let body = format!(r#"{{"id":"mt_01","tokenSecret":"erv_new",{echo}}}"#);
        assert_eq!(issued(issue(reply(201, &body)).await).2, expected, "{echo}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_110_a_damaged_2xx_is_unknown_and_gives_the_id_if_it_can() {
    let with_id = |id: &str| (Some(id.to_owned()), true);
    let long = format!(r#"{{"id":"mt_01","tokenSecret":"{}"}}"#, "x".repeat(5000));
    for (body, expected) in [
        ("", (None, true)),
        ("<html>welcome</html>", (None, true)),
        ("[]", (None, true)),
        (r#"{"tokenSecret":"erv_new"}"#, (None, true)),
        (r#"{"id":"mt_01"}"#, with_id("mt_01")),
        (r#"{"data":{"tokenId":"mt_01"}}"#, with_id("mt_01")),
        (r#"{"id":"mt_01","tokenSecret":null}"#, with_id("mt_01")),
        (
            r#"{"id":"mt_01","tokenSecret":["erv_new"]}"#,
            with_id("mt_01"),
        ),
        (r#"{"id":"mt_01","tokenSecret":""}"#, with_id("mt_01")),
        (
            r#"{"id":"mt_01","tokenSecret":"erv\nnew"}"#,
            with_id("mt_01"),
        ),
        (
            r#"{"id":"mt_01","tokenSecret":"erv new"}"#,
            with_id("mt_01"),
        ),
        (r#"{"id":"mt_01","tokenSecret":"erv_ne"#, with_id("mt_01")),
        (
            r#"{"id":"mt_01","tokenSecret":"erv_new","#,
            with_id("mt_01"),
        ),
        (
            r#"{"id":"mt_01","tokenSecret":"erv_new"}x"#,
            with_id("mt_01"),
        ),
        (r#"{"id":"../mt_01","tokenSecret":"erv_new"}"#, (None, true)),
        (r#"{"id":"..","tokenSecret":"erv_new"}"#, (None, true)),
        (r#"{"id":"","tokenSecret":"erv_new"}"#, (None, true)),
        (&long, with_id("mt_01")),
    ] {
        assert_eq!(
            unknown(issue(reply(201, body)).await),
            expected,
            "{body:.80}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_110_our_own_admin_token_is_never_taken_for_a_new_one() {
    let outcome = issue(reply(201, r#"{"id":"mt_01","tokenSecret":"erv_admin"}"#)).await;
    assert_eq!(unknown(outcome), (None, true));
}

#[tokio::test(start_paused = true)]
async fn a_create_that_is_not_accepted_means_what_its_class_says() {
    for (status, refusal) in [
        (401, Refusal::Unauthenticated),
        (403, Refusal::Forbidden),
        (422, Refusal::Rejected(422)),
        (429, Refusal::Throttled),
    ] {
        assert_eq!(refused(issue(reply(status, OWN)).await), refusal);
        assert_eq!(unknown(issue(reply(status, "<html>")).await), (None, false));
    }
    assert_eq!(
        refused(issue(Err(TransportError::NotSent)).await),
        Refusal::NotSent
    );
    for answer in [
        Err(TransportError::Unknown),
        reply(500, OWN),
        reply(409, OWN),
    ] {
        assert_eq!(unknown(issue(answer).await), (None, false));
    }
}

#[tokio::test(start_paused = true)]
async fn a_130_a_late_create_is_not_sent() {
    let (errova, script) = scripted([]);
    let late = CreateOnce::for_test(marker(), Instant::now());
    assert_eq!(refused(errova.issue(late, &wish()).await), Refusal::NotSent);
    assert!(script.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_create_waits_no_longer_than_it_may() {
    struct Hanging(AtomicUsize);
    impl Transport for Hanging {
        fn send(&self, _: http::Request<Bytes>) -> BoxFuture<'_, Reply> {
            self.0.fetch_add(1, Ordering::SeqCst);
            std::future::pending().boxed()
        }
    }
    let hanging = Arc::new(Hanging(AtomicUsize::new(0)));
    let errova = over(hanging.clone());
    let request = wish();
    let busy: Vec<_> = (0..4).map(|_| condemned()).collect();
    let mut in_flight: Vec<_> = busy.iter().map(|c| errova.revoke(c)).collect();
    for call in &mut in_flight {
        assert!(call.now_or_never().is_none());
    }
    let begun = Instant::now();
    let outcome = errova.issue(create(), &request).await;
    assert_eq!(refused(outcome), Refusal::NotSent);
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
    assert_eq!(hanging.0.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn a_93_one_429_holds_back_every_other_call() {
    let (errova, script) = scripted([reply(429, OWN)]);
    let outcome = errova.issue(create(), &wish()).await;
    assert_eq!(refused(outcome), Refusal::Throttled);
    let outcome = errova.issue(create(), &wish()).await;
    assert_eq!(refused(outcome), Refusal::Throttled);
    let probed = errova.probe(&stored("erv_new")).await;
    assert_eq!(probed, Err(ProviderError::Throttled));
    assert_eq!(script.sent().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_93_an_answer_that_serves_ends_the_doubling() {
    let (errova, script) = scripted([
        reply(429, OWN),
        reply(404, OWN),
        reply(429, OWN),
        reply(404, OWN),
    ]);
    let minute = Duration::from_secs(60);
    for throttled in [true, false, true, false] {
        let result = errova.authenticate().await;
        assert_eq!(result == Err(ProviderError::Throttled), throttled);
        if throttled {
            tokio::time::advance(minute).await;
        }
    }
    assert_eq!(script.sent().len(), 4);
}

#[test]
fn only_an_object_with_a_known_member_is_errovas_own_error() {
    for own in [
        OWN,
        r#"{"statusCode":403}"#,
        r#"{"errors":[]}"#,
        r#"{"message":"no","x":1}"#,
    ] {
        assert!(own_shape(&serde_json::from_str(own).unwrap()), "{own}");
    }
    for foreign in [
        "{}",
        "[]",
        "null",
        "\"error\"",
        r#"["error"]"#,
        r#"{"Error":1,"login":"/"}"#,
    ] {
        assert!(
            !own_shape(&serde_json::from_str(foreign).unwrap()),
            "{foreign}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_uses_the_value_and_hurts_nothing() {
    let (errova, script) = scripted([reply(404, OWN)]);
    assert_eq!(errova.probe(&stored("erv_new")).await, Ok(Probed::Accepted));
    let sent = script.sent().remove(0);
    assert_eq!(sent.method(), Method::PATCH);
    assert_eq!(sent.headers()["authorization"], "Bearer erv_new");
    assert_eq!(&sent.body()[..], b"{}");
    let path = sent.uri().path();
    let nonce = path
        .strip_prefix("/api/organizations/acme-inc/projects/handover-probe-")
        .and_then(|rest| rest.strip_suffix("/keys/0"))
        .unwrap();
    assert!(Nonce::parse(nonce).is_ok(), "{path}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_says_only_what_the_answer_proves() {
    let accepted = [200, 204, 400, 403, 404, 405, 409, 410, 422];
    let cases = accepted
        .map(|status| (reply(status, OWN), Ok(Probed::Accepted)))
        .into_iter()
        .chain([
            (reply(401, OWN), Ok(Probed::Refused)),
            (reply(200, "<html>"), Err(ProviderError::Unavailable)),
            (reply(401, "<html>"), Err(ProviderError::Unavailable)),
            (reply(404, "<html>"), Err(ProviderError::Unavailable)),
            (reply(302, ""), Err(ProviderError::Unavailable)),
            (reply(500, OWN), Err(ProviderError::Unavailable)),
            (reply(429, OWN), Err(ProviderError::Throttled)),
            (Err(TransportError::NotSent), Err(ProviderError::NotSent)),
            (
                Err(TransportError::Unknown),
                Err(ProviderError::Unavailable),
            ),
        ]);
    for (answer, expected) in cases {
        let (errova, _) = scripted([answer]);
        assert_eq!(errova.probe(&stored("erv_new")).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_admin_credential_authenticates_even_where_it_may_not() {
    for (answer, expected) in [
        (reply(403, OWN), Ok(())),
        (reply(404, OWN), Ok(())),
        (reply(401, OWN), Err(ProviderError::Unauthenticated)),
        (reply(401, ""), Err(ProviderError::Unavailable)),
    ] {
        let (errova, script) = scripted([answer]);
        assert_eq!(errova.authenticate().await, expected);
        assert_eq!(
            script.sent()[0].headers()["authorization"],
            "Bearer erv_admin"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_gone_when_deleted_or_twice_not_there() {
    for (replies, calls) in [
        (vec![reply(204, "")], 1),
        (vec![reply(200, "OK")], 1),
        (vec![reply(404, OWN), reply(404, OWN)], 2),
        (vec![reply(404, OWN), reply(410, OWN)], 2),
        (vec![reply(410, OWN), reply(204, "")], 2),
    ] {
        let (errova, script) = scripted(replies);
        assert_eq!(errova.revoke(&condemned()).await, Ok(Gone));
        let sent = script.sent();
        assert_eq!(sent.len(), calls);
        for request in sent {
            assert_eq!(request.method(), Method::DELETE);
            assert_eq!(
                request.uri(),
                "https://api.errova.com/api/organizations/acme-inc/machine-tokens/mt_01"
            );
            assert_eq!(request.headers()["authorization"], "Bearer erv_admin");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_else_proves_that_a_token_is_gone() {
    for (replies, error) in [
        (vec![reply(404, "<html>")], ProviderError::Unavailable),
        (vec![reply(200, "<html>")], ProviderError::Unavailable),
        (
            vec![reply(404, OWN), reply(404, "")],
            ProviderError::Unavailable,
        ),
        (
            vec![reply(404, OWN), reply(500, OWN)],
            ProviderError::Unavailable,
        ),
        (
            vec![reply(404, OWN), Err(TransportError::Unknown)],
            ProviderError::Unavailable,
        ),
        (vec![reply(401, OWN)], ProviderError::Unauthenticated),
        (vec![reply(403, OWN)], ProviderError::Forbidden),
        (vec![reply(409, OWN)], ProviderError::Rejected(409)),
        (vec![reply(405, OWN)], ProviderError::Rejected(405)),
        (vec![reply(302, "")], ProviderError::Unavailable),
        (vec![Err(TransportError::NotSent)], ProviderError::NotSent),
    ] {
        let (errova, _) = scripted(replies);
        assert_eq!(errova.revoke(&condemned()).await, Err(error));
    }
}

#[test]
fn an_organization_that_cannot_stand_in_a_path_is_refused() {
    let (errova, _) = scripted([]);
    for organization in ["", "..", "acme/../other", "acme inc"] {
        let refused = Errova::new(
            errova.endpoint.clone(),
            organization,
            AdminToken::load(b"erv_admin").unwrap(),
            errova.line.clone(),
        );
        assert!(refused.is_err(), "{organization}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_value_can_be_printed() {
    let (errova, _) = scripted([reply(201, r#"{"id":"mt_01","tokenSecret":"canary"}"#)]);
    let outcome = errova.issue(create(), &wish()).await;
    let printed = format!("{outcome:?} {errova:?} {:?}", stored("canary"));
    assert!(
        !printed.contains("canary") && !printed.contains("erv_admin"),
        "{printed}"
    );
}

#[tokio::test(start_paused = true)]
async fn every_request_is_observed_once() {
    #[derive(Default)]
    struct Seen(Mutex<Vec<(&'static str, Answered)>>);
    impl Observe for Seen {
        fn observe(&self, operation: Operation, answered: Answered, _: Duration) {
            self.0.lock().unwrap().push((operation.as_str(), answered));
        }
    }
    let (mut errova, _) = scripted([
        reply(201, ""),
        reply(401, OWN),
        reply(404, "<html>"),
        Err(TransportError::NotSent),
        reply(429, OWN),
    ]);
    let seen = Arc::new(Seen::default());
    errova.line = errova.line.observed_by(seen.clone());
    errova.issue(create(), &wish()).await;
    let _ = errova.probe(&stored("erv_new")).await;
    let _ = errova.revoke(&condemned()).await;
    let _ = errova.authenticate().await;
    let _ = errova.authenticate().await;
    let _ = errova.authenticate().await; // held back, so no request
    let expected = [
        ("machineToken.create", Answered::Ok),
        ("auth.check", Answered::Rejected),
        ("machineToken.delete", Answered::Ambiguous),
        ("auth.check", Answered::NotSent),
        ("auth.check", Answered::Throttled),
    ];
    assert_eq!(*seen.0.lock().unwrap(), expected);
}
