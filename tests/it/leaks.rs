//! No value of any credential stands anywhere but in the data of Secrets.
//!
//! Every value that was ever issued, the admin token and the MAC key are searched in the log at its
//! finest level, in Events, status, metrics and everything else that Kubernetes stores but Secret data.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use handover::{
    api::{connection::ClusterConnection, machine_token::MachineToken},
    simulator::{Fault, FaultBody, FaultOrder, StatusFault, Wait},
};
use k8s_openapi::api::{core::v1::Secret, events::v1::Event};
use kube::Resource;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use super::support::{
    apiserver::{Phase, Verdict},
    capture::{Canaries, Leak, Logs},
    user::in_virtual_time,
    world::{ADMIN, World},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Every value that was in any Secret at any time.
fn values(world: &World) -> Vec<String> {
    let versions = world.api.history::<Secret>(|_, _| true);
    let data = versions
        .into_iter()
        .filter_map(|version| version.object?.data);
    let values = data.flat_map(|data| {
        let shown = ["id", "expiresAt", "instance"]; // these are no secrets
        let secret = data
            .into_iter()
            .filter(move |(key, _)| !shown.contains(&key.as_str()));
        secret.map(|(_, value)| String::from_utf8_lossy(&value.0).into_owned())
    });
    let mut values: Vec<String> = values.chain([ADMIN.to_owned()]).collect();
    values.sort();
    values.dedup();
    values.retain(|value| value.len() > 8);
    values
}

fn all<K>(world: &World) -> String
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
{
    let versions = world.api.history::<K>(|_, _| true);
    let objects = versions.into_iter().filter_map(|version| version.object);
    objects
        .map(|object| serde_json::to_string(&object).unwrap() + "\n")
        .collect()
}

/// Metadata of Secrets: ledger records, annotations of targets.
fn metadata(world: &World) -> String {
    let versions = world.api.history::<Secret>(|_, _| true);
    let objects = versions.into_iter().filter_map(|version| version.object);
    objects
        .map(|secret| serde_json::to_string(&secret.metadata).unwrap() + "\n")
        .collect()
}

fn search(world: &World, log: &str) -> Vec<Leak> {
    let values = values(world);
    assert!(
        values.len() >= 3,
        "the admin token, the MAC key, and at least one credential"
    );
    let canaries: Canaries = values.iter().map(String::as_str).collect();
    let places = [
        ("the log", log.to_owned()),
        ("Events", all::<Event>(world)),
        ("tokens", all::<MachineToken>(world)),
        ("connections", all::<ClusterConnection>(world)),
        ("metadata of Secrets", metadata(world)),
        ("metrics", world.metrics.encode().unwrap()),
    ];
    let leaks = places.iter().map(|(place, text)| {
        assert!(!text.is_empty(), "{place} is empty");
        canaries.find(place, text)
    });
    leaks.flatten().collect()
}

fn assert_none(world: &World, logs: &Logs, scenario: &str) {
    let leaks = search(world, &logs.text());
    let shown: Vec<String> = leaks.iter().map(ToString::to_string).collect();
    assert!(leaks.is_empty(), "{scenario}: {}", shown.join("\n"));
}

#[test]
fn a_107_a_whole_life_leaks_nothing() {
    let (logs, _guard) = Logs::capture("trace");
    in_virtual_time(async {
        let world = World::started().await;
        let spec = json!({ "rotation": { "overlap": "5m" } });
        let first = world.issued("ci", spec).await;
        world.ask_rotation("ci");
        world
            .until(HOUR, "rotated", |w| {
                w.is_settled("ci") && w.value("ci").as_ref() != Some(&first)
            })
            .await;
        world.delete("ci");
        world
            .until(MINUTE, "gone", |w| {
                w.ledgers().is_empty() && w.get("ci").is_none()
            })
            .await;
        assert_none(&world, &logs, "a whole life");
    });
}

#[test]
fn a_107_no_fault_of_the_provider_makes_it_leak() {
    let status = |code, committed| {
        Fault::Status(StatusFault {
            code,
            body: FaultBody::Own,
            committed,
        })
    };
    for fault in [
        Fault::LoseResponse,
        Fault::Reset,
        Fault::Truncate(40),
        Fault::BadJson,
        Fault::NoValue,
        Fault::OldValue,
        Fault::WrongOwner,
        Fault::WrongScope,
        Fault::Relabel,
        Fault::Huge,
        Fault::Duplicate,
        Fault::VerifyLag(Wait(MINUTE)),
        Fault::Stall(Wait(MINUTE)),
        status(200, true),
        status(401, false),
        status(422, false),
        status(429, false),
        status(500, true),
    ] {
        let (logs, _guard) = Logs::capture("trace");
        in_virtual_time(async {
            let world = World::started().await;
            let first = world.issued("ci", json!({})).await;
            let order = FaultOrder {
                faults: vec![fault.clone()],
                ..FaultOrder::default()
            };
            world.errova.order_fault(order);
            world.ask_rotation("ci");
            world.pass(MINUTE * 5).await;
            world.delete("ci");
            world.pass(MINUTE * 5).await;
            assert!(!first.is_empty());
            assert_none(&world, &logs, &format!("{fault:?}"));
        });
    }
}

/// The API server quotes what was sent to it, as admission webhooks do. The client below us prints that
/// at its finest level, which is why the shipped logs hold it back.
#[test]
fn a_107_no_refusal_of_the_api_server_makes_it_leak() {
    for code in [400, 409, 422, 500] {
        for phase in [Phase::Before, Phase::After] {
            let (logs, _guard) = Logs::as_shipped("trace,kube_client=trace");
            in_virtual_time(async {
                let world = World::started().await;
                world.issued("ci", json!({})).await;
                let strikes = Arc::new(Mutex::new(0));
                let count = strikes.clone();
                world.on_request(move |request, now| {
                    let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
                    let strike = now == phase
                        && request.client.starts_with("operator")
                        && request.resource == "secrets"
                        && request.verb.writes();
                    *count += usize::from(strike);
                    if strike && !count.is_multiple_of(3) {
                        Verdict::Fail(code)
                    } else {
                        Verdict::Pass
                    }
                });
                world.ask_rotation("ci");
                world.pass(MINUTE * 10).await;
                assert!(*strikes.lock().unwrap() > 0);
                assert_none(&world, &logs, &format!("{code} {phase:?}"));
            });
        }
    }
}

#[test]
fn the_search_finds_a_leak_in_a_log_line_of_its_own() {
    let (logs, _guard) = Logs::capture("trace");
    in_virtual_time(async {
        let world = World::started().await;
        let value = world.issued("ci", json!({})).await;
        assert_eq!(search(&world, &logs.text()), []);
        tracing::trace!("the value is {value}");
        let leaks = search(&world, &logs.text());
        assert!(
            leaks.iter().any(|leak| leak.place == "the log"),
            "{leaks:?}"
        );
    });
}

#[test]
fn the_search_finds_a_leak_in_a_status() {
    let (logs, _guard) = Logs::capture("trace");
    in_virtual_time(async {
        let world = World::started().await;
        let value = world.issued("ci", json!({})).await;
        let first = value.chars().take(8).collect::<String>();
        let status = json!({ "secret": first });
        let token = world.get("ci").unwrap();
        let (namespace, name) = (
            token.metadata.namespace.unwrap(),
            token.metadata.name.unwrap(),
        );
        world
            .api
            .patch_status_as_user::<MachineToken>(&namespace, &name, &status);
        let leaks = search(&world, &logs.text());
        assert!(leaks.iter().any(|leak| leak.place == "tokens"), "{leaks:?}");
    });
}
