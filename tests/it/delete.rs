//! The end of a token, in good order and out of it.

use std::time::Duration;

use handover::{
    api::{annotations, connection::ClusterConnection, machine_token::MachineToken},
    simulator::{Fault, FaultBody, FaultOrder, Operation, StatusFault},
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use serde_json::json;

use super::support::{
    oracle::{Bounds, Oracle},
    user::in_virtual_time,
    world::{OPERATOR, TENANT, World, connection},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn is_gone(world: &World) -> bool {
    world.get("ci").is_none()
}

fn is_forgotten(world: &World) -> bool {
    is_gone(world) && world.ledgers().is_empty() && world.live().is_empty()
}

fn refuse_deletes(world: &World) {
    let down = Fault::Status(StatusFault {
        code: 503,
        body: FaultBody::Html,
        committed: false,
    });
    world
        .errova
        .order_fault(FaultOrder::on(Operation::TokenDelete, [down]));
}

#[test]
fn a_67_a_provider_that_is_down_for_a_week_gets_every_revocation_in_the_end() {
    in_virtual_time(async {
        let mut world = World::started().await;
        let value = world.issued("ci", json!({})).await;
        world.errova.refuse_connections(true);
        world.delete("ci");
        world.pass(MINUTE * 9).await;
        assert!(!is_gone(&world), "the finalizer waits for deletionTimeout");
        let shown = world.condition("ci", "Ready").unwrap();
        assert_eq!(shown.1, "Deleting");
        assert!(shown.2.contains("not revoked yet"), "{shown:?}");
        world.until(MINUTE * 3, "released", is_gone).await;
        world.pass(DAY * 3).await;
        world.stop().await; // the duty is in the ledger, not in the process
        world.start();
        world.pass(DAY * 4).await;
        let pending = world.ledgers().remove(0).deleting;
        assert_eq!(pending.len(), 1, "given up");
        assert!(world.errova.authenticates(&value));
        world.errova.refuse_connections(false);
        world.until(HOUR, "revoked", is_forgotten).await;
        assert_eq!(world.value("ci"), None);
    });
}

#[test]
fn a_provider_that_is_down_is_asked_less_and_less_often() {
    in_virtual_time(async {
        let world = World::started().await;
        world.issued("ci", json!({})).await;
        world.errova.order_fault(FaultOrder {
            faults: vec![Fault::LoseRequest],
            ..FaultOrder::default()
        });
        let before = world.errova.audit().len();
        world.pass(DAY).await;
        let asked = world.errova.audit_since(before).len();
        assert!((100..200).contains(&asked), "{asked} times in a day");
        world.errova.clear_faults();
        world
            .until(MINUTE * 11, "connected", World::is_connected)
            .await;
    });
}

#[test]
fn a_63_a_revocation_that_is_refused_keeps_the_duty_beyond_the_resource() {
    in_virtual_time(async {
        let world = World::started().await;
        let oracle = Oracle::watch(&world, "ci", Bounds::usual());
        let value = world.issued("ci", json!({})).await;
        refuse_deletes(&world);
        world.delete("ci");
        world.until(MINUTE * 12, "released", is_gone).await;
        assert!(world.errova.authenticates(&value));
        assert_eq!(world.ledgers().len(), 1);
        world.errova.clear_faults();
        world.until(HOUR, "revoked", is_forgotten).await;
        oracle.assert_kept("refused");
    });
}

#[test]
fn a_64_revocation_works_by_id_alone() {
    in_virtual_time(async {
        let world = World::started().await;
        world.issued("ci", json!({})).await;
        let ledger = format!(
            "ledger-machinetoken-{}",
            world.get("ci").unwrap().metadata.uid.unwrap()
        );
        let nothing = json!({ "data": { "v.1": null } });
        world
            .api
            .patch_as_user::<Secret>(OPERATOR, &ledger, &nothing);
        world.edit_target("ci", &json!({ "data": { "token": "//8=" } }));
        world.delete("ci");
        world.until(MINUTE, "gone", is_forgotten).await;
    });
}

#[test]
fn a_70_a_retained_token_stays_with_its_target_and_its_record() {
    in_virtual_time(async {
        let mut world = World::started().await;
        let spec = json!({ "deletionPolicy": "Retain", "rotation": { "overlap": "5m" } });
        let first = world.issued("ci", spec).await;
        world.ask_rotation("ci");
        world
            .until(MINUTE, "overlap", |w| w.reason("ci") == "Overlap")
            .await;
        let second = world.value("ci").unwrap();
        world.delete("ci");
        world.until(MINUTE, "gone", is_gone).await;
        assert!(
            world.errova.authenticates(&first),
            "it finishes its overlap"
        );
        world
            .until(MINUTE * 20, "the one before is revoked", |w| {
                !w.errova.authenticates(&first)
            })
            .await;
        world.stop().await;
        world.start();
        world.pass(DAY).await;
        assert!(world.errova.authenticates(&second));
        assert_eq!(world.value("ci"), Some(second));
        let ledger = world.ledgers().remove(0);
        assert!(ledger.current.is_some() && ledger.tombstone.is_some());
    });
}

#[test]
fn a_62_a_namespace_that_goes_is_held_up_by_nothing() {
    in_virtual_time(async {
        let world = World::started().await;
        world.issued("ci", json!({})).await;
        world.errova.refuse_connections(true);
        world.api.delete_as_user::<Namespace>("", TENANT);
        world
            .until(Duration::from_secs(10), "gone", |w| {
                is_gone(w) && w.api.get::<Namespace>("", TENANT).is_none()
            })
            .await;
        assert_eq!(world.live().len(), 1);
        world.errova.refuse_connections(false);
        world.until(HOUR, "revoked", is_forgotten).await;
    });
}

#[test]
fn a_68_a_token_deleted_while_its_first_create_is_on_its_way_leaves_nothing() {
    for after in [0, 2, 4, 6, 8, 10, 12, 14, 16, 20] {
        in_virtual_time(async {
            let world = World::started().await;
            let oracle = Oracle::watch(&world, "ci", Bounds::usual());
            let slow = Fault::Stall(handover::simulator::Wait(Duration::from_millis(4)));
            let order = FaultOrder::on(Operation::TokenCreate, [slow]);
            world.errova.order_fault(order);
            world.token("ci", json!({}));
            world.pass(Duration::from_millis(after)).await;
            world.delete("ci");
            let name = format!("deleted after {after} ms");
            world.until(MINUTE * 15, &name, is_forgotten).await;
            world.pass(HOUR).await;
            oracle.assert_kept(&name);
            assert!(is_forgotten(&world), "{name}\n{}", oracle.story());
            assert_eq!(world.value("ci"), None, "{name}");
        });
    }
}

#[test]
fn a_token_that_comes_again_under_its_old_name_is_another_one() {
    in_virtual_time(async {
        let world = World::started().await;
        let first = world.issued("ci", json!({})).await;
        for _ in 0..3 {
            world.delete("ci");
            world.until(MINUTE, "gone", is_gone).await;
            let again = world.issued("ci", json!({})).await;
            assert_ne!(again, first);
        }
        assert!(!world.errova.authenticates(&first));
        world
            .until(MINUTE, "tidy", |w| {
                w.live().len() == 1 && w.ledgers().len() == 1
            })
            .await;
    });
}

#[test]
fn a_72_a_connection_that_goes_first_is_reported_and_its_return_ends_the_duty() {
    for restart in [false, true] {
        in_virtual_time(async {
            let mut world = World::started().await;
            let value = world.issued("ci", json!({})).await;
            world.api.delete_as_user::<ClusterConnection>("", "acme");
            if restart {
                world.stop().await;
                world.start();
            }
            world.pass(MINUTE * 2).await;
            assert_eq!(world.value("ci"), Some(value), "what is in use stays");
            world.delete("ci");
            let reported = |w: &World| {
                w.condition("ci", "Ready")
                    .is_some_and(|(_, _, message)| message.contains("does not exist"))
            };
            world.until(MINUTE, "reported", reported).await;
            world.until(MINUTE * 12, "released", is_gone).await;
            world.pass(HOUR).await;
            let pending = |w: &World, count: u32| {
                let series =
                    format!("handover_pending_revocations{{connection=\"acme\"}} {count}\n");
                w.metrics.encode().unwrap().contains(&series)
            };
            assert!(pending(&world, 1), "metrics name what is still to be done");
            world.api.apply_as_user(&connection());
            world.until(HOUR, "revoked", is_forgotten).await;
            let settled = |w: &World| pending(w, 0);
            world.until(MINUTE, "nothing pending", settled).await;
        });
    }
}

#[test]
fn a_72_a_removed_admin_secret_is_reported_and_its_return_is_noticed() {
    in_virtual_time(async {
        let world = World::started().await;
        world.issued("ci", json!({})).await;
        world.api.delete_as_user::<Secret>(OPERATOR, "errova-admin");
        world
            .until(MINUTE, "connection not ready", |w| !w.is_connected())
            .await;
        assert!(
            world.is_ready("ci"),
            "a settled token does not depend on it"
        );
        world.delete("ci");
        world.until(MINUTE * 12, "released", is_gone).await;
        assert_eq!(world.live().len(), 1);
        world.write_admin(super::support::world::ADMIN.as_bytes());
        world.until(MINUTE * 15, "revoked", is_forgotten).await;
    });
}

#[test]
fn a_changed_admin_secret_is_used_at_once() {
    in_virtual_time(async {
        let world = World::started().await;
        world.issued("ci", json!({})).await;
        world.write_admin(b"erv_wrong_0000000000000000");
        world.until(MINUTE, "noticed", |w| !w.is_connected()).await;
        world.ask_rotation("ci");
        world.pass(MINUTE * 5).await;
        assert_eq!(world.calls(Operation::TokenCreate).len(), 1);
        world.write_admin(super::support::world::ADMIN.as_bytes());
        world
            .until(MINUTE, "rotated", |w| {
                w.calls(Operation::TokenCreate).len() == 2
            })
            .await;
    });
}

#[test]
fn a_finalizer_that_is_stripped_comes_back() {
    in_virtual_time(async {
        let world = World::started().await;
        world.issued("ci", json!({})).await;
        let none = json!({ "metadata": { "finalizers": [] } });
        world.api.patch_as_user::<MachineToken>(TENANT, "ci", &none);
        let claimed = |w: &World| {
            let finalizers = w.get("ci").unwrap().metadata.finalizers;
            finalizers.unwrap_or_default() == [annotations::FINALIZER]
        };
        world.until(MINUTE, "claimed", claimed).await;
        world.delete("ci");
        world.until(MINUTE, "gone", is_forgotten).await;
    });
}

#[test]
fn a_resource_that_vanishes_without_us_keeps_its_credential_and_its_record() {
    in_virtual_time(async {
        let mut world = World::started().await;
        let value = world.issued("ci", json!({})).await;
        world.stop().await;
        let none = json!({ "metadata": { "finalizers": [] } });
        world.api.patch_as_user::<MachineToken>(TENANT, "ci", &none);
        world.delete("ci");
        world.start();
        world.pass(DAY).await;
        assert!(is_gone(&world));
        assert!(
            world.errova.authenticates(&value),
            "nobody asked for its end"
        );
        assert_eq!(world.value("ci"), Some(value));
        assert_eq!(world.ledgers().len(), 1);
    });
}
