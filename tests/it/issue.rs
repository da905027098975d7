//! From a manifest to a target Secret, and on to its replacement and its end.

use std::time::Duration;

use serde_json::json;

use super::support::world::World;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_token_is_issued_rotated_and_revoked() {
    let mut world = World::new();
    world.start();
    world.token(
        "ci",
        json!({ "rotation": { "every": "2h", "overlap": "10m" } }),
    );
    world
        .until(MINUTE, "Ready", |w| {
            w.condition("ci", "Ready")
                .is_some_and(|(status, ..)| status == "True")
        })
        .await;
    let first = world.value("ci").unwrap();
    assert!(world.errova.authenticates(&first));
    world
        .until(MINUTE * 140, "rotated", |w| {
            w.value("ci").is_some_and(|now| now != first)
        })
        .await;
    assert!(
        world.errova.authenticates(&first),
        "both are valid during the overlap"
    );
    world
        .until(MINUTE * 20, "revoked", |w| !w.errova.authenticates(&first))
        .await;
    assert!(world.errova.authenticates(&world.value("ci").unwrap()));
    world
        .until(MINUTE, "settled", |w| {
            w.get("ci")
                .unwrap()
                .status
                .unwrap()
                .history
                .is_some_and(|history| history.len() == 1)
        })
        .await;
    world
        .api
        .delete_as_user::<handover::api::machine_token::MachineToken>("web", "ci");
    world
        .until(MINUTE, "gone", |w| {
            w.get("ci").is_none() && w.ledgers().is_empty()
        })
        .await;
    assert!(world.live().is_empty());
    assert_eq!(world.value("ci"), None);
}
