//! Errova's own behaviour: what is documented, and each knob.

use super::*;
use crate::simulator::errova::{
    CookieAndBearer, CreateExpiry, DuplicateName, Encoding, ErrorShape, ExpiredKey, Idempotency,
    Intake, Lists, LongLabel, Nesting, NullExpiry, Permission, Presence, Resolution, Rotation,
    SessionCover, SignKnobs,
};

#[tokio::test(start_paused = true)]
async fn a_token_lives_from_create_to_delete() {
    let client = Client::new();
    client.tune(|knobs| knobs.revoke_lag_seconds = 0);
    let answer = client.create_token("ci").await.unwrap();
    assert_eq!(answer.status(), 201);
    let token = body(&answer);
    let (id, value) = (text(&token["id"]), text(&token["tokenSecret"]));
    assert_eq!(token["createdAt"], "2026-01-15T00:00:00Z");
    assert!(value.starts_with("erv_") && value.contains(CANARY));
    assert_eq!(client.probe(value).await, 404);
    assert!(client.simulator.authenticates(value));
    assert_eq!(client.delete_token(id).await.unwrap().status(), 204);
    assert_eq!(client.probe(value).await, 401);
    assert!(!client.simulator.authenticates(value));
    let again = client.delete_token(id).await.unwrap();
    assert_eq!(again.status(), 404);
    assert!(body(&again)["error"].is_object());
    let audit = client.simulator.audit();
    let ops: Vec<_> = audit.iter().filter_map(|entry| entry.op).collect();
    assert_eq!(
        ops,
        [
            Operation::TokenCreate,
            Operation::AuthCheck,
            Operation::TokenDelete,
            Operation::AuthCheck,
            Operation::TokenDelete
        ]
    );
    assert_eq!(audit[2].label.as_deref(), Some("ci"));
    assert_eq!(audit[2].id.as_deref(), Some(id));
}

#[tokio::test(start_paused = true)]
async fn a_reading_token_authenticates_and_changes_nothing() {
    let client = Client::new();
    let reader = json!({"label": "inventory", "scopes": ["org.read"]});
    let reader = body(&client.post("machine-tokens", reader).await.unwrap());
    let reader = text(&reader["tokenSecret"]);
    let probed = client.send(
        Method::PATCH,
        "projects/handover-probe-0a/keys/0",
        reader,
        "{}",
    );
    let probed = probed.await.unwrap();
    assert_eq!(probed.status(), 403);
    assert!(body(&probed)["error"].is_object());
    let project = r#"{"name": "Web"}"#;
    let refused = client.send(Method::POST, "projects", reader, project).await;
    assert_eq!(refused.unwrap().status(), 403);
    assert!(client.simulator.projects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn requests_that_make_no_sense_are_refused() {
    let client = Client::new();
    for (path, sent) in [
        ("machine-tokens", json!({"scopes": ["org.admin"]})),
        ("machine-tokens", json!({"label": "x", "scopes": []})),
        (
            "machine-tokens",
            json!({"label": "x", "scopes": ["org.owner"]}),
        ),
        ("machine-tokens", json!([])),
        ("projects", json!({"platform": "go"})),
    ] {
        assert_eq!(client.post(path, sent).await.unwrap().status(), 400);
    }
    assert_eq!(client.post("teams", json!({})).await.unwrap().status(), 404);
    assert_eq!(client.simulator.truth().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_others_is_out_of_reach() {
    let client = Client::new();
    let key = client.create_key("server_signed").await;
    let other = json!({"name": "Other"});
    client.post("projects", other).await.unwrap();
    let elsewhere = format!("projects/other/keys/{}", text(&key["id"]));
    let change = r#"{"expiresAt": "2026-02-14T00:00:00Z"}"#;
    let answer = client.send(Method::PATCH, &elsewhere, ADMIN, change).await;
    assert_eq!(answer.unwrap().status(), 404);
    assert_eq!(client.truth_of("ingest")[0].expires_at, None);
    let not_a_token = client.delete_token(text(&key["id"])).await;
    assert_eq!(not_a_token.unwrap().status(), 404);
    let stranger = Request::post("/errova/api/organizations/other-inc/projects")
        .header("authorization", format!("Bearer {ADMIN}"))
        .body(Bytes::from_static(br#"{"name": "Third"}"#));
    let answer = client.transport.send(stranger.unwrap()).await;
    assert_eq!(answer.unwrap().status(), 403);
    assert_eq!(client.simulator.projects().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_expired_key_is_accepted_for_the_lag() {
    let client = Client::new();
    let key = client.create_key("server_signed").await;
    let change = json!({"expiresAt": "2026-01-15T00:01:00Z"});
    client.change_key(&key["id"], change).await.unwrap();
    client.simulator.clock().advance(Duration::from_secs(89));
    assert!(client.simulator.authenticates(text(&key["secret"])));
    client.simulator.clock().advance(Duration::from_secs(1));
    assert!(!client.simulator.authenticates(text(&key["secret"])));
}

#[tokio::test(start_paused = true)]
async fn keys_go_with_their_project() {
    let client = Client::new();
    client.tune(|knobs| {
        knobs.project.delete = Presence::Present;
        knobs.revoke_lag_seconds = 0;
    });
    let key = client.create_key("server_signed").await;
    let deleted = client.send(Method::DELETE, "projects/web", ADMIN, "").await;
    assert_eq!(deleted.unwrap().status(), 204);
    assert!(!client.simulator.authenticates(text(&key["secret"])));
    assert!(client.simulator.authenticates(ADMIN));
}

#[tokio::test(start_paused = true)]
async fn foreign_credentials_look_like_any_other() {
    let client = Client::new();
    let label = "1a2b3c4d:0f1e2d3c4b5a:7:9c8b7a6f5e4d3c2";
    let id = client.simulator.seed_foreign(label);
    let truth = client.truth_of(label);
    assert_eq!(
        (truth[0].id.as_str(), truth[0].authenticates),
        (id.as_str(), true)
    );
}

#[tokio::test(start_paused = true)]
async fn tokens_may_or_may_not_manage_tokens_and_themselves() {
    let client = Client::new();
    client.tune(|knobs| {
        knobs.token.create_with_bearer = Permission::Deny;
        knobs.token.self_delete = Permission::Deny;
        knobs.token.self_rotate = Permission::Deny;
        knobs.revoke_lag_seconds = 0;
    });
    let rotate = format!("machine-tokens/{}/rotate", client.admin_id);
    assert_eq!(client.create_token("ci").await.unwrap().status(), 403);
    assert_eq!(
        client
            .delete_token(&client.admin_id)
            .await
            .unwrap()
            .status(),
        403
    );
    assert_eq!(client.post(&rotate, json!({})).await.unwrap().status(), 403);
    assert!(client.simulator.authenticates(ADMIN));
    client.tune(|knobs| knobs.token.self_delete = Permission::Allow);
    assert_eq!(
        client
            .delete_token(&client.admin_id)
            .await
            .unwrap()
            .status(),
        204
    );
    assert!(!client.simulator.authenticates(ADMIN));
}

#[tokio::test(start_paused = true)]
async fn rotation_in_place_kills_the_old_value_at_once_or_later_or_is_not_there() {
    let rotated = async |rotation: Rotation| {
        let client = Client::new();
        client.tune(|knobs| knobs.token.rotate = rotation);
        let token = body(&client.create_token("ci").await.unwrap());
        let path = format!("machine-tokens/{}/rotate", text(&token["id"]));
        let answer = client.post(&path, json!({})).await.unwrap();
        (client, token, answer)
    };
    let (client, old, answer) = rotated(Rotation::default()).await;
    let new = body(&answer);
    assert_eq!(new["id"], old["id"]);
    assert_eq!(client.probe(text(&old["tokenSecret"])).await, 401);
    assert_eq!(client.probe(text(&new["tokenSecret"])).await, 404);

    let later = Rotation {
        grace_seconds: 60,
        new_id: true,
        ..Rotation::default()
    };
    let (client, old, answer) = rotated(later).await;
    let new = body(&answer);
    assert_ne!(new["id"], old["id"]);
    assert_eq!(client.probe(text(&old["tokenSecret"])).await, 404);
    client.simulator.clock().advance(Duration::from_secs(60));
    assert_eq!(client.probe(text(&old["tokenSecret"])).await, 401);
    assert_eq!(
        client
            .delete_token(text(&old["id"]))
            .await
            .unwrap()
            .status(),
        404
    );
    assert_eq!(
        client
            .delete_token(text(&new["id"]))
            .await
            .unwrap()
            .status(),
        204
    );

    let (client, old, answer) = rotated(Rotation {
        present: false,
        ..Rotation::default()
    })
    .await;
    assert_eq!(answer.status(), 404);
    assert_eq!(client.probe(text(&old["tokenSecret"])).await, 404);
}

#[tokio::test(start_paused = true)]
async fn lags_stand_between_an_answer_and_its_effect() {
    let client = Client::new();
    client.tune(|knobs| knobs.verify_lag_seconds = 10);
    let token = body(&client.create_token("ci").await.unwrap());
    let value = text(&token["tokenSecret"]);
    assert_eq!(client.probe(value).await, 401);
    client.simulator.clock().advance(Duration::from_secs(10));
    assert_eq!(client.probe(value).await, 404);
    client.delete_token(text(&token["id"])).await.unwrap();
    client.simulator.clock().advance(Duration::from_secs(29));
    assert_eq!(client.probe(value).await, 404);
    client.simulator.clock().advance(Duration::from_secs(1));
    assert_eq!(client.probe(value).await, 401);
}

#[tokio::test(start_paused = true)]
async fn lists_are_absent_until_the_knob_says_otherwise() {
    let client = Client::new();
    client.create_key("browser_public").await;
    for path in ["machine-tokens", "projects", "projects/web/keys"] {
        let status = async |list| {
            client.tune(|knobs| knobs.list = list);
            let answer = client.send(Method::GET, path, ADMIN, "").await;
            answer.unwrap().status()
        };
        assert_eq!(status(Lists::Absent404).await, 404);
        assert_eq!(status(Lists::Absent405).await, 405);
        assert_eq!(status(Lists::Present).await, 200);
        assert_eq!(client.list(path).await.len(), 1);
    }
    client.tune(|knobs| knobs.list = Lists::PresentWithoutLabels);
    let items = client.list("machine-tokens").await;
    assert_eq!(text(&items[0]["id"]), client.admin_id);
    assert!(items[0].get("label").is_none());
}

#[tokio::test(start_paused = true)]
async fn undocumented_routes_follow_their_knobs() {
    let client = Client::new();
    let key = client.create_key("browser_public").await;
    let key = format!("projects/web/keys/{}", text(&key["id"]));
    let status = async |method: Method, path: &str| {
        let answer = client.send(method, path, ADMIN, r#"{"name": "New"}"#).await;
        answer.unwrap().status()
    };
    let all = |presence: Presence| {
        client.tune(|knobs| {
            knobs.key.delete = presence;
            knobs.project.get = presence;
            knobs.project.update = presence;
            knobs.project.delete = presence;
        });
    };
    for (presence, expected) in [(Presence::Absent404, 404), (Presence::Absent405, 405)] {
        all(presence);
        assert_eq!(status(Method::DELETE, &key).await, expected);
        assert_eq!(status(Method::GET, "projects/web").await, expected);
        assert_eq!(status(Method::PATCH, "projects/web").await, expected);
        assert_eq!(status(Method::DELETE, "projects/web").await, expected);
    }
    all(Presence::Present);
    assert_eq!(status(Method::DELETE, &key).await, 204);
    assert_eq!(client.truth_of("ingest")[0].state, CredentialState::Revoked);
    assert_eq!(status(Method::PATCH, "projects/web").await, 200);
    assert_eq!(client.simulator.projects()[0].name, "New");
    let shown = client.send(Method::GET, "projects/web", ADMIN, "").await;
    assert_eq!(body(&shown.unwrap())["slug"], "web");
    assert_eq!(status(Method::DELETE, "projects/web").await, 204);
    assert_eq!(status(Method::GET, "projects/web").await, 404);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_revoked_by_its_expiry() {
    let client = Client::new();
    client.tune(|knobs| knobs.revoke_lag_seconds = 0);
    let key = client.create_key("server_signed").await;
    let secret = text(&key["secret"]);
    assert!(secret.contains(CANARY) && key["expiresAt"].is_null());
    let change = json!({"expiresAt": "2026-01-15T00:01:00Z"});
    let answer = client.change_key(&key["id"], change).await.unwrap();
    assert_eq!(body(&answer)["expiresAt"], "2026-01-15T00:01:00Z");
    client.simulator.clock().advance(Duration::from_secs(59));
    assert!(client.simulator.authenticates(secret));
    client.simulator.clock().advance(Duration::from_secs(1));
    assert!(!client.simulator.authenticates(secret));
}

#[tokio::test(start_paused = true)]
async fn the_rules_for_an_expiry_follow_their_knobs() {
    let client = Client::new();
    client.tune(|knobs| knobs.revoke_lag_seconds = 0);
    let key = client.create_key("server_signed").await;
    let change = async |at: Json| {
        let answer = client
            .change_key(&key["id"], json!({ "expiresAt": at }))
            .await;
        let answer = answer.unwrap();
        (answer.status().as_u16(), body(&answer)["expiresAt"].clone())
    };
    let (past, soon) = (json!("2026-01-14T23:00:00Z"), json!("2026-01-15T00:01:30Z"));
    assert_eq!(change(Json::Null).await.0, 400);
    assert_eq!(change(past.clone()).await.0, 400);
    assert_eq!(change(json!("tomorrow")).await.0, 400);

    client.tune(|knobs| knobs.key.expires_at.min_lead_seconds = 300);
    assert_eq!(change(soon.clone()).await.0, 400);
    client.tune(|knobs| {
        knobs.key.expires_at.min_lead_seconds = 0;
        knobs.key.expires_at.resolution = Resolution::Minute;
        knobs.key.expires_at.null = NullExpiry::Clear;
        knobs.key.expires_at.past = Intake::Accept;
    });
    assert_eq!(
        change(soon.clone()).await,
        (200, json!("2026-01-15T00:01:00Z"))
    );
    assert_eq!(change(Json::Null).await, (200, Json::Null));
    assert_eq!(change(past).await.0, 200);
    assert!(!client.simulator.authenticates(text(&key["secret"])));

    assert_eq!(change(soon.clone()).await.0, 400);
    client.tune(|knobs| knobs.key.expires_at.expired = ExpiredKey::Extendable);
    assert_eq!(change(soon).await.0, 200);
    assert!(client.simulator.authenticates(text(&key["secret"])));
}

#[tokio::test(start_paused = true)]
async fn an_expiry_in_a_create_is_ignored_honoured_or_rejected() {
    let client = Client::new();
    client.create_key("server_signed").await;
    let at = "2026-02-14T00:00:00Z";
    let create = async |intake| {
        client.tune(|knobs| knobs.key.create_expires_at = intake);
        let key = json!({"label": "x", "keyType": "server_signed", "expiresAt": at});
        client.post("projects/web/keys", key).await.unwrap()
    };
    assert_eq!(
        body(&create(CreateExpiry::Ignore).await)["expiresAt"],
        Json::Null
    );
    assert_eq!(body(&create(CreateExpiry::Honour).await)["expiresAt"], at);
    assert_eq!(create(CreateExpiry::Reject).await.status(), 400);
}

#[tokio::test(start_paused = true)]
async fn a_key_rotated_in_place_keeps_or_changes_its_public_part() {
    let client = Client::new();
    let key = client.create_key("server_signed").await;
    let path = format!("projects/web/keys/{}/rotate", text(&key["id"]));
    let kept = body(&client.post(&path, json!({})).await.unwrap());
    assert_eq!(kept["publicKey"], key["publicKey"]);
    assert!(!client.simulator.authenticates(text(&key["secret"])));
    assert!(client.simulator.authenticates(text(&kept["secret"])));
    client.tune(|knobs| knobs.key.rotate.new_public_key = true);
    let changed = body(&client.post(&path, json!({})).await.unwrap());
    assert_ne!(changed["publicKey"], key["publicKey"]);
    client.tune(|knobs| knobs.key.rotate.present = false);
    assert_eq!(client.post(&path, json!({})).await.unwrap().status(), 404);
}

async fn with_session(client: &Client, headers: &[(&str, &str)], path: &str) -> StatusCode {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("/errova/api/organizations/acme-inc/{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let sent = json!({"label": "first", "scopes": ["org.admin"], "name": "Web"});
    let request = request.body(Bytes::from(sent.to_string())).unwrap();
    client.transport.send(request).await.unwrap().status()
}

#[tokio::test(start_paused = true)]
async fn a_session_makes_the_first_token_and_nothing_else() {
    let client = Client::new();
    let cookie = client.simulator.seed_session();
    let cookie = format!("theme=dark; errova_session={}", cookie.expose());
    let origin = ("origin", "https://errova.com");
    let referer = ("referer", "https://errova.com/");
    let full = [("cookie", cookie.as_str()), origin, referer];
    assert_eq!(
        with_session(&client, &full[..1], "machine-tokens").await,
        403
    );
    assert_eq!(
        with_session(&client, &full[..2], "machine-tokens").await,
        403
    );
    assert_eq!(with_session(&client, &full, "machine-tokens").await, 201);
    assert_eq!(with_session(&client, &full, "projects").await, 403);
    let stranger = [("cookie", "errova_session=guess"), origin, referer];
    assert_eq!(
        with_session(&client, &stranger, "machine-tokens").await,
        401
    );
    client.tune(|knobs| {
        knobs.session.covers = SessionCover::All;
        knobs.session.require_origin_and_referer = false;
    });
    assert_eq!(with_session(&client, &full[..1], "projects").await, 201);
    client
        .simulator
        .clock()
        .advance(Duration::from_secs(8 * 3_600));
    assert_eq!(with_session(&client, &full, "machine-tokens").await, 401);
}

#[tokio::test(start_paused = true)]
async fn a_cookie_and_a_bearer_together_are_settled_by_the_knob() {
    let client = Client::new();
    let cookie = client.simulator.seed_session();
    let cookie = format!("errova_session={}", cookie.expose());
    let bearer = format!("Bearer {ADMIN}");
    let both = [
        ("cookie", cookie.as_str()),
        ("authorization", bearer.as_str()),
        ("origin", "https://errova.com"),
        ("referer", "https://errova.com/"),
    ];
    assert_eq!(with_session(&client, &both, "projects").await, 400);
    client.tune(|knobs| knobs.cookie_and_bearer = CookieAndBearer::CookieWins);
    assert_eq!(with_session(&client, &both, "projects").await, 403);
    client.tune(|knobs| knobs.cookie_and_bearer = CookieAndBearer::BearerWins);
    assert_eq!(with_session(&client, &both, "projects").await, 201);
}

#[tokio::test(start_paused = true)]
async fn long_labels_are_cut_or_rejected_and_may_have_to_be_unique() {
    let client = Client::new();
    let long = "ü".repeat(65);
    let token = body(&client.create_token(&long).await.unwrap());
    assert_eq!(text(&token["label"]).chars().count(), 64);
    client.tune(|knobs| knobs.label.on_excess = LongLabel::Reject);
    assert_eq!(client.create_token(&long).await.unwrap().status(), 400);
    client.tune(|knobs| knobs.label.unique = true);
    assert_eq!(client.create_token("one").await.unwrap().status(), 201);
    assert_eq!(client.create_token("one").await.unwrap().status(), 409);
}

#[tokio::test(start_paused = true)]
async fn a_second_project_of_one_name_is_settled_by_the_knob() {
    let client = Client::new();
    let create = async |duplicate| {
        client.tune(|knobs| knobs.project.duplicate_name = duplicate);
        let answer = client
            .post("projects", json!({"name": "Web App"}))
            .await
            .unwrap();
        (answer.status().as_u16(), body(&answer)["slug"].clone())
    };
    assert_eq!(create(DuplicateName::Suffix).await, (201, json!("web-app")));
    assert_eq!(
        create(DuplicateName::Suffix).await,
        (201, json!("web-app-2"))
    );
    assert_eq!(
        create(DuplicateName::SameSlug).await,
        (201, json!("web-app"))
    );
    assert_eq!(create(DuplicateName::Conflict409).await.0, 409);
    assert_eq!(client.simulator.projects().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn successes_take_the_chosen_status_shape_and_names() {
    let client = Client::new();
    client.tune(|knobs| {
        knobs.status.create = 200;
        knobs.status.delete = 202;
        knobs.shape.nesting = Nesting::Nested;
        let names = [("tokenSecret".to_owned(), "token".to_owned())];
        knobs.shape.names = names.into();
    });
    let answer = client.create_token("ci").await.unwrap();
    assert_eq!(answer.status(), 200);
    let token = &body(&answer)["machineToken"];
    assert!(client.simulator.authenticates(text(&token["token"])));
    let deleted = client.delete_token(text(&token["id"])).await.unwrap();
    assert_eq!(
        (deleted.status().as_u16(), deleted.body().as_ref()),
        (202, &b"{}"[..])
    );
    client.tune(|knobs| knobs.shape.nesting = Nesting::Data);
    client.order(Fault::NoValue);
    let data = body(&client.create_token("ci").await.unwrap())["data"].clone();
    assert!(data["id"].is_string() && data.get("token").is_none());
}

#[tokio::test(start_paused = true)]
async fn errors_take_the_chosen_shape() {
    let client = Client::new();
    let refusal = async |shape| {
        client.tune(|knobs| knobs.error = shape);
        let answer = client.delete_token("mt_unknown").await.unwrap();
        assert_eq!(answer.status(), 404);
        String::from_utf8(answer.body().to_vec()).unwrap()
    };
    assert!(
        refusal(ErrorShape::Nested)
            .await
            .starts_with(r#"{"error":{"#)
    );
    assert!(
        refusal(ErrorShape::Flat)
            .await
            .starts_with(r#"{"code":"not_found""#)
    );
    assert_eq!(refusal(ErrorShape::Text).await, "Not Found");
    assert!(refusal(ErrorShape::Html).await.starts_with("<html>"));
    assert_eq!(refusal(ErrorShape::Empty).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_create_is_known_by_its_key_if_the_knob_says_so() {
    let made = async |knob| {
        let client = Client::new();
        client.tune(|knobs| knobs.idempotency_key = knob);
        let create = async || {
            let request = Request::post("/errova/api/organizations/acme-inc/machine-tokens")
                .header("authorization", format!("Bearer {ADMIN}"))
                .header("idempotency-key", "9c8b7a6f5e4d3c2b")
                .body(Bytes::from_static(
                    br#"{"label":"ci","scopes":["org.admin"]}"#,
                ));
            body(&client.transport.send(request.unwrap()).await.unwrap())
        };
        let (first, second) = (create().await, create().await);
        let same_value = first["tokenSecret"] == second["tokenSecret"];
        let has_value = second["tokenSecret"].is_string();
        (client.truth_of("ci").len(), same_value, has_value)
    };
    assert_eq!(made(Idempotency::Ignore).await, (2, false, true));
    assert_eq!(made(Idempotency::ReplayWithValue).await, (1, true, true));
    assert_eq!(
        made(Idempotency::ReplayWithoutValue).await,
        (1, false, false)
    );
}

#[tokio::test(start_paused = true)]
async fn a_429_says_when_to_come_back_if_the_knob_says_so() {
    let client = Client::new();
    let (limit, window) = (0, seconds(30));
    client.order(Fault::RateLimit(RateLimit {
        limit,
        window,
        retry_after: None,
    }));
    let header = async |retry_after| {
        client.tune(|knobs| knobs.rate_limit.retry_after = retry_after);
        let answer = client.create_token("ci").await.unwrap();
        let header = answer.headers().get("retry-after").cloned();
        header.map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(header(RetryAfter::None).await, None);
    assert_eq!(header(RetryAfter::Seconds).await.as_deref(), Some("30"));
    let date = header(RetryAfter::Date).await;
    assert_eq!(date.as_deref(), Some("Thu, 15 Jan 2026 00:00:30 GMT"));
}

/// Sends one event, signed with `secret` as the documentation says.
async fn send_event(
    client: &Client,
    key: &Json,
    secret: &str,
    nonce: &str,
    sign: &SignKnobs,
) -> StatusCode {
    let event = r#"{"eventType":"message","message":"tick"}"#;
    let timestamp = client.simulator.clock().now().as_second().to_string();
    let public_key = text(&key["publicKey"]);
    let digest = values::sha256_hex(event.as_bytes());
    let parts = [timestamp.as_str(), nonce, public_key, digest.as_str()];
    let signature = crate::simulator::errova::signature(parts, secret, sign);
    let request = Request::post(text(&key["dsn"]))
        .header("x-errova-timestamp", &timestamp)
        .header("x-errova-nonce", nonce)
        .header("x-errova-signature", signature)
        .body(Bytes::from(event));
    client
        .transport
        .send(request.unwrap())
        .await
        .unwrap()
        .status()
}

#[tokio::test(start_paused = true)]
async fn a_signed_event_is_taken_once_and_only_with_the_right_secret() {
    let client = Client::new();
    client.tune(|knobs| knobs.revoke_lag_seconds = 0);
    let key = client.create_key("server_signed").await;
    assert!(text(&key["dsn"]).starts_with("http://simulator.test/errova/ingest/pk_"));
    let (secret, plain) = (text(&key["secret"]), SignKnobs::default());
    assert_eq!(send_event(&client, &key, secret, "01", &plain).await, 202);
    assert_eq!(client.last_audit().op, Some(Operation::IngestEvent));
    assert_eq!(client.last_audit().id.as_deref(), Some(text(&key["id"])));
    assert_eq!(send_event(&client, &key, secret, "01", &plain).await, 401);
    assert_eq!(
        send_event(&client, &key, "sk_guess", "02", &plain).await,
        401
    );
    assert_eq!(client.last_audit().id.as_deref(), Some(text(&key["id"])));
    client.simulator.order_fault(FaultOrder {
        faults: vec![Fault::ClockSkew(SignedDuration::from_secs(301))],
        ..FaultOrder::default()
    });
    assert_eq!(send_event(&client, &key, secret, "03", &plain).await, 401);
    client.simulator.clear_faults();
    let other = SignKnobs {
        separator: ":".to_owned(),
        encoding: Encoding::Base64,
        prefix: "v1=".to_owned(),
        window_seconds: 300,
    };
    assert_eq!(send_event(&client, &key, secret, "04", &other).await, 401);
    client.tune(|knobs| knobs.sign = other.clone());
    assert_eq!(send_event(&client, &key, secret, "05", &other).await, 202);

    let change = json!({"expiresAt": "2026-01-15T00:01:00Z"});
    client.change_key(&key["id"], change).await.unwrap();
    client.simulator.clock().advance(Duration::from_secs(60));
    assert_eq!(send_event(&client, &key, secret, "06", &other).await, 401);
    client.tune(|knobs| knobs.ingest.dead_key = 403);
    assert_eq!(send_event(&client, &key, secret, "07", &other).await, 403);
}

#[tokio::test(start_paused = true)]
async fn a_public_key_needs_no_signature() {
    let client = Client::new();
    client.tune(|knobs| knobs.ingest.success = 200);
    let key = client.create_key("browser_public").await;
    assert!(key.get("secret").is_none());
    let send = async |dsn: &str, events: &str| {
        let request = Request::post(dsn).body(Bytes::copy_from_slice(events.as_bytes()));
        let answer = client.transport.send(request.unwrap()).await;
        answer.unwrap().status()
    };
    let dsn = text(&key["dsn"]);
    assert_eq!(send(dsn, "[{}, {}]").await, 200);
    assert_eq!(send(dsn, "hello").await, 400);
    assert_eq!(send("/errova/ingest/pk_unknown/events", "{}").await, 401);
}

#[test]
fn every_profile_reads_back_as_it_was_written() {
    for name in ["default", "friendly", "hostile"] {
        let knobs = ErrovaKnobs::profile(name).unwrap();
        let written = serde_json::to_value(&knobs).unwrap();
        assert_eq!(
            serde_json::from_value::<ErrovaKnobs>(written).unwrap(),
            knobs
        );
    }
    assert_eq!(ErrovaKnobs::profile("unknown"), None);
    assert!(serde_json::from_value::<ErrovaKnobs>(json!({"typo": 1})).is_err());
}
