//! Each fault, by what it does to the client and to the world.

use super::*;

const LABEL: &str = "1a2b3c4d:0f1e2d3c4b5a:7:9c8b7a6f5e4d3c2b ci";

#[tokio::test(start_paused = true)]
async fn a_lost_response_leaves_a_living_credential_that_nobody_holds() {
    let client = Client::new();
    client.order(Fault::LoseResponse);
    let answer = client.create_token(LABEL).await;
    assert_eq!(answer.unwrap_err(), TransportError::Unknown);
    let truth = client.truth_of(LABEL);
    assert_eq!(truth.len(), 1);
    assert!(truth[0].authenticates);
    let entry = client.last_audit();
    assert_eq!((entry.committed, entry.answered), (true, false));
    assert_eq!(entry.attempt, Some(7));
    assert_eq!(entry.nonce.as_deref(), Some("9c8b7a6f5e4d3c2b"));
    assert_eq!(entry.caller.as_ref(), Some(&client.admin_id));
    assert_eq!(entry.id.as_ref(), Some(&truth[0].id));
}

/// One call of every operation that changes something, with what it needs in place.
async fn every_change(client: &Client) -> Vec<(Operation, Method, String, Json)> {
    client.simulator.set_errova_knobs(ErrovaKnobs::friendly());
    let token = body(&client.create_token("ci").await.unwrap());
    let token = format!("machine-tokens/{}", text(&token["id"]));
    let key = client.create_key("server_signed").await;
    let key = format!("projects/web/keys/{}", text(&key["id"]));
    let new_token = json!({"label": "new", "scopes": ["org.read"]});
    let new_key = json!({"label": "new", "keyType": "server_signed"});
    let expiry = json!({"expiresAt": "2026-02-14T00:00:00Z"});
    let name = json!({"name": "New"});
    let (create, keys) = ("machine-tokens".to_owned(), "projects/web/keys".to_owned());
    let (projects, web) = ("projects".to_owned(), "projects/web".to_owned());
    let (new_value, new_secret) = (format!("{token}/rotate"), format!("{key}/rotate"));
    let (post, patch, delete) = (Method::POST, Method::PATCH, Method::DELETE);
    vec![
        (Operation::TokenCreate, post.clone(), create, new_token),
        (Operation::TokenRotate, post.clone(), new_value, json!({})),
        (Operation::TokenDelete, delete.clone(), token, json!({})),
        (
            Operation::ProjectCreate,
            post.clone(),
            projects,
            name.clone(),
        ),
        (Operation::ProjectUpdate, patch.clone(), web.clone(), name),
        (Operation::KeyCreate, post.clone(), keys, new_key),
        (Operation::KeyUpdate, patch, key.clone(), expiry),
        (Operation::KeyRotate, post, new_secret, json!({})),
        (Operation::KeyDelete, delete.clone(), key, json!({})),
        (Operation::ProjectDelete, delete, web, json!({})),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_operation_can_be_lost_before_and_after_it_is_done() {
    for (fault, committed) in [(Fault::LoseRequest, false), (Fault::LoseResponse, true)] {
        let client = Client::new();
        let changes = every_change(&client).await;
        for (op, method, path, sent) in changes {
            let order = FaultOrder::on(op, [fault.clone()]);
            client.simulator.order_fault(order);
            let answer = client.send(method, &path, ADMIN, &sent.to_string()).await;
            assert_eq!(answer.unwrap_err(), TransportError::Unknown, "{op}");
            let entry = client.last_audit();
            let expected = (Some(op), committed, false);
            assert_eq!((entry.op, entry.committed, entry.answered), expected);
        }
        let living = |one: &Truth| one.authenticates && one.label == "new";
        let orphans = client
            .simulator
            .truth()
            .iter()
            .filter(|one| living(one))
            .count();
        // The new key has gone with its project.
        assert_eq!(orphans, usize::from(committed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_changes_nothing() {
    let client = Client::new();
    client.order(Fault::LoseRequest);
    let answer = client.create_token(LABEL).await;
    assert_eq!(answer.unwrap_err(), TransportError::Unknown);
    assert!(client.truth_of(LABEL).is_empty());
    let entry = client.last_audit();
    assert_eq!((entry.committed, entry.answered), (false, false));
    assert_eq!(entry.label.as_deref(), Some(LABEL));
}

#[tokio::test(start_paused = true)]
async fn a_delayed_commit_happens_long_after_the_client_gave_up() {
    let client = Client::new();
    client.order(Fault::DelayCommit(seconds(600)));
    let answer = client.create_token(LABEL).await;
    assert_eq!(answer.unwrap_err(), TransportError::Unknown);
    assert!(client.truth_of(LABEL).is_empty());
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(client.truth_of(LABEL)[0].authenticates);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_commit_within_the_timeout_is_done_when_the_connection_closes() {
    let client = Client::new();
    client.order(Fault::DelayCommit(seconds(1)));
    let answer = client.create_token(LABEL).await;
    assert_eq!(answer.unwrap_err(), TransportError::Unknown);
    assert_eq!(client.truth_of(LABEL).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_makes_two_ids_with_one_label() {
    let client = Client::new();
    client.order(Fault::Duplicate);
    let answer = body(&client.create_token(LABEL).await.unwrap());
    let truth = client.truth_of(LABEL);
    assert_eq!(truth.len(), 2);
    assert_ne!(truth[0].id, truth[1].id);
    assert_eq!(text(&answer["id"]), truth[1].id);
    let audit = client.simulator.audit();
    let answered: Vec<bool> = audit.iter().map(|entry| entry.answered).collect();
    assert_eq!(answered, [false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_status_comes_with_the_ordered_body_before_or_after_the_commit() {
    for (kind, own, empty) in [
        (FaultBody::Own, true, false),
        (FaultBody::Html, false, false),
        (FaultBody::Text, false, false),
        (FaultBody::Empty, false, true),
    ] {
        for committed in [false, true] {
            let client = Client::new();
            let (code, body) = (503, kind);
            client.order(Fault::Status(StatusFault {
                code,
                body,
                committed,
            }));
            let answer = client.create_token(LABEL).await.unwrap();
            assert_eq!(answer.status(), 503);
            let json = serde_json::from_slice::<Json>(answer.body());
            assert_eq!(json.is_ok_and(|json| json["error"].is_object()), own);
            assert_eq!(answer.body().is_empty(), empty);
            assert_eq!(client.truth_of(LABEL).len(), usize::from(committed));
            let entry = client.last_audit();
            assert_eq!((entry.status, entry.committed), (Some(503), committed));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn damaged_answers_cannot_be_read() {
    for fault in [Fault::Truncate(20), Fault::BadJson, Fault::Truncate(0)] {
        let client = Client::new();
        client.order(fault);
        let answer = client.create_token(LABEL).await.unwrap();
        assert_eq!(answer.status(), 201);
        assert!(serde_json::from_slice::<Json>(answer.body()).is_err());
        assert_eq!(client.truth_of(LABEL).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_huge_answer_is_given_up() {
    let client = Client::new();
    client.order(Fault::Huge);
    let answer = client.create_token(LABEL).await;
    assert_eq!(answer.unwrap_err(), TransportError::Unknown);
    assert_eq!(client.truth_of(LABEL).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_lack_the_value_or_show_an_earlier_one() {
    let client = Client::new();
    let first = body(&client.create_token("first").await.unwrap());
    client.order(Fault::NoValue);
    let without = body(&client.create_token("second").await.unwrap());
    assert!(without["id"].is_string());
    assert!(without.get("tokenSecret").is_none());
    client.simulator.clear_faults();
    client.delete_token(text(&without["id"])).await.unwrap();
    client.order(Fault::OldValue);
    let third = body(&client.create_token("third").await.unwrap());
    assert_ne!(third["id"], first["id"]);
    let shown = Digest::of(text(&third["tokenSecret"]));
    assert_eq!(client.truth_of("second")[0].value.as_ref(), Some(&shown));
    assert_ne!(client.truth_of("third")[0].value.as_ref(), Some(&shown));
}

#[tokio::test(start_paused = true)]
async fn a_stall_beyond_the_timeout_leaves_the_commit() {
    let client = Client::new();
    client.order(Fault::Stall(seconds(31)));
    let answer = client.create_token(LABEL).await;
    assert_eq!(answer.unwrap_err(), TransportError::Unknown);
    assert_eq!(client.truth_of(LABEL).len(), 1);
    assert!(!client.last_audit().answered);
}

#[tokio::test(start_paused = true)]
async fn a_short_stall_only_takes_time() {
    let client = Client::new();
    client.order(Fault::Stall(seconds(29)));
    let started = tokio::time::Instant::now();
    assert_eq!(client.create_token(LABEL).await.unwrap().status(), 201);
    assert_eq!(started.elapsed(), Duration::from_secs(29));
    assert!(client.last_audit().answered);
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_arrives_whole_or_runs_into_the_timeout() {
    let client = Client::new();
    client.order(Fault::Slow(100));
    let started = tokio::time::Instant::now();
    let answer = body(&client.create_token(LABEL).await.unwrap());
    assert!(answer["tokenSecret"].is_string());
    assert!(started.elapsed() >= Duration::from_secs(2));
    assert!(client.last_audit().answered);
    client.simulator.clear_faults();
    client.order(Fault::Slow(1));
    let answer = client.create_token(LABEL).await;
    assert_eq!(answer.unwrap_err(), TransportError::Unknown);
    assert!(!client.last_audit().answered);
}

#[tokio::test(start_paused = true)]
async fn a_reset_breaks_the_answer_after_the_commit() {
    let client = Client::new();
    client.order(Fault::Reset);
    let answer = client.create_token(LABEL).await;
    assert_eq!(answer.unwrap_err(), TransportError::Unknown);
    assert_eq!(client.truth_of(LABEL).len(), 1);
    assert!(!client.last_audit().answered);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_says_where_to_and_does_nothing() {
    let client = Client::new();
    client.order(Fault::Redirect(Redirect {
        url: "https://elsewhere.test/".to_owned(),
        code: 302,
    }));
    let answer = client.create_token(LABEL).await.unwrap();
    assert_eq!(answer.status(), 302);
    assert_eq!(answer.headers()["location"], "https://elsewhere.test/");
    assert!(client.truth_of(LABEL).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_lets_so_many_calls_through_in_a_window() {
    for (retry_after, header) in [
        (None, None),
        (Some(RetryAfter::Seconds), Some("60")),
        (
            Some(RetryAfter::Date),
            Some("Thu, 15 Jan 2026 00:01:00 GMT"),
        ),
    ] {
        let client = Client::new();
        let (limit, window) = (2, seconds(60));
        client.order(Fault::RateLimit(RateLimit {
            limit,
            window,
            retry_after,
        }));
        for _ in 0..2 {
            assert_eq!(client.create_token(LABEL).await.unwrap().status(), 201);
        }
        let refused = client.create_token(LABEL).await.unwrap();
        assert_eq!(refused.status(), 429);
        assert!(body(&refused)["error"].is_object());
        let shown = refused.headers().get("retry-after");
        assert_eq!(shown.map(|value| value.to_str().unwrap()), header);
        client.simulator.clock().advance(Duration::from_secs(60));
        assert_eq!(client.create_token(LABEL).await.unwrap().status(), 201);
    }
}

#[tokio::test(start_paused = true)]
async fn listings_can_be_untrue_in_many_ways() {
    let client = Client::new();
    client.simulator.set_errova_knobs(ErrovaKnobs::friendly());
    client.create_token("first").await.unwrap();
    client.simulator.clock().advance(Duration::from_secs(120));
    client.create_token("second").await.unwrap();
    let labels = async |fault: Option<Fault>| {
        client.simulator.clear_faults();
        client
            .simulator
            .order_fault(FaultOrder::on(Operation::TokenList, fault));
        let items = client.list("machine-tokens").await;
        let labels = items.iter().map(|item| text(&item["label"]).to_owned());
        labels.collect::<Vec<_>>()
    };
    assert_eq!(labels(None).await, ["made by hand", "first", "second"]);
    let stale = Some(Fault::StaleList(seconds(60)));
    assert_eq!(labels(stale).await, ["made by hand", "first"]);
    let dropped = Some(Fault::DropItems(1));
    assert_eq!(labels(dropped).await, ["first", "second"]);
    let invented = Some(Fault::InventItems(1));
    assert_eq!(labels(invented).await.last().unwrap(), "ghost");
    assert!(labels(Some(Fault::EmptyList)).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn pages_can_fail_or_go_round_in_circles() {
    let client = Client::new();
    client.simulator.set_errova_knobs(ErrovaKnobs::friendly());
    client.tune(|knobs| knobs.page_size = 1);
    client.create_token("first").await.unwrap();
    let page = async |cursor: &str| {
        let path = format!("machine-tokens?cursor={cursor}");
        client.send(Method::GET, &path, ADMIN, "").await.unwrap()
    };
    assert_eq!(body(&page("0").await)["nextCursor"], "1");
    assert_eq!(body(&page("1").await)["nextCursor"], Json::Null);
    let on_list = |fault| FaultOrder::on(Operation::TokenList, [fault]);
    client.simulator.order_fault(on_list(Fault::PageFails(2)));
    assert_eq!(page("0").await.status(), 200);
    assert_eq!(page("1").await.status(), 500);
    client.simulator.clear_faults();
    client.simulator.order_fault(on_list(Fault::CursorLoop));
    assert_eq!(body(&page("1").await)["nextCursor"], "0");
}

#[tokio::test(start_paused = true)]
async fn a_new_credential_may_not_be_what_was_asked_for() {
    let client = Client::new();
    client.order(Fault::WrongScope);
    let weaker = body(&client.create_token("weaker").await.unwrap());
    assert_eq!(weaker["scopes"], json!(["org.read"]));
    assert_eq!(client.truth_of("weaker")[0].scopes, ["org.read"]);
    client.simulator.clear_faults();
    client.order(Fault::Relabel);
    client.create_token("renamed").await.unwrap();
    assert!(client.truth_of("renamed").is_empty());
    assert_eq!(client.truth_of("copy of renamed").len(), 1);
    client.simulator.clear_faults();
    client.order(Fault::WrongOwner);
    let answer = body(&client.create_token("mistaken").await.unwrap());
    assert_eq!(
        text(&answer["id"]),
        client.truth_of("copy of renamed")[0].id
    );
    assert!(client.simulator.authenticates(text(&answer["tokenSecret"])));
}

#[tokio::test(start_paused = true)]
async fn values_come_into_force_late_and_go_out_of_it_late() {
    let client = Client::new();
    client.order(Fault::VerifyLag(seconds(60)));
    let token = body(&client.create_token("ci").await.unwrap());
    let value = text(&token["tokenSecret"]);
    assert_eq!(client.probe(value).await, 401);
    client.simulator.clock().advance(Duration::from_secs(60));
    assert_eq!(client.probe(value).await, 404);
    let order = FaultOrder::on(Operation::TokenDelete, [Fault::RevokeLag(seconds(90))]);
    client.simulator.order_fault(order);
    client.delete_token(text(&token["id"])).await.unwrap();
    assert_eq!(client.truth_of("ci")[0].state, CredentialState::Revoked);
    client.simulator.clock().advance(Duration::from_secs(89));
    assert_eq!(client.probe(value).await, 404);
    client.simulator.clock().advance(Duration::from_secs(1));
    assert_eq!(client.probe(value).await, 401);
    assert!(!client.simulator.authenticates(value));
}

#[tokio::test(start_paused = true)]
async fn authentication_is_down_for_a_while_and_for_one_caller_only() {
    let client = Client::new();
    let token = body(&client.create_token("other").await.unwrap());
    client.simulator.order_fault(FaultOrder {
        caller: Some(client.admin_id.clone()),
        faults: vec![Fault::AuthDown(AuthDown {
            lasting: seconds(60),
            code: 403,
        })],
        ..FaultOrder::default()
    });
    assert_eq!(client.probe(ADMIN).await, 403);
    assert_eq!(client.probe(text(&token["tokenSecret"])).await, 404);
    client.simulator.clock().advance(Duration::from_secs(60));
    assert_eq!(client.probe(ADMIN).await, 404);
}

#[tokio::test(start_paused = true)]
async fn skewed_servers_judge_expiry_by_their_own_clock() {
    let client = Client::new();
    let key = client.create_key("server_signed").await;
    client.simulator.order_fault(FaultOrder {
        faults: vec![Fault::ClockSkew(SignedDuration::from_hours(-1))],
        ..FaultOrder::default()
    });
    let soon = json!({"expiresAt": "2026-01-14T23:01:00Z"});
    let answer = client.change_key(&key["id"], soon).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["date"], "Wed, 14 Jan 2026 23:00:00 GMT");
    let token = body(&client.create_token(LABEL).await.unwrap());
    assert_eq!(token["createdAt"], "2026-01-14T23:00:00Z");
    assert_eq!(
        client.truth_of(LABEL)[0].created,
        client.simulator.clock().now()
    );
    assert!(client.simulator.authenticates(text(&key["secret"])));
    client.simulator.clear_faults();
    assert!(!client.simulator.authenticates(text(&key["secret"])));
}

#[tokio::test(start_paused = true)]
async fn an_order_strikes_only_the_calls_it_names() {
    let strikes = async |order: FaultOrder| {
        let client = Client::new();
        client.simulator.order_fault(FaultOrder {
            faults: vec![Fault::LoseRequest],
            ..order
        });
        let mut struck = Vec::new();
        for label in ["alpha", "beta", "alpha"] {
            struck.push(client.create_token(label).await.is_err());
        }
        struck
    };
    let any = FaultOrder::default;
    assert_eq!(strikes(any()).await, [true, true, true]);
    assert_eq!(strikes(any().nth(2)).await, [false, true, false]);
    let labelled = |label: &str| FaultOrder {
        label: Some(label.to_owned()),
        ..any()
    };
    assert_eq!(strikes(labelled("alp")).await, [true, false, true]);
    assert_eq!(
        strikes(labelled("alpha").nth(2)).await,
        [false, false, true]
    );
    let about = |resource: &str| FaultOrder {
        resource: Some(resource.to_owned()),
        ..any()
    };
    assert_eq!(strikes(about("acme-inc")).await, [true, true, true]);
    assert_eq!(strikes(about("other-inc")).await, [false, false, false]);
    let deletes = FaultOrder::on(Operation::TokenDelete, []);
    assert_eq!(strikes(deletes).await, [false, false, false]);
    let sometimes = |probability| FaultOrder {
        probability: Some(probability),
        ..any()
    };
    assert_eq!(strikes(sometimes(0.0)).await, [false, false, false]);
    assert_eq!(strikes(sometimes(1.0)).await, [true, true, true]);
}

#[tokio::test(start_paused = true)]
async fn faults_of_several_orders_happen_together() {
    let client = Client::new();
    client.order(Fault::Duplicate);
    client.order(Fault::Stall(seconds(5)));
    client.order(Fault::LoseResponse);
    let started = tokio::time::Instant::now();
    let answer = client.create_token(LABEL).await;
    assert_eq!(answer.unwrap_err(), TransportError::Unknown);
    assert_eq!(client.truth_of(LABEL).len(), 2);
    assert_eq!(started.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_is_not_done_twice_either() {
    let client = Client::new();
    client.order(Fault::Duplicate);
    client.order(Fault::Status(StatusFault {
        code: 500,
        body: FaultBody::Own,
        committed: false,
    }));
    assert_eq!(client.create_token(LABEL).await.unwrap().status(), 500);
    assert!(client.truth_of(LABEL).is_empty());
}

#[tokio::test(start_paused = true)]
async fn refused_connections_are_known_not_to_have_carried_anything() {
    let client = Client::new();
    client.simulator.refuse_connections(true);
    let answer = client.create_token(LABEL).await;
    assert_eq!(answer.unwrap_err(), TransportError::NotSent);
    assert!(client.simulator.audit().is_empty());
    client.simulator.refuse_connections(false);
    assert!(client.create_token(LABEL).await.is_ok());
}

#[test]
fn every_fault_reads_as_documented() {
    let order: FaultOrder = serde_json::from_value(json!({
        "provider": "errova", "op": "machineToken.create", "nth": 1,
        "faults": [
            "loseResponse", "loseRequest", {"delayCommit": "10m"}, "duplicate",
            {"status": {"code": 502, "body": "html", "committed": true}},
            {"truncate": 5}, "huge", "badJson", "noValue", "oldValue",
            {"stall": "1s"}, {"slow": 10}, "reset", {"redirect": {"url": "https://x.test"}},
            {"rateLimit": {"limit": 1, "window": "1m", "retryAfter": "date"}},
            {"staleList": "1m"}, {"dropItems": 1}, {"inventItems": 1}, "emptyList",
            {"pageFails": 1}, "cursorLoop", "wrongScope", "wrongOwner", "relabel",
            {"verifyLag": "1m"}, {"revokeLag": "1m"}, {"authDown": {"for": "1m"}},
            {"clockSkew": "-1h"},
        ],
    }))
    .unwrap();
    assert_eq!(order.faults.len(), 28);
    assert_eq!(order.faults[2], Fault::DelayCommit(seconds(600)));
    let again = serde_json::to_value(&order).unwrap();
    assert_eq!(serde_json::from_value::<FaultOrder>(again).unwrap(), order);
}
