//! Many tokens at once, and the rate of their one connection.

use std::time::Duration;

use handover::simulator::AuditEntry;
use jiff::Timestamp;
use serde_json::json;

use super::support::{user::in_virtual_time, world::World};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Calls in the fullest stretch of this length.
fn most_within(calls: &[AuditEntry], stretch: Duration) -> usize {
    let times: Vec<Timestamp> = calls.iter().map(|call| call.time).collect();
    let from = |start: &Timestamp| {
        let inside =
            |at: &&Timestamp| *at >= start && at.duration_since(*start).unsigned_abs() < stretch;
        times.iter().filter(inside).count()
    };
    times.iter().map(from).max().unwrap_or(0)
}

fn are_ready(world: &World, tokens: usize) -> bool {
    let ledgers = world.ledgers();
    let current = ledgers.iter().filter(|ledger| ledger.current.is_some());
    current.count() == tokens
}

/// So many tokens applied at once; answers when the last one was in use.
async fn applied_at_once(tokens: usize, per_minute: usize) -> World {
    let mut world = World::new();
    let requests = json!({ "perMinute": per_minute, "inFlight": 4 });
    world.edit_connection(&json!({ "requests": requests }));
    world.start();
    for n in 0..tokens {
        world.token(
            &format!("ci-{n}"),
            json!({ "rotation": { "every": "24h" } }),
        );
    }
    let calls = tokens * 2 + 10; // a create and a probe each, and the connection's checks
    let floor = MINUTE * u32::try_from(calls.div_ceil(per_minute)).unwrap();
    world
        .until(floor * 3 / 2 + MINUTE * 2, "all issued", |w| {
            are_ready(w, tokens)
        })
        .await;
    let most = most_within(&world.errova.audit(), MINUTE);
    assert!(most <= per_minute + 4, "{most} calls in a minute");
    let creates = world.errova.truth().len() - 1;
    assert_eq!(creates, tokens, "one create each");
    let attempts: u64 = world.ledgers().iter().map(|l| l.attempt.0).sum();
    assert_eq!(attempts, tokens as u64, "none was armed in vain");
    world
}

#[test]
fn a_96_fifty_tokens_applied_at_once_stay_under_the_rate() {
    in_virtual_time(async {
        let world = applied_at_once(50, 60).await;
        let due = world.ledgers().len();
        assert_eq!(due, 50);
    });
}

#[test]
fn a_96_five_hundred_tokens_applied_at_once_stay_under_the_rate_and_are_due_at_different_times() {
    in_virtual_time(async {
        let world = applied_at_once(500, 600).await;
        world.pass(MINUTE).await;
        let tokens = (0..500).map(|n| world.get(&format!("ci-{n}")).unwrap());
        let mut due: Vec<Timestamp> = tokens
            .filter_map(|token| token.status?.credential?.next_rotation)
            .map(|moment| moment.0)
            .collect();
        due.sort();
        assert_eq!(due.len(), 500);
        let spread = due[499].duration_since(due[0]).as_mins();
        assert!(spread >= 4 * 60, "within {spread} min");
        let crowd = due
            .windows(25)
            .map(|w| w[24].duration_since(w[0]).as_secs());
        assert!(crowd.min().unwrap() > 120, "25 are due within two minutes");
    });
}

#[test]
fn one_throttled_connection_recovers_without_a_storm() {
    in_virtual_time(async {
        let mut world = World::new();
        world.start();
        world.until(MINUTE, "connected", World::is_connected).await;
        let limit = handover::simulator::RateLimit {
            limit: 20,
            window: handover::simulator::Wait(MINUTE),
            retry_after: Some(handover::simulator::RetryAfter::Seconds),
        };
        world.errova.order_fault(handover::simulator::FaultOrder {
            faults: vec![handover::simulator::Fault::RateLimit(limit)],
            ..Default::default()
        });
        for n in 0..30 {
            world.token(&format!("ci-{n}"), json!({}));
        }
        world
            .until(HOUR * 3, "all issued", |w| are_ready(w, 30))
            .await;
        let audit = world.errova.audit();
        let refused = audit.iter().filter(|call| call.status == Some(429)).count();
        assert!(refused * 4 < audit.len(), "{refused} of {}", audit.len());
        assert_eq!(world.live().len(), 30);
    });
}
