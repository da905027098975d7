//! The target follows the ledger, and is nobody's to take.

use super::*;
use crate::{
    api::condition::Reason,
    ledger::{
        fixtures::{DAY, HOUR, MILLISECOND, MINUTE, SECOND, ago, ahead, id},
        record::Ledger,
    },
    plan::world::{Resource, Task},
};

fn message(world: &World) -> String {
    match plan(world, NOON).because {
        Because::Blocked(obstacle) => obstacle.message,
        because => panic!("{because:?}"),
    }
}

#[test]
fn a_secret_that_is_not_ours_or_cannot_be_changed_is_left_alone() {
    let poll = Some(ahead(MINUTE));
    let frozen = || World::issued().showing(|seen| seen.immutable = true);
    check(vec![
        (
            "foreign",
            World::test().foreign(None),
            "Blocked TargetForeign",
            poll,
        ),
        (
            "foreign, with a credential in use",
            World::issued().foreign(None),
            "Blocked TargetForeign",
            poll,
        ),
        ("immutable", frozen(), "Blocked TargetRejected", poll),
        (
            "foreign, and nobody asks for it",
            World::test().foreign(None).gone(),
            "Leaving",
            None,
        ),
    ]);
    let held = message(&World::test().foreign(Some("Deployment web")));
    assert!(held.contains("belongs to Deployment web") && held.contains("spec.secret.name"));
    assert!(!message(&World::test().foreign(None)).contains("belongs"));
    let itself = format!("MachineToken {}", World::test().owner.name);
    let earlier = message(&World::test().foreign(Some(&itself)));
    assert!(
        earlier.contains(&format!("an earlier {itself}")),
        "{earlier}"
    );
    assert!(message(&frozen()).contains("delete it"));
}

#[test]
fn whatever_the_target_shows_wrongly_is_written_again() {
    let shows = |change: fn(&mut crate::plan::world::Seen)| World::issued().showing(change);
    check(vec![
        ("as it should be", World::issued(), "Settled", None),
        ("deleted", World::issued().targetless(), "Deliver", None),
        ("edited", World::issued().damaged(), "Deliver", None),
        (
            "an older epoch",
            shows(|seen| seen.epoch = Epoch(0)),
            "Deliver",
            None,
        ),
        (
            "another id",
            shows(|seen| seen.id = id("other")),
            "Deliver",
            None,
        ),
        (
            "another presentation",
            shows(|seen| seen.rendering.push('2')),
            "Deliver",
            None,
        ),
        (
            "while nothing may be issued",
            World::issued().targetless().hindered(Reason::NotAllowed),
            "Deliver",
            None,
        ),
        (
            "paused",
            World::issued().targetless().paused(),
            "Paused",
            None,
        ),
    ]);
}

#[test]
fn a_repair_is_made_at_most_every_ten_seconds() {
    let repaired = |at, epoch| {
        World::issued()
            .damaged()
            .but(|world| world.memory.delivered = Some((Epoch(epoch), at)))
    };
    let next = ahead(MILLISECOND);
    let later = ahead(SECOND);
    check(vec![
        (
            "a millisecond before",
            repaired(ago(SECOND * 10) + MILLISECOND, 1),
            "Blocked TargetDamaged",
            Some(next),
        ),
        (
            "ten seconds later",
            repaired(ago(SECOND * 10), 1),
            "Deliver",
            None,
        ),
        (
            "a new credential does not wait",
            repaired(NOON, 0),
            "Deliver",
            None,
        ),
        (
            "a refused write waits",
            World::issued().damaged().waiting_for(Task::Deliver, later),
            "Blocked ProviderUnavailable",
            Some(later),
        ),
        (
            "the wait is over",
            World::issued().damaged().waiting_for(Task::Deliver, NOON),
            "Deliver",
            None,
        ),
    ]);
}

#[test]
fn a_ledger_that_was_set_back_does_not_overwrite_a_newer_target() {
    let poll = Some(ahead(MINUTE * 10));
    let newer = || World::issued().showing(|seen| seen.epoch = Epoch(2));
    check(vec![
        (
            "a newer epoch, and sound",
            newer(),
            "Blocked StateRollback",
            poll,
        ),
        (
            "a newer epoch that somebody wrote there",
            newer().damaged(),
            "Deliver",
            None,
        ),
        (
            "deleted to distribute the older one",
            newer().targetless(),
            "Deliver",
            None,
        ),
    ]);
}

#[test]
fn what_was_forfeited_is_not_written_but_replaced() {
    let forfeited = |world: World| world.record(|ledger| ledger.forfeit(NOON).unwrap());
    check(vec![
        (
            "the target still shows it",
            forfeited(World::issued()),
            "Issue LedgerLost",
            None,
        ),
        (
            "the target is damaged as well",
            forfeited(World::issued().damaged()),
            "Issue LedgerLost",
            None,
        ),
    ]);
}

#[test]
fn a_finalizer_that_somebody_took_off_comes_back_where_there_is_a_duty() {
    let unclaimed = |world: World| world.wishing(|wish| wish.claimed = false);
    let pending = World::test().with_ledger(Ledger::test().arming(ago(MINUTE)).filling());
    check(vec![
        ("in use", unclaimed(World::issued()), "Claim", None),
        ("pending", unclaimed(pending), "Claim", None),
        (
            "nothing yet",
            unclaimed(World::test()),
            "Issue Created",
            None,
        ),
        (
            "paused",
            unclaimed(World::issued()).paused(),
            "Paused",
            None,
        ),
    ]);
}

#[test]
fn delivered_means_this_credential_in_this_epoch_as_it_should_look() {
    let ledger = Ledger::test().issued(ago(DAY)).issued(ago(HOUR));
    let world = World::test().with_ledger(ledger);
    assert!(world.is_delivered());
    assert!(!world.clone().damaged().is_delivered());
    assert!(!world.clone().targetless().is_delivered());
    assert!(!world.clone().foreign(None).is_delivered());
    let other_look = world.clone().wishing(|wish| wish.rendering.push('2'));
    assert!(!other_look.is_delivered());
    let nobody_asks = World {
        resource: Resource::Gone,
        ..other_look
    };
    assert!(
        nobody_asks.is_delivered(),
        "how it looks is nobody's wish any more"
    );
    assert!(!World::test().is_delivered());
}
