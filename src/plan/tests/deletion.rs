//! Duties: what exists must come to an end, whatever the resource asks for.

use super::*;
use crate::{
    api::condition::Reason,
    ledger::{
        fixtures::{DAY, HOLDER, HOUR, MILLISECOND, MINUTE, PATIENCE, SECOND, ago, ahead, id_of},
        record::Ledger,
    },
    plan::world::{Resource, Task},
};

/// Buried at `at`: one credential, or two in their overlap.
fn buried(world: World, at: Timestamp) -> World {
    world
        .record(|ledger| ledger.bury(None, at).unwrap())
        .deleting()
}

fn kept(world: World) -> World {
    world
        .record(|ledger| ledger.bury(Some(PATIENCE), NOON).unwrap())
        .deleting()
}

/// Buried, and everything revoked.
fn revoked(at: Timestamp) -> World {
    buried(World::issued(), at).record(|ledger| ledger.clear(&id_of(1), at).unwrap())
}

#[test]
fn the_record_says_so_before_anything_else_happens() {
    check(vec![
        (
            "a deleted resource is buried first",
            World::retiring().deleting(),
            "Bury",
            None,
        ),
        (
            "also while a create is armed",
            World::issued().record(|l| l.arming(NOON)).deleting(),
            "Bury",
            None,
        ),
        (
            "also with a foreign target",
            World::issued().foreign(None).deleting(),
            "Bury",
            None,
        ),
        ("once", buried(World::issued(), NOON), "Revoke cred-1", None),
        (
            "one without a ledger is let go",
            World::test().deleting(),
            "Release",
            None,
        ),
        (
            "one that vanished is not buried",
            World::issued().gone(),
            "Leaving",
            None,
        ),
    ]);
}

#[test]
fn an_intent_is_abandoned_when_nobody_can_send_it_any_more() {
    let armed = |holder: &'static str, at| {
        World::issued().with_ledger(Ledger::test().issued(ago(DAY)).arming_with(at, |intent| {
            intent.holder = holder.to_owned();
        }))
    };
    let (other, last) = ("pod-2/boot-9", ago(MINUTE));
    let sent_until = ahead(MILLISECOND);
    check(vec![
        (
            "our own, whose task ended",
            armed(HOLDER, NOON),
            "Abandon",
            None,
        ),
        (
            "another's, a millisecond before",
            armed(other, last + MILLISECOND),
            "Settled",
            Some(sent_until),
        ),
        (
            "another's, when its time is over",
            armed(other, last),
            "Abandon",
            None,
        ),
        (
            "also while paused",
            armed(other, last).paused(),
            "Abandon",
            None,
        ),
        (
            "paused, and not yet",
            armed(other, last + MILLISECOND).paused(),
            "Paused",
            Some(sent_until),
        ),
        (
            "also with a foreign target",
            armed(other, last).foreign(None),
            "Abandon",
            None,
        ),
    ]);
}

#[test]
fn the_end_of_a_life_is_kept() {
    let ending = |end| World::issued().record(|ledger| ledger.ending(end));
    let never = |world: World| world.rotating(|rotation| rotation.renew = false);
    let soon = ahead(MILLISECOND);
    check(vec![
        ("at its end", ending(NOON), "CondemnExpired", None),
        (
            "a millisecond before",
            never(ending(soon)),
            "Settled",
            Some(soon),
        ),
        (
            "while paused",
            ending(NOON).paused(),
            "CondemnExpired",
            None,
        ),
        (
            "paused, a millisecond before",
            ending(soon).paused(),
            "Paused",
            Some(soon),
        ),
        (
            "without a resource",
            ending(NOON).gone(),
            "CondemnExpired",
            None,
        ),
        (
            "not of one that was given away",
            kept(ending(NOON)).deletion(|d| d.claimed = false),
            "Leaving",
            None,
        ),
    ]);
}

#[test]
fn what_is_doomed_is_revoked_whatever_else_is_wrong() {
    let doomed = || World::retiring().record(|ledger| ledger.marking(ago(HOUR)));
    let waiting = |until| doomed().waiting_for(Task::Revoke, until);
    let later = ahead(MINUTE);
    check(vec![
        ("at once", doomed(), "Revoke cred-1", None),
        (
            "with a foreign target",
            doomed().foreign(None),
            "Revoke cred-1",
            None,
        ),
        ("while paused", doomed().paused(), "Revoke cred-1", None),
        (
            "while nothing may be issued",
            doomed().hindered(Reason::NotAllowed),
            "Revoke cred-1",
            None,
        ),
        ("not during a wait", waiting(later), "Settled", Some(later)),
        (
            "nor during a wait while paused",
            waiting(later).paused(),
            "Paused",
            Some(later),
        ),
        ("the wait is over", waiting(NOON), "Revoke cred-1", None),
    ]);
}

#[test]
fn one_that_is_refused_blocks_no_other() {
    let two = buried(World::retiring(), NOON);
    let failed = |n| {
        let world = two.clone().waiting_for(Task::Revoke, NOON);
        say(&plan(
            &world.but(|w| w.memory.waits.get_mut(&Task::Revoke).unwrap().n = n),
            NOON,
        ))
    };
    assert_eq!(failed(0), "Revoke cred-1");
    assert_eq!(failed(1), "Revoke cred-2");
    assert_eq!(failed(2), "Revoke cred-1");
}

#[test]
fn a_persons_word_settles_unresolved_creates_once() {
    let unsure = || World::issued().record(|ledger| ledger.unsure(ago(HOUR)));
    let named = |g: u64| unsure().but(|world| world.resolved = vec![Generation(g)]);
    check(vec![
        ("named", named(2), "Resolve", None),
        ("named while paused", named(2).paused(), "Resolve", None),
        ("another one named", named(7), "Settled", None),
        (
            "nothing unresolved",
            World::issued().but(|w| w.resolved = vec![Generation(1)]),
            "Settled",
            None,
        ),
    ]);
}

#[test]
fn the_target_goes_after_its_credential_unless_it_is_kept() {
    let with_namespace = |world: World| world.deletion(|deletion| deletion.terminating = true);
    let later = ahead(MINUTE);
    let timeout = ahead(MINUTE * 10);
    check(vec![
        (
            "revoked first",
            buried(World::issued(), NOON),
            "Revoke cred-1",
            None,
        ),
        ("then removed", revoked(NOON), "RemoveTarget", None),
        (
            "a refusal waits",
            revoked(NOON).waiting_for(Task::RemoveTarget, later),
            "Leaving ProviderUnavailable",
            Some(later),
        ),
        (
            "not while a revocation waits",
            buried(World::issued(), NOON).waiting_for(Task::Revoke, ahead(DAY)),
            "Leaving ProviderUnavailable",
            Some(timeout),
        ),
        (
            "never a foreign one",
            revoked(NOON).foreign(None),
            "Release",
            None,
        ),
        (
            "its namespace takes it along",
            with_namespace(revoked(NOON)),
            "Release",
            None,
        ),
        ("one that is kept", kept(World::issued()), "Release", None),
    ]);
}

#[test]
fn the_finalizer_leaves_when_the_duty_is_done_or_late() {
    let stuck = |since| buried(World::issued(), since).waiting_for(Task::Revoke, ahead(DAY));
    let terminating = |world: World| world.deletion(|deletion| deletion.terminating = true);
    let late = ago(MINUTE * 10);
    let unclaimed = |world: World| world.deletion(|deletion| deletion.claimed = false);
    check(vec![
        ("done", revoked(NOON).targetless(), "Release", None),
        (
            "refused, a millisecond before the timeout",
            stuck(late + MILLISECOND),
            "Leaving ProviderUnavailable",
            Some(ahead(MILLISECOND)),
        ),
        ("refused, at the timeout", stuck(late), "Release", None),
        (
            "refused, in a namespace that goes",
            terminating(stuck(NOON)),
            "Release",
            None,
        ),
        (
            "left already",
            unclaimed(stuck(late)),
            "Leaving ProviderUnavailable",
            Some(ahead(DAY)),
        ),
        (
            "left already, nothing to do",
            unclaimed(revoked(NOON).targetless()),
            "Leaving",
            None,
        ),
    ]);
}

#[test]
fn a_ledger_is_closed_only_without_any_duty() {
    let empty = || revoked(NOON).targetless().gone();
    let unsure = |ledger: Ledger| ledger.unsure(ago(HOUR)).bury(None, NOON).unwrap();
    check(vec![
        ("done", empty(), "Close", None),
        (
            "its resource is still there",
            revoked(NOON).targetless().deletion(|d| d.claimed = false),
            "Leaving",
            None,
        ),
        (
            "its target is still there",
            revoked(NOON).gone(),
            "RemoveTarget",
            None,
        ),
        (
            "a revocation waits",
            buried(World::issued(), NOON)
                .gone()
                .waiting_for(Task::Revoke, ahead(SECOND)),
            "Leaving ProviderUnavailable",
            Some(ahead(SECOND)),
        ),
        (
            "one that is kept stays, as the record that it is no stray",
            kept(World::issued()).gone(),
            "Leaving",
            None,
        ),
        (
            "unresolved creates stay its duty",
            World::test().with_ledger(unsure(Ledger::test())).gone(),
            "Leaving",
            None,
        ),
    ]);
}

#[test]
fn a_kept_credentials_predecessor_finishes_its_overlap() {
    let distributed = |at| {
        let ledger = Ledger::test().issued(ago(DAY)).issued(ago(HOUR * 2));
        kept(World::test().with_ledger(ledger.overlapping(at))).gone()
    };
    let end = ahead(MILLISECOND);
    let look = Some(ahead(MINUTE * 6)); // a tenth of the time they are closed
    let over = || distributed(ago(HOUR));
    check(vec![
        (
            "a millisecond before its end",
            distributed(ago(HOUR) + MILLISECOND),
            "Leaving",
            Some(end),
        ),
        ("its end", over(), "Inspect", None),
        ("Pods", over().inspected(None), "Leaving", look),
        ("proof", over().inspected(vec![]), "Prove", None),
        (
            "all gates hold",
            over().inspected(vec![]).proven(),
            "Mark",
            None,
        ),
    ]);
}

#[test]
fn what_is_buried_asks_for_nothing_even_if_it_is_wanted() {
    let world = revoked(NOON).targetless();
    let wanted = world.but(|world| world.resource = World::test().resource);
    check(vec![
        ("wanted, but buried", wanted, "Leaving", None),
        (
            "gone without a ledger",
            World::test().gone(),
            "Leaving",
            None,
        ),
    ]);
    assert!(matches!(World::test().gone().resource, Resource::Gone));
}
