//! Faults of the calls after the create: the probe, and the revocation.

use handover::{
    api::annotations,
    simulator::{AuthDown, Fault, FaultBody, FaultOrder, Operation, Wait},
};
use serde_json::json;

use super::{HOUR, MINUTE, SECOND, status};
use crate::support::{
    oracle::{Bounds, Oracle},
    user::in_virtual_time,
    world::World,
};

async fn rotated(world: &World, name: &str, first: &str) {
    world
        .until(HOUR * 2, name, |w| {
            w.is_settled("ci") && w.value("ci").as_deref() != Some(first)
        })
        .await;
}

#[test]
fn a_credential_that_is_accepted_late_is_promoted_late() {
    in_virtual_time(async {
        let world = World::started().await;
        let oracle = Oracle::watch(&world, "ci", Bounds::usual());
        let lag = Fault::VerifyLag(Wait(SECOND * 90));
        world
            .errova
            .order_fault(FaultOrder::on(Operation::TokenCreate, [lag]));
        let first = world.token("ci", json!({ "rotation": { "overlap": "5m" } }));
        world
            .until(MINUTE * 10, "promoted", |w| w.is_settled("ci"))
            .await;
        let value = world.value("ci").unwrap();
        world.ask_rotation("ci");
        rotated(&world, "late", &value).await;
        oracle.assert_kept("late");
        assert_eq!(
            world.calls(Operation::TokenCreate).len(),
            2,
            "{:?}",
            first.spec
        );
    });
}

#[test]
fn a_15_a_16_a_credential_that_is_never_accepted_is_rejected_and_the_one_in_use_stays() {
    in_virtual_time(async {
        let world = World::started().await;
        let oracle = Oracle::watch(&world, "ci", Bounds::usual());
        let spec = json!({ "rotation": { "overlap": "5m" } });
        let first = world.issued("ci", spec).await;
        let never = Fault::VerifyLag(Wait(HOUR * 48));
        let order = FaultOrder::on(Operation::TokenCreate, [never]);
        world.errova.order_fault(order.nth(1));
        world.ask_rotation("ci");
        world
            .until(MINUTE * 15, "rejected", |w| {
                w.ledger("ci").is_some_and(|l| l.history.len() == 1)
            })
            .await;
        assert_eq!(world.value("ci"), Some(first.clone()));
        assert!(world.is_ready("ci"));
        rotated(&world, "the next attempt", &first).await;
        oracle.assert_kept("never");
        assert_eq!(world.live().len(), 1);
    });
}

#[test]
fn a_128_a_credential_in_use_that_breaks_during_the_overlap_keeps_the_one_before_alive() {
    in_virtual_time(async {
        let world = World::started().await;
        let spec = json!({ "rotation": { "overlap": "5m" } });
        let first = world.issued("ci", spec).await;
        world.ask_rotation("ci");
        world
            .until(MINUTE, "overlap", |w| w.reason("ci") == "Overlap")
            .await;
        let current = world.ledger("ci").unwrap().current.unwrap().origin.id;
        let refused = status(401, FaultBody::Own, false);
        let order = FaultOrder {
            caller: Some(current.to_string()),
            ..FaultOrder::on(Operation::AuthCheck, [refused])
        };
        world.errova.order_fault(order);
        world.pass(HOUR * 3).await;
        assert!(world.errova.authenticates(&first), "{}", world.story());
        assert!(world.calls(Operation::TokenDelete).is_empty());
        let blocked = world.condition("ci", "RotationBlocked");
        assert!(blocked.is_some(), "{}", world.story());
        world.errova.clear_faults();
        world
            .until(HOUR, "revoked", |w| !w.errova.authenticates(&first))
            .await;
    });
}

#[test]
fn a_63_a_revocation_that_is_refused_is_tried_again_until_it_is_proven() {
    for (name, fault, gone) in [
        ("500", status(500, FaultBody::Own, false), false),
        ("timeout", Fault::Stall(Wait(MINUTE)), true),
        ("lost", Fault::LoseRequest, false),
        ("answer lost", Fault::LoseResponse, true),
        ("403", status(403, FaultBody::Own, false), false),
        ("401", status(401, FaultBody::Own, false), false),
        ("404 of a proxy", status(404, FaultBody::Html, false), false),
        (
            "200 of a login page",
            status(200, FaultBody::Html, false),
            false,
        ),
        ("429", status(429, FaultBody::Own, false), false),
    ] {
        in_virtual_time(async {
            let world = World::started().await;
            let oracle = Oracle::watch(&world, "ci", Bounds::usual());
            let spec = json!({ "rotation": { "overlap": "5m" } });
            let first = world.issued("ci", spec).await;
            let order = FaultOrder::on(Operation::TokenDelete, [fault]);
            world.errova.order_fault(order);
            world.ask_rotation("ci");
            world.pass(HOUR * 3).await;
            let ledger = world.ledger("ci").unwrap();
            assert_eq!(world.errova.authenticates(&first), !gone, "{name}");
            assert_eq!(ledger.deleting.len(), 1, "{name}: the duty stays");
            assert!(world.is_ready("ci"), "{name}");
            let tries = world.calls(Operation::TokenDelete).len();
            assert!((2..40).contains(&tries), "{name}: {tries}");
            world.errova.clear_faults();
            rotated(&world, name, &first).await;
            oracle.assert_kept(name);
            assert_eq!(world.live().len(), 1, "{name}");
        });
    }
}

#[test]
fn a_refused_revocation_does_not_hold_up_the_next_rotation() {
    in_virtual_time(async {
        let world = World::started().await;
        let oracle = Oracle::watch(&world, "ci", Bounds::usual());
        let spec = json!({ "rotation": { "overlap": "5m" } });
        let first = world.issued("ci", spec).await;
        let refused = status(403, FaultBody::Own, false);
        let order = FaultOrder::on(Operation::TokenDelete, [refused]);
        world.errova.order_fault(order);
        world.ask_rotation("ci");
        world.pass(MINUTE * 20).await;
        let second = world.value("ci").unwrap();
        world.ask_rotation("ci");
        world.pass(MINUTE * 20).await;
        let third = world.value("ci").unwrap();
        assert!(first != second && second != third);
        assert_eq!(world.ledger("ci").unwrap().deleting.len(), 2);
        world.errova.clear_faults();
        rotated(&world, "revoked", &second).await;
        oracle.assert_kept("refused");
        assert_eq!(world.live().len(), 1);
    });
}

#[test]
fn an_outage_of_authentication_rejects_nothing_and_revokes_nothing() {
    in_virtual_time(async {
        let world = World::started().await;
        let oracle = Oracle::watch(&world, "ci", Bounds::usual());
        let spec = json!({ "rotation": { "overlap": "5m" } });
        let first = world.issued("ci", spec).await;
        world.ask_rotation("ci");
        world
            .until(MINUTE, "overlap", |w| w.reason("ci") == "Overlap")
            .await;
        let down = AuthDown {
            lasting: Wait(HOUR * 3),
            code: 401,
        };
        let order = FaultOrder {
            faults: vec![Fault::AuthDown(down)],
            ..FaultOrder::default()
        };
        world.errova.order_fault(order);
        world.pass(HOUR * 2).await;
        assert!(world.errova.authenticates(&first));
        let ready = world.condition("ci", "Ready").unwrap();
        assert_eq!(ready.0, "True", "{ready:?}");
        rotated(&world, "revoked afterwards", &first).await;
        oracle.assert_kept("outage");
        assert_eq!(world.calls(Operation::TokenCreate).len(), 2);
    });
}

#[test]
fn a_08_unresolved_creates_stop_the_next_one_until_a_person_settles_them() {
    in_virtual_time(async {
        let world = World::started().await;
        let oracle = Oracle::watch(&world, "ci", Bounds::usual());
        let spec = json!({ "rotation": { "overlap": "5m" } });
        let first = world.issued("ci", spec).await;
        let order = FaultOrder::on(Operation::TokenCreate, [Fault::LoseRequest]);
        world.errova.order_fault(order);
        world.ask_rotation("ci");
        world.pass(HOUR * 3).await;
        assert_eq!(world.calls(Operation::TokenCreate).len(), 3);
        let ambiguous = world.condition("ci", "AmbiguousCreate");
        assert!(ambiguous.is_some());
        assert_eq!(world.value("ci"), Some(first.clone()));
        world.errova.clear_faults();
        world.pass(HOUR).await;
        assert_eq!(
            world.calls(Operation::TokenCreate).len(),
            3,
            "not without a person"
        );
        let status = world.get("ci").unwrap().status.unwrap();
        let named = status.suspected_orphans.unwrap().into_iter();
        let attempts: Vec<String> = named.map(|o| o.attempt.to_string()).collect();
        let settled = json!({ "metadata": { "annotations": {
            annotations::RESOLVED_ATTEMPTS: attempts.join(","),
        } } });
        world
            .api
            .patch_as_user::<handover::api::machine_token::MachineToken>("web", "ci", &settled);
        rotated(&world, "settled", &first).await;
        oracle.assert_kept("resolved");
        assert!(world.condition("ci", "AmbiguousCreate").is_none());
    });
}
