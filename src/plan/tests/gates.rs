//! The gates: when the one before may be revoked, and what keeps it alive until then.

use super::*;
use crate::{
    api::condition::Reason,
    ledger::{
        fixtures::{DAY, HOUR, MILLISECOND, MINUTE, NOON, SECOND, ago, ahead},
        record::Ledger,
    },
    plan::{
        fixtures::{pod, volume_pod},
        world::{PodUse, Task},
    },
};

/// Two credentials; the target holds the newer one since `at`.
fn since(at: Timestamp) -> World {
    let ledger = Ledger::test().issued(ago(DAY)).issued(ago(HOUR * 3));
    World::test().with_ledger(ledger.overlapping(at))
}

fn pods(world: World, pods: impl Into<Vec<PodUse>>) -> World {
    world.inspected(pods.into()).proven()
}

#[test]
fn the_overlap_begins_with_the_delivery_and_anew_with_every_repair() {
    let promoted = || {
        let ledger = Ledger::test().issued(ago(DAY)).issued(ago(HOUR));
        World::test().with_ledger(ledger)
    };
    check(vec![
        (
            "the target does not follow yet",
            promoted().showing(|seen| seen.epoch = Epoch(1)),
            "Deliver",
            None,
        ),
        ("the target holds it", promoted(), "StartOverlap", None),
        (
            "damaged meanwhile",
            World::retiring().damaged(),
            "SuspendOverlap",
            None,
        ),
        (
            "deleted meanwhile",
            World::retiring().targetless(),
            "SuspendOverlap",
            None,
        ),
        (
            "to look otherwise",
            World::retiring().wishing(|w| w.rendering.push('2')),
            "SuspendOverlap",
            None,
        ),
        (
            "suspended, then repaired",
            World::retiring()
                .targetless()
                .record(|l| l.suspend_overlap().unwrap()),
            "Deliver",
            None,
        ),
        (
            "repaired, it begins",
            World::retiring().record(|l| l.suspend_overlap().unwrap()),
            "StartOverlap",
            None,
        ),
        (
            "while paused nothing is repaired",
            World::retiring().damaged().paused(),
            "Paused",
            None,
        ),
    ]);
}

#[test]
fn the_gates_open_one_after_the_other() {
    let late = "Closed Pod web has the old value until it is replaced";
    let unknown = "Closed Pods may not be listed; grant it (rbac.pods of the chart) or set rotation.waitFor: []";
    let over = || since(ago(HOUR));
    let no_pods = |world: World| world.rotating(|rotation| rotation.patience.pods = false);
    let look = Some(ahead(MINUTE * 6)); // a tenth of the time since the delivery
    let remembered = over().seen_closed(ahead(SECOND));
    check(vec![
        (
            "a millisecond before the overlap's end",
            since(ago(HOUR) + MILLISECOND),
            "Overlap",
            Some(ahead(MILLISECOND)),
        ),
        ("the overlap is over", over(), "Inspect", None),
        (
            "a failed look waits",
            over().waiting_for(Task::Inspect, ahead(SECOND)),
            "Blocked ProviderUnavailable",
            Some(ahead(SECOND)),
        ),
        (
            "a look that is remembered",
            remembered,
            unknown,
            Some(ahead(SECOND)),
        ),
        (
            "the memory of it ends",
            over().seen_closed(NOON),
            "Inspect",
            None,
        ),
        (
            "a look from before the end does not count",
            over()
                .inspected(vec![])
                .but(|w| w.fresh.inspected.as_mut().unwrap().at = ago(MILLISECOND)),
            "Inspect",
            None,
        ),
        (
            "Pods may not be listed",
            over().inspected(None).proven(),
            unknown,
            look,
        ),
        (
            "and nobody asked for them",
            no_pods(over().inspected(None).proven()),
            "Mark",
            None,
        ),
        (
            "a Pod holds the old value",
            pods(over(), [pod("web", ago(HOUR))]),
            late,
            look,
        ),
        (
            "no Pod holds it, and the new one is not proven",
            over().inspected(vec![]),
            "Prove",
            None,
        ),
        (
            "a failed proof waits",
            over()
                .inspected(vec![])
                .waiting_for(Task::Prove, ahead(SECOND)),
            "Blocked ProviderUnavailable",
            Some(ahead(SECOND)),
        ),
        (
            "a proof from before the end does not count",
            pods(over(), []).but(|w| w.fresh.proven = Some(ago(MILLISECOND))),
            "Prove",
            None,
        ),
        ("all hold", pods(over(), []), "Mark", None),
        (
            "while paused nothing is marked",
            pods(over(), []).paused(),
            "Paused",
            None,
        ),
        (
            "with a foreign target nothing is marked",
            pods(over(), []).foreign(None),
            "Blocked TargetForeign",
            Some(ahead(MINUTE)),
        ),
        (
            "an obstacle to issuing is none to this",
            pods(over(), []).hindered(Reason::NotAllowed),
            "Mark",
            None,
        ),
    ]);
}

#[test]
fn closed_gates_are_looked_at_less_often_the_longer_they_stay_closed() {
    let look = |at| plan(&since(at).inspected(None).proven(), NOON).wake;
    assert_eq!(look(ago(HOUR)), Some(ahead(MINUTE * 6)));
    assert_eq!(look(ago(HOUR * 2)), Some(ahead(MINUTE * 10)), "the longest");
    let short = since(ago(MINUTE)).rotating(|rotation| rotation.patience.overlap = SECOND);
    assert_eq!(
        plan(&short.inspected(None).proven(), NOON).wake,
        Some(ahead(SECOND * 30))
    );
}

#[test]
fn every_pod_has_the_new_value_before_the_old_one_goes() {
    let began = ago(HOUR);
    let at_once = |world: World| world.rotating(|rotation| rotation.patience.overlap = SECOND);
    let fresh = ago(MINUTE * 2);
    let closed = |name: &str| Err(Blocked::Pods(vec![name.to_owned()]));
    for (case, world, expected) in [
        (
            "started before",
            pods(since(began), [pod("a", ago(DAY))]),
            closed("a"),
        ),
        (
            "started with the delivery",
            pods(since(began), [pod("a", began)]),
            closed("a"),
        ),
        (
            "started a moment later",
            pods(since(began), [pod("a", began + MILLISECOND)]),
            Ok(()),
        ),
        (
            "a volume follows",
            pods(since(began), [volume_pod("a", ago(DAY))]),
            Ok(()),
        ),
        (
            "a volume in its refresh time",
            pods(
                at_once(since(fresh + MILLISECOND)),
                [volume_pod("a", ago(DAY))],
            ),
            closed("a"),
        ),
        (
            "a volume after it",
            pods(at_once(since(fresh)), [volume_pod("a", ago(DAY))]),
            Ok(()),
        ),
        (
            "a volume of a Pod that started later",
            pods(at_once(since(ago(SECOND))), [volume_pod("a", NOON)]),
            Ok(()),
        ),
        (
            "one of two",
            pods(since(began), [pod("a", NOON), pod("b", ago(DAY))]),
            closed("b"),
        ),
    ] {
        assert_eq!(
            super::super::gates::open(&world, NOON).map(drop),
            expected,
            "{case}"
        );
    }
}

#[test]
fn nothing_opens_without_two_credentials_and_a_target_that_holds_the_newer() {
    let open = |world: &World| super::super::gates::open(world, NOON).map(drop);
    let ready = || pods(since(ago(HOUR)), []);
    assert_eq!(open(&World::test()), Err(Blocked::Idle));
    assert_eq!(open(&World::issued()), Err(Blocked::Idle));
    assert_eq!(
        open(&ready().gone()),
        Err(Blocked::Idle),
        "nobody says how long it is waited for"
    );
    let not = Err(Blocked::NotDistributed);
    assert_eq!(open(&ready().damaged()), not);
    assert_eq!(open(&ready().targetless()), not);
    assert_eq!(open(&ready().foreign(None)), not);
    assert_eq!(open(&ready().showing(|seen| seen.epoch = Epoch(1))), not);
    assert_eq!(
        open(&ready().showing(|seen| seen.id = crate::ledger::fixtures::id("x"))),
        not
    );
    assert_eq!(open(&ready().record(|l| l.suspend_overlap().unwrap())), not);
    assert_eq!(open(&ready()), Ok(()));
}
