//! The operator is asked to stop, or another one runs beside it, as in every rolling update.

use std::time::Duration;

use handover::simulator::{Fault, FaultOrder, Operation, Wait};
use serde_json::json;

use super::support::{
    oracle::{Bounds, Oracle},
    user::in_virtual_time,
    world::World,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_14_a_create_in_flight_is_finished_and_stored_before_the_process_ends() {
    in_virtual_time(async {
        let mut world = World::started().await;
        let oracle = Oracle::watch(&world, "ci", Bounds::usual());
        let slow = [Fault::Stall(Wait(SECOND * 10))];
        world
            .errova
            .order_fault(FaultOrder::on(Operation::TokenCreate, slow).nth(1));
        world.token("ci", json!({}));
        world
            .until(MINUTE, "the create has arrived", |w| w.live().len() == 1)
            .await;
        world.stop().await;
        let ledger = world.ledger("ci").unwrap();
        assert_eq!(ledger.intent, None, "{}", ledger.encode());
        assert!(ledger.abandoned.is_empty(), "{}", ledger.encode());
        let held: Vec<_> = ledger
            .recorded()
            .map(|origin| origin.id.to_string())
            .collect();
        assert_eq!(held, world.live());
        world.start();
        world
            .until(MINUTE, "the next one goes on from there", |w| {
                w.is_settled("ci")
            })
            .await;
        assert_eq!(world.calls(Operation::TokenCreate).len(), 1);
        oracle.assert_kept("stopped during a create");
    });
}

#[test]
fn a_10_two_operators_at_once_send_one_create_for_each_rotation() {
    in_virtual_time(async {
        let mut world = World::started().await;
        let oracle = Oracle::watch(&world, "ci", Bounds::usual());
        world.start(); // the first one goes on
        world.token(
            "ci",
            json!({ "rotation": { "every": "1h", "overlap": "5m", "waitFor": [] } }),
        );
        world
            .until(MINUTE, "the first is issued", |w| w.is_ready("ci"))
            .await;
        let rotated = |w: &World| w.get("ci").unwrap().status.unwrap().rotations >= Some(3);
        world
            .until(MINUTE * 60 * 6, "three rotations", rotated)
            .await;
        world
            .until(MINUTE * 20, "settled", |w| w.is_settled("ci"))
            .await;
        assert_eq!(
            world.calls(Operation::TokenCreate).len(),
            4,
            "{}",
            world.story()
        );
        assert_eq!(world.live().len(), 1);
        world.delete("ci");
        world
            .until(MINUTE, "gone", |w| {
                w.get("ci").is_none() && w.ledgers().is_empty()
            })
            .await;
        assert!(world.live().is_empty());
        oracle.assert_kept("two operators");
    });
}
