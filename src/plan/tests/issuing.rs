//! What is created, and what stands in the way of it.

use super::*;
use crate::{
    api::condition::Reason,
    ledger::{
        fixtures::{DAY, HOUR, MILLISECOND, MINUTE, SECOND, SPEC, ago, ahead, backoff},
        record::{Backoff, Failure, Ledger},
    },
    plan::world::Task,
};

/// Waiting after a failed first attempt.
fn failing(until: Timestamp) -> World {
    failed(backoff(until))
}

fn failed(backoff: Backoff) -> World {
    let ledger = Ledger::test()
        .arming(ago(HOUR))
        .disarm(Generation(1), backoff);
    World::test().with_ledger(ledger.unwrap())
}

/// So many creates in a window that began at `since`.
fn spent(since: Timestamp, count: u32, fruitless: u32) -> World {
    World::test().with_ledger(Ledger::test().spending(since, count, fruitless))
}

fn unrehearsed() -> World {
    World::test().but(|world| world.memory.rehearsed = None)
}

#[test]
fn the_first_credential_is_issued_when_its_target_can_be_written() {
    let later = ahead(SECOND);
    let other = World::test().wishing(|wish| wish.rendering.push('2'));
    check(vec![
        ("rehearsed", World::test(), "Issue Created", None),
        ("not rehearsed", unrehearsed(), "Rehearse", None),
        ("rehearsed as it looked before", other, "Rehearse", None),
        (
            "a failed rehearsal waits",
            unrehearsed().waiting_for(Task::Rehearse, later),
            "Blocked ProviderUnavailable",
            Some(later),
        ),
        (
            "the wait is over",
            unrehearsed().waiting_for(Task::Rehearse, NOON),
            "Rehearse",
            None,
        ),
        (
            "with a credential in use nothing is rehearsed",
            World::issued()
                .asked(NOON)
                .but(|w| w.memory.rehearsed = None),
            "Issue Requested",
            None,
        ),
        (
            "what may not be issued is not rehearsed",
            unrehearsed().hindered(Reason::NotAllowed),
            "Blocked NotAllowed",
            Some(ahead(MINUTE)),
        ),
        ("paused", World::test().paused(), "Paused", None),
    ]);
}

#[test]
fn an_order_says_what_is_asked_for_now() {
    let world = World::issued().asked(ago(MINUTE)).wishing(|wish| {
        wish.expires_after = Some(DAY);
    });
    let Some(Effect::Issue(order)) = plan(&world, NOON).effect else {
        panic!("nothing is issued");
    };
    let wish = world.wish().unwrap();
    let expected = Order {
        generation: Generation(2),
        cause: Cause::Requested,
        request: Some(ago(MINUTE)),
        place: wish.place.clone().unwrap(),
        spec_hash: SPEC.to_owned(),
        expires_at: Some(ahead(DAY)),
    };
    assert_eq!(order, expected);
}

#[test]
fn the_cause_tells_what_was_there_before() {
    let expired = Ledger::test()
        .issued(ago(DAY))
        .ending(NOON)
        .condemn_expired(NOON);
    let expired = World::test().with_ledger(expired.unwrap());
    let later = ahead(SECOND);
    check(vec![
        ("nothing", World::test(), "Issue Created", None),
        ("attempts that failed", failing(NOON), "Issue Created", None),
        (
            "one that ended, and is revoked first",
            expired.clone(),
            "Revoke cred-1",
            None,
        ),
        (
            "one that ended",
            expired.waiting_for(Task::Revoke, later),
            "Issue Expired",
            None,
        ),
        (
            "a damaged target without a ledger",
            World::issued().damaged().but(|w| w.ledger = None),
            "Issue LedgerLost",
            None,
        ),
        (
            "a forfeited credential",
            World::issued().record(|l| l.forfeit(NOON).unwrap()),
            "Issue LedgerLost",
            None,
        ),
        (
            "another spec",
            World::issued().wishing(|w| w.spec_hash = Some("spec-2".to_owned())),
            "Issue SpecChanged",
            None,
        ),
        (
            "a spec that cannot be known",
            World::issued().wishing(|w| w.spec_hash = None),
            "Settled",
            None,
        ),
    ]);
}

#[test]
fn nothing_is_issued_while_an_attempt_is_in_hand() {
    let due = |ledger: Ledger| World::test().with_ledger(ledger).asked(NOON);
    let in_use = || Ledger::test().issued(ago(DAY));
    let foreign_intent = in_use().arming_with(NOON, |i| i.holder = "pod-2/boot-9".to_owned());
    let overlap = in_use().issued(ago(HOUR)).overlapping(ago(MINUTE));
    check(vec![
        ("due", due(in_use()), "Issue Requested", None),
        (
            "armed by another",
            due(foreign_intent),
            "Settled",
            Some(ahead(MINUTE)),
        ),
        (
            "pending",
            due(in_use().arming(NOON).filling()),
            "Verify",
            None,
        ),
        (
            "retiring",
            due(overlap),
            "Overlap",
            Some(ahead(MINUTE * 59)),
        ),
    ]);
}

#[test]
fn what_stands_in_the_way_is_said_and_leaves_what_is_in_use_alone() {
    let poll = Some(ahead(MINUTE));
    let no_place = |world: World| world.wishing(|wish| wish.place = None);
    let stopping = |world: World| world.but(|world| world.memory.stopping = true);
    check(vec![
        (
            "an obstacle",
            World::test().hindered(Reason::NotAllowed),
            "Blocked NotAllowed",
            poll,
        ),
        (
            "with one in use",
            World::issued().asked(NOON).hindered(Reason::NotAllowed),
            "Blocked NotAllowed",
            poll,
        ),
        (
            "not due yet",
            World::issued().hindered(Reason::NotAllowed),
            "Settled",
            None,
        ),
        (
            "no connection",
            no_place(World::test()),
            "Blocked ConnectionNotReady",
            None,
        ),
        (
            "no connection, and why",
            no_place(World::test()).hindered(Reason::ReferenceMissing),
            "Blocked ReferenceMissing",
            None,
        ),
        (
            "the operator stops",
            stopping(World::test()),
            "Blocked Pending",
            None,
        ),
        (
            "it stops, and something is due",
            stopping(World::issued().asked(NOON)),
            "Blocked Pending",
            None,
        ),
    ]);
}

#[test]
fn as_many_creates_may_be_unresolved_as_the_connection_says() {
    let unsure = |n: u32| {
        let ledger = (0..n).fold(Ledger::test(), |ledger, _| ledger.unsure(ago(HOUR)));
        World::test().with_ledger(ledger)
    };
    let allowing = |n, world: World| world.wishing(|wish| wish.max_unresolved = n);
    let resolved = unsure(2).record(|l| l.resolve(&[Generation(1)], NOON).unwrap());
    let in_use = World::issued()
        .record(|l| l.unsure(ago(HOUR)).unsure(ago(HOUR)))
        .asked(NOON);
    check(vec![
        ("one of one", unsure(1), "Issue Created", None),
        ("two of one", unsure(2), "Blocked AmbiguousCreate", None),
        (
            "one of none",
            allowing(0, unsure(1)),
            "Blocked AmbiguousCreate",
            None,
        ),
        ("two of two", allowing(2, unsure(2)), "Issue Created", None),
        ("one of two settled", resolved, "Issue Created", None),
        (
            "a replacement waits as well",
            in_use,
            "Blocked AmbiguousCreate",
            None,
        ),
    ]);
}

#[test]
fn a_wait_ends_with_its_time_with_its_cause_or_once_per_request() {
    let until = ahead(MILLISECOND);
    let asked = |at| failing(until).asked(at);
    let answered = |at| {
        failed(Backoff {
            request: Some(at),
            ..backoff(until)
        })
    };
    let in_use = |world: World| {
        world.record(|ledger| ledger.but(|ledger| ledger.backoff = Some(backoff(until))))
    };
    check(vec![
        (
            "a millisecond before its end",
            failing(until),
            "Blocked ProviderUnavailable",
            Some(until),
        ),
        ("its end", failing(NOON), "Issue Created", None),
        (
            "other inputs",
            failing(until).wishing(|w| w.inputs.push('2')),
            "Issue Created",
            None,
        ),
        ("a first request", asked(NOON), "Issue Created", None),
        (
            "the request that failed",
            answered(ago(HOUR)).asked(ago(HOUR)),
            "Blocked ProviderUnavailable",
            Some(until),
        ),
        (
            "an older one",
            answered(ago(HOUR)).asked(ago(DAY)),
            "Blocked ProviderUnavailable",
            Some(until),
        ),
        (
            "a newer one",
            answered(ago(HOUR)).asked(ago(MINUTE)),
            "Issue Created",
            None,
        ),
        (
            "one from too far ahead",
            asked(ahead(MINUTE * 5) + MILLISECOND),
            "Blocked ProviderUnavailable",
            Some(until),
        ),
        (
            "with one in use",
            in_use(World::issued().asked(ago(MINUTE))),
            "Issue Requested",
            None,
        ),
        (
            "a spec change that nobody asked for again",
            in_use(World::issued()).wishing(|w| w.spec_hash = Some("spec-2".to_owned())),
            "Blocked ProviderUnavailable",
            Some(until),
        ),
        (
            "a request on top of a spec change",
            in_use(World::issued())
                .asked(ago(MINUTE))
                .wishing(|w| w.spec_hash = Some("spec-2".to_owned())),
            "Issue SpecChanged",
            None,
        ),
        (
            "a new target is rehearsed first all the same",
            asked(NOON).but(|w| w.memory.rehearsed = None),
            "Rehearse",
            None,
        ),
    ]);
}

#[test]
fn the_budget_holds_to_the_last_create_and_to_the_last_millisecond() {
    let end = ahead(HOUR);
    let begun = ago(HOUR * 23);
    let exhausted = |world: World| world.asked(NOON);
    let in_use = |count, fruitless| {
        World::issued()
            .record(|ledger| ledger.spending(begun, count, fruitless))
            .asked(NOON)
    };
    check(vec![
        ("four fruitless", spent(begun, 4, 4), "Issue Created", None),
        (
            "five fruitless",
            spent(begun, 5, 5),
            "Blocked BudgetExhausted",
            Some(end),
        ),
        (
            "twenty-nine in all",
            spent(begun, 29, 4),
            "Issue Created",
            None,
        ),
        (
            "thirty in all",
            spent(begun, 30, 0),
            "Blocked BudgetExhausted",
            Some(end),
        ),
        (
            "a request buys nothing",
            exhausted(spent(begun, 5, 5)),
            "Blocked BudgetExhausted",
            Some(end),
        ),
        (
            "other inputs buy nothing",
            spent(begun, 5, 5).wishing(|w| w.inputs.push('2')),
            "Blocked BudgetExhausted",
            Some(end),
        ),
        (
            "a millisecond before the window's end",
            spent(ago(DAY) + MILLISECOND, 5, 5),
            "Blocked BudgetExhausted",
            Some(ahead(MILLISECOND)),
        ),
        (
            "the window's end",
            spent(ago(DAY), 5, 5),
            "Issue Created",
            None,
        ),
        (
            "a replacement that has to wait",
            in_use(30, 0),
            "Blocked BudgetExhausted",
            Some(end),
        ),
        (
            "a replacement within it",
            in_use(29, 0),
            "Issue Requested",
            None,
        ),
    ]);
}

#[test]
fn every_failure_has_its_reason() {
    for (failure, reason) in [
        (Failure::NotSent, Reason::ProviderUnavailable),
        (Failure::Unauthenticated, Reason::ConnectionNotReady),
        (Failure::Forbidden, Reason::ProviderRejected),
        (Failure::Throttled, Reason::RateLimited),
        (Failure::Rejected(422), Reason::ProviderRejected),
        (Failure::Ambiguous, Reason::ProviderUnavailable),
        (Failure::Unreadable, Reason::BreakerOpen),
        (Failure::NotVerified, Reason::VerifyFailed),
    ] {
        let waiting = failed(Backoff {
            failure,
            ..backoff(ahead(HOUR))
        });
        let Because::Blocked(obstacle) = plan(&waiting, NOON).because else {
            panic!("{failure:?} stands in nobody's way");
        };
        assert_eq!(obstacle.reason, reason, "{failure:?}");
        assert!(
            obstacle
                .message
                .ends_with("next attempt 2026-03-10T13:00:00Z")
        );
    }
}
