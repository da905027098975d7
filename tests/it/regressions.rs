//! What was found by looking for it: views that lag, records that cannot be read, outages at the worst moment.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use handover::{
    api::annotations,
    simulator::{Fault, FaultOrder, Operation},
};
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::support::{
    apiserver::{Phase, RequestInfo, Verb, Verdict},
    user::in_virtual_time,
    wire::Crossing,
    world::{OPERATOR, TENANT, World},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The ledger's Secret: its name and its record as it is stored.
fn stored_record(world: &World) -> (String, String) {
    let secrets: Vec<Secret> = world.api.list();
    let mut records = secrets.into_iter().filter_map(|secret| {
        let record = secret.metadata.annotations?.remove(annotations::LEDGER)?;
        Some((secret.metadata.name?, record))
    });
    records.next().unwrap()
}

fn write_record(world: &World, name: &str, record: &str) {
    let patch = json!({ "metadata": { "annotations": { annotations::LEDGER: record } } });
    world.api.patch_as_user::<Secret>(OPERATOR, name, &patch);
}

fn is_ledger_write(request: &RequestInfo) -> bool {
    request.client.starts_with("operator")
        && request.namespace.as_deref() == Some(OPERATOR)
        && request.resource == "secrets"
        && request.verb.writes()
}

#[test]
fn a_resource_whose_ledger_cannot_be_read_is_not_let_go() {
    in_virtual_time(async {
        let mut world = World::started().await;
        let value = world.issued("ci", json!({})).await;
        world.stop().await;
        let (name, record) = stored_record(&world);
        // As a newer version would write it, before a downgrade.
        let newer = record.replacen("\"format\":1", "\"format\":2", 1);
        assert_ne!(newer, record);
        write_record(&world, &name, &newer);
        world.start();
        world.until(MINUTE, "connected", World::is_connected).await;
        world.delete("ci");
        world.pass(MINUTE * 30).await;
        assert!(world.get("ci").is_some(), "{}", world.story());
        let (status, _, message) = world.condition("ci", "Ready").unwrap();
        assert_eq!(status, "False", "{message}");
        assert!(message.contains("format 2"), "{message}");

        write_record(&world, &name, &record);
        world
            .until(HOUR, "gone", |w| {
                w.get("ci").is_none() && w.ledgers().is_empty()
            })
            .await;
        assert!(!world.errova.authenticates(&value));
    });
}

#[test]
fn a_target_that_was_deleted_while_nobody_watched_is_restored() {
    in_virtual_time(async {
        let world = World::started().await;
        let value = world.issued("ci", json!({})).await;
        world.pass(MINUTE).await;
        world.api.hold_watches();
        world.api.delete_as_user::<Secret>(TENANT, "ci");
        world.api.compact();
        world.api.drop_watches();
        world.api.release_watches();
        world
            .until(MINUTE * 5, "restored", |w| {
                w.value("ci").as_ref() == Some(&value)
            })
            .await;
    });
}

#[test]
fn a_target_that_may_not_be_watched_is_looked_at_now_and_then() {
    in_virtual_time(async {
        let world = World::new();
        for verb in [Verb::List, Verb::Watch] {
            world.api.deny(verb, "secrets", Some(TENANT));
        }
        let mut world = world;
        world.start();
        let value = world.issued("ci", json!({})).await;
        world.pass(MINUTE).await;
        world.api.delete_as_user::<Secret>(TENANT, "ci");
        world
            .until(HOUR * 2, "restored", |w| {
                w.value("ci").as_ref() == Some(&value)
            })
            .await;
    });
}

#[test]
fn a_target_that_loses_its_label_gets_it_back_and_its_overlap_ends() {
    in_virtual_time(async {
        let world = World::started().await;
        let spec = json!({ "rotation": { "overlap": "5m" } });
        let old = world.issued("ci", spec).await;
        world.ask_rotation("ci");
        world
            .until(MINUTE * 5, "in overlap", |w| {
                let retiring = w.ledger("ci").and_then(|ledger| ledger.retiring);
                retiring.is_some_and(|retiring| retiring.distributed_at.is_some())
            })
            .await;
        world.pass(MINUTE).await;
        let label = annotations::COMPONENT;
        world.edit_target("ci", &json!({ "metadata": { "labels": { label: null } } }));
        world.until(HOUR, "over", |w| w.is_settled("ci")).await;
        assert!(!world.errova.authenticates(&old));
        let target: Secret = world.api.get(TENANT, "ci").unwrap();
        let labels = target.metadata.labels.unwrap();
        assert_eq!(labels.get(label).map(String::as_str), Some("target"));
    });
}

#[test]
fn an_id_that_was_picked_out_of_a_damaged_answer_survives_an_outage_of_the_api_server() {
    in_virtual_time(async {
        let world = World::started().await;
        let away = Arc::new(AtomicBool::new(false));
        let is_away = away.clone();
        world.on_request(move |request, phase| {
            let strikes = phase == Phase::Before && is_ledger_write(request);
            if strikes && is_away.load(Ordering::SeqCst) {
                Verdict::Fail(500)
            } else {
                Verdict::Pass
            }
        });
        let begins = away.clone();
        world.on_call(move |call, phase| {
            if call.nonce.is_some() && phase == Phase::After {
                begins.store(true, Ordering::SeqCst);
            }
            Crossing::Pass
        });
        let fault = FaultOrder::on(Operation::TokenCreate, vec![Fault::NoValue]);
        world.errova.order_fault(fault.nth(1));
        world.token("ci", json!({}));
        world
            .until(MINUTE, "sent", |_| away.load(Ordering::SeqCst))
            .await;
        world.pass(MINUTE * 5).await;
        away.store(false, Ordering::SeqCst);
        world.until(HOUR, "deleted", |w| w.live().is_empty()).await;
        assert!(world.ledger("ci").unwrap().abandoned.is_empty());
    });
}

#[test]
fn a_create_that_was_not_sent_is_none_of_unknown_outcome() {
    in_virtual_time(async {
        let world = World::started().await;
        let refused = AtomicUsize::new(0);
        world.on_request(move |request, phase| {
            let finalizer = request.client.starts_with("operator")
                && request.resource == "machinetokens"
                && request.subresource.is_none()
                && request.verb == Verb::Patch;
            if finalizer && phase == Phase::Before && refused.fetch_add(1, Ordering::SeqCst) == 0 {
                Verdict::Fail(403)
            } else {
                Verdict::Pass
            }
        });
        world.token("ci", json!({}));
        world.until(HOUR, "issued", |w| w.is_settled("ci")).await;
        let ledger = world.ledger("ci").unwrap();
        assert_eq!(ledger.attempt.0, 2, "{}", world.story());
        assert!(ledger.abandoned.is_empty(), "{}", world.story());
        assert_eq!(world.calls(Operation::TokenCreate).len(), 1);
    });
}

#[test]
fn a_ledger_that_cannot_be_created_is_not_asked_for_in_a_tight_loop() {
    in_virtual_time(async {
        let world = World::started().await;
        world.on_request(|request, phase| {
            let first = is_ledger_write(request) && request.verb == Verb::Create;
            if first && phase == Phase::Before {
                Verdict::Fail(500)
            } else {
                Verdict::Pass
            }
        });
        world.token("ci", json!({}));
        world.pass(MINUTE).await;
        let asked = world
            .api
            .count(|entry| is_ledger_write(&entry.request) && entry.request.verb == Verb::Create);
        assert!((2..=12).contains(&asked), "{asked} in a minute");
        assert_eq!(world.calls(Operation::TokenCreate).len(), 0);
    });
}

#[test]
fn a_value_that_is_missing_from_the_ledger_stops_no_rotation() {
    in_virtual_time(async {
        let world = World::started().await;
        let spec = json!({ "rotation": { "overlap": "5m" } });
        world.issued("ci", spec).await;
        world.ask_rotation("ci");
        world
            .until(MINUTE * 5, "in overlap", |w| {
                let retiring = w.ledger("ci").and_then(|ledger| ledger.retiring);
                retiring.is_some_and(|retiring| retiring.distributed_at.is_some())
            })
            .await;
        let (name, _) = stored_record(&world);
        let patch = json!({ "data": { "v.2": null } });
        world.api.patch_as_user::<Secret>(OPERATOR, &name, &patch);
        world.until(HOUR * 2, "over", |w| w.is_settled("ci")).await;
        assert_eq!(world.live().len(), 1, "{}", world.story());
        let reads = world.api.count(|entry| {
            let request = &entry.request;
            request.verb == Verb::Get && request.namespace.as_deref() == Some(OPERATOR)
        });
        assert!(reads < 60, "{reads}");
    });
}

#[test]
fn ready_does_not_stay_beside_a_damaged_target_whose_ledger_cannot_be_read() {
    in_virtual_time(async {
        let world = World::started().await;
        world.issued("ci", json!({})).await;
        world.pass(MINUTE).await;
        let (name, record) = stored_record(&world);
        write_record(&world, &name, "{");
        world.api.delete_as_user::<Secret>(TENANT, "ci");
        world.pass(MINUTE * 5).await;
        let (status, _, message) = world.condition("ci", "Ready").unwrap();
        assert_eq!(status, "False", "{message}");
        write_record(&world, &name, &record);
        world.until(HOUR, "restored", |w| w.is_settled("ci")).await;
    });
}
