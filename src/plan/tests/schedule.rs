//! When a replacement is due, and why.

use super::*;
use crate::{
    ledger::{
        fixtures::{DAY, HOUR, MILLISECOND, MINUTE, SECOND, ago, ahead, owner},
        record::Ledger,
    },
    plan::schedule::{next, spread},
};

/// In use since `at`, to the second.
fn since(at: Timestamp) -> World {
    World::test().with_ledger(Ledger::test().issued(at))
}

fn ending(at: Timestamp, end: Timestamp) -> World {
    since(at).record(|ledger| ledger.ending(end))
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The first moment at which a world has something due, found at the boundary.
fn due(world: &World) -> Timestamp {
    let due = next(world, NOON).unwrap();
    let cause = |now| match plan(world, now).effect {
        Some(Effect::Issue(order)) => Some(order.cause),
        _ => None,
    };
    assert_eq!(cause(due.at - MILLISECOND), None, "{}", due.at);
    assert_eq!(cause(due.at), Some(due.cause), "{}", due.at);
    due.at
}

#[test]
fn every_is_counted_from_issue_with_a_spread_by_uid() {
    let rhythm = spread(DAY * 30, &owner().uid);
    assert_eq!(due(&since(ago(HOUR)).every(DAY * 30)), ago(HOUR) + rhythm);
    assert_eq!(next(&since(ago(HOUR)), NOON), None, "on request only");
    assert_eq!(
        next(&World::test().every(DAY), NOON),
        None,
        "there is nothing to replace"
    );
}

#[test]
fn a_plan_that_rests_wakes_when_something_is_due() {
    let world = since(ago(HOUR)).every(DAY * 30);
    let wake = plan(&world, NOON).wake;
    assert_eq!(wake, next(&world, NOON).map(|due| due.at));
}

/// The times, the spread set aside, at which `expression` runs for one that was issued then.
fn runs(issued: &str, expression: &str, zone: &str) -> [Timestamp; 2] {
    let due = next(&since(at(issued)).cron(expression, zone), NOON)
        .unwrap()
        .at;
    [due - MINUTE * 10, due]
}

#[test]
fn a_schedule_runs_in_its_own_time_zone() {
    for (issued, zone, expected) in [
        ("2026-03-10T12:00:00Z", "UTC", "2026-03-16T03:00:00Z"),
        (
            "2026-03-10T12:00:00Z",
            "Europe/Berlin",
            "2026-03-16T02:00:00Z",
        ),
        (
            "2026-03-30T00:00:00Z",
            "Europe/Berlin",
            "2026-03-30T01:00:00Z",
        ), // summer time
        (
            "2026-03-10T12:00:00Z",
            "Asia/Kolkata",
            "2026-03-15T21:30:00Z",
        ),
        ("2026-03-16T03:00:00Z", "UTC", "2026-03-23T03:00:00Z"), // after issue, not at it
    ] {
        let [earliest, latest] = runs(issued, "0 3 * * 1", zone);
        assert!(
            (earliest..=latest).contains(&at(expected)),
            "{zone} from {issued}: {latest}"
        );
    }
}

#[test]
fn a_schedule_survives_the_hour_that_is_missing_and_the_one_that_comes_twice() {
    let run = |issued| runs(issued, "30 2 * * *", "Europe/Berlin");
    let on = |[earliest, latest]: [Timestamp; 2], hours: [&str; 2]| {
        hours
            .into_iter()
            .any(|hour| (earliest..=latest).contains(&at(hour)))
    };
    let spring = ["2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"];
    assert!(on(run("2026-03-28T12:00:00Z"), spring));
    let autumn = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"];
    assert!(on(run("2026-10-24T12:00:00Z"), autumn));
    assert!(
        on(run("2026-10-25T03:00:00Z"), ["2026-10-26T01:30:00Z"; 2]),
        "winter time"
    );
}

#[test]
fn a_schedule_is_spread_over_a_tenth_of_its_interval_and_ten_minutes_at_most() {
    let room = |expression: &str| {
        let world = since(at("2026-03-10T12:30:00Z")).cron(expression, "UTC");
        let run = |n: u32| {
            let mut world = world.clone();
            world.owner.uid = format!("uid-{n}");
            next(&world, NOON).unwrap().at
        };
        let runs: Vec<_> = (0..300).map(run).collect();
        let (first, last) = (runs.iter().min().unwrap(), runs.iter().max().unwrap());
        last.duration_since(*first)
    };
    let nearly = |most: jiff::SignedDuration| most - SECOND * 20..=most;
    let (hourly, weekly) = (room("0 * * * *"), room("0 3 * * 1"));
    assert!(nearly(MINUTE * 6).contains(&hourly), "{hourly:?}");
    assert!(nearly(MINUTE * 10).contains(&weekly), "{weekly:?}");
}

#[test]
fn issued_after_is_a_level_of_which_the_first_open_one_counts() {
    let levels = |levels: &[Timestamp]| since(ago(HOUR)).issued_after(levels);
    let soon = ahead(MILLISECOND);
    check(vec![
        ("before issue", levels(&[ago(DAY)]), "Settled", None),
        ("at issue", levels(&[ago(HOUR)]), "Settled", None),
        (
            "a moment after issue",
            levels(&[ago(HOUR) + MILLISECOND]),
            "Issue Requested",
            None,
        ),
        ("now", levels(&[NOON]), "Issue Requested", None),
        ("an appointment", levels(&[soon]), "Settled", Some(soon)),
        (
            "two appointments",
            levels(&[ahead(DAY), soon]),
            "Settled",
            Some(soon),
        ),
        (
            "one open, one over",
            levels(&[ahead(DAY), ago(DAY)]),
            "Settled",
            Some(ahead(DAY)),
        ),
        (
            "one passed, one to come",
            levels(&[ahead(DAY), NOON]),
            "Issue Requested",
            None,
        ),
    ]);
}

#[test]
fn a_replay_of_a_level_repeats_nothing() {
    let replaced = |level| {
        let ledger = Ledger::test()
            .issued(ago(DAY * 2))
            .issued(level)
            .marking(NOON);
        let cleared = ledger
            .clear(&crate::ledger::fixtures::id_of(1), NOON)
            .unwrap();
        World::test().with_ledger(cleared).issued_after([level])
    };
    check(vec![(
        "the one issued at that instant satisfies it",
        replaced(ago(HOUR)),
        "Settled",
        None,
    )]);
}

#[test]
fn the_rotate_annotation_acts_once_and_not_from_far_ahead() {
    let limit = ahead(MINUTE * 5);
    let handled =
        |at| since(ago(DAY)).record(|ledger| ledger.but(|ledger| ledger.last_rotate_at = Some(at)));
    check(vec![
        (
            "later than issue",
            since(ago(HOUR)).asked(ago(MINUTE)),
            "Issue Requested",
            None,
        ),
        (
            "older than what is in use",
            since(ago(HOUR)).asked(ago(DAY)),
            "Settled",
            None,
        ),
        (
            "at issue",
            since(ago(HOUR)).asked(ago(HOUR)),
            "Settled",
            None,
        ),
        (
            "handled",
            handled(ago(MINUTE)).asked(ago(MINUTE)),
            "Settled",
            None,
        ),
        (
            "older than the handled one",
            handled(ago(MINUTE)).asked(ago(HOUR)),
            "Settled",
            None,
        ),
        (
            "newer than the handled one",
            handled(ago(HOUR)).asked(ago(MINUTE)),
            "Issue Requested",
            None,
        ),
        (
            "five minutes ahead",
            since(ago(HOUR)).asked(limit),
            "Issue Requested",
            None,
        ),
        (
            "more than that",
            since(ago(HOUR)).asked(limit + MILLISECOND),
            "Settled",
            None,
        ),
    ]);
}

#[test]
fn every_issue_answers_the_newest_request_so_that_it_is_not_made_twice() {
    let request = |world: World| match plan(&world, NOON).effect {
        Some(Effect::Issue(order)) => order.request,
        effect => panic!("{effect:?}"),
    };
    assert_eq!(request(World::test().asked(ago(MINUTE))), Some(ago(MINUTE)));
    let scheduled = since(ago(DAY * 9)).every(DAY);
    assert_eq!(
        request(scheduled.clone().asked(ago(MINUTE))),
        Some(ago(MINUTE))
    );
    assert_eq!(request(scheduled.asked(ahead(HOUR))), None, "too far ahead");
}

#[test]
fn it_is_renewed_at_two_thirds_of_its_life() {
    let issued = ago(HOUR);
    let life = DAY * 90;
    let expected = issued + spread(DAY * 60, &owner().uid);
    assert_eq!(due(&ending(issued, issued + life)), expected);
    let never = ending(issued, issued + life).rotating(|rotation| rotation.renew = false);
    assert_eq!(next(&never, NOON), None);
}

#[test]
fn a_short_life_is_renewed_with_a_reserve_but_never_before_its_half() {
    let issued = ago(HOUR);
    let reserve = HOUR + MINUTE * 10 + DAY; // overlap, verification, a day
    let end = issued + DAY * 3;
    assert_eq!(
        due(&ending(issued, end)),
        (end - reserve).max(issued + HOUR * 36)
    );
    let end = issued + HOUR * 60;
    assert_eq!(due(&ending(issued, end)), end - reserve);
    let end = issued + HOUR * 40;
    assert_eq!(
        due(&ending(issued, end)),
        issued + HOUR * 20,
        "half of its life"
    );
}

#[test]
fn the_earliest_wins_and_says_why() {
    let cause = |world: &World| next(world, NOON).unwrap().cause;
    let world = ending(ago(DAY), ahead(DAY * 9))
        .every(DAY * 30)
        .issued_after([ahead(DAY * 20)]);
    assert_eq!(cause(&world), Cause::BeforeExpiry);
    let world = world.every(DAY * 2);
    assert_eq!(cause(&world), Cause::Scheduled);
    let world = world.issued_after([ahead(SECOND)]);
    assert_eq!(cause(&world), Cause::Requested);
    let world = world.wishing(|wish| wish.spec_hash = Some("spec-2".to_owned()));
    assert_eq!(cause(&world), Cause::SpecChanged);
    let world = world.record(|ledger| ledger.forfeit(NOON).unwrap());
    assert_eq!(cause(&world), Cause::LedgerLost);
}
